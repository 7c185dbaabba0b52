"""Trips of vehicles whose provider tells only states: from ignition on to off, or from first to last movement.

Pure and columnar. Each trip gives a version when it starts and one when it has ended; both depend only on the snapshots
up to then, so that it does not matter in what pieces the snapshots came.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Final

import polars as pl

from core.entities import ENTITIES

ON_TRIGGERS: Final = ("IGNITION_ON", "ENGINE_ON")
OFF_TRIGGERS: Final = ("IGNITION_OFF", "ENGINE_OFF")
SILENCE: Final = timedelta(hours=2)  # a vehicle that is switched on reports at least hourly; one that does not is off
MOVED_KM: Final = 0.1  # less is noise of the odometer, or manoeuvring in the yard
STANDSTILL: Final = timedelta(minutes=20)  # a vehicle without ignition triggers that stands this long has arrived
TYPICAL_KMH: Final = 30.0  # dates a departure that lies between two distant snapshots
LASTING: Final = ("soc_pct", "odometer_km", "energy_used_total_kwh")  # hold until they are told anew
VALUES: Final = (*LASTING, "at_site_id")
STARTS: Final = "starts"
TRIP: Final = "trip"
RESUME: Final = "resume_at"


def derive_trips(snapshots: pl.DataFrame, *, with_ignition: Collection[str] = ()) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the versions of all trips that begin within the snapshots, and where each vehicle's next reading starts.

    A vehicle with ignition triggers drives from on to off, or to its last word before ``SILENCE``. One without drives
    while its odometer moves, until it stands for ``STANDSTILL``.

    Args:
        snapshots: ``vehicle_snapshot`` rows, any order. The first of a vehicle is taken as standing.
        with_ignition: Vehicles that are known to report it, although these snapshots may not show it.

    Returns:
        ``trip`` rows (without ``ingested_at``), sorted by vehicle, start and availability: energy, distance and SoC are
        differences of what was known at both ends, NULL where one is unknown. And ``vehicle_id, resume_at,
        has_ignition``: the start of the trip that goes on or the last snapshot, and how its trips are told.
    """
    vehicle = "vehicle_id"
    ordered = (
        snapshots.sort(vehicle, "observed_at")
        .with_columns(pl.col(LASTING).forward_fill().over(vehicle))
        .with_columns(
            pl.col("observed_at").shift(1).over(vehicle).alias("previous_at"),
            *(pl.col(name).shift(1).over(vehicle).alias(f"previous_{name}") for name in VALUES),
            next_at=pl.col("observed_at").shift(-1).over(vehicle),
            next_available_at=pl.col("available_at").shift(-1).over(vehicle),
            has_ignition=pl.col("trigger").is_in([*ON_TRIGGERS, *OFF_TRIGGERS]).any().over(vehicle)
            | pl.col(vehicle).is_in(list(with_ignition)),
        )
    )
    trips = pl.concat(
        [_by_ignition(ordered.filter(pl.col("has_ignition"))), _by_movement(ordered.filter(~pl.col("has_ignition")))]
    )
    return _versions(trips), _resumption(ordered, trips)


