"""Forecasters met halfway: trees and a rule (the trees' spread around the mean of both medians), trees and a forest.

Where a set is too small for trees to beat a rule, their mean often does: their mistakes differ.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from ml.models.baselines import Baseline
from ml.models.protocol import MEDIAN_INDEX, FloatArray
from ml.models.quantile_forest import QuantileForest
from ml.models.quantile_trees import QuantileTrees

RULE_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class TreesAndRule:
    """A forecaster between trees and a rule."""

    name: str
    trees: QuantileTrees
    rule: Baseline
    conditional_on: tuple[str, ...] = ()

    def quantiles(self, rows: pl.DataFrame) -> FloatArray:
        """Return raw quantiles, shape (rows, levels)."""
        return blended(self.trees.quantiles(rows), self.rule.points(rows), bounds=self.rule.bounds)


@dataclass(frozen=True, slots=True)
class TreesAndForest:
    """The mean of boosted trees and a forest, quantile by quantile."""

    name: str
    trees: QuantileTrees
    forest: QuantileForest
    conditional_on: tuple[str, ...] = ()

    def quantiles(self, rows: pl.DataFrame) -> FloatArray:
        """Return raw quantiles, shape (rows, levels)."""
        return (self.trees.quantiles(rows) + self.forest.quantiles(rows)) / 2


def blended(grown: FloatArray, points: FloatArray, *, bounds: tuple[float, float]) -> FloatArray:
    """Return the trees' quantiles, moved so that their median lies halfway to the rule's points."""
    towards = RULE_WEIGHT * (points - grown[:, MEDIAN_INDEX])
    return np.clip(grown + towards[:, None], *bounds)


def best_rule(rules: tuple[Baseline, ...], known: pl.DataFrame) -> Baseline:
    """Return the rule with the smallest mean absolute error on finished rows, the first of equals.

    Rules that use what is only known afterwards are left aside.
    """
    actual = known["actual"].to_numpy()
    honest = [rule for rule in rules if not rule.conditional_on]
    return min(honest, key=lambda rule: float(np.abs(rule.points(known) - actual).mean()))
