"""Figures of merit of quantile forecasts, as plain formulas over arrays."""

from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from ml.evaluation.intervals import interval_figures
from ml.models.protocol import LEVELS, QUANTILE_COLUMNS, FloatArray

INTERVALS: Final = {"50": ("q25", "q75"), "80": ("q10", "q90"), "90": ("q05", "q95"), "95": ("q025", "q975")}
WORST_WINDOW: Final = timedelta(weeks=4)
WORST_WINDOW_LEAST_ROWS: Final = 500


def metrics(predictions: pl.DataFrame) -> dict[str, object]:
    """Return all figures of one forecaster's predictions.

    Args:
        predictions: Columns predicted_at, actual, point and the nine quantiles; no NULL.

    Returns:
        ``mae``, ``median_ae``, ``p90_ae``, ``pinball`` (mean over the nine levels) and ``width_90`` in the target's
        unit, ``coverage`` and ``worst_4_week_coverage_90`` in percent, ``intervals`` as ``interval_figures``. NULL
        where there are no rows.
    """
    if predictions.is_empty():
        empty: dict[str, object] = dict.fromkeys(
            ("mae", "median_ae", "p90_ae", "pinball", "width_90", "worst_4_week_coverage_90")
        )
        return {**empty, "coverage": dict.fromkeys(INTERVALS), "intervals": None}
    actual = predictions["actual"].to_numpy()
    errors = np.abs(actual - predictions["point"].to_numpy())
    quantiles = predictions.select(QUANTILE_COLUMNS).to_numpy()
    return {
        "mae": float(errors.mean()),
        "median_ae": float(np.median(errors)),
        "p90_ae": float(np.quantile(errors, 0.9)),
        "pinball": float(pinball(actual, quantiles).mean()),
        "coverage": {name: _coverage_pct(predictions, *columns) for name, columns in INTERVALS.items()},
        "width_90": float((predictions["q95"] - predictions["q05"]).to_numpy().mean()),
        "worst_4_week_coverage_90": worst_4_week_coverage_90(predictions),
        "intervals": interval_figures(predictions),
    }


def pinball(actual: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Return the pinball loss, shape (rows, levels)."""
    miss = actual[:, None] - quantiles
    return np.maximum(LEVELS * miss, (LEVELS - 1) * miss)


def is_covered(lower: str, upper: str) -> pl.Expr:
    """Say whether the truth lies in the closed interval between two quantiles."""
    return pl.col("actual").is_between(pl.col(lower), pl.col(upper))


def _coverage_pct(predictions: pl.DataFrame, lower: str, upper: str) -> float:
    return 100 * float(predictions.select(is_covered(lower, upper).mean()).item())


def worst_4_week_coverage_90(predictions: pl.DataFrame) -> float:
    """Return the lowest coverage of the 90 % interval, in percent, over any four weeks that hold enough rows.

    A window ends at each row; without any window of 500 rows or more, it is the coverage of all rows.
    """
    rows = predictions.sort("predicted_at").with_columns(covered=is_covered("q05", "q95").cast(pl.Float64))
    windows = rows.rolling("predicted_at", period=WORST_WINDOW, closed="right").agg(
        share=pl.col("covered").mean(), rows=pl.len()
    )
    full = windows.filter(pl.col("rows") >= WORST_WINDOW_LEAST_ROWS)
    worst = full["share"].min() if full.height else rows["covered"].mean()
    return 100 * float(worst)  # type: ignore[arg-type]  # a mean of floats is a float
