"""Knowledge of drives: what earlier drives of the vehicle took, how long ago the last one ended, and when this is.

Every statistic is as-of: a drive enters it when its end became known.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from ml.cycles import clock_h
from ml.history import Statistic, add_history

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "vehicle": ("vehicle_id",),
    "hour": ("vehicle_id", "hour_key"),
    "weekday": ("vehicle_id", "weekday", "hour_key"),
    "everyone": ("everyone",),
}
_FULL: Final[Mapping[str, Sequence[Statistic]]] = {
    "drop_pp": ("median", "last", "spread", "count"),
    "distance_km": ("median", "last", "count"),
}
_PLAIN: Final[Mapping[str, Sequence[Statistic]]] = {"drop_pp": ("median", "count"), "distance_km": ("median", "count")}
STATISTICS: Final[Mapping[str, Mapping[str, Sequence[Statistic]]]] = {
    "vehicle": _FULL,
    "hour": _PLAIN,
    "weekday": _PLAIN,
    "everyone": _PLAIN,
}
COLUMNS: Final = (
    "departure_clock_h",
    "weekday",
    "is_weekend",
    "soc_start_pct",
    "rested_h",
    *(
        f"{group}_{value}_{statistic}"
        for group, values in STATISTICS.items()
        if group != "everyone"
        for value, statistics in values.items()
        for statistic in statistics
    ),
)


def add(rows: pl.DataFrame, finished: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Add calendar, the hours since the last drive that was known to be over, and the as-of statistics.

    Args:
        rows: Questions about drives.
        finished: Drives whose end became known, with the columns of questions.
        timezone: IANA zone of local times.
    """
    keyed, ordered = (_keyed(frame, timezone) for frame in (rows, finished.sort("known_at", "vehicle_id")))
    for name, by in GROUPS.items():
        keyed = add_history(keyed, ordered, name=name, by=by, values=STATISTICS[name])
    ends = ordered.with_columns(last_end_h=pl.col("ended_at").dt.epoch("s") / 3600)
    last = add_history(keyed, ends, name="vehicle", by=("vehicle_id",), values={"last_end_h": ("last",)})
    rested_h = pl.col("departed_at").dt.epoch("s") / 3600 - pl.col("vehicle_last_end_h_last")
    return last.with_columns(rested_h=rested_h).drop("vehicle_last_end_h_last")


def _keyed(rows: pl.DataFrame, timezone: str) -> pl.DataFrame:
    weekday = pl.col("operating_date").dt.weekday().cast(pl.Int64)
    clock = clock_h(pl.col("departed_at"), timezone)
    part = pl.when(weekday >= 6).then(pl.lit("w")).otherwise(pl.lit(""))
    return rows.with_columns(
        weekday=weekday,
        is_weekend=(weekday >= 6).cast(pl.Int64),
        departure_clock_h=clock,
        hour_key=clock.floor().cast(pl.Int64).cast(pl.String) + part,
        everyone=pl.lit("all"),
    )
