"""How forecasts improve while a vehicle is on the road: errors by the hours that were left until it came back."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

LEADS_H: Final[Mapping[str, tuple[float, float]]] = {"12": (8.0, 16.0), "4": (2.5, 5.5), "1": (0.5, 1.5)}
"""Around 12, 4 and 1 hours before the return."""


def errors_by_lead(
    predictions: pl.DataFrame, rows: pl.DataFrame, *, until: str = "returned_at"
) -> dict[str, dict[str, float | int | None]]:
    """Return mean absolute error, width and coverage of the 90 % interval by hours left; NULL where nothing was asked.

    Args:
        predictions: Calibrated predictions of one forecaster, see ``calibrated_predictions``.
        rows: The questions, with row_key and the instant that is awaited.
        until: That instant.
    """
    left_h = (pl.col(until) - pl.col("predicted_at")).dt.total_seconds() / 3600
    joined = predictions.join(rows.select("row_key", until), on="row_key", maintain_order="left")
    return {
        name: _figures(joined.filter(left_h.is_between(low, high, closed="left")))
        for name, (low, high) in LEADS_H.items()
    }


def _figures(rows: pl.DataFrame) -> dict[str, float | int | None]:
    if rows.is_empty():
        return {"mae": None, "width_90": None, "coverage_90": None, "rows": 0}
    # Summed up in one order: the same training must write the same card.
    actual, point, low, high = (rows[name].to_numpy() for name in ("actual", "point", "q05", "q95"))
    return {
        "mae": float(np.abs(actual - point).mean()),
        "width_90": float((high - low).mean()),
        "coverage_90": 100 * float(((low <= actual) & (actual <= high)).mean()),
        "rows": rows.height,
    }
