"""Workplace charging at 105 stations of one company, 2014/15, a CSV line per session.

Years are written 0014 and 0015. No zone is given: arrivals lie hours earlier on the clock in summer than in winter, as
they do where local habits are written in UTC, and the hours fit the east of the United States.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from core.schema import INSTANT
from ingestion.columns import Check, check, missing, number, said, unreadable
from ingestion.imports.history import Format, History, read_csv_records
from ingestion.imports.sessions import session_context, session_versions

LATENCY: Final = timedelta(minutes=5)
COLUMNS: Final = ("sessionId", "kwhTotal", "dollars", "created", "ended", "userId", "stationId", "locationId")
PLACE: Final = ("Workplace of the company", "America/New_York", "USD")
CHECKS: Final = (
    missing("station_id", "stationId"),
    missing("transaction_id", "sessionId"),
    missing("started_at", "created"),
    unreadable("ended_at", "ended"),
    Check("ends_before_start", pl.col("ended_at") < pl.col("started_at"), said("{} is before {}", "ended", "created")),
    unreadable("energy_kwh", "kwhTotal"),
    Check("negative_energy", pl.col("energy_kwh") < 0, said("{} kWh", "kwhTotal"), field="energy_kwh"),
    unreadable("price_total", "dollars"),
)


def read(files: Sequence[Path]) -> History:
    """Read sessions.

    Raises:
        ingestion.columns.UnreadableError: a file is no CSV of this set.
    """
    records = read_csv_records(files, COLUMNS)
    typed = records.with_columns(
        station_id=pl.concat_str(pl.lit("asensio:"), "stationId"),
        connector_id=pl.lit(1, pl.Int64),
        transaction_id=pl.col("sessionId"),
        site_id=pl.concat_str(pl.lit("asensio:"), pl.col("locationId").fill_null("unknown")),
        user_id=pl.concat_str(pl.lit("asensio:"), "userId"),
        started_at=_stamp("created"),
        ended_at=_stamp("ended"),
        energy_kwh=number("kwhTotal"),
        metering_point=pl.lit("evse_ac_out"),
        current_type=pl.lit("ac"),
        price_total=number("dollars"),
        currency=pl.lit("USD"),
    )
    sessions, rejected = check(typed, CHECKS, entity="charging_transaction")
    versions = session_versions(sessions, latency=LATENCY)
    sites = dict.fromkeys(sessions["site_id"].unique(), PLACE)
    return History(records, {"charging_transaction": versions}, rejected, session_context(sessions, sites))


def _stamp(text: str) -> pl.Expr:
    """Read a UTC stamp whose year lacks its first two digits."""
    full = pl.col(text).str.replace(r"^00", "20")
    return (
        full.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
        .dt.replace_time_zone("UTC")
        .cast(INSTANT)
    )


FORMAT: Final = Format(
    "asensio",
    read,
    patterns=("station_data*.csv",),
    latency=LATENCY,
    title="workplace charging sessions of one company, 2014/15",
    private=("userId",),
)
