"""A Kia's state as a monitor polled it about once an hour, a CSV line per poll.

``datetime`` is when the car last reported, not when it was asked, so a line may repeat an older one with one value
renewed, or with one that a stale cache answered: such odometers run backwards. Departure and arrival are only known to
lie between two lines. The street address is not kept; the position is restricted.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from ingestion.columns import Check, check, missing, number, offset_instant, said, unreadable
from ingestion.imports.history import Format, History, context, observed, read_csv_records
from ingestion.providers.base import RECORD

LATENCY: Final = timedelta(hours=1)
VEHICLE_ID, SITE_ID = "kia_monitor:1", "kia_monitor:home"
COLUMNS: Final = (
    "datetime", "longitude", "latitude", "engineOn", "odometer", "SOC%", "charging", "plugged", "EV range",
)  # fmt: skip
UNPLUGGED, FAST_CHARGER = "0", "1"
CHECKS: Final = (
    missing("at", "datetime"),
    unreadable("odometer_km", "odometer"),
    Check(
        "odometer_going_back",
        pl.col("odometer_km") < pl.col("odometer_seen_km"),
        said("odometer {} after {}", "odometer_km", "odometer_seen_km"),
        field="odometer_km",
    ),
    unreadable("soc_pct", "SOC%"),
    unreadable("range_km", "EV range"),
    unreadable("latitude_deg", "latitude"),
    unreadable("longitude_deg", "longitude"),
    Check("range_below_zero", pl.col("range_km") < 0, said("EV range is {}", "EV range"), field="range_km"),
)


def read(files: Sequence[Path]) -> History:
    """Read states of the car and, apart from them, its positions.

    Raises:
        ingestion.columns.UnreadableError: a file is no CSV of this set.
    """
    records = read_csv_records(files, COLUMNS)
    states, rejected = check(_typed(records), CHECKS, entity="vehicle_snapshot")
    timed = observed(states, pl.col("at"), latency=LATENCY)
    times = ("observed_at", "available_at")
    snapshots = timed.select(
        RECORD, "vehicle_id", *times, "soc_pct", "soc_basis", "odometer_km", "is_plugged", "charging_state", "range_km"
    )
    places = timed.select(RECORD, "vehicle_id", *times, latitude="latitude_deg", longitude="longitude_deg").drop_nulls()
    return History(records, {"vehicle_snapshot": snapshots, "vehicle_position": places}, rejected, _context())


def _typed(records: pl.DataFrame) -> pl.DataFrame:
    """Return the records with canonical columns beside their own, and the greatest odometer seen before each."""
    charging = pl.col("charging").str.to_lowercase() == "true"
    kind = pl.when(pl.col("plugged") == FAST_CHARGER).then(pl.lit("charging_dc")).otherwise(pl.lit("charging_ac"))
    return records.with_columns(
        vehicle_id=pl.lit(VEHICLE_ID),
        at=offset_instant("datetime"),
        soc_pct=number("SOC%"),
        soc_basis=pl.lit("displayed"),
        odometer_km=number("odometer"),
        odometer_seen_km=number("odometer").cum_max().shift(1),
        is_plugged=pl.col("plugged") != UNPLUGGED,
        charging_state=pl.when(charging).then(kind).when(~charging).then(pl.lit("not_charging")),
        range_km=number("EV range"),
        latitude_deg=number("latitude"),
        longitude_deg=number("longitude"),
    )


def _context() -> dict[str, pl.DataFrame]:
    site = pl.DataFrame(
        {"site_id": [SITE_ID], "name": ["Home of the Kia"], "timezone": ["Europe/Amsterdam"], "currency": ["EUR"]}
    )
    vehicle = pl.DataFrame({"vehicle_id": [VEHICLE_ID], "site_id": [SITE_ID], "vehicle_class": ["car"]})
    return context(site=site, vehicle=vehicle)


FORMAT: Final = Format(
    "kia_monitor",
    read,
    patterns=("monitor.csv",),
    latency=LATENCY,
    title="hourly states of one Kia, January and February 2023",
    private=("longitude", "latitude", "address"),
)
