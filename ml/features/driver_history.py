"""Knowledge of people: how late the driver whom the assignment names has been with any vehicle."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from ml.dataset import as_of_join
from ml.history import Statistic, add_history

COLUMNS: Final = ("driver_lateness_h_median", "driver_kwh_per_km_median")
STATISTICS: Final[Mapping[str, Sequence[Statistic]]] = {"lateness_h": ("median",), "kwh_per_km": ("median",)}


def add(rows: pl.DataFrame, finished: pl.DataFrame, assignments: pl.DataFrame) -> pl.DataFrame:
    """Add statistics of the driver who was assigned, as known at ``predicted_at``.

    Args:
        rows: Rows with vehicle_id and ``predicted_at``.
        finished: Outcomes with vehicle_id, known_at, lateness_h, kwh_per_km, in the order in which they became known.
        assignments: Versions of ``assignment``.
    """
    if assignments.is_empty():
        nobody = {name: pl.lit(None, pl.Float64) for name in COLUMNS}
        return rows.with_columns(driver_id=pl.lit(None, pl.String), **nobody)
    drivers = finished_drivers(finished, assignments)
    named = add_driver(rows, assignments, at="predicted_at")
    return add_history(named, drivers, name="driver", by=("driver_id",), values=STATISTICS)


def finished_drivers(finished: pl.DataFrame, assignments: pl.DataFrame) -> pl.DataFrame:
    """Return the outcomes with the driver assigned when they became known."""
    return add_driver(finished, assignments, at="known_at")


def add_driver(rows: pl.DataFrame, assignments: pl.DataFrame, *, at: str) -> pl.DataFrame:
    """Add ``driver_id``: who was assigned to the vehicle at the instant, as known then; NULL when nobody was."""
    known_from = pl.max_horizontal("available_at", "valid_from_at")
    terms = assignments.with_columns(known_from=known_from).sort("known_from", "valid_from_at")
    facts = terms.select("vehicle_id", "driver_id", "valid_to_at", "known_from")
    joined = as_of_join(rows, facts, by=["vehicle_id"], at=at, known="known_from")
    is_over = (pl.col("valid_to_at") <= pl.col(at)).fill_null(value=False)
    return joined.with_columns(driver_id=pl.when(~is_over).then("driver_id")).drop("valid_to_at")
