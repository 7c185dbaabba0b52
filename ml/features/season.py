"""Knowledge of the calendar: local weekday and time of day."""

from typing import Final

import polars as pl

from ml.cycles import clock_h

COLUMNS: Final = ("weekday", "is_weekend", "prediction_clock_h", "departure_clock_h")


def add(rows: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Add the weekday (1 is Monday), and local hours since midnight of the operating date."""
    weekday = pl.col("operating_date").dt.weekday()
    return rows.with_columns(
        weekday=weekday.cast(pl.Int64),
        is_weekend=(weekday >= 6).cast(pl.Int64),
        prediction_clock_h=clock_h(pl.col("predicted_at"), timezone),
        departure_clock_h=clock_h(pl.col("departed_at"), timezone),
    )
