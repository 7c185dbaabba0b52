"""The decision which forecaster is used: a model, only where it beats the best rule in a paired test."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import polars as pl

LEAST_DAYS: Final = 8
LEAST_ROWS: Final = 50
SIGNIFICANCE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Promotion:
    """The decision, and the numbers that made it.

    ``p_value`` is one-sided: the chance of so large a gain if model and rule were equally good.
    """

    promoted: str
    best_baseline: str
    model: str | None
    baseline_mae: float | None
    model_mae: float | None
    p_value: float | None
    rows: int
    days: int
    reason: str

    def as_dict(self) -> dict[str, object]:
        """Return the decision for a model card."""
        return asdict(self)


def decide(predictions: pl.DataFrame, *, models: Sequence[str], baselines: Sequence[str], fallback: str) -> Promotion:
    """Choose the best rule by mean absolute error, then the best model if it beats that rule.

    The test is a paired t-test over days (errors of one day hang together) on the difference of absolute errors.

    Args:
        predictions: Long frame with name, row_key, predicted_at, actual, point, of rows before the period in question.
        models: Names of the fitted forecasters that may be promoted.
        baselines: Names of the rules that may be.
        fallback: The rule that is used where nothing can be compared.
    """
    errors = predictions.with_columns(error=(pl.col("actual") - pl.col("point")).abs())
    means = dict(errors.group_by("name").agg(pl.col("error").mean()).iter_rows())
    rows = int(errors["row_key"].n_unique())
    known = [name for name in baselines if name in means]
    if rows < LEAST_ROWS or not known:
        reason = f"{rows} finished rows to compare on, {LEAST_ROWS} are needed"
        best = min(known, key=lambda name: means[name]) if known and rows >= 10 else fallback
        return Promotion(best, best, None, means.get(best), None, None, rows, 0, reason)
    best = min(known, key=lambda name: (means[name], name))
    fitted = [name for name in models if name in means]
    if not fitted:
        return Promotion(best, best, None, means[best], None, None, rows, 0, "no model could be fitted")
    model = min(fitted, key=lambda name: (means[name], name))
    days, p_value = paired_p_value(errors, model=model, baseline=best)
    wins = days >= LEAST_DAYS and p_value < SIGNIFICANCE
    verdict = "beats" if wins else "does not surely beat"
    reason = f"{model} {verdict} {best}: MAE {means[model]:.3f} against {means[best]:.3f}, p = {p_value:.3f}"
    return Promotion(model if wins else best, best, model, means[best], means[model], p_value, rows, days, reason)


def paired_p_value(errors: pl.DataFrame, *, model: str, baseline: str) -> tuple[int, float]:
    """Return the number of days and the one-sided p-value of "the model's errors are smaller", clustered by day."""
    from scipy.stats import t

    wide = errors.filter(pl.col("name").is_in([model, baseline])).pivot(
        "name", index=["row_key", "predicted_at"], values="error"
    )
    daily = (
        wide.group_by(pl.col("predicted_at").dt.date().alias("day"))
        .agg((pl.col(baseline) - pl.col(model)).sum().alias("gain"), pl.len().alias("rows"))
        .sort("day")
    )
    gains, rows = daily["gain"].to_numpy(), daily["rows"].to_numpy().astype(float)
    days = len(gains)
    if days < 2:
        return days, 1.0
    mean = gains.sum() / rows.sum()
    residuals = gains - mean * rows
    error = np.sqrt(days / (days - 1) * (residuals**2).sum()) / rows.sum()
    if error == 0:
        return days, 0.0 if mean > 0 else 1.0
    return days, float(t.sf(mean / error, days - 1))
