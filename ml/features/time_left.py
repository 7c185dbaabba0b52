"""Knowledge of the horizon: how long the cycle should still last, by plan and habit, and the class that makes of it."""

from typing import Final

import polars as pl

from ml.history import first_known

COLUMNS: Final = ("expected_left_h",)
NEAR_H: Final = 2.0
MIDDLE_H: Final = 5.0


def add(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the hours expected until the return, and ``horizon``: before, far, middle or near.

    Plan first, with the lateness that is usual on top; then what days with the same first trip did; then habit.

    Args:
        rows: Rows with history, duty plan and ``prediction_clock_h``.
    """
    groups = ("vehicle", "model", "class", "site")
    lateness = first_known(*(f"{group}_lateness_h_median" for group in groups)).fill_null(0.0)
    same_start = first_known("first_trip_return_clock_h_median", least=3)
    usual = first_known(*(f"{group}_return_clock_h_median" for group in groups))
    habit = pl.coalesce(same_start, usual) - pl.col("prediction_clock_h")
    left = pl.coalesce(pl.col("planned_return_h") + lateness, habit)
    horizon = (
        pl.when(pl.col("stage") == "before")
        .then(pl.lit("before"))
        .when(pl.col("expected_left_h") <= NEAR_H)
        .then(pl.lit("near"))
        .when(pl.col("expected_left_h") <= MIDDLE_H)
        .then(pl.lit("middle"))
        .otherwise(pl.lit("far"))
    )
    return rows.with_columns(expected_left_h=left).with_columns(horizon=horizon)
