"""A Nissan Leaf as LeafSpy logged it in 2017, a row every few seconds while the driver's phone was connected.

``epoch time`` is UTC; the local clock beside it was once wrong by two hours. Right after start-up SoC reads 0 and the
outside 203 °F. Positions were shifted by a constant before publication, so they are nobody's and are left out.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from ingestion.columns import Check, check, missing, said
from ingestion.imports.history import Format, History, context, observed, read_parquet_records
from ingestion.providers.base import RECORD

LATENCY: Final = timedelta(minutes=1)
VEHICLE_ID, SITE_ID = "leaf:1", "leaf:home"
TIMEZONE: Final = "Etc/GMT+6"  # the local clock is six hours behind UTC all year
COLUMNS: Final = (
    "epoch time", "Speed", "SOC", "Odo(km)", "Ambient", "SOH", "Plug State", "Charge Mode", "OBC Out Pwr",
)  # fmt: skip
CHECKS: Final = (
    missing("at", "epoch time"),
    Check("clock_never_set", pl.col("epoch time") < 86_400 * 366, said("epoch time is {}", "epoch time")),
    Check("soc_zero_at_start_up", pl.col("soc_pct") == 0, said("SOC is {}", "SOC"), field="soc_pct"),
    Check("odometer_zero", pl.col("odometer_km") == 0, said("Odo(km) is {}", "Odo(km)"), field="odometer_km"),
    Check(
        "odometer_going_back",
        pl.col("odometer_km") < pl.col("odometer_seen_km"),
        said("odometer {} after {}", "odometer_km", "odometer_seen_km"),
        field="odometer_km",
    ),
    Check(
        "ambient_not_ready",
        pl.col("ambient_temperature_c") > 60,
        said("outside {} °F", "Ambient"),
        field="ambient_temperature_c",
    ),
)
ROW: Final = (
    RECORD, "vehicle_id", "observed_at", "available_at", "soc_pct", "soc_basis", "odometer_km", "is_plugged",
    "charging_state", "charging_power_kw", "speed_kmh", "ambient_temperature_c",
)  # fmt: skip


def read(files: Sequence[Path]) -> History:
    """Read states of the car.

    Raises:
        ingestion.columns.UnreadableError: a file is no Parquet of this set.
    """
    records = read_parquet_records(files, COLUMNS)
    states, rejected = check(_typed(records), CHECKS, entity="vehicle_snapshot")
    rows = observed(states, pl.col("at"), latency=LATENCY).select(ROW)
    return History(records, {"vehicle_snapshot": rows}, rejected, _context())


def _typed(records: pl.DataFrame) -> pl.DataFrame:
    """Return the records with canonical columns beside their own, and the greatest odometer seen before each."""
    charging = pl.col("Charge Mode") > 0
    state = pl.when(charging).then(pl.lit("charging_ac")).otherwise(pl.lit("not_charging"))
    return records.with_columns(
        vehicle_id=pl.lit(VEHICLE_ID),
        at=pl.from_epoch((pl.col("epoch time") * 1_000_000).cast(pl.Int64), "us").dt.replace_time_zone("UTC"),
        soc_pct=pl.col("SOC") / 10_000,
        soc_basis=pl.lit("bms"),
        odometer_km=pl.col("Odo(km)").cast(pl.Float64),
        odometer_seen_km=pl.col("Odo(km)").cum_max().shift(1).over(pl.lit(1), order_by="epoch time"),
        is_plugged=pl.col("Plug State") > 0,
        charging_state=state,
        charging_power_kw=pl.when(charging).then(pl.col("OBC Out Pwr") / 1000),
        # The sensor's zero is off by up to 3.6 km/h: less than nothing is standing still.
        speed_kmh=pl.col("Speed").clip(lower_bound=0),
        ambient_temperature_c=(pl.col("Ambient") - 32) / 1.8,
    )


def _context() -> dict[str, pl.DataFrame]:
    site = pl.DataFrame({"site_id": [SITE_ID], "name": ["Home of the Leaf"], "timezone": [TIMEZONE]})
    vehicle = pl.DataFrame(
        {"vehicle_id": [VEHICLE_ID], "site_id": [SITE_ID], "model": ["Nissan Leaf"], "vehicle_class": ["car"]}
    )
    return context(site=site, vehicle=vehicle)


FORMAT: Final = Format(
    "leaf",
    read,
    patterns=("leaf*.parquet",),
    latency=LATENCY,
    title="LeafSpy log of one Nissan Leaf, 2017",
    private=("lat", "lon", "phone"),
)