def _by_ignition(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one line per trip of vehicles whose ignition is reported."""
    is_on = pl.col("trigger").is_in(ON_TRIGGERS).fill_null(value=False)
    is_off = pl.col("trigger").is_in(OFF_TRIGGERS).fill_null(value=False)
    falls_silent = (pl.col("next_at") - pl.col("observed_at") > SILENCE).fill_null(value=False)
    switched = pl.when(is_off | falls_silent).then(pl.lit(value=False)).when(is_on).then(pl.lit(value=True))
    was_on = switched.forward_fill().shift(1).over("vehicle_id").fill_null(value=False)
    stated = rows.with_columns(
        (is_on & ~was_on).alias(STARTS),
        ends=is_off | falls_silent,
        ended_available_at=pl.when(is_off).then("available_at").otherwise("next_available_at"),
    )
    start = {"started_at": "observed_at", RESUME: "observed_at", "start_available_at": "available_at"}
    end = {"ended_at": "observed_at", "end_available_at": "ended_available_at"}
    ends_now = pl.col("ends")
    return (
        _numbered(stated)
        .group_by("vehicle_id", TRIP, maintain_order=True)
        .agg(
            *(pl.col(column).first().alias(name) for name, column in start.items()),
            *(pl.col(name).first().alias(f"start_{name}") for name in VALUES),
            *(pl.col(column).filter(ends_now).first().alias(name) for name, column in end.items()),
            *(pl.col(name).filter(ends_now).first().alias(f"end_{name}") for name in VALUES),
        )
    )


def _by_movement(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one line per trip of vehicles of which only the odometer is known."""
    moved_km = pl.col("odometer_km") - pl.col("previous_odometer_km")
    is_moving = (moved_km > MOVED_KM).fill_null(value=False)
    moved_at = pl.when("is_moving").then("observed_at").forward_fill().shift(1).over("vehicle_id")
    has_stood = (pl.col("previous_at") - moved_at >= STANDSTILL).fill_null(value=True)
    driven = pl.duration(seconds=(moved_km / TYPICAL_KMH * 3600).round())
    stated = rows.with_columns(is_moving=is_moving).with_columns(
        (pl.col("is_moving") & has_stood).alias(STARTS),
        departed_at=pl.max_horizontal("previous_at", pl.col("observed_at") - driven),
    )
    arrived_at = pl.col("observed_at").filter(pl.col("is_moving")).last()
    has_arrived = pl.col("observed_at") >= arrived_at + STANDSTILL
    confirmed_at = pl.col("available_at").filter(has_arrived).first()
    start = {"started_at": "departed_at", RESUME: "previous_at", "start_available_at": "available_at"}
    return (
        _numbered(stated)
        .group_by("vehicle_id", TRIP, maintain_order=True)
        .agg(
            *(pl.col(column).first().alias(name) for name, column in start.items()),
            *(pl.col(f"previous_{name}").first().alias(f"start_{name}") for name in VALUES),
            pl.when(confirmed_at.is_not_null()).then(arrived_at).alias("ended_at"),
            confirmed_at.alias("end_available_at"),
            *(pl.col(name).filter(pl.col("is_moving")).last().alias(f"end_{name}") for name in VALUES),
        )
    )


def _numbered(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows from the first start on, with the number of their trip."""
    return rows.with_columns(pl.col(STARTS).cum_sum().over("vehicle_id").alias(TRIP)).filter(pl.col(TRIP) > 0)


def _versions(trips: pl.DataFrame) -> pl.DataFrame:
    """Return a version of each trip for its start, and one for its end where it has ended."""
    columns = [name for name in ENTITIES["trip"].all_columns if name != "ingested_at"]
    known = trips.with_columns(
        soc_start_pct="start_soc_pct", start_site_id="start_at_site_id", is_deleted=pl.lit(value=False)
    )
    starts = known.drop("ended_at").with_columns(observed_at="started_at", available_at="start_available_at")
    ends = known.filter(pl.col("ended_at").is_not_null()).with_columns(
        observed_at="ended_at",
        available_at=pl.max_horizontal("start_available_at", "end_available_at"),
        distance_km=pl.col("end_odometer_km") - pl.col("start_odometer_km"),
        energy_kwh=pl.col("end_energy_used_total_kwh") - pl.col("start_energy_used_total_kwh"),
        soc_end_pct="end_soc_pct",
        end_site_id="end_at_site_id",
    )
    both = pl.concat([starts, ends], how="diagonal_relaxed")
    return both.select(name for name in columns if name in both.columns).sort(
        "vehicle_id", "started_at", "available_at"
    )


def _resumption(ordered: pl.DataFrame, trips: pl.DataFrame) -> pl.DataFrame:
    """Return from where each vehicle's snapshots are read again: nothing of a trip that goes on may be missing."""
    last = ordered.group_by("vehicle_id").agg(pl.col("has_ignition").any(), last_at=pl.col("observed_at").max())
    going_on = trips.filter(pl.col("ended_at").is_null()).group_by("vehicle_id").agg(pl.col(RESUME).min())
    return (
        last.join(going_on, on="vehicle_id", how="left")
        .select("vehicle_id", pl.coalesce(RESUME, "last_at").alias(RESUME), "has_ignition")
        .sort("vehicle_id")
    )
