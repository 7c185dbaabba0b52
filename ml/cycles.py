"""Duty cycles: what a vehicle did on an operating day, from its first departure to its last return.

A cycle is made of trips; where a provider sends no trips, of the runs of snapshots outside the depot. Every fact keeps
the instant at which it became known, so that a training row can be cut off at its own instant. Frames in, frames out.
"""

from datetime import timedelta
from typing import Final, Literal

import numpy as np
import polars as pl

CHAIN_GAP: Final = timedelta(hours=2)
"""Trips closer than this belong together even over midnight; after this long at rest a returned vehicle is back."""
TOLD_NEAR: Final = timedelta(minutes=10)
"""A state this close to the end of a trip tells what the vehicle came with."""
TOLD_BEFORE: Final = timedelta(minutes=90)
"""A state this long before a departure tells what the vehicle left with."""
LEAST_OUTING_KM: Final = 1.0
"""A vehicle that moved less never left: the position jittered."""


TRIP_COLUMNS: Final = (
    "is_deleted", "soc_start_pct", "start_site_id", "route_id", "provider_ref",
    "ended_at", "distance_km", "energy_kwh", "soc_end_pct", "end_site_id",
)  # fmt: skip
"""What trips are made of, besides key and instants."""


def complete_trips(versions: pl.DataFrame) -> pl.DataFrame:
    """Return one row per trip, sorted by vehicle and start: its start, and its end as it was first known.

    A trip that the provider withdrew is dropped. Later recalculations are left aside: values that a row of the past
    could not know must not enter it, and the first complete version is what it could know soonest.

    Args:
        versions: Versions of ``trip``, in any order.
    """
    versions = _not_withdrawn(versions)
    keys = versions.select("vehicle_id", "started_at", "ended_at", "available_at", "observed_at")
    keys = keys.with_row_index("row").sort(
        "vehicle_id", "started_at", "available_at", "observed_at", maintain_order=True
    )
    is_new = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in ("vehicle_id", "started_at"))
    keys = keys.with_columns(trip=is_new.cum_sum() - 1, is_new=is_new)
    complete = keys.filter(pl.col("ended_at") >= pl.col("started_at"))
    complete = complete.filter(pl.col("trip").ne_missing(pl.col("trip").shift()))
    starts = versions[keys.filter("is_new")["row"]]
    end_row = np.full(starts.height, -1, dtype=np.int64)
    end_row[complete["trip"].to_numpy()] = complete["row"].to_numpy()
    told = ("soc_start_pct", "start_site_id", "route_id", "provider_ref")
    begun = starts.select("vehicle_id", "started_at", *told, start_known_at="available_at")
    ends = versions.select(
        *(pl.col(name).alias(f"{name}_late") for name in told),
        "ended_at",
        pl.col("available_at").alias("end_known_at"),
        "distance_km",
        "energy_kwh",
        "soc_end_pct",
        "end_site_id",
    ).select(pl.all().gather(pl.Series(end_row).replace(-1, None)))
    # A source that tells of a start without these tells them with the end.
    filled = [pl.coalesce(name, f"{name}_late").alias(name) for name in told]
    joined = pl.concat([begun, ends], how="horizontal").with_columns(filled)
    return joined.drop(f"{name}_late" for name in told)


def _not_withdrawn(versions: pl.DataFrame) -> pl.DataFrame:
    withdrawn = versions.filter(pl.col("is_deleted"))
    if withdrawn.is_empty():
        return versions
    key = ["vehicle_id", "started_at"]
    return versions.join(withdrawn.select(key).unique(), on=key, how="anti", maintain_order="left")


def outings_from_snapshots(snapshots: pl.DataFrame, homes: pl.DataFrame) -> pl.DataFrame:
    """Return trips, shaped like ``complete_trips``, from the runs of snapshots outside the home depot.

    Args:
        snapshots: Versions of ``vehicle_snapshot``.
        homes: ``vehicle_id`` and ``home_site_id``; a vehicle that is never seen there yields nothing.
    """
    seen = (
        snapshots.join(homes, on="vehicle_id", maintain_order="left")
        .unique(["vehicle_id", "observed_at"], keep="first", maintain_order=True)
        .sort("vehicle_id", "observed_at")
        .with_columns(is_home=pl.col("at_site_id").eq_missing(pl.col("home_site_id")))
        .filter(pl.col("is_home").any().over("vehicle_id"))
    )
    run = (pl.col("is_home") != pl.col("is_home").shift()).fill_null(value=True).cum_sum().over("vehicle_id")
    first = ["observed_at", "available_at", "home_site_id", "is_home"]
    edges = ["odometer_km", "energy_used_total_kwh", "soc_pct"]
    runs = (
        seen.with_columns(run=run)
        .group_by("vehicle_id", "run", maintain_order=True)
        .agg(
            pl.col(first).first(),
            *(pl.col(name).drop_nulls().first().alias(f"{name}_first") for name in edges),
            *(pl.col(name).drop_nulls().last().alias(f"{name}_last") for name in edges),
        )
    )
    return _outings(runs)


