"""What the pictures of a backtest show: reliability, error by hours ahead, and who is forecast worst. Numbers only."""

from typing import Final

import polars as pl

from ml.evaluation.lead_times import errors_by_lead
from ml.models.protocol import LEVELS, QUANTILE_COLUMNS

WORST: Final = 10
LEAST_ROWS: Final = 5


def pictured(predictions: pl.DataFrame, rows: pl.DataFrame, *, until: str) -> dict[str, object]:
    """Return the data of all pictures for one forecaster.

    Args:
        predictions: Rows of one forecaster with row_key, predicted_at, actual, point and the quantiles; at least one.
        rows: The questions, with row_key and the instant that is awaited.
        until: That instant.
    """
    return {
        "reliability": reliability(predictions),
        "by_hours_left": errors_by_lead(predictions, rows, until=until) if until in rows.columns else None,
        "worst": worst_subjects(predictions),
    }


def reliability(predictions: pl.DataFrame) -> list[dict[str, float]]:
    """Return, for each quantile, what it claims and how often the truth lay at or below it, in percent."""
    actual = predictions["actual"].to_numpy()
    quantiles = predictions.select(QUANTILE_COLUMNS).to_numpy()
    seen = 100 * (actual[:, None] <= quantiles).mean(axis=0)
    return [
        {"claimed_pct": float(100 * level), "seen_pct": float(share)} for level, share in zip(LEVELS, seen, strict=True)
    ]


def worst_subjects(predictions: pl.DataFrame) -> dict[str, object]:
    """Return whose forecasts erred most: mean absolute error and rows, of those with at least ``LEAST_ROWS``.

    A row's key begins with the name of the vehicle or station that it is about.
    """
    errors = (
        predictions.sort("row_key")
        .with_columns(
            name=pl.col("row_key").str.split("/").list.first(), error=(pl.col("actual") - pl.col("point")).abs()
        )
        .group_by("name", maintain_order=True)
        .agg(mae=pl.col("error").mean(), rows=pl.len())
        .filter(pl.col("rows") >= LEAST_ROWS)
        .sort("mae", "name", descending=[True, False])
    )
    worst = [{"name": name, "mae": mae, "rows": count} for name, mae, count in errors.head(WORST).iter_rows()]
    return {"subjects": errors.height, "worst": worst}
