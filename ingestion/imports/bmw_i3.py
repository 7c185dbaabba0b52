"""Drives of a BMW i3 at 10 Hz in summer (A) and winter (B), a Parquet file per drive.

The files hold a clock of the drive and no date. Days are therefore ours: the drive's number, counted from the first of
June (A) or December (B) 2019; the order and the season are real, the day is not. Energy is the battery's voltage times
current, summed over the drive.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from core.schema import INSTANT
from ingestion.columns import REJECTED, Check, UnreadableError, check, said
from ingestion.imports.history import RECORD_REF, Format, History, as_versions, context, observed, read_parquet_records
from ingestion.providers.base import RECORD

LATENCY: Final = timedelta(minutes=5)
VEHICLE_ID, SITE_ID = "bmw_i3:1", "bmw_i3:munich"
FIRST_DAY: Final = {"A": datetime(2019, 6, 1, 12, tzinfo=UTC), "B": datetime(2019, 12, 1, 12, tzinfo=UTC)}
STEP_H: Final = 0.1 / 3600
CLOCK, SPEED, SOC, AMBIENT = "Time [s]", "Velocity [km/h]", "SoC [%]", "Ambient Temperature [°C]"
VOLTAGE, CURRENT = "Battery Voltage [V]", "Battery Current [A]"
COLUMNS: Final = (CLOCK, SPEED, SOC, AMBIENT, VOLTAGE, CURRENT)
CHECKS: Final = (
    Check("no_clock", pl.col(CLOCK).is_null(), said("Time [s] is {}", CLOCK)),
    Check("clock_below_zero", pl.col(CLOCK) < 0, said("Time [s] is {}", CLOCK)),
)


def read(files: Sequence[Path]) -> History:
    """Read the states of the car, and its drives as trips.

    Raises:
        ingestion.columns.UnreadableError: a file is no Parquet of this set, or is not named after a drive.
    """
    records = read_parquet_records(files, COLUMNS)
    drive = pl.col(RECORD_REF).str.extract(r"^Trip([AB]\d\d)")
    named = records.with_columns(drive=drive)
    if named["drive"].null_count():
        raise UnreadableError("files of this set are named after a drive, like TripA01.parquet")
    typed, rejected = check(named.with_columns(started_at=_started_at()), CHECKS, entity="vehicle_snapshot")
    states = typed.select(
        RECORD,
        vehicle_id=pl.lit(VEHICLE_ID),
        soc_pct=SOC,
        soc_basis=pl.lit("bms"),
        speed_kmh=SPEED,
        ambient_temperature_c=AMBIENT,
        at=pl.col("started_at") + (pl.col(CLOCK) * 1_000_000).round().cast(pl.Duration("us")),
    )
    snapshots = observed(states, pl.col("at"), latency=LATENCY).drop("at")
    rows = {"vehicle_snapshot": snapshots, "trip": _trips(typed)}
    return History(records, rows, pl.concat([REJECTED.to_frame(), rejected]), _context())


def _started_at() -> pl.Expr:
    """Return the day that stands for a drive's number."""
    first = pl.col("drive").str.head(1).replace_strict(FIRST_DAY, return_dtype=INSTANT)
    return first + pl.duration(days=pl.col("drive").str.tail(2).cast(pl.Int64))


def _trips(typed: pl.DataFrame) -> pl.DataFrame:
    """Return each drive as a trip, with the record of its last state."""
    power_kw = -pl.col(VOLTAGE) * pl.col(CURRENT) / 1000
    drives = typed.group_by("drive", "started_at", maintain_order=True).agg(
        pl.col(RECORD).last(),
        ended_at=pl.col("started_at").first() + (pl.col(CLOCK).max() * 1_000_000).round().cast(pl.Duration("us")),
        distance_km=pl.col(SPEED).sum() * STEP_H,
        energy_kwh=power_kw.sum() * STEP_H,
        soc_start_pct=pl.col(SOC).drop_nulls().first(),
        soc_end_pct=pl.col(SOC).drop_nulls().last(),
    )
    trips = drives.with_columns(vehicle_id=pl.lit(VEHICLE_ID), provider_ref="drive").drop("drive")
    known = ("vehicle_id", "started_at", "soc_start_pct", "provider_ref")
    return as_versions(trips, known_at_start=known, ended_at="ended_at", latency=LATENCY)


def _context() -> dict[str, pl.DataFrame]:
    site = pl.DataFrame({"site_id": [SITE_ID], "name": ["Munich"], "timezone": ["Europe/Berlin"], "currency": ["EUR"]})
    vehicle = pl.DataFrame(
        {
            "vehicle_id": [VEHICLE_ID],
            "site_id": [SITE_ID],
            "model": ["BMW i3 60 Ah"],
            "vehicle_class": ["car"],
            "usable_kwh": [18.8],
        }
    )
    return context(site=site, vehicle=vehicle)


FORMAT: Final = Format(
    "bmw_i3",
    read,
    patterns=("Trip*.parquet",),
    latency=LATENCY,
    title="26 drives of a BMW i3 60 Ah",
)
