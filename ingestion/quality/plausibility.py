"""Rules that need to know more than one value: the vehicle's battery, its last odometer, the units of a pair.

They catch values that are possible and wrong: an odometer that runs backwards, watt-hours where kWh were meant, a
position at 0° 0°. Bounds of single values are in ``rules``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from core.landing import Landing
from ingestion.columns import Check, said
from ingestion.registry.registry import Registry

ODOMETER_TOLERANCE_KM: Final = 0.1  # what rounding may take back
TOP_SPEED_KMH: Final = 150.0
LEAST_KWH_PER_KM: Final = 0.08
MOST_KWH_PER_KM: Final = 3.5
SHORTEST_FOR_MOST_KM: Final = 5.0  # on shorter trips heating at standstill outweighs driving
SHORTEST_FOR_LEAST_KM: Final = 20.0  # a shorter trip may well run downhill
LEAST_JUDGED_ODOMETER_KM: Final = 100.0
BATTERY_MARGIN: Final = 1.15  # usable energy is stated when new and warm, and energy rounds
LOOK_BACK: Final = timedelta(days=45)
BASE_KM: Final = "last_landed_odometer_km"
BASE_AT: Final = "last_landed_at"
BATTERY_KWH: Final = "battery_kwh"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beyond a batch: usable kWh by vehicle, and the last odometer landed before the batch.

    Frames: ``batteries`` (vehicle_id, battery_kwh); ``odometers`` (vehicle_id, last_landed_at,
    last_landed_odometer_km).
    """

    batteries: pl.DataFrame
    odometers: pl.DataFrame


NOTHING_KNOWN: Final = Known(
    pl.DataFrame(schema={"vehicle_id": pl.String, BATTERY_KWH: pl.Float64}),
    pl.DataFrame(schema={"vehicle_id": pl.String, BASE_AT: pl.Datetime("us", "UTC"), BASE_KM: pl.Float64}),
)


def known_before(rows: pl.DataFrame, *, registry: Registry, landing: Landing, source_id: str) -> Known:
    """Look up what the plausibility of a batch of snapshots depends on.

    The odometer is the last one landed before the vehicle's first observation in the batch, so that a batch which was
    landed once and is checked again meets the same rules.
    """
    usable_kwh = [(one.vehicle_id, one.usable_kwh) for one in registry.vehicles]
    batteries = pl.DataFrame(usable_kwh, schema=NOTHING_KNOWN.batteries.schema, orient="row")
    if "odometer_km" not in rows.columns or rows.is_empty():
        return Known(batteries, NOTHING_KNOWN.odometers)
    first = rows.group_by("vehicle_id").agg(first_at=pl.col("observed_at").min())
    since = first["first_at"].min()
    assert isinstance(since, datetime)
    landed = landing.scan("vehicle_snapshot").filter(
        pl.col("source") == source_id,
        pl.col("date") >= (since - LOOK_BACK).date(),
        pl.col("odometer_km").is_not_null(),
    )
    odometers = (
        landed.join(first.lazy(), on="vehicle_id")
        .filter(pl.col("observed_at") < pl.col("first_at"))
        .sort("vehicle_id", "observed_at", "available_at", "ingested_at")
        .group_by("vehicle_id", maintain_order=True)
        .agg(pl.col("observed_at").last().alias(BASE_AT), pl.col("odometer_km").last().alias(BASE_KM))
        .collect()
    )
    return Known(batteries, odometers)


def snapshot_rules(columns: Sequence[str]) -> list[Check]:
    """Return the rules of ``vehicle_snapshot``; rows must carry what ``with_known`` adds."""
    rules: list[Check] = []
    if "odometer_km" in columns:
        rules += [_odometer_jumped(), _odometer_decreased()]
    if {"odometer_km", "energy_used_total_kwh"} <= set(columns):
        rules.append(_counter_in_other_unit())
    return rules


def position_rules(_columns: Sequence[str]) -> list[Check]:
    """Return the rule of ``vehicle_position``: 0° 0° is what a receiver says that knows no position."""
    nowhere = (pl.col("latitude") == 0) & (pl.col("longitude") == 0)
    return [Check("position_missing", nowhere, said("the position is 0° 0°"))]


