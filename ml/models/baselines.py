"""Rules that need no fit: an expression over as-of features each, answered for every row.

They are always there: what is promoted must beat the best of them. A rule that knows nothing of a row falls back to
the vehicle's, the model's, the class's and the depot's history, then to the target's default.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml.models.protocol import LEVELS, FloatArray


@dataclass(frozen=True, slots=True)
class Baseline:
    """A rule.

    Args:
        name: Name under which it is reported.
        point: Its answer, NULL where it knows nothing.
        fallback: What is answered then; never NULL.
        bounds: Lowest and highest possible value.
        conditional_on: What it uses that is only known afterwards.
    """

    name: str
    point: pl.Expr
    fallback: pl.Expr
    bounds: tuple[float, float]
    conditional_on: tuple[str, ...] = ()

    def points(self, rows: pl.DataFrame) -> FloatArray:
        """Return the rule's answer for every row."""
        answer = pl.coalesce(self.point, self.fallback).clip(*self.bounds)
        return rows.select(answer.cast(pl.Float64).alias("point"))["point"].to_numpy()

    def share_known(self, rows: pl.DataFrame) -> float:
        """Return the share of rows that the rule itself answers, without its fallback."""
        share = rows.select(self.point.is_not_null().mean().alias("share"))["share"].item()
        return float(share or 0.0)

    def quantiles(self, rows: pl.DataFrame) -> FloatArray:
        """Return the point at every level: a rule claims no spread, calibration gives it one."""
        return np.repeat(self.points(rows)[:, None], len(LEVELS), axis=1)


def baselines_of(
    rules: Mapping[str, pl.Expr],
    *,
    ladder: pl.Expr,
    bounds: tuple[float, float],
    conditional_on: tuple[str, ...] = (),
) -> tuple[Baseline, ...]:
    """Return a baseline for each rule, all with one ladder to fall back on."""
    return tuple(Baseline(name, point, ladder, bounds, conditional_on) for name, point in rules.items())
