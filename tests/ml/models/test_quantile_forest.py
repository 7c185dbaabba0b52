"""A forest's quantiles are outcomes that were seen, weighed by likeness; trees and forest meet halfway."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.models.blend import TreesAndForest
from ml.models.protocol import LEVELS, MEDIAN_INDEX
from ml.models.quantile_forest import QuantileForest
from ml.models.quantile_trees import QuantileTrees, TooFewRowsError, TreeParameters
from tests.ml.conftest import FAST_TREES
from tests.ml.models.test_quantile_trees import ANCHOR, planted

PARAMETERS = TreeParameters(forest_trees=60, forest_feature_share=1.0)
FEATURES = ("a", "b", "c", "unknown")


def fitted(rows: pl.DataFrame) -> QuantileForest:
    return QuantileForest.fit(rows, features=FEATURES, parameters=PARAMETERS)


def test_the_planted_structure_is_recovered() -> None:
    test = planted(1000, seed=2)
    quantiles = fitted(planted(2000)).quantiles(test)
    truth = 10 + 5 * (test["a"].to_numpy() > 0.5) + 4 * test["b"].to_numpy()
    assert np.abs(quantiles[:, MEDIAN_INDEX] - truth).mean() < 0.5
    spread = quantiles[:, 7] - quantiles[:, 1]
    calm, wild = spread[(test["b"] < 0.2).to_numpy()].mean(), spread[(test["b"] > 0.8).to_numpy()].mean()
    assert wild > 1.5 * calm, "noise grows with b, and so must the interval"


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), gaps=st.floats(0, 1))
def test_quantiles_are_outcomes_that_were_seen_and_never_cross(seed: int, gaps: float) -> None:
    is_gap = pl.Series(np.random.default_rng(seed).random(120) < gaps)
    rows = planted(120, seed=seed).with_columns(b=pl.when(~is_gap).then("b"))
    asked = planted(30, seed=seed + 1).with_columns(a=pl.lit(float("inf")), c=pl.lit(None, pl.Float64))
    quantiles = fitted(rows).quantiles(asked)
    assert quantiles.shape == (30, len(LEVELS))
    assert np.isin(quantiles, rows["actual"].to_numpy()).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()


def test_many_rows_at_once_are_answered_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    forest, asked = fitted(planted(200)), planted(20, seed=3)
    whole = forest.quantiles(asked)
    monkeypatch.setattr("ml.models.quantile_forest.MOST_WEIGHTS", 1)
    assert np.array_equal(forest.quantiles(asked), whole)
    assert np.array_equal(fitted(planted(200)).quantiles(asked), whole), "equal rows, equal forest"
    assert forest.quantiles(asked.clear()).shape == (0, len(LEVELS))


def test_too_few_rows_are_refused_and_a_constant_is_given_back() -> None:
    with pytest.raises(TooFewRowsError, match="12 finished rows; 60 are needed"):
        fitted(planted(12))
    assert np.allclose(fitted(planted(80).with_columns(actual=pl.lit(7.0))).quantiles(planted(5)), 7.0)


def test_trees_and_forest_meet_halfway() -> None:
    rows, asked = planted(200), planted(20, seed=5)
    trees = QuantileTrees.fit(rows, features=FEATURES, anchor=ANCHOR, parameters=FAST_TREES)
    forest = fitted(rows)
    both = TreesAndForest("both", trees, forest).quantiles(asked)
    assert np.allclose(both, (trees.quantiles(asked) + forest.quantiles(asked)) / 2)
