"""The cost that matters: on what share of nights an error would have changed who is ready.

A plan aims at the careful end of a forecast (one time in ten the truth lies beyond it) and keeps the margins below. A
night is counted where the truth lay beyond both. A real plan rarely leaves a vehicle to the last minute, and some
could not have been ready even so: this is the most that errors can cost, to compare forecasters by, not a replay.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl


@dataclass(frozen=True, slots=True)
class Careful:
    """What a plan takes a forecast to say.

    Args:
        quantile: Column of the careful end.
        is_early: The truth does harm by being less than that, else by being more.
        margin: What the plan keeps besides, in the target's unit.
    """

    quantile: str
    is_early: bool
    margin: float

    def is_beyond(self, aimed_at: str) -> pl.Expr:
        """Say whether the truth lay beyond what was aimed at, and beyond the margin."""
        beyond = pl.col(aimed_at) - pl.col("actual") if self.is_early else pl.col("actual") - pl.col(aimed_at)
        return beyond > self.margin


CAREFUL: Final[Mapping[str, Careful]] = {
    "departure_at": Careful("q10", is_early=True, margin=10 / 60),
    "return_at": Careful("q90", is_early=False, margin=0.5),
    "soc_at_arrival_pct": Careful("q10", is_early=True, margin=1.0),
    "energy_kwh": Careful("q90", is_early=False, margin=0.5),
}


def readiness_figures(predictions: pl.DataFrame, target: str) -> dict[str, float] | None:
    """Return the share of nights (percent) that errors would have changed; None where a target decides no night.

    Args:
        predictions: Rows of one forecaster with actual, point and the quantiles; at least one.
        target: What is forecast.

    Returns:
        ``careful_pct`` for a plan that aims at the careful end, ``median_pct`` for one that aims at the median.
    """
    if target not in CAREFUL:
        return None
    careful = CAREFUL[target]
    return {
        name: 100 * float(predictions.select(careful.is_beyond(aimed_at).mean()).item())
        for name, aimed_at in (("careful_pct", careful.quantile), ("median_pct", "point"))
    }
