"""As-of statistics of outcomes: what the history of a vehicle, a duty or a class said at an instant.

Outcomes enter a statistic when they became known, not when they happened, so a row never sees its own outcome, nor
any other that was still open. Pure functions over frames; which groups and values matter is the features' business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl

Statistic = Literal["median", "last", "count", "mean", "spread"]
_Wanted = tuple[str, Statistic]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
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
    facts = outcomes.filter(pl.col("known_at").is_not_null())
    groups = rows.select(by).unique(maintain_order=True).with_row_index("_group")
    facts = facts.select(*by, "known_at", *values).join(groups, on=by, how="inner", maintain_order="left")
    facts = facts.sort("known_at", maintain_order=True)
    names = {(value, kind): f"{name}_{value}_{kind}" for value, kinds in values.items() for kind in kinds}
    latest = _Latest.known_to(rows, facts, groups, by)
    is_sparse = len(latest.places) * window < facts.height and all(kind != "mean" for _, kind in names)
    found = _gathered(facts, latest, names, window) if is_sparse else _rolled(facts, latest, names, window)
    return rows.with_columns(found)


@dataclass(frozen=True, slots=True)
class _Latest:
    """For each row, the latest fact of its group that it could know.

    ``order`` puts facts of a group side by side, the latest last; ``places`` are the distinct positions in it that rows
    asked for, ``starts`` where their groups begin there; ``of_row`` points to ``places``, -1 where nothing was known.
    """

    order: IntArray
    places: IntArray
    starts: IntArray
    of_row: IntArray

    @classmethod
    def known_to(cls, rows: pl.DataFrame, facts: pl.DataFrame, groups: pl.DataFrame, by: Sequence[str]) -> Self:
        """Find them; facts are sorted by ``known_at`` and hold the number of their ``_group``."""
        group = facts["_group"].to_numpy().astype(np.int64)
        known_at = facts["known_at"].to_physical().to_numpy()
        is_later = np.diff(known_at, prepend=known_at[:1] - 1) > 0
        moments, rank = known_at[is_later], np.cumsum(is_later) - 1
        # Small numbers are sorted by counting them.
        order = np.argsort(group.astype(np.uint16) if groups.height < 2**16 else group, kind="stable")
        # One ascending number per fact: first its group, then when it was known.
        span = len(moments) + 1
        ascending = group[order] * span + rank[order]
        asked = rows.select(*by, "predicted_at").join(groups, on=by, how="left", maintain_order="left")
        own = asked["_group"].fill_null(groups.height).to_numpy().astype(np.int64)
        at = asked["predicted_at"].dt.cast_time_unit("us").to_physical().to_numpy()
        place = np.searchsorted(ascending, own * span + np.searchsorted(moments, at, side="right")) - 1
        is_known = place >= np.searchsorted(ascending, own * span)
        places, inverse = np.unique(place[is_known], return_inverse=True)
        starts = np.searchsorted(ascending, (ascending[places] // span) * span)
        of_row = np.full(len(place), -1, dtype=np.int64)
        of_row[is_known] = inverse
        return cls(order, places, starts, of_row)

    def to_rows(self, values: pl.Series, kind: Statistic) -> pl.Series:
        """Return, for each row, the value at its place; NULL where nothing was known, but a count is 0."""
        index = pl.Series(self.of_row).replace(-1, None)
        found = values.gather(index)
        return found.fill_null(0.0) if kind == "count" else found


def _rolled(facts: pl.DataFrame, latest: _Latest, names: Mapping[_Wanted, str], window: int) -> list[pl.Series]:
    """Return the statistics of rows from those after every fact: best where most facts are asked for."""
    ordered = facts[latest.order]
    states = ordered.select(
        _statistic(value, kind, window).over("_group").alias(name) for (value, kind), name in names.items()
    )[latest.places]
    return [latest.to_rows(states[name], kind) for (_, kind), name in names.items()]


def _gathered(facts: pl.DataFrame, latest: _Latest, names: Mapping[_Wanted, str], window: int) -> list[pl.Series]:
    """Return the same from the windows that are asked for alone: best where few rows ask a long history."""
    reach = latest.places[:, None] - np.arange(window)[None, :]
    is_own = reach >= latest.starts[:, None]
    found = []
    for value in dict.fromkeys(value for value, _ in names):
        values = facts[value].cast(pl.Float64).fill_null(float("nan")).to_numpy()[latest.order]
        inside = np.sort(np.where(is_own, values[np.maximum(reach, 0)], np.nan), axis=1)
        seen = np.concatenate([[0], np.cumsum(np.isfinite(values))])
        for kind in (kind for one, kind in names if one == value):
            numbers = _of_windows(kind, inside, (values, seen), latest, window)
            column = pl.Series(names[value, kind], numbers, nan_to_null=True)
            found.append(latest.to_rows(column, kind))
    return found


def _of_windows(
    kind: Statistic, inside: FloatArray, history: tuple[FloatArray, IntArray], latest: _Latest, window: int
) -> FloatArray:
    """Return a statistic of each window; its values are sorted, NaN last.

    ``history`` holds all values in order, and how many of them were known before each and after the last.
    """
    values, seen = history
    count = np.isfinite(inside).sum(axis=1)
    line = np.arange(len(inside))
    so_far = seen[latest.places + 1] - seen[latest.starts]

    def at_share(share: float) -> FloatArray:
        nearest = np.floor(share * np.maximum(count - 1, 0) + 0.5).astype(np.int64)
        return np.asarray(np.where(count > 0, inside[line, nearest], np.nan))

    match kind:
        case "median":
            low, high = np.maximum(count - 1, 0) // 2, count // 2
            middle = (inside[line, low] + inside[line, np.minimum(high, inside.shape[1] - 1)]) / 2
            return np.asarray(np.where(count > 0, middle, np.nan))
        case "last":
            latest_known = np.flatnonzero(np.isfinite(values))
            newest = np.maximum(seen[latest.places + 1] - 1, 0)
            picked = values[latest_known[newest]] if len(latest_known) else np.full(len(line), np.nan)
            return np.asarray(np.where(so_far > 0, picked, np.nan))
        case "count":
            return np.asarray(np.minimum(so_far, window), dtype=np.float64)
        case "spread":
            return np.asarray(np.where(count >= 3, at_share(0.75) - at_share(0.25), np.nan))
        case "mean":
            raise AssertionError("a weighted mean looks further back than a window")


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
