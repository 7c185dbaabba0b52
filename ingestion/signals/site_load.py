"""Metered load of a site without its chargers, and its solar output: a CSV of intervals, as a meter exports it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from core.time_grid import SLOT
from ingestion.columns import (
    Check,
    Reading,
    UnreadableError,
    check,
    number,
    numbered,
    offset_instant,
    read_csv_text,
    said,
    unreadable,
)
from ingestion.http import SourceClient
from ingestion.providers.base import RECORD, JsonObject, Page, Parsed, PayloadError
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry
from ingestion.signals.documents import fetch_documents

COLUMNS: Final = ("site_id", "start_at", "end_at", "base_load_kw", "pv_kw")
ROW: Final = (*COLUMNS, "observed_at", "available_at")
CHECKS: Final = (
    Check("no_site_id", pl.col("site_id").is_null(), said("a load of no site")),
    Check("no_start_at", pl.col("start").is_null(), said("start_at is {}", "start_at")),
    Check("ends_before_start", pl.col("end") <= pl.col("start"), said("{} is before {}", "end_at", "start_at")),
    unreadable("base_kw", "base_load_kw"),
    unreadable("solar_kw", "pv_kw"),
)


def fetch(client: SourceClient, source: Source, cursor: JsonObject | None, *, as_of: datetime) -> Iterator[Page]:
    """Yield load documents that are new or changed (see ``fetch_documents``)."""
    return fetch_documents(client, source, cursor, as_of=as_of, last_at=_last_end)


def _last_end(name: str, body: bytes) -> datetime | None:
    try:
        records = load_records(body, name=name, site_id=None)
    except UnreadableError:
        return None  # its parser will say why
    last: datetime | None = records.select(_end()).max().item()
    return last


def parse(page: Page, *, source: Source, registry: Registry, carry: JsonObject) -> Parsed:  # noqa: ARG001 - the protocol's
    """Turn a document into ``site_load`` rows; a site that it does not name is the source's.

    Raises:
        PayloadError: it is no such CSV.
    """
    try:
        records = load_records(page.body, name=page.name, site_id=source.site_id)
    except UnreadableError as error:
        raise PayloadError(str(error), body=page.body) from error
    return read_site_load(_of_this_run(records, page), latency=timedelta(minutes=source.latency_min)).parsed()


def _of_this_run(records: pl.DataFrame, page: Page) -> pl.DataFrame:
    """Leave out what is later than the run, and what an earlier one has read; one without time is read once."""
    kept = records.drop(RECORD)
    if page.later is not None:
        kept = kept.filter((_end() <= page.later[0]).fill_null(value=True))
    if page.after is not None:
        kept = kept.filter((_end() > page.after).fill_null(value=False))
    return numbered(kept)


def load_records(body: bytes, *, name: str, site_id: str | None) -> pl.DataFrame:
    """Read a document as text records, numbered; ``base_load_kw`` or ``pv_kw`` may be missing.

    Raises:
        UnreadableError: it is no such CSV.
    """
    table = read_csv_text(body, ("start_at",), name=name)
    if not {"base_load_kw", "pv_kw"} & set(table.columns):
        raise UnreadableError(f"{name} holds neither base_load_kw nor pv_kw; it has the columns {table.columns}")
    given = [pl.col(one) if one in table.columns else pl.lit(None, pl.String).alias(one) for one in COLUMNS]
    return numbered(table.select(given).with_columns(pl.col("site_id").fill_null(pl.lit(site_id, pl.String))))


def read_site_load(records: pl.DataFrame, *, latency: timedelta) -> Reading:
    """Turn text records into ``site_load`` rows: an interval lasts a quarter-hour unless it says otherwise.

    A mean is observed when its interval is over.
    """
    typed = records.with_columns(
        start=offset_instant("start_at"),
        end=_end(),
        base_kw=number("base_load_kw"),
        solar_kw=number("pv_kw"),
    )
    kept, rejected = check(typed, CHECKS, entity="site_load")
    rows = kept.select(
        RECORD,
        "site_id",
        start_at="start",
        end_at="end",
        base_load_kw="base_kw",
        pv_kw="solar_kw",
        observed_at="end",
        available_at=pl.col("end") + latency,
    )
    return Reading(records, {"site_load": rows}, rejected)


def _end() -> pl.Expr:
    return pl.coalesce(offset_instant("end_at"), offset_instant("start_at") + SLOT)
