"""Knowledge of the moment: where the vehicle's day stands at the instant, by its trips and its newest snapshot."""

from datetime import timedelta
from typing import Final

import polars as pl

from ml.dataset import as_of_join

COLUMNS: Final = (
    "hours_since_departure",
    "km_so_far",
    "kwh_so_far",
    "trips_so_far",
    "soc_now_pct",
    "soc_age_h",
    "speed_kmh",
    "is_at_site",
    "is_on_road",
)
NEAR: Final = timedelta(minutes=90)
"""A snapshot this long before departure still tells the SoC and odometer that the cycle started with."""


def add(rows: pl.DataFrame, snapshots: pl.DataFrame, progress: pl.DataFrame, cycles: pl.DataFrame) -> pl.DataFrame:
    """Add distance, energy and SoC so far, of the row's own cycle only; NULL where nothing tells.

    Args:
        rows: Rows with vehicle_id, operating_date, departed_at (NULL before departure), predicted_at, stage.
        snapshots: States in the order in which they became known.
        progress: See ``ml.cycles.progress``.
        cycles: Cycles, for the SoC that the first trip started with.
    """
    day = ["vehicle_id", "operating_date"]
    begun = cycles.select(*day, pl.col("soc_departure_pct").alias("start_soc_pct"))
    rows = rows.join(begun, on=day, how="left", maintain_order="left")  # a row that has departed knows its start
    rows = as_of_join(rows, progress, by=day)
    rows = as_of_join(rows, _renamed(snapshots, "now"), by=["vehicle_id"], known="now_available_at")
    rows = _add_start_odometer(rows, snapshots)
    in_cycle = (pl.col("now_observed_at") >= pl.col("departed_at") - NEAR).fill_null(value=False)
    kept = {name: pl.when(in_cycle).then(f"now_{name}") for name in ("soc_pct", "odometer_km", "speed_kmh")}
    has_left = pl.col("departed_at").is_not_null()
    odometer_km = (kept["odometer_km"] - pl.col("start_odometer_km")).clip(lower_bound=0)
    soc_seen_at = (
        pl.when(kept["soc_pct"].is_not_null())
        .then("now_observed_at")
        .otherwise(pl.coalesce("last_trip_ended_at", "departed_at"))
    )
    return rows.with_columns(
        hours_since_departure=_hours(pl.col("predicted_at") - pl.col("departed_at")),
        km_so_far=pl.when(has_left).then(pl.max_horizontal(odometer_km, "trip_km_so_far")),
        kwh_so_far=pl.when(has_left).then("trip_kwh_so_far"),
        trips_so_far=pl.col("trips_so_far").cast(pl.Float64),
        soc_now_pct=pl.when(has_left).then(pl.coalesce(kept["soc_pct"], "trip_soc_pct", "start_soc_pct")),
        soc_age_h=pl.when(has_left).then(_hours(pl.col("predicted_at") - soc_seen_at)),
        speed_kmh=kept["speed_kmh"],
        is_at_site=pl.when(in_cycle).then(pl.col("now_at_site_id").is_not_null().cast(pl.Int64)),
        is_on_road=(pl.col("stage") == "on_road").cast(pl.Int64),
        newest_fact_at=pl.max_horizontal("now_observed_at", "last_trip_ended_at"),
    ).drop([name for name in rows.columns if name.startswith("now_")], "start_odometer_km", "start_soc_pct")


def _hours(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_seconds() / 3600


def _renamed(snapshots: pl.DataFrame, prefix: str) -> pl.DataFrame:
    kept = snapshots.select(
        "vehicle_id", "available_at", "observed_at", "soc_pct", "odometer_km", "speed_kmh", "at_site_id"
    )
    return kept.rename({name: f"{prefix}_{name}" for name in kept.columns if name != "vehicle_id"})


def _add_start_odometer(rows: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """Add the odometer at departure: the last snapshot at or before it, if it was known by ``predicted_at``."""
    facts = snapshots.filter(pl.col("odometer_km").is_not_null()).select(
        "vehicle_id",
        "observed_at",
        pl.col("odometer_km").alias("start_odometer_km"),
        pl.col("available_at").alias("start_available_at"),
    )
    left = rows.filter(pl.col("departed_at").is_not_null()).select(
        "row_key", "vehicle_id", "departed_at", "predicted_at"
    )
    found = as_of_join(left, facts, by=["vehicle_id"], at="departed_at", known="observed_at")
    known = found.filter(pl.col("start_available_at") <= pl.col("predicted_at"))
    return rows.join(known.select("row_key", "start_odometer_km"), on="row_key", how="left", maintain_order="left")
