"""Outside temperature: answers in the manner of Open-Meteo, or our own CSV.

Open-Meteo's times bear no zone and are in UTC only if the answer's offset is 0: a local answer has one offset for all
its days, which is wrong for half the year, so it is refused. What a document says of the time after it was issued is a
forecast, the rest observations; one that does not say when it was issued was issued when we fetched it.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from core.schema import INSTANT
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
)
from ingestion.http import SourceClient
from ingestion.providers.base import RECORD, JsonObject, Page, Parsed, PayloadError
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry
from ingestion.signals.documents import fetch_documents, fetched_at

HOUR: Final = timedelta(hours=1)
TEMPERATURE: Final = "temperature_2m"
RAW: Final = pl.Schema(
    dict.fromkeys(("place_id", "start_at", "end_at", "temperature_c", "issued_at", "fetched_at"), pl.String())
)
OWN_COLUMNS: Final = ("start_at", "temperature_c")
ROW: Final = ("place_id", "start_at", "end_at", "issued_at", "temperature_c", "observed_at", "available_at")
CHECKS: Final = (
    Check("no_place_id", pl.col("place_id").is_null(), said("a temperature of no place")),
    Check("no_start_at", pl.col("start_at").is_null(), said("start is {}", "start_text")),
    Check(
        "temperature_unreadable",
        pl.col("temperature_c").is_null() & pl.col("temperature_text").is_not_null(),
        said("temperature is {}", "temperature_text"),
    ),
)


def fetch(client: SourceClient, source: Source, cursor: JsonObject | None, *, as_of: datetime) -> Iterator[Page]:
    """Yield weather documents that are new or changed (see ``fetch_documents``)."""
    return fetch_documents(client, source, cursor, as_of=as_of)


def parse(page: Page, *, source: Source, registry: Registry, carry: JsonObject) -> Parsed:  # noqa: ARG001 - the protocol's
    """Turn a document into ``weather`` rows; a place that it does not name is the source's site.

    Raises:
        PayloadError: it has none of the known layouts, or local times.
    """
    place_id = source.site_id or source.source_id
    try:
        records = weather_records(page.body, name=page.name, place_id=place_id, fetched_at=fetched_at(page))
    except UnreadableError as error:
        raise PayloadError(str(error), body=page.body) from error
    return read_weather(records, latency=timedelta(minutes=source.latency_min)).parsed()


def weather_records(body: bytes, *, name: str, place_id: str, fetched_at: str | None = None) -> pl.DataFrame:
    """Read a document as text records (schema ``RAW``), numbered; without ``fetched_at`` it is not from today.

    Raises:
        UnreadableError: it has none of the known layouts.
    """
    if body.lstrip()[:1] in (b"{", b"["):
        table = _open_meteo(body, name=name, place_id=place_id)
    else:
        table = read_csv_text(body, OWN_COLUMNS, name=name)
    fetched = pl.lit(fetched_at, pl.String).alias("fetched_at")
    given = [
        pl.col(one) if one in table.columns else pl.lit(None, pl.String).alias(one)
        for one in RAW
        if one != "fetched_at"
    ]
    return numbered(table.select(*given, fetched).with_columns(pl.col("place_id").fill_null(place_id)))


def read_weather(records: pl.DataFrame, *, latency: timedelta) -> Reading:
    """Turn text records (schema ``RAW``) into ``weather`` rows; an hour whose value is not known yet gives none."""
    typed = records.with_columns(
        start_text=pl.col("start_at"),
        temperature_text=pl.col("temperature_c"),
        start_at=offset_instant("start_at"),
        end_at=offset_instant("end_at"),
        issued_at=offset_instant("issued_at"),
        fetched_at=offset_instant("fetched_at"),
        temperature_c=number("temperature_c"),
    )
    known, rejected = check(typed, CHECKS, entity="weather")
    stated = pl.coalesce("issued_at", "fetched_at")
    is_forecast = (stated <= pl.col("start_at")).fill_null(value=False)
    at_hand = is_forecast & pl.col("issued_at").is_null()  # what we have fetched we know, without any delay
    rows = (
        known.drop_nulls("temperature_c")
        .with_columns(at_hand=at_hand, issued_at=pl.when(is_forecast).then(stated).otherwise("start_at").cast(INSTANT))
        .with_columns(
            end_at=pl.coalesce("end_at", pl.col("start_at") + HOUR),
            observed_at="issued_at",
            available_at=pl.when("at_hand").then("issued_at").otherwise(pl.col("issued_at") + latency),
        )
    )
    return Reading(records, {"weather": rows.select(RECORD, *ROW)}, rejected)


def _open_meteo(body: bytes, *, name: str, place_id: str) -> pl.DataFrame:
    """Read an answer, or a list of them for several places, which are then numbered."""
    try:
        answers = json.loads(body)
    except ValueError as error:
        raise UnreadableError(f"{name} is no JSON: {error}") from error
    if isinstance(answers, dict):
        return _answer(answers, name=name, place_id=place_id)
    return pl.concat([_answer(one, name=name, place_id=f"{place_id}:{k}") for k, one in enumerate(answers)])


def _answer(answer: dict[str, Any], *, name: str, place_id: str) -> pl.DataFrame:
    if answer.get("error"):
        raise UnreadableError(f"{name}: the weather service refused the request: {answer.get('reason')}")
    if answer.get("utc_offset_seconds", 0) != 0:
        raise UnreadableError(f"{name} holds local times ({answer.get('timezone')}); ask with timezone=UTC")
    try:
        hourly, unit = answer["hourly"], answer.get("hourly_units", {}).get(TEMPERATURE, "°C")
        table = pl.DataFrame({"time": hourly["time"], "value": hourly[TEMPERATURE]}, strict=False)
    except (KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise UnreadableError(f"{name} is no answer with hourly time and {TEMPERATURE}: {error!r}") from error
    celsius = (pl.col("value") - 32) / 1.8 if unit == "°F" else pl.col("value")
    times = pl.col("time").cast(pl.String)
    return table.select(
        place_id=pl.lit(answer.get("place_id", place_id)),
        start_at=pl.when(times.str.contains(r"Z$|[+-]\d\d:?\d\d$")).then(times).otherwise(times + ":00Z"),
        end_at=pl.lit(None, pl.String),
        temperature_c=celsius.cast(pl.String),
        issued_at=pl.lit(answer.get("issued_at"), pl.String),
    )
