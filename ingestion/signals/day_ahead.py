"""Day-ahead prices: tables per market zone, in EUR/MWh as markets print them or in our own columns.

Three layouts, told apart by what is in them: the table that Ember prints (``Datetime (UTC)``, ``Price (EUR/MWhe)``),
our own CSV (``series_id, start_at, price_per_kwh, …``), and the answer of energy-charts (``unix_seconds``, ``price``).
A price is known from when its auction was published, on the day before delivery, and not from when it holds.
"""

import json
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Final

import polars as pl

from core.schema import INSTANT
from ingestion.columns import (
    Check,
    Reading,
    UnreadableError,
    check,
    missing,
    number,
    numbered,
    offset_instant,
    read_csv_text,
    said,
)
from ingestion.http import SourceClient
from ingestion.providers.base import RECORD, JsonObject, Page, Parsed, PayloadError
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry
from ingestion.signals.documents import fetch_documents

MARKET_TIMEZONE: Final = "Europe/Brussels"  # SDAC's business day, whatever the zone's own clock
PUBLISHED: Final = time(12, 45)
HOUR: Final = timedelta(hours=1)
ZONES: Final = {"Netherlands": "NL", "Germany": "DE-LU", "France": "FR", "Belgium": "BE", "Austria": "AT"}
UTC_STAMP, LOCAL_STAMP, PER_MWH, COUNTRY = "Datetime (UTC)", "Datetime (Local)", "Price (EUR/MWhe)", "Country"
STAMPS: Final = ("%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M")
OWN_COLUMNS: Final = ("series_id", "start_at", "price_per_kwh", "currency")
ROW: Final = ("series_id", "start_at", "end_at", "price_per_kwh", "currency", "observed_at", "available_at")

CHECKS: Final = (
    missing("series_id"),
    Check("no_start_at", pl.col("start_at").is_null(), said("start is {}", "start_text")),
    Check("no_price_per_kwh", pl.col("price_per_kwh").is_null(), said("price is {}", "price_text")),
    # The same instant stands there twice, on two clocks: where they are hours apart, day and month were mistaken.
    Check(
        "stamps_disagree",
        ~(pl.col("local_wall") - pl.col("start_at").dt.replace_time_zone(None)).is_between(-HOUR, 3 * HOUR),
        said("{} UTC and {} local are not one instant", "start_text", "local_text"),
    ),
    Check("ends_before_start", pl.col("end_at") <= pl.col("start_at"), said("ends at {}", "end_at")),
)


def fetch(client: SourceClient, source: Source, cursor: JsonObject | None, *, as_of: datetime) -> Iterator[Page]:
    """Yield price documents that are new or changed (see ``fetch_documents``)."""
    return fetch_documents(client, source, cursor, as_of=as_of)


def parse(page: Page, *, source: Source, registry: Registry, carry: JsonObject) -> Parsed:  # noqa: ARG001 - the protocol's
    """Turn a document into ``price`` rows.

    Raises:
        PayloadError: it has none of the known layouts.
    """
    try:
        records = price_records(page.body, name=page.name, series_id=source.source_id)
    except UnreadableError as error:
        raise PayloadError(str(error), body=page.body) from error
    return read_prices(records, latency=timedelta(minutes=source.latency_min)).parsed()


def price_records(body: bytes, *, name: str, series_id: str) -> pl.DataFrame:
    """Read a document of any of the known layouts as text records, numbered.

    Raises:
        UnreadableError: it has none of them.
    """
    if body.lstrip()[:1] == b"{":
        return numbered(_energy_charts(body, name=name, series_id=series_id))
    table = read_csv_text(body, (), name=name)
    for layout in ((UTC_STAMP, PER_MWH, COUNTRY), OWN_COLUMNS):
        if set(layout) <= set(table.columns):
            return numbered(table)
    raise UnreadableError(
        f"{name} is no day-ahead table; it has the columns {table.columns}, and needs {list(OWN_COLUMNS)} "
        f"or {[UTC_STAMP, PER_MWH, COUNTRY]}"
    )


