"""Intervals that hold what they claim: conformal corrections learnt from the outcomes known so far.

Per quantile level, the correction is the conformal quantile of the latest misses at the row's own stage, known by the
row's own instant (split conformal on a rolling window, after conformalised quantile regression). On top, each level
is steered by how often its corrected quantiles really covered (adaptive conformal inference), so that coverage
recovers after a regime change. Nothing here knows models or features.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from ml.models.protocol import LEVELS, MEDIAN_INDEX, FloatArray

IntArray = npt.NDArray[np.int64]


class CalibrationParameters(BaseModel):
    """Parameters of the correction, declared once."""

    model_config = ConfigDict(frozen=True)

    window_rows: int = Field(400, ge=20, description="Latest outcomes that a correction looks at.")
    least_stage_rows: int = Field(60, ge=10, description="With fewer outcomes at its stage, a row uses all stages.")
    step: float = Field(0.02, ge=0, le=0.5, description="How fast a level is steered; 0 leaves it where it is.")


@dataclass(frozen=True, slots=True)
class Misses:
    """Outcomes that forecasts were made for: raw quantiles, what came, when it was known (epoch seconds), stage."""

    raw: FloatArray
    actual: FloatArray
    known_s: IntArray
    stage: IntArray

    def ordered(self) -> "Misses":
        """Return them in the order in which they became known."""
        order = np.argsort(self.known_s, kind="stable")
        return Misses(self.raw[order], self.actual[order], self.known_s[order], self.stage[order])


def calibrated(
    raw: FloatArray,
    predicted_s: IntArray,
    stage: IntArray,
    *,
    misses: Misses,
    default_spread: float,
    parameters: CalibrationParameters,
) -> FloatArray:
    """Return corrected quantiles, each row by the misses known at its ``predicted_s`` alone.

    Args:
        raw: Raw quantiles, shape (rows, levels).
        predicted_s: When each row was predicted, epoch seconds.
        stage: Stage of each row.
        misses: Earlier forecasts with their outcomes.
        default_spread: Standard deviation assumed while there are no misses at all.
        parameters: See there.
    """
    history = misses.ordered()
    result = np.empty_like(raw)
    for value in np.unique(stage):
        rows = np.flatnonzero(stage == value)
        result[rows] = _stage_calibrated(raw[rows], predicted_s[rows], int(value), history, default_spread, parameters)
    return result


def _stage_calibrated(
    raw: FloatArray,
    predicted_s: IntArray,
    stage: int,
    history: Misses,
    default_spread: float,
    parameters: CalibrationParameters,
) -> FloatArray:
    scores = history.actual[:, None] - history.raw
    own = np.flatnonzero(history.stage == stage)
    seen_own = np.searchsorted(history.known_s[own], predicted_s, side="right")
    seen_all = np.searchsorted(history.known_s, predicted_s, side="right")
    steered = steered_levels(scores[own], parameters)
    result = np.empty_like(raw)
    for count_own, count_all in np.unique(np.column_stack([seen_own, seen_all]), axis=0):
        rows = np.flatnonzero((seen_own == count_own) & (seen_all == count_all))
        enough = count_own >= parameters.least_stage_rows
        window = scores[own[:count_own]] if enough else scores[:count_all]
        levels = steered[count_own] if enough else LEVELS
        result[rows] = raw[rows] + corrections(window[-parameters.window_rows :], levels, default_spread=default_spread)
    return np.sort(result, axis=1)


def corrections(scores: FloatArray, levels: FloatArray, *, default_spread: float) -> FloatArray:
    """Return what to add to each level's quantile, so that it would have covered the scores' share of outcomes.

    The conformal rank counts the coming outcome as one more; where so few outcomes cannot bear a level, the outermost
    score is widened by the spread of what was seen, or by the default spread.

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
    upper = LEVELS >= 0.5
    ranks = np.where(upper, np.ceil((count + 1) * levels), np.floor((count + 1) * levels)).astype(np.int64)
    ranks[MEDIAN_INDEX] = (count + 1) // 2
    columns = np.arange(len(LEVELS))
    picked = ordered[np.clip(ranks, 1, count) - 1, columns]
    spread = ordered[:, MEDIAN_INDEX].std() if count >= 5 else default_spread
    short = (ranks > count).astype(float) - (ranks < 1)
    return np.asarray(picked + short * 0.5 * spread)


def steered_levels(scores: FloatArray, parameters: CalibrationParameters) -> FloatArray:
    """Return the level to aim at after each outcome, shape (outcomes + 1, levels).

    After every outcome a level moves up where the quantile was exceeded, down where it was not, by ``step`` times how
    far that is from what the level claims. Within a tenth of the way to the level's end it is held, so that a burst
    of misses cannot make an interval infinite.
    """
    count, window = len(scores), parameters.window_rows
    steered = np.tile(LEVELS, (count + 1, 1))
    edge = 0.1 * np.minimum(LEVELS, 1 - LEVELS)
    current = LEVELS.copy()
    for index in range(count):
        if parameters.step > 0 and index >= parameters.least_stage_rows:
            past = np.sort(scores[max(0, index - window) : index], axis=0)
            bound = _at_levels(past, current)
            exceeded = scores[index] > bound
            moved = current + parameters.step * np.minimum(LEVELS, 1 - LEVELS) * (exceeded - (1 - LEVELS))
            current = np.clip(moved, edge, 1 - edge)
        steered[index + 1] = current
    return steered


def _at_levels(ordered: FloatArray, levels: FloatArray) -> FloatArray:
    ranks = np.clip(np.ceil(len(ordered) * levels).astype(np.int64), 1, len(ordered)) - 1
    return np.asarray(ordered[ranks, np.arange(len(levels))])
