"""Intervals that hold what they claim: conformal corrections learnt from the outcomes known so far.

Per quantile level, the correction is the conformal quantile of the latest misses of the row's own group (site or
horizon) that were known by the row's own instant: split conformal on a rolling window, after conformalised quantile
regression. On top, each level is steered by how often its corrected quantiles really covered (adaptive conformal
inference), so that coverage recovers after a regime change. Nothing here knows models or features.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from ml.models.protocol import LEVELS, MEDIAN_INDEX, FloatArray

IntArray = npt.NDArray[np.int64]
TextArray = npt.NDArray[np.str_]
WAIT_ROWS: Final = 5
FEW: Final = 60
STEERED_WINDOWS: Final = 3
"""Levels are steered over this many windows of outcomes before the first row; what lies further back has faded."""


class CalibrationParameters(BaseModel):
    """Parameters of the correction, declared once."""

    model_config = ConfigDict(frozen=True)

    window_rows: int = Field(400, ge=20, description="Latest outcomes that a correction looks at.")
    least_group_rows: int = Field(60, ge=10, description="With fewer outcomes in its group, a row uses all groups.")
    step: float = Field(0.04, ge=0, le=0.5, description="How fast a level is steered; 0 leaves it where it is.")


@dataclass(frozen=True, slots=True)
class Asked:
    """Forecasts to be corrected: raw quantiles (rows, levels), when each was made (epoch seconds), its group."""

    raw: FloatArray
    predicted_s: IntArray
    group: TextArray


@dataclass(frozen=True, slots=True)
class Misses:
    """Earlier forecasts and what came: raw quantiles, outcome, when that was known (epoch seconds), group."""

    raw: FloatArray
    actual: FloatArray
    known_s: IntArray
    group: TextArray

    def ordered(self) -> "Misses":
        """Return them in the order in which they became known."""
        return self.picked(np.argsort(self.known_s, kind="stable"))

    def picked(self, rows: npt.NDArray[np.int64]) -> "Misses":
        """Return some of them."""
        return Misses(self.raw[rows], self.actual[rows], self.known_s[rows], self.group[rows])

    @property
    def scores(self) -> FloatArray:
        """By how much the outcome exceeded each raw quantile, shape (outcomes, levels)."""
        return np.asarray(self.actual[:, None] - self.raw)


def calibrated(asked: Asked, misses: Misses, *, default_spread: float, parameters: CalibrationParameters) -> FloatArray:
    """Return corrected quantiles, shape (rows, levels): each row by the misses known when it was predicted, no other.

    Args:
        asked: What to correct.
        misses: Earlier forecasts with their outcomes, in any order.
        default_spread: Standard deviation assumed of forecasts that claim no spread, while there are no misses.
        parameters: See there.
    """
    if (asked.raw[:, 0] < asked.raw[:, -1]).any():
        default_spread = 0.0
    everybody = misses.ordered()
    result = np.empty_like(asked.raw)
    is_alone = np.ones(len(result), dtype=bool)
    for group in np.unique(asked.group):
        own = everybody.picked(np.flatnonzero(everybody.group == group))
        rows = np.flatnonzero(asked.group == group)
        seen = np.searchsorted(own.known_s, asked.predicted_s[rows], side="right")
        rows, seen = rows[seen >= parameters.least_group_rows], seen[seen >= parameters.least_group_rows]
        added = _at_counts(own.scores, seen, default_spread=default_spread, parameters=parameters)
        result[rows] = asked.raw[rows] + added
        is_alone[rows] = False
    seen = np.searchsorted(everybody.known_s, asked.predicted_s[is_alone], side="right")
    added = _at_counts(everybody.scores, seen, default_spread=default_spread, parameters=parameters)
    result[is_alone] = asked.raw[is_alone] + added
    return np.sort(result, axis=1)


def _at_counts(
    scores: FloatArray, seen: IntArray, *, default_spread: float, parameters: CalibrationParameters
) -> FloatArray:
    """Return the correction after the first ``seen`` scores, for each entry of ``seen``.

    Beyond a hundred scores, the latest few are waited for: one correction then serves several rows.
    """
    waited = np.where(seen > 100, seen - seen % WAIT_ROWS, seen)
    counts, row = np.unique(waited, return_inverse=True)
    if not len(counts):
        return np.empty((0, len(LEVELS)))
    begin = max(0, int(counts[0]) - STEERED_WINDOWS * parameters.window_rows)
    levels = steered_levels(scores[begin : counts[-1]], parameters)
    table = [
        corrections(
            scores[max(0, count - parameters.window_rows) : count], levels[count - begin], default_spread=default_spread
        )
        for count in counts
    ]
    return np.asarray(table)[row]


def corrections(scores: FloatArray, levels: FloatArray, *, default_spread: float) -> FloatArray:
    """Return what to add to each level's quantile, so that it would have covered the scores' share of outcomes.

    The conformal rank counts the coming outcome as one more, and is rounded outwards; of a few outcomes, where a whole
    rank is much, it lies between two of them. Where so few outcomes cannot bear a level, the outermost score is widened
    by the spread of what was seen, or by the default spread.

    Args:
        scores: Actual minus raw quantile, shape (outcomes, levels).
        levels: Level to aim at, per column.
        default_spread: Standard deviation assumed where nothing was observed.
    """
    from scipy.special import ndtri

    count = len(scores)
    if count == 0:
        return np.asarray(default_spread * ndtri(LEVELS))
    ordered = np.sort(scores, axis=0)
    ranks = (count + 1) * levels
    if count >= FEW:
        ranks = np.where(LEVELS >= 0.5, np.ceil(ranks), np.floor(ranks))
    ranks[MEDIAN_INDEX] = (count + 1) // 2
    spread = ordered[:, MEDIAN_INDEX].std() if count >= 5 else default_spread
    short = np.clip(ranks - count, 0.0, 1.0) - np.clip(1 - ranks, 0.0, 1.0)
    return _between(ordered, ranks) + short * 0.5 * spread


def _between(ordered: FloatArray, ranks: FloatArray) -> FloatArray:
    """Return the value of each column [outcomes, levels] at a rank from 1 on, which may lie between two outcomes."""
    columns, last = np.arange(ordered.shape[1]), len(ordered) - 1
    below = np.clip(np.floor(ranks).astype(np.int64) - 1, 0, last)
    above = np.clip(np.ceil(ranks).astype(np.int64) - 1, 0, last)
    low, high = ordered[below, columns], ordered[above, columns]
    return np.asarray(low + (ranks - np.floor(ranks)) * (high - low))


def steered_levels(scores: FloatArray, parameters: CalibrationParameters) -> FloatArray:
    """Return the level to aim at after each outcome, shape (outcomes + 1, levels).

    A level moves up with each outcome that exceeded its quantile, down with each that did not, by ``step`` times how
    far that is from what the level claims; it is moved after every few outcomes. It stays a tenth of its way off the
    end, so that a burst of misses cannot make an interval infinite.
    """
    count, window = len(scores), parameters.window_rows
    steered = np.tile(LEVELS, (count + 1, 1))
    if parameters.step == 0:
        return steered
    reach = np.minimum(LEVELS, 1 - LEVELS)
    current = LEVELS.copy()
    for begin in range(parameters.least_group_rows, count, WAIT_ROWS):
        latest = scores[begin : begin + WAIT_ROWS]
        bound = _at_levels(np.sort(scores[max(0, begin - window) : begin], axis=0), current)
        beyond = (latest > bound).sum(axis=0) - (1 - LEVELS) * len(latest)
        current = np.clip(current + parameters.step * reach * beyond, 0.1 * reach, 1 - 0.1 * reach)
        steered[begin + len(latest) :] = current
    return steered


def _at_levels(ordered: FloatArray, levels: FloatArray) -> FloatArray:
    ranks = np.clip(np.ceil(len(ordered) * levels).astype(np.int64), 1, len(ordered)) - 1
    return np.asarray(ordered[ranks, np.arange(len(levels))])
