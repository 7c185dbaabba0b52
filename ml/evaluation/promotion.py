"""The decision which forecaster is used: a model, only where it beats the best rule in a paired test.

Compared is the pinball loss over all levels, because the plan uses the whole distribution; and the median must be
better too, with less certainty asked for: good intervals around a worse median are not used.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import polars as pl

from ml.evaluation.metrics import pinball
from ml.models.protocol import QUANTILE_COLUMNS

LEAST_DAYS: Final = 8
LEAST_ROWS: Final = 50
LEAST_RULE_ROWS: Final = 10
SIGNIFICANCE: Final = 0.05
MEDIAN_SIGNIFICANCE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Promotion:
    """The decision, and the numbers that made it.

    P-values are one-sided: the chance of so large a gain if model and rule were equally good; ``p_value`` of the
    pinball loss, ``median_p_value`` of the absolute error.
    """

    promoted: str
    best_baseline: str
    model: str | None
    baseline_mae: float | None
    model_mae: float | None
    baseline_pinball: float | None
    model_pinball: float | None
    p_value: float | None
    median_p_value: float | None
    rows: int
    days: int
    reason: str

    def as_dict(self) -> dict[str, object]:
        """Return the decision for a model card."""
        return asdict(self)


def decide(predictions: pl.DataFrame, *, models: Sequence[str], baselines: Sequence[str], fallback: str) -> Promotion:
    """Choose the best rule by mean absolute error, then the best model by pinball loss if it beats that rule.

    Args:
        predictions: Long frame with name, row_key, predicted_at, actual, point and the nine quantiles, of rows before
            the period in question; all forecasters on the same rows.
        models: Names of the fitted forecasters that may be promoted.
        baselines: Names of the rules that may be.
        fallback: The rule that is used where nothing can be compared.
    """
    losses = with_losses(predictions)
    means = losses.group_by("name", maintain_order=True).agg(pl.col("error", "loss").mean())
    mae = dict(means.select("name", "error").iter_rows())
    loss = dict(means.select("name", "loss").iter_rows())
    rows = int(losses["row_key"].n_unique())
    rules = [name for name in baselines if name in mae]
    fitted = [name for name in models if name in mae]
    best = min(rules, key=lambda name: (mae[name], name)) if rules and rows >= LEAST_RULE_ROWS else fallback
    if rows < LEAST_ROWS or not fitted or best not in mae:
        why = "no model could be fitted" if not fitted else f"{rows} finished rows to compare on, {LEAST_ROWS} needed"
        return Promotion(best, best, None, mae.get(best), None, loss.get(best), None, None, None, rows, 0, why)
    trials = sorted((_trial(losses, model=name, baseline=best) for name in fitted), key=lambda trial: trial.order)
    trial = next((trial for trial in trials if trial.wins), trials[0])
    model = trial.model
    reason = (
        f"{model} {'beats' if trial.wins else 'does not surely beat'} {best}: pinball {loss[model]:.3f} against "
        f"{loss[best]:.3f} (p = {trial.p_value:.3f}), MAE {mae[model]:.3f} against {mae[best]:.3f} "
        f"(p = {trial.median_p_value:.3f})"
    )
    return Promotion(
        promoted=model if trial.wins else best,
        best_baseline=best,
        model=model,
        baseline_mae=mae[best],
        model_mae=mae[model],
        baseline_pinball=loss[best],
        model_pinball=loss[model],
        p_value=trial.p_value,
        median_p_value=trial.median_p_value,
        rows=rows,
        days=trial.days,
        reason=reason,
    )


@dataclass(frozen=True, slots=True)
class _Trial:
    """A model against the rule."""

    model: str
    days: int
    p_value: float
    median_p_value: float
    mean_loss: float

    @property
    def wins(self) -> bool:
        is_sure = self.p_value < SIGNIFICANCE and self.median_p_value < MEDIAN_SIGNIFICANCE
        return is_sure and self.days >= LEAST_DAYS

    @property
    def order(self) -> tuple[float, str]:
        return self.mean_loss, self.model


def _trial(losses: pl.DataFrame, *, model: str, baseline: str) -> _Trial:
    days, p_value = paired_p_value(losses, model=model, baseline=baseline, value="loss")
    _, median_p_value = paired_p_value(losses, model=model, baseline=baseline, value="error")
    mean_loss = losses.filter(pl.col("name") == model)["loss"].to_numpy().mean()
    return _Trial(model, days, p_value, median_p_value, float(mean_loss))


def with_losses(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return name, row_key, predicted_at, ``error`` (absolute, of the point) and ``loss`` (mean pinball)."""
    actual = predictions["actual"].to_numpy()
    loss = pinball(actual, predictions.select(QUANTILE_COLUMNS).to_numpy()).mean(axis=1)
    return predictions.select(
        "name", "row_key", "predicted_at", (pl.col("actual") - pl.col("point")).abs().alias("error"), loss=loss
    )


def paired_p_value(losses: pl.DataFrame, *, model: str, baseline: str, value: str) -> tuple[int, float]:
    """Return the number of days and the one-sided p-value of "the model's values are smaller".

    A paired t-test on daily sums: losses of one day hang together.
    """
    from scipy.stats import t

    wide = losses.filter(pl.col("name").is_in([model, baseline])).pivot(
        "name", index=["row_key", "predicted_at"], values=value
    )
    daily = (
        wide.sort("predicted_at", "row_key")
        .group_by(pl.col("predicted_at").dt.date().alias("day"), maintain_order=True)
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
