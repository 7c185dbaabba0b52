"""Knowledge of habit: how long the same user, station, hour or statement stayed before, and what they took.

Every statistic is as-of: a session enters it when its end became known.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from ml.cycles import clock_h
from ml.history import Statistic, add_history

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "user": ("site_id", "user_id"),
    "user_weekday": ("site_id", "user_id", "weekday"),
    "statement": ("site_id", "statement_key"),
    "request": ("site_id", "request_key"),
    "request_hour": ("site_id", "request_key", "hour_key"),
    "station": ("site_id", "station_id"),
    "hour": ("site_id", "hour_key"),
    "weekday": ("site_id", "weekday", "hour_key"),
    "site": ("site_id",),
    "everyone": ("everyone",),
}
WINDOW_ROWS: Final[Mapping[str, int]] = {"hour": 100, "weekday": 40, "site": 300, "everyone": 300, "station": 40}
_FULL: Final[Mapping[str, Sequence[Statistic]]] = {
    "stay_h": ("median", "mean", "last", "spread", "count"),
    "energy_kwh": ("median", "mean", "last", "spread", "count"),
    "departure_clock_h": ("median", "count"),
    "stated_error_h": ("median", "count"),
    "energy_share": ("median", "count"),
}
_PLAIN: Final[Mapping[str, Sequence[Statistic]]] = {
    "stay_h": ("median", "count"),
    "energy_kwh": ("median", "count"),
    "departure_clock_h": ("median", "count"),
}
STATISTICS: Final[Mapping[str, Mapping[str, Sequence[Statistic]]]] = {
    "user": _FULL,
    "user_weekday": _PLAIN,
    "statement": _FULL,
    "request": _FULL,
    "request_hour": _PLAIN,
    "station": _PLAIN,
    "hour": {**_PLAIN, "stated_error_h": ("median", "count"), "energy_share": ("median", "count")},
    "weekday": _PLAIN,
    "site": {**_PLAIN, "stated_error_h": ("median", "count"), "energy_share": ("median", "count")},
    "everyone": _PLAIN,
}
COLUMNS: Final = tuple(
    f"{group}_{value}_{statistic}"
    for group, values in STATISTICS.items()
    if group != "everyone"
    for value, statistics in values.items()
    for statistic in statistics
    if statistic != "count" or (group in ("user", "statement", "request") and value == "stay_h")
)


def outcomes(rows: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Return the finished sessions with their groups, how long they stayed (hours) and what they took."""
    finished = rows.filter(pl.col("known_at").is_not_null())
    stay_h = (pl.col("ended_at") - pl.col("started_at")).dt.total_seconds() / 3600
    return finished.with_columns(
        stay_h=stay_h,
        departure_clock_h=clock_h(pl.col("ended_at"), timezone),
        stated_error_h=stay_h - pl.col("stated_h"),
        energy_share=pl.when(pl.col("requested_kwh") > 0).then(pl.col("energy_kwh") / pl.col("requested_kwh")),
    ).sort("known_at", "row_key")


def add(rows: pl.DataFrame, finished: pl.DataFrame) -> pl.DataFrame:
    """Add the as-of statistics of all groups; both frames hold the groups' columns."""
    for name, by in GROUPS.items():
        window = WINDOW_ROWS.get(name, 20)
        rows = add_history(rows, finished, name=name, by=by, values=STATISTICS[name], window=window)
    return rows
