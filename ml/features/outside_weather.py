"""Knowledge of the weather: the temperature expected on the road, in the forecast known at the instant."""

from typing import Final

import polars as pl

COLUMNS: Final = ("temperature_c", "degrees_from_20")
LOOK_AHEAD_H: Final = 4
"""Half of a usual working day: the temperature around the middle of what is left of the cycle."""


def add(rows: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Add the temperature some hours after ``predicted_at`` (after departure, before it), else the last one known.

    Args:
        rows: Rows with row_key, predicted_at, planned_departure_h.
        weather: Versions of ``weather`` of one place, oldest knowledge first.
    """
    start_h = pl.max_horizontal(pl.col("planned_departure_h").fill_null(0.0), pl.lit(0.0)) + LOOK_AHEAD_H
    hour = (pl.col("predicted_at") + (start_h * 3600).cast(pl.Int64) * pl.duration(seconds=1)).dt.truncate("1h")
    asked = rows.with_columns(start_at=hour)
    known = _known_for_hour(asked.select("row_key", "predicted_at", "start_at"), weather)
    latest = _latest(asked.select("row_key", "predicted_at"), weather)
    return (
        rows.join(known, on="row_key", how="left", maintain_order="left")
        .join(latest, on="row_key", how="left", maintain_order="left")
        .with_columns(temperature_c=pl.coalesce("forecast_c", "latest_c"))
        .with_columns(degrees_from_20=(pl.col("temperature_c") - 20).abs())
        .drop("forecast_c", "latest_c")
    )


def _known_for_hour(asked: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    facts = weather.with_columns(start_at=pl.col("start_at").dt.truncate("1h"))
    known = facts.select("start_at", "available_at", pl.col("temperature_c").alias("forecast_c"))
    joined = asked.sort("predicted_at").join_asof(
        known.sort("available_at", maintain_order=True),
        left_on="predicted_at",
        right_on="available_at",
        by="start_at",
        check_sortedness=False,
    )
    return joined.select("row_key", "forecast_c")


def _latest(asked: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Return the newest temperature that had been measured or forecast for a past hour."""
    past = weather.with_columns(known_from=pl.max_horizontal("available_at", "start_at"))
    facts = past.select("known_from", pl.col("temperature_c").alias("latest_c")).sort("known_from", maintain_order=True)
    joined = asked.sort("predicted_at").join_asof(facts, left_on="predicted_at", right_on="known_from")
    return joined.select("row_key", "latest_c")