def read_prices(records: pl.DataFrame, *, latency: timedelta) -> Reading:
    """Turn text records into ``price`` rows; an hour without a stated end lasts an hour."""
    typed = _ember(records) if UTC_STAMP in records.columns else _own(records)
    prices, rejected = check(typed, CHECKS, entity="price")
    known = prices.with_columns(
        end_at=pl.coalesce("end_at", pl.col("start_at") + HOUR),
        observed_at=pl.coalesce("published_at", _auction("start_at")),
    ).with_columns(available_at=pl.coalesce("published_at", pl.col("observed_at") + latency))
    return Reading(records, {"price": known.select(RECORD, *ROW)}, rejected)


def _ember(records: pl.DataFrame) -> pl.DataFrame:
    local = pl.col(LOCAL_STAMP) if LOCAL_STAMP in records.columns else pl.lit(None, pl.String)
    return records.with_columns(
        series_id=pl.col(COUNTRY).replace(ZONES),
        start_at=_stamp(pl.col(UTC_STAMP)).dt.replace_time_zone("UTC"),
        end_at=pl.lit(None, INSTANT),
        published_at=pl.lit(None, INSTANT),
        price_per_kwh=number(PER_MWH) / 1000,
        currency=pl.lit("EUR"),
        start_text=pl.col(UTC_STAMP),
        price_text=pl.col(PER_MWH),
        local_text=local,
        local_wall=_stamp(local),
    )


def _stamp(text: pl.Expr) -> pl.Expr:
    """Read a stamp of the first or of the later style of the table; without its zone."""
    return pl.coalesce(text.str.to_datetime(style, time_unit="us", strict=False) for style in STAMPS)


def _own(records: pl.DataFrame) -> pl.DataFrame:
    def given(column: str) -> pl.Expr:
        return offset_instant(column) if column in records.columns else pl.lit(None, INSTANT)

    return records.with_columns(
        start_at=offset_instant("start_at"),
        end_at=given("end_at"),
        published_at=given("available_at"),
        price_per_kwh=number("price_per_kwh"),
        start_text=pl.col("start_at"),
        price_text=pl.col("price_per_kwh"),
        local_text=pl.lit(None, pl.String),
        local_wall=pl.lit(None, pl.Datetime("us")),
    )


def _energy_charts(body: bytes, *, name: str, series_id: str) -> pl.DataFrame:
    """Read parallel arrays; an interval ends where the next begins, the last is as long as the one before."""
    try:
        answer = json.loads(body)
        table = pl.DataFrame({"at": answer["unix_seconds"], "per_mwh": answer["price"]}, strict=False).sort("at")
        currency = answer["unit"].split("/")[0].strip()
    except (ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise UnreadableError(f"{name} is no answer with unix_seconds, price and unit: {error!r}") from error
    step = (pl.col("at").shift(-1) - pl.col("at")).fill_null(strategy="forward")
    return table.select(
        series_id=pl.lit(series_id),
        start_at=_iso(pl.col("at")),
        end_at=_iso(pl.col("at") + step),
        price_per_kwh=(pl.col("per_mwh") / 1000).cast(pl.String),
        currency=pl.lit(currency),
    )


def _iso(epoch_s: pl.Expr) -> pl.Expr:
    return pl.from_epoch(epoch_s).dt.strftime("%Y-%m-%dT%H:%M:%SZ")


def _auction(start: str) -> pl.Expr:
    """Return when the auction of a delivery was published: the day before, on the market's clock."""
    day = pl.col(start).dt.convert_time_zone(MARKET_TIMEZONE).dt.date() - pl.duration(days=1)
    local = day.dt.combine(PUBLISHED).dt.replace_time_zone(MARKET_TIMEZONE)
    return local.dt.convert_time_zone("UTC").cast(INSTANT)