def trip_rules(columns: Sequence[str]) -> list[Check]:
    """Return the rules of ``trip``; rows must carry what ``with_known`` adds."""
    rules = []
    if "ended_at" in columns:
        backwards = pl.col("ended_at") < pl.col("started_at")
        rules.append(Check("trip_ends_before_start", backwards, said("from {} to {}", "started_at", "ended_at")))
    if "energy_kwh" in columns:
        above = pl.col("energy_kwh") > BATTERY_MARGIN * pl.col(BATTERY_KWH)
        detail = said("energy_kwh is {}, of a battery of {} kWh", "energy_kwh", BATTERY_KWH)
        rules.append(Check("energy_above_battery", above, detail, "energy_kwh"))
    if {"energy_kwh", "distance_km"} <= set(columns):
        energy, distance = pl.col("energy_kwh"), pl.col("distance_km")
        too_much = (distance >= SHORTEST_FOR_MOST_KM) & (energy > MOST_KWH_PER_KM * distance)
        too_little = (distance >= SHORTEST_FOR_LEAST_KM) & (energy < LEAST_KWH_PER_KM * distance)
        detail = said("{} kWh for {} km: is the unit right?", "energy_kwh", "distance_km")
        rules.append(Check("consumption_implausible", too_much | too_little, detail, "energy_kwh"))
    return rules


def transaction_rules(columns: Sequence[str]) -> list[Check]:
    """Return the rule of ``charging_transaction``: it ends after it starts."""
    if "ended_at" not in columns:
        return []
    backwards = pl.col("ended_at") < pl.col("started_at")
    return [Check("transaction_ends_before_start", backwards, said("from {} to {}", "started_at", "ended_at"))]


PLAUSIBILITY: Final[Mapping[str, Callable[[Sequence[str]], list[Check]]]] = {
    "vehicle_snapshot": snapshot_rules,
    "vehicle_position": position_rules,
    "trip": trip_rules,
    "charging_transaction": transaction_rules,
}


def with_known(rows: pl.DataFrame, known: Known) -> pl.DataFrame:
    """Add what is known of each row's vehicle: battery, and last odometer landed with its time."""
    if "vehicle_id" not in rows.columns:
        return rows
    return rows.join(known.batteries, on="vehicle_id", how="left", maintain_order="left").join(
        known.odometers, on="vehicle_id", how="left", maintain_order="left"
    )


def _odometer_jumped() -> Check:
    """An odometer that no road allows, given the last one landed."""
    hours = (pl.col("observed_at") - pl.col(BASE_AT)).dt.total_seconds() / 3600
    farthest_km = pl.col(BASE_KM) + TOP_SPEED_KMH * hours + 1
    detail = said("odometer_km is {}, after {}", "odometer_km", BASE_KM)
    return Check("odometer_jumped", pl.col("odometer_km") > farthest_km, detail, "odometer_km")


def _odometer_decreased() -> Check:
    """An odometer below an earlier one, of this batch or landed before it."""
    earlier = pl.col("odometer_km").cum_max().forward_fill().shift(1).over("vehicle_id", order_by="observed_at")
    before = pl.max_horizontal(earlier, BASE_KM)
    detail = said("odometer_km is {}, below an earlier one", "odometer_km")
    return Check("odometer_decreased", pl.col("odometer_km") < before - ODOMETER_TOLERANCE_KM, detail, "odometer_km")


def _counter_in_other_unit() -> Check:
    """A lifetime energy that does not fit the lifetime distance: kWh where Wh was meant, or the reverse."""
    judged = (pl.col("odometer_km") >= LEAST_JUDGED_ODOMETER_KM) & (pl.col("energy_used_total_kwh") > 0)
    kwh_per_km = pl.col("energy_used_total_kwh") / pl.col("odometer_km")
    unlikely = judged & ~kwh_per_km.is_between(LEAST_KWH_PER_KM, MOST_KWH_PER_KM)
    detail = said("{} kWh after {} km: is the unit right?", "energy_used_total_kwh", "odometer_km")
    return Check("energy_unit_implausible", unlikely, detail, "energy_used_total_kwh")
