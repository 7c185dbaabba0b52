"""As-of statistics of outcomes: what the history of a vehicle, a duty or a class said at an instant.

Outcomes enter a statistic when they became known, not when they happened, so a row never sees its own outcome, nor
any other that was still open. Pure functions over frames; which groups and values matter is the features' business.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import polars as pl

from ml.dataset import as_of_join

Statistic = Literal["median", "last", "count", "mean", "spread"]
WINDOW_ROWS: Final = 20
HALF_LIFE_ROWS: Final = 5.0


def add_history(
    rows: pl.DataFrame,
    outcomes: pl.DataFrame,
    *,
    name: str,
    by: Sequence[str],
    values: Mapping[str, Sequence[Statistic]],
    window: int = WINDOW_ROWS,
) -> pl.DataFrame:
    """Add the statistics ``<name>_<value>_<statistic>`` of the outcomes that each row could know.

    Args:
        rows: Rows with ``by`` and ``predicted_at``.
        outcomes: Outcomes with ``by``, the values and ``known_at``; NULL values do not count.
        name: Prefix that says whose history it is.
        by: Columns that make the group.
        values: For each value, the statistics wanted.
        window: How many of the latest outcomes of the group a statistic looks at.
    """
    facts = outcomes.filter(pl.all_horizontal(pl.col(column).is_not_null() for column in (*by, "known_at")))
    facts = facts.select(*by, "known_at", *values).sort("known_at", maintain_order=True)
    statistics = [
        _statistic(value, kind, window).over(list(by)).alias(f"{name}_{value}_{kind}")
        for value, kinds in values.items()
        for kind in kinds
    ]
    states = facts.with_columns(statistics).drop(*values)
    joined = as_of_join(rows, states, by=by, known="known_at")
    counts = [f"{name}_{value}_count" for value, kinds in values.items() if "count" in kinds]
    return joined.with_columns(pl.col(column).fill_null(0).cast(pl.Float64) for column in counts)


def _statistic(value: str, kind: Statistic, window: int) -> pl.Expr:
    column = pl.col(value).cast(pl.Float64)
    match kind:
        case "median":
            return column.rolling_median(window, min_samples=1)
        case "last":
            return column.forward_fill()
        case "count":
            return column.is_not_null().cum_sum().clip(upper_bound=window).cast(pl.Float64)
        case "mean":
            return column.ewm_mean(half_life=HALF_LIFE_ROWS, ignore_nulls=True).forward_fill()
        case "spread":
            upper = column.rolling_quantile(0.75, window_size=window, min_samples=3)
            return upper - column.rolling_quantile(0.25, window_size=window, min_samples=3)


def first_known(*columns: str, least: int = 1) -> pl.Expr:
    """Return the first of some medians whose group has at least ``least`` outcomes, or NULL.

    Each column is named ``<group>_<value>_<statistic>``; its count is in ``<group>_<value>_count``.
    """
    return pl.coalesce(
        pl.when(pl.col(column.rsplit("_", 1)[0] + "_count") >= least).then(pl.col(column)) for column in columns
    )
