"""Knowledge of dispatch: what the duty plan, in the version known at the instant, says of the day."""

from typing import Final

import polars as pl

COLUMNS: Final = (
    "planned_departure_h",
    "planned_return_h",
    "planned_duration_h",
    "planned_distance_km",
    "planned_blocks",
)

_PLAN: Final = ("block_id", "planned_departure_at", "planned_return_at", "distance_km", "is_deleted", "available_at")


def add(rows: pl.DataFrame, duties: pl.DataFrame) -> pl.DataFrame:
    """Add the plan of the row's vehicle and day, in hours after ``predicted_at``, and its ``block_id``.

    Args:
        rows: Rows with row_key, vehicle_id, operating_date, predicted_at.
        duties: Versions of ``duty``, oldest knowledge first. A day of several blocks lasts from the first to the last.
    """
    plans = known_plans(rows, duties)
    joined = rows.join(plans, on="row_key", how="left", maintain_order="left")
    return joined.with_columns(
        planned_departure_h=_hours_until("planned_departure_at"),
        planned_return_h=_hours_until("planned_return_at"),
        planned_duration_h=(pl.col("planned_return_at") - pl.col("planned_departure_at")).dt.total_seconds() / 3600,
    ).drop("planned_departure_at", "planned_return_at")


def known_plans(rows: pl.DataFrame, duties: pl.DataFrame) -> pl.DataFrame:
    """Return, per row, the plan as known at ``predicted_at``: one row for each row that has one."""
    day = ["vehicle_id", "operating_date"]
    known = (
        rows.select("row_key", *day, "predicted_at")
        .join(duties.select(*day, *_PLAN), on=day, how="inner", maintain_order="left_right")
        .filter(pl.col("available_at") <= pl.col("predicted_at"))
        .unique(["row_key", "block_id"], keep="last", maintain_order=True)
        .filter(~pl.col("is_deleted").fill_null(value=False))
    )
    if known["row_key"].is_unique().all():
        return known.select(
            "row_key",
            "block_id",
            "planned_departure_at",
            "planned_return_at",
            planned_distance_km="distance_km",
            planned_blocks=pl.lit(1.0),
        )
    known = known.sort("row_key", "planned_departure_at", "block_id")
    return known.group_by("row_key", maintain_order=True).agg(
        pl.col("block_id").first(),
        pl.col("planned_departure_at").min(),
        pl.col("planned_return_at").max(),
        pl.when(pl.col("distance_km").is_not_null().all())
        .then(pl.col("distance_km").sum())
        .alias("planned_distance_km"),
        pl.len().cast(pl.Float64).alias("planned_blocks"),
    )


def _hours_until(instant: str) -> pl.Expr:
    return (pl.col(instant) - pl.col("predicted_at")).dt.total_seconds() / 3600
