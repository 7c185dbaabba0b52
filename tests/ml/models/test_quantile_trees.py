"""Quantile trees recover what is planted, never cross, and survive a machine without LightGBM."""

import builtins
import logging
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.dataset import thinned
from ml.models.baselines import Baseline
from ml.models.blend import TreesAndRule, best_rule
from ml.models.protocol import LEVELS, MEDIAN_INDEX
from ml.models.quantile_trees import QuantileTrees, TooFewRowsError, TreeParameters, spread_levels, tree_engine
from tests.ml.conftest import FAST_TREES, START

BOUNDS = (0.0, 1000.0)
ANCHOR = Baseline("ten", pl.lit(10.0), pl.lit(10.0), BOUNDS)
PARAMETERS = TreeParameters(trees=100, feature_share=1.0)  # of three features, none is left out


def planted(rows: int, *, seed: int = 1, noise: float = 1.0) -> pl.DataFrame:
    """Return rows whose outcome is 10 + 5·(a > 0.5) + 4·b, with noise that grows with b."""
    random = np.random.default_rng(seed)
    a, b, c = random.random((3, rows))
    actual = 10 + 5 * (a > 0.5) + 4 * b + random.normal(0, 1, rows) * noise * (0.5 + b)
    return pl.DataFrame(
        {
            "subject_id": [f"s{row}" for row in range(rows)],
            "predicted_at": [START + timedelta(minutes=row) for row in range(rows)],
            "a": a,
            "b": b,
            "c": c,
            "unknown": [None] * rows,
            "actual": actual,
        },
        schema_overrides={"unknown": pl.Float64},
    )


def fitted(rows: pl.DataFrame, **changes: object) -> QuantileTrees:
    parameters = PARAMETERS.model_copy(update=changes)
    return QuantileTrees.fit(rows, features=("a", "b", "c", "unknown"), anchor=ANCHOR, parameters=parameters)


@pytest.mark.parametrize("engine", ["lightgbm", "sklearn"])
def test_the_planted_structure_is_recovered(engine: str) -> None:
    test = planted(2000, seed=2)
    model = QuantileTrees.fit(
        planted(2000),
        features=("a", "b", "c"),
        anchor=ANCHOR,
        parameters=PARAMETERS,
        engine=engine,  # type: ignore[arg-type]
    )
    quantiles = model.quantiles(test)
    truth = 10 + 5 * (test["a"].to_numpy() > 0.5) + 4 * test["b"].to_numpy()
    assert np.abs(quantiles[:, MEDIAN_INDEX] - truth).mean() < 0.45
    spread = quantiles[:, 7] - quantiles[:, 1]
    calm, wild = spread[(test["b"] < 0.2).to_numpy()].mean(), spread[(test["b"] > 0.8).to_numpy()].mean()
    assert wild > 1.5 * calm, "noise grows with b, and so must the interval"
    assert (np.diff(quantiles, axis=1) >= 0).all()


def test_equal_rows_and_parameters_give_equal_quantiles() -> None:
    test = planted(50, seed=3)
    first, second = (fitted(planted(400)).quantiles(test) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("engine", ["lightgbm", "sklearn"])
def test_trees_come_back_from_what_was_dumped(engine: str) -> None:
    model = QuantileTrees.fit(
        planted(300),
        features=("a", "b"),
        anchor=ANCHOR,
        parameters=FAST_TREES,
        engine=engine,  # type: ignore[arg-type]
    )
    again = QuantileTrees.restore(
        model.dumped(), engine=model.engine, features=model.features, anchor=ANCHOR, parameters=model.parameters
    )
    test = planted(40, seed=4)
    assert np.allclose(model.quantiles(test), again.quantiles(test))


def test_a_constant_target_gives_that_constant() -> None:
    constant = planted(200).with_columns(actual=pl.lit(7.0))
    assert np.allclose(fitted(constant).quantiles(constant), 7.0)


def test_too_few_rows_are_refused_with_the_number_needed() -> None:
    with pytest.raises(TooFewRowsError, match="12 finished rows; 60 are needed"):
        fitted(planted(12))


def test_unknown_outcomes_are_not_learnt_from() -> None:
    censored = planted(200).with_columns(actual=pl.when(pl.col("a") > 0.5).then("actual"))
    assert fitted(censored).quantiles(planted(50, seed=6))[:, MEDIAN_INDEX].min() > 14, (
        "only outcomes over 15 were known"
    )


def test_without_lightgbm_scikit_learn_serves_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = builtins.__import__

    def no_lightgbm(name: str, *args: object, **kwargs: object) -> object:
        if name == "lightgbm":
            raise OSError("libgomp.so.1: cannot open shared object file")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    tree_engine.cache_clear()
    monkeypatch.setattr(builtins, "__import__", no_lightgbm)
    try:
        with caplog.at_level(logging.WARNING):
            engines = [fitted(planted(100), trees=5).engine for _ in range(2)]
    finally:
        monkeypatch.undo()
        tree_engine.cache_clear()
    assert engines == ["sklearn", "sklearn"]
    assert [record.message for record in caplog.records if "libgomp" in record.message] == [caplog.records[0].message]


@given(st.lists(st.lists(st.floats(-100, 100), min_size=3, max_size=3), min_size=1, max_size=5))
def test_interpolated_levels_never_cross_and_keep_those_that_were_grown(grown: list[list[float]]) -> None:
    known = np.sort(np.asarray(grown), axis=1)
    spread = spread_levels(known, np.asarray([0.05, 0.5, 0.95]))
    assert (np.diff(spread, axis=1) >= 0).all()
    assert np.allclose(spread[:, [1, MEDIAN_INDEX, 7]], known)


def test_thinning_keeps_the_span_of_time() -> None:
    rows = thinned(planted(1000), 10)
    assert rows.height == 10
    assert (rows["subject_id"][0], rows["subject_id"][-1]) == ("s0", "s999")
    assert thinned(planted(5), 10).height == 5


def test_a_rule_that_knows_nothing_of_a_row_falls_back_and_stays_in_bounds() -> None:
    rule = Baseline("r", pl.col("x"), pl.lit(3.0), (0.0, 5.0))
    rows = pl.DataFrame({"x": [None, 1.0, 99.0]})
    assert rule.points(rows).tolist() == [3.0, 1.0, 5.0]
    assert rule.quantiles(rows).shape == (3, len(LEVELS))
    assert rule.share_known(rows) == pytest.approx(2 / 3)


def test_the_blend_lies_halfway_between_trees_and_the_best_rule() -> None:
    rows = planted(300)
    good, bad = Baseline("good", pl.col("actual"), pl.lit(0.0), BOUNDS), ANCHOR
    assert best_rule((bad, good), rows) is good
    trees = fitted(rows)
    blend = TreesAndRule("trees_and_rule", trees, good)
    halfway = (trees.quantiles(rows)[:, MEDIAN_INDEX] + rows["actual"].to_numpy()) / 2
    assert np.allclose(blend.quantiles(rows)[:, MEDIAN_INDEX], halfway)