def _outings(runs: pl.DataFrame) -> pl.DataFrame:
    """Return the runs outside the depot, with the state of the runs at the depot before and after."""
    before = {name: pl.col(f"{name}_last").shift(1).over("vehicle_id") for name in ("odometer_km", "soc_pct")}
    after = {name: pl.col(name).shift(-1).over("vehicle_id") for name in ("observed_at", "available_at")}
    used = pl.col("energy_used_total_kwh_first").shift(-1) - pl.col("energy_used_total_kwh_last").shift(1)
    return (
        runs.with_columns(
            ended_at=after["observed_at"],
            end_known_at=after["available_at"],
            distance_km=pl.col("odometer_km_first").shift(-1).over("vehicle_id") - before["odometer_km"],
            energy_kwh=used.over("vehicle_id"),
            soc_start_pct=before["soc_pct"],
            soc_end_pct=pl.col("soc_pct_first").shift(-1).over("vehicle_id"),
        )
        .filter(~pl.col("is_home"), pl.col("distance_km").fill_null(LEAST_OUTING_KM) >= LEAST_OUTING_KM)
        .select(
            "vehicle_id",
            pl.col("observed_at").alias("started_at"),
            pl.col("available_at").alias("start_known_at"),
            "soc_start_pct",
            pl.col("home_site_id").alias("start_site_id"),
            pl.lit(None, pl.String).alias("route_id"),
            pl.lit(None, pl.String).alias("provider_ref"),
            "ended_at",
            "end_known_at",
            "distance_km",
            "energy_kwh",
            "soc_end_pct",
            pl.when(pl.col("ended_at").is_not_null()).then("home_site_id").alias("end_site_id"),
        )
    )


