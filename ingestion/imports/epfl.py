"""DC fast charging at EPFL in 2022 with SoC at arrival and departure, a CSV line per session.

Stamps are local, to the minute. The capacity columns are placeholders (a round 10 kWh for most cars) or were reckoned
from the very energy and SoC, so they are left alone.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from ingestion.columns import Check, check, local_instant, missing, number, said, unreadable
from ingestion.imports.history import Format, History, read_csv_records
from ingestion.imports.sessions import session_context, session_versions

LATENCY: Final = timedelta(minutes=5)
TIMEZONE: Final = "Europe/Zurich"
SITES: Final = {"epfl:campus": ("EPFL fast chargers", TIMEZONE, "CHF")}
ENERGY: Final = "Energy (Wh)"
COLUMNS: Final = ("Session", "CCS", "Arrival", "Departure", ENERGY, "SOC arrival", "SOC departure")
STAMP: Final = ("%Y-%m-%d %H:%M:%S",)
CHECKS: Final = (
    missing("station_id", "CCS"),
    missing("transaction_id", "Session"),
    missing("started_at", "Arrival"),
    unreadable("ended_at", "Departure"),
    Check(
        "ends_before_start", pl.col("ended_at") < pl.col("started_at"), said("{} is before {}", "Departure", "Arrival")
    ),
    unreadable("energy_kwh", ENERGY),
    Check("negative_energy", pl.col("energy_kwh") < 0, said("{} Wh", ENERGY), field="energy_kwh"),
    unreadable("soc_start_pct", "SOC arrival"),
    unreadable("soc_end_pct", "SOC departure"),
)


def read(files: Sequence[Path]) -> History:
    """Read sessions.

    Raises:
        ingestion.columns.UnreadableError: a file is no CSV of this set.
    """
    records = read_csv_records(files, COLUMNS)
    typed = records.with_columns(
        station_id=pl.concat_str(pl.lit("epfl:"), "CCS"),
        connector_id=pl.lit(1, pl.Int64),
        transaction_id=pl.col("Session"),
        site_id=pl.lit("epfl:campus"),
        started_at=local_instant("Arrival", TIMEZONE, STAMP),
        ended_at=local_instant("Departure", TIMEZONE, STAMP),
        energy_kwh=number(ENERGY) / 1000,
        metering_point=pl.lit("evse_dc_out"),
        current_type=pl.lit("dc"),
        soc_start_pct=number("SOC arrival"),
        soc_end_pct=number("SOC departure"),
    )
    sessions, rejected = check(typed, CHECKS, entity="charging_transaction")
    versions = session_versions(sessions, latency=LATENCY)
    return History(records, {"charging_transaction": versions}, rejected, session_context(sessions, SITES))


FORMAT: Final = Format(
    "epfl",
    read,
    patterns=("sessions_20??.csv",),
    latency=LATENCY,
    title="DC fast charging sessions at EPFL, 2022",
)
