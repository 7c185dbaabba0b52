"""TeslaFi exports of two cars, a CSV line per minute, in miles and on the local clock without its zone.

Where the car knew its position, the line holds the receiver's time in UTC, which tells the zone; the hour that autumn
repeats is told by the clock running backwards. ``None`` is written as a word. The publisher blanked coordinates and
masked the ids of cars, so a car is known by its export.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from core.schema import INSTANT
from core.units import KM_PER_MILE
from ingestion.columns import Check, check, missing, number, said
from ingestion.imports.history import RECORD_REF, Format, History, context, observed, read_csv_records
from ingestion.providers.base import RECORD

LATENCY: Final = timedelta(minutes=2)
COLUMNS: Final = (
    "Date", "battery_level", "odometer", "charging_state", "charger_power", "fast_charger_present", "speed",
    "outside_temp", "est_battery_range", "gps_as_of",
)  # fmt: skip
FACTS: Final = ("soc_pct", "odometer_km", "is_plugged", "speed_kmh", "ambient_temperature_c", "range_km")
ROW: Final = (
    RECORD, "vehicle_id", "observed_at", "available_at", *FACTS, "soc_basis", "charging_state", "charging_power_kw",
)  # fmt: skip
CHECKS: Final = (
    Check("no_time", pl.col("local").is_null(), said("Date is {}", "Date")),
    missing("zone", "Date"),
)


def read(files: Sequence[Path]) -> History:
    """Read states of the cars; a minute of which the car told nothing gives none.

    Raises:
        ingestion.columns.UnreadableError: a file is no CSV of this set.
    """
    records = read_csv_records(files, COLUMNS)
    states, rejected = check(_typed(records), CHECKS, entity="vehicle_snapshot")
    at = (pl.col("local") - pl.col("zone")).dt.replace_time_zone("UTC").cast(INSTANT)
    told = states.filter(pl.any_horizontal(pl.col(FACTS).is_not_null()))
    rows = observed(told, at, latency=LATENCY).select(ROW)
    vehicles = states.select("vehicle_id", model=pl.lit("Tesla"), vehicle_class=pl.lit("car")).unique()
    return History(records, {"vehicle_snapshot": rows}, rejected, context(vehicle=vehicles))


def _typed(records: pl.DataFrame) -> pl.DataFrame:
    """Return the records with canonical columns beside their own, and the offset of their clock from UTC."""
    said_so = records.with_columns(pl.col(name).replace("None", None) for name in COLUMNS)
    charging = pl.col("charging_state") == "Charging"
    kind = (
        pl.when(pl.col("fast_charger_present") == "True").then(pl.lit("charging_dc")).otherwise(pl.lit("charging_ac"))
    )
    typed = said_so.with_columns(
        export=pl.col(RECORD_REF).str.extract(r"^(.*?)(?:_TeslaFi.*)?\.csv"),
        local=pl.col("Date").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False),
        receiver=pl.from_epoch(number("gps_as_of").cast(pl.Int64), "s").cast(pl.Datetime("us")),
        soc_pct=number("battery_level"),
        soc_basis=pl.lit("displayed"),
        odometer_km=number("odometer") * KM_PER_MILE,
        is_plugged=pl.col("charging_state") != "Disconnected",
        charging_state=pl.when(charging).then(kind).when(~charging).then(pl.lit("not_charging")),
        charging_power_kw=pl.when(charging).then(number("charger_power")),
        speed_kmh=number("speed") * KM_PER_MILE,
        ambient_temperature_c=number("outside_temp"),
        range_km=number("est_battery_range") * KM_PER_MILE,
    )
    return _zoned(typed).with_columns(vehicle_id=pl.concat_str(pl.lit("teslafi:"), "export"))


def _zoned(typed: pl.DataFrame) -> pl.DataFrame:
    """Add ``zone``: what the clock is ahead of UTC, one value between two turns of the clock."""
    file = pl.col(RECORD_REF).str.split(":").list.first()
    ahead = (pl.col("local") - pl.col("receiver")).dt.total_seconds() / 900
    turned = (pl.col("local").diff() < timedelta()).fill_null(value=False)
    parts = typed.with_columns(file=file, quarters=ahead.round().cast(pl.Int64)).with_columns(
        turn=turned.cum_sum().over("file")
    )
    usual = pl.col("quarters").drop_nulls().mode().sort().first().over("file", "turn")
    return parts.with_columns(zone=pl.duration(minutes=15 * usual))


FORMAT: Final = Format(
    "teslafi",
    read,
    patterns=("*TeslaFi*.csv",),
    latency=LATENCY,
    title="minutes of two Teslas, 2016 and 2019",
    private=("vin", "vehicle_id", "display_name", "vehicle_name", "id", "tokens", "latitude", "longitude"),
)
