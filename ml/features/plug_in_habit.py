"""Knowledge of habit: how long the same vehicle, hour and depot let pass between return and plug-in."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from ml.history import Statistic, add_history

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "vehicle": ("vehicle_id",),
    "vehicle_weekday": ("vehicle_id", "weekday"),
    "hour": ("return_hour",),
    "site": ("everyone",),
}
WINDOW_ROWS: Final[Mapping[str, int]] = {"vehicle_weekday": 8, "hour": 60, "site": 100}
STATISTICS: Final[Mapping[str, Sequence[Statistic]]] = {"delay_h": ("median", "last", "spread", "count")}
COLUMNS: Final = (
    "weekday",
    "is_weekend",
    "arrival_clock_h",
    "hours_since_any_plug_in",
    *(f"{group}_delay_h_{kind}" for group in GROUPS for kind in STATISTICS["delay_h"]),
)


def add(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the as-of statistics of all groups.

    Args:
        rows: All finished questions, with vehicle_id, operating_date, arrival_clock_h, delay_h and known_at.
    """
    weekday = pl.col("operating_date").dt.weekday().cast(pl.Int64)
    rows = rows.with_columns(
        weekday=weekday,
        is_weekend=(weekday >= 6).cast(pl.Int64),
        return_hour=pl.col("arrival_clock_h").floor().cast(pl.Int64),
        everyone=pl.lit("all"),
    )
    finished = rows.sort("known_at", "row_key")
    for name, by in GROUPS.items():
        window = WINDOW_ROWS.get(name, 20)
        rows = add_history(rows, finished, name=name, by=by, values=STATISTICS, window=window)
    return rows
