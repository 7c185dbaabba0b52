"""What a forecaster is: a name, what it may be conditional on, and raw quantiles for rows of features.

Raw means before calibration: claims that `ml.calibration` corrects.
"""

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from core.entities.outcomes import QUANTILES

FloatArray = npt.NDArray[np.float64]
LEVELS: Final[FloatArray] = np.asarray(QUANTILES)
MEDIAN_INDEX: Final = QUANTILES.index(0.5)
QUANTILE_COLUMNS: Final = ("q025", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "q975")


class Forecaster(Protocol):
    """Something that answers rows with quantiles at ``LEVELS``.

    Invariants: the answer is finite and does not decrease along the levels; equal rows give equal answers.
    """

    @property
    def name(self) -> str:
        """Name under which its numbers are reported."""

    @property
    def conditional_on(self) -> tuple[str, ...]:
        """What it uses that is only known afterwards; such a forecast is reported, never promoted."""

    def quantiles(self, rows: pl.DataFrame) -> FloatArray:
        """Return raw quantiles, shape (rows, levels)."""
