"""Whether intervals hold what they claim, and whether they are as sharp as they could be.

Two questions, both answered from predictions alone: is the coverage as near to the claim as so many rows can show, and
is the interval wider than one that was corrected with hindsight. Plain formulas over arrays.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.models.protocol import FloatArray

JUDGED: Final = {"80": ("q10", "q90"), "90": ("q05", "q95")}
MANY_ROWS: Final = 2000
ALLOWED_PP: Final = 2.0
"""Where a test holds many rows, coverage may be so far from the claim; else as far as sampling of days allows."""
NORMAL_95: Final = 1.96
ALLOWED_WIDTH: Final = 1.1
ALLOWED_DIP_PP: Final = 5.0


def interval_figures(predictions: pl.DataFrame) -> dict[str, dict[str, object]]:
    """Return, for each claim judged: coverage and what it may be off (points), width and that with hindsight.

    ``holds``: the coverage is near enough. ``is_sharp``: the interval is no wider than 1.1 times what hindsight needs.
    Hindsight hits the claim on these very days; on others it would need ``hindsight_band``, two widths between which
    sampling of days leaves it open.

    Args:
        predictions: Rows of one forecaster with predicted_at, actual and the quantiles; at least one.
    """
    return {claim: _figures(predictions, int(claim), *columns) for claim, columns in JUDGED.items()}


def _figures(predictions: pl.DataFrame, claim_pct: int, lower: str, upper: str) -> dict[str, object]:
    actual, low, high = (predictions[name].to_numpy() for name in ("actual", lower, upper))
    covered = (low <= actual) & (actual <= high)
    coverage = 100 * float(covered.mean())
    sampled = sampling_band_pp(predictions["predicted_at"], covered, claim_pct)
    allowed = ALLOWED_PP if len(actual) >= MANY_ROWS else sampled
    width, needed = float((high - low).mean()), hindsight_width(actual, low, high, claim_pct)
    return {
        "coverage": coverage,
        "allowed_pp": allowed,
        "holds": abs(coverage - claim_pct) <= allowed,
        "width": width,
        "hindsight_width": needed,
        "hindsight_band": [hindsight_width(actual, low, high, claim_pct + off) for off in (-sampled, sampled)],
        "is_sharp": width <= ALLOWED_WIDTH * needed,
    }


def sampling_band_pp(predicted_at: pl.Series, covered: npt.NDArray[np.bool_], claim_pct: int) -> float:
    """Return half of the 95 % band around a claim, in points: rows of one (UTC) day hang together.

    The standard error of a mean of clusters; at least that of independent rows, which few days would hide.
    """
    missed = pl.DataFrame({"day": predicted_at.dt.date(), "off": covered.astype(np.float64) - claim_pct / 100})
    daily = missed.group_by("day").agg(pl.col("off").sum()).sort("day")["off"].to_numpy()
    # What all days miss together is bias, not sampling; it must not widen the band that judges it.
    deviations = daily - daily.mean()
    rows, days = len(covered), len(daily)
    clustered = np.sqrt((deviations**2).sum() * days / max(days - 1, 1)) / rows
    independent = np.sqrt(claim_pct / 100 * (1 - claim_pct / 100) / rows)
    return float(100 * NORMAL_95 * max(clustered, independent))


def hindsight_width(actual: FloatArray, low: FloatArray, high: FloatArray, claim_pct: float) -> float:
    """Return the mean width once both ends are moved by the one number that makes exactly the claim come true.

    More than all cannot be claimed, and no interval is narrower than nothing.
    """
    outside = np.sort(np.maximum(low - actual, actual - high))
    rank = np.clip(int(np.ceil(len(outside) * claim_pct / 100)), 1, len(outside)) - 1
    return max(0.0, float((high - low).mean() + 2 * outside[rank]))
