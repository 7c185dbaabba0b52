"""Knowledge of the plug-in itself: when, where, and what the driver said and the vehicle told."""

from typing import Final

import polars as pl

from ml.cycles import clock_h

COLUMNS: Final = (
    "weekday",
    "is_weekend",
    "arrival_clock_h",
    "stated_h",
    "stated_clock_h",
    "requested_kwh",
    "requested_kw",
    "soc_start_pct",
)


def add(rows: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Add the local time of the plug-in, the stay that the driver stated (hours), and keys of groups.

    ``statement_key`` joins what a driver types: people type the same again, so it stands for them where nothing names
    them. ``hour_key`` is the hour of arrival on working days and on weekends.
    """
    weekday = pl.col("operating_date").dt.weekday().cast(pl.Int64)
    clock = clock_h(pl.col("started_at"), timezone)
    stated_h = (pl.col("stated_departure_at") - pl.col("predicted_at")).dt.total_seconds() / 3600
    typed_min = (stated_h * 12).round().cast(pl.Int64, strict=False)
    asked = pl.col("requested_kwh").round(2).cast(pl.String)
    return rows.with_columns(
        weekday=weekday,
        is_weekend=(weekday >= 6).cast(pl.Int64),
        arrival_clock_h=clock,
        stated_h=stated_h,
        stated_clock_h=clock + stated_h,
        requested_kw=pl.when(stated_h > 0).then(pl.col("requested_kwh") / stated_h),
        hour_key=clock.floor().cast(pl.Int64).cast(pl.String)
        + pl.when(weekday >= 6).then(pl.lit("w")).otherwise(pl.lit("")),
        request_key=asked,
        statement_key=asked + "/" + typed_min.cast(pl.String),
    )
