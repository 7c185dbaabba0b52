"""ACN-Data as its API answers: sessions of a university's car park as JSON, with what the drivers typed.

Stamps are HTTP dates in GMT. A driver may state departure and energy several times; each statement is a version of
its session, known from when it was made. The statement is one of the driver, not a fact: it is often far off.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from ingestion.columns import Check, UnreadableError, check, missing, number, numbered, said, unreadable
from ingestion.imports.history import RECORD_REF, Format, History, observed
from ingestion.imports.sessions import KNOWN_AT_START, over_level_two, session_context, session_versions
from ingestion.providers.base import RECORD

LATENCY: Final = timedelta(minutes=5)
HTTP_DATE: Final = "%d %b %Y %H:%M:%S GMT"
USER_INPUT: Final = pl.Struct({"modifiedAt": pl.String, "requestedDeparture": pl.String, "kWhRequested": pl.Float64})
ITEM: Final = pl.Schema(
    {
        "sessionID": pl.String(),
        "siteID": pl.String(),
        "stationID": pl.String(),
        "spaceID": pl.String(),
        "userID": pl.String(),
        "timezone": pl.String(),
        "connectionTime": pl.String(),
        "disconnectTime": pl.String(),
        "doneChargingTime": pl.String(),
        "kWhDelivered": pl.String(),
        "userInputs": pl.List(USER_INPUT),
    }
)
STATEMENT: Final = ("requested_kwh", "stated_departure_at")
CALTECH, JPL = "0002", "0001"
SITES: Final = {
    "acn:caltech": ("California Institute of Technology", "America/Los_Angeles", "USD"),
    "acn:jpl": ("Jet Propulsion Laboratory", "America/Los_Angeles", "USD"),
    "acn:other": ("Another site of the Adaptive Charging Network", "America/Los_Angeles", "USD"),
}
CHECKS: Final = (
    missing("station_id", "stationID"),
    missing("transaction_id", "sessionID"),
    missing("started_at", "connectionTime"),
    unreadable("ended_at", "disconnectTime"),
    unreadable("charging_ended_at", "doneChargingTime"),
    Check(
        "ends_before_start",
        pl.col("ended_at") < pl.col("started_at"),
        said("{} is before {}", "disconnectTime", "connectionTime"),
    ),
    Check(
        "charging_ends_after_session",
        pl.col("charging_ended_at") > pl.col("ended_at"),
        said("done at {}, disconnected at {}", "doneChargingTime", "disconnectTime"),
        field="charging_ended_at",
    ),
    Check(
        "charging_ends_before_start",
        pl.col("charging_ended_at") < pl.col("started_at"),
        said("done at {}, connected at {}", "doneChargingTime", "connectionTime"),
        field="charging_ended_at",
    ),
    unreadable("energy_kwh", "kWhDelivered"),
    Check("negative_energy", pl.col("energy_kwh") < 0, said("{} kWh", "kWhDelivered"), field="energy_kwh"),
)


def read(files: Sequence[Path]) -> History:
    """Read the sessions of API answers (``{"_items": [...]}``).

    Raises:
        ingestion.columns.UnreadableError: a file is no such answer.
    """
    records = numbered(pl.concat([_items(file) for file in files]))
    sessions, rejected = check(_typed(records), CHECKS, entity="charging_transaction")
    versions = session_versions(sessions, latency=LATENCY, not_at_start=STATEMENT)
    # What was typed before plug-in is known at plug-in; of two statements in a second the later one counts.
    rows = pl.concat([versions, _statements(sessions)], how="diagonal").unique(
        [RECORD, "observed_at"], keep="last", maintain_order=True
    )
    return History(records, {"charging_transaction": rows}, rejected, session_context(sessions, SITES))


def _items(file: Path) -> pl.DataFrame:
    try:
        items = json.loads(file.read_bytes())["_items"]
        table = pl.DataFrame(items, schema=ITEM, strict=False)
    except (ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise UnreadableError(f"{file.name} is no answer of the ACN-Data API: {error!r}") from error
    index = pl.int_range(pl.len(), dtype=pl.Int64).cast(pl.String)
    return table.select(pl.concat_str(pl.lit(f"{file.name}:_items["), index, pl.lit("]")).alias(RECORD_REF), pl.all())


def _typed(records: pl.DataFrame) -> pl.DataFrame:
    """Return the records with canonical columns beside their own, and each driver's statements in order of time."""
    site = pl.col("siteID").replace_strict({CALTECH: "caltech", JPL: "jpl"}, default="other")
    by_time = pl.element().sort_by(_http_date(pl.element().struct["modifiedAt"]), maintain_order=True)
    typed = records.with_columns(
        station_id=pl.concat_str(pl.lit("acn:"), "stationID"),
        connector_id=pl.lit(1, pl.Int64),
        transaction_id=pl.col("sessionID"),
        site_id=pl.concat_str(pl.lit("acn:"), site),
        user_id=pl.concat_str(pl.lit("acn:"), "userID"),
        started_at=_http_date(pl.col("connectionTime")),
        ended_at=_http_date(pl.col("disconnectTime")),
        charging_ended_at=_http_date(pl.col("doneChargingTime")),
        energy_kwh=number("kWhDelivered"),
        statements=pl.col("userInputs").list.eval(by_time),
    )
    is_dc = over_level_two("energy_kwh", "started_at", "ended_at").any().over("station_id")
    # The back end notices the end of charging at its next poll, up to a minute after the plug was pulled.
    polled_late = (pl.col("charging_ended_at") - pl.col("ended_at")).is_between(timedelta(), timedelta(minutes=1))
    return typed.with_columns(
        *_statement(pl.col("statements").list.last()),
        charging_ended_at=pl.when(polled_late).then("ended_at").otherwise("charging_ended_at"),
        current_type=pl.when(is_dc).then(pl.lit("dc")).otherwise(pl.lit("ac")),
        metering_point=pl.when(is_dc).then(pl.lit("evse_dc_out")).otherwise(pl.lit("evse_ac_out")),
    )


def _statements(sessions: pl.DataFrame) -> pl.DataFrame:
    """Return a version for each statement of a driver, as of when it was made; at plug-in at the earliest."""
    known = [name for name in KNOWN_AT_START if name in sessions.columns and name not in STATEMENT]
    one_by_one = (
        sessions.select(RECORD, *known, "ended_at", "statements").explode("statements").drop_nulls("statements")
    )
    made = one_by_one.with_columns(
        *_statement(pl.col("statements")),
        stated_at=pl.max_horizontal("started_at", _http_date(pl.col("statements").struct["modifiedAt"])),
    ).filter((pl.col("stated_at") < pl.col("ended_at")).fill_null(value=True))
    versions = made.select(RECORD, *known, *STATEMENT, "stated_at")
    return observed(versions, pl.col("stated_at"), latency=LATENCY).drop("stated_at")


def _statement(statement: pl.Expr) -> list[pl.Expr]:
    """Return the canonical columns of a statement."""
    return [
        statement.struct["kWhRequested"].alias("requested_kwh"),
        _http_date(statement.struct["requestedDeparture"]).alias("stated_departure_at"),
    ]


def _http_date(text: pl.Expr) -> pl.Expr:
    """Read an HTTP date; the day of the week says nothing new."""
    return text.str.slice(5).str.to_datetime(HTTP_DATE, time_unit="us", time_zone="UTC", strict=False)


FORMAT: Final = Format(
    "acn",
    read,
    patterns=("raw_*.json",),
    latency=LATENCY,
    title="charging sessions with drivers' statements, Caltech, winter 2020/21",
    private=("userID", "userInputs"),
)