def assign_cycles(trips: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Add ``operating_date`` to trips: the local date on which their chain of trips left.

    Trips with less than ``CHAIN_GAP`` between them belong to one chain, so a night shift stays one cycle; chains that
    leave on one date are one cycle. Which cycle a trip belongs to depends on earlier trips alone.

    Args:
        trips: Trips, sorted by vehicle and start.
        timezone: IANA zone of the operating dates.
    """
    is_other = pl.col("vehicle_id").ne_missing(pl.col("vehicle_id").shift())
    last_end = pl.coalesce("ended_at", "started_at").shift()
    is_first = is_other | (pl.col("started_at") - last_end >= CHAIN_GAP).fill_null(value=True)
    first_started_at = pl.when(is_first).then("started_at").forward_fill()
    return trips.with_columns(operating_date=local_date(first_started_at, timezone))


def local_date(instant: pl.Expr, timezone: str) -> pl.Expr:
    """Return the local calendar date of instants."""
    return instant.dt.convert_time_zone(timezone).dt.date()


def clock_h(instant: pl.Expr, timezone: str, *, day: str = "operating_date") -> pl.Expr:
    """Return local wall-clock hours since midnight of ``day``; over 24 on the next day."""
    naive = instant.dt.convert_time_zone(timezone).dt.replace_time_zone(None)
    return (naive - pl.col(day).cast(pl.Datetime("us"))).dt.total_seconds() / 3600


def duty_cycles(trips: pl.DataFrame, homes: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Return one row per vehicle and operating day, with when each half of it became known.

    ``returned_at`` is NULL while it is open: the last trip has not ended, or did not end at the vehicle's depot
    (where the source tells). ``known_at`` is when the return could be known to have been the day's last: the
    local day is over, and the vehicle has rested for ``CHAIN_GAP``. ``energy_kwh`` and ``distance_km`` are NULL where
    any trip lacks them.

    Args:
        trips: Trips with ``operating_date``.
        homes: ``vehicle_id`` and ``home_site_id``.
        timezone: IANA zone of the operating dates.
    """
    midnight = (pl.col("operating_date") + pl.duration(days=1)).cast(pl.Datetime("us"))
    day_end = midnight.dt.replace_time_zone(timezone, ambiguous="latest", non_existent="null").dt.convert_time_zone(
        "UTC"
    )
    cycles = (
        trips.join(homes, on="vehicle_id", how="left", maintain_order="left")
        .group_by("vehicle_id", "operating_date", maintain_order=True)
        .agg(
            pl.col("started_at").first().alias("departed_at"),
            pl.col("started_at").last().alias("last_start_at"),
            pl.col("start_known_at").first().alias("departure_known_at"),
            pl.col("route_id", "provider_ref").first(),
            pl.col("soc_start_pct").first().alias("soc_departure_pct"),
            pl.col("soc_end_pct").last().alias("soc_arrival_pct"),
            pl.col("ended_at").last().alias("last_end_at"),
            pl.col("end_known_at").max(),
            whole("distance_km"),
            whole("energy_kwh"),
            pl.len().alias("trips"),
            pl.col("end_site_id", "home_site_id").last(),
        )
        .with_columns(tells_returns=tells_returns())
        .with_columns(ended_home=pl.col("end_site_id").eq_missing(pl.col("home_site_id")) | ~pl.col("tells_returns"))
        .drop("end_site_id", "home_site_id")
    )
    is_back = pl.col("last_end_at").is_not_null() & pl.col("ended_home")
    known = pl.max_horizontal("end_known_at", pl.col("last_end_at") + CHAIN_GAP, day_end)
    return cycles.with_columns(
        returned_at=pl.when(is_back).then("last_end_at"),
        known_at=pl.when(is_back).then(known),
    ).sort("vehicle_id", "operating_date")


def tells_returns() -> pl.Expr:
    """Say whether the fleet's source tells when a vehicle is back: most last trips of a day end at some depot.

    Where it does not, a vehicle is back when its last trip has ended.
    """
    ended = pl.col("last_end_at").is_not_null()
    return (pl.col("end_site_id").is_not_null().filter(ended).mean() >= 0.5).fill_null(value=False)


def whole(name: str) -> pl.Expr:
    """Return a sum that is NULL where any part of it is unknown."""
    return pl.when(pl.col(name).is_not_null().all()).then(pl.col(name).sum()).alias(name)


def whole_so_far(name: str) -> pl.Expr:
    """Return a running sum that is NULL from the first unknown part on."""
    return pl.when(pl.col(name).is_null().cum_sum() == 0).then(pl.col(name).cum_sum())


def progress(trips: pl.DataFrame) -> pl.DataFrame:
    """Return what became known during each cycle: distance, energy and SoC so far, at each trip's end."""
    ended = trips.filter(pl.col("end_known_at").is_not_null()).sort("end_known_at", "vehicle_id", "started_at")
    cycle = ["vehicle_id", "operating_date"]
    return ended.select(
        *cycle,
        pl.col("end_known_at").alias("available_at"),
        whole_so_far("distance_km").over(cycle).alias("trip_km_so_far"),
        whole_so_far("energy_kwh").over(cycle).alias("trip_kwh_so_far"),
        pl.col("soc_end_pct").forward_fill().over(cycle).alias("trip_soc_pct"),
        pl.col("ended_at").alias("last_trip_ended_at"),
        pl.col("end_site_id").alias("last_trip_end_site_id"),
        pl.int_range(1, pl.len() + 1).over(cycle).alias("trips_so_far"),
    )


def told_by_states(cycles: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """Complete the SoC at departure and at arrival from states of the vehicle, where its trips tell none.

    Nothing is taken that became known later than the cycle's half which it completes.

    Args:
        cycles: See ``duty_cycles``.
        snapshots: Versions of ``vehicle_snapshot``.
    """
    told = snapshots.filter(pl.col("soc_pct").is_not_null()).select(
        "vehicle_id", "observed_at", told_at="available_at", told_soc_pct="soc_pct"
    )
    halves: tuple[tuple[str, str, str, Literal["forward", "nearest"], timedelta], ...] = (
        ("soc_departure_pct", "departed_at", "departure_known_at", "forward", TOLD_BEFORE),
        ("soc_arrival_pct", "returned_at", "known_at", "nearest", TOLD_NEAR),
    )
    numbered = cycles.with_row_index("row")
    for half, at, known, strategy, reach in halves:
        asked = numbered.filter(pl.col(half).is_null()).select("row", "vehicle_id", at, known).drop_nulls()
        if asked.is_empty():
            continue  # millions of states need not be sorted for nothing
        found = (
            told.sort("observed_at")
            .join_asof(
                asked.sort(at),
                left_on="observed_at",
                right_on=at,
                by="vehicle_id",
                strategy=strategy,
                tolerance=reach,
                coalesce=False,
                check_sortedness=False,
            )
            # Each is judged by itself, so that one that came later hides none that was known in time.
            .filter(pl.col("told_at") <= pl.col(known))
            .sort((pl.col("observed_at") - pl.col(at)).abs(), "told_at", maintain_order=True)
            .unique("row", keep="first", maintain_order=True)
            .select("row", "told_soc_pct")
        )
        numbered = numbered.join(found, on="row", how="left", maintain_order="left")
        numbered = numbered.with_columns(pl.coalesce(half, "told_soc_pct").alias(half)).drop("told_soc_pct")
    return numbered.drop("row")


def settle_soc(cycles: pl.DataFrame, vehicles: pl.DataFrame) -> pl.DataFrame:
    """Complete cycles with ``drop_pp`` and with a SoC at arrival where the vehicle did not tell it.

    The drop is trip energy over usable energy (SoH included); only where energy is unknown is it a difference of SoC.
    """
    battery = vehicles.select("vehicle_id", pl.col("usable_kwh").alias("_usable_kwh"))
    by_energy = 100 * pl.col("energy_kwh") / pl.col("_usable_kwh")
    by_soc = pl.col("soc_departure_pct") - pl.col("soc_arrival_pct")
    estimated = (pl.col("soc_departure_pct") - by_energy).clip(0, 100)
    return (
        cycles.join(battery, on="vehicle_id", how="left", maintain_order="left")
        .with_columns(drop_pp=pl.coalesce(by_energy, by_soc), soc_arrival_pct=pl.coalesce("soc_arrival_pct", estimated))
        .drop("_usable_kwh")
    )
