"""The decision: only a model that surely beats the best rule is used."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from ml.evaluation.promotion import Promotion, decide
from ml.models.protocol import LEVELS, QUANTILE_COLUMNS
from tests.ml.conftest import START


def forecasts(name: str, *, error: float, spread: float, days: int = 30, per_day: int = 8) -> pl.DataFrame:
    """Return predictions whose points err by a normal of this standard deviation and claim a spread."""
    random = np.random.default_rng(sum(map(ord, name)))
    size = days * per_day
    actual = np.random.default_rng(1).normal(10, 2, size)
    point = actual + random.normal(0, error, size)
    columns = {column: point + spread * offset for column, offset in zip(QUANTILE_COLUMNS, LEVELS - 0.5, strict=True)}
    made = [START + timedelta(days=row // per_day, minutes=row % per_day) for row in range(size)]
    keys = [f"row-{row}" for row in range(size)]
    return pl.DataFrame(
        {"name": name, "row_key": keys, "predicted_at": made, "actual": actual, "point": point, **columns}
    )


def decided(*frames: pl.DataFrame) -> Promotion:
    return decide(pl.concat(frames), models=["trees", "blend"], baselines=["median", "last_week"], fallback="habit")


def test_a_clearly_better_model_is_promoted_with_its_numbers() -> None:
    promotion = decided(
        forecasts("trees", error=0.5, spread=2.0),
        forecasts("median", error=1.5, spread=5.0),
        forecasts("last_week", error=2.5, spread=8.0),
    )
    assert (promotion.promoted, promotion.best_baseline) == ("trees", "median")
    assert promotion.model_mae is not None
    assert promotion.baseline_mae is not None
    assert promotion.model_mae < promotion.baseline_mae
    assert promotion.p_value is not None
    assert promotion.p_value < 0.001
    assert "trees beats median" in promotion.reason


@pytest.mark.parametrize(
    ("error", "spread"),
    [(1.5, 5.0), (1.49, 5.0), (1.8, 5.0)],
    ids=["as good", "hardly better", "worse"],
)
def test_a_model_that_is_not_surely_better_is_not_used(error: float, spread: float) -> None:
    promotion = decided(forecasts("trees", error=error, spread=spread), forecasts("median", error=1.5, spread=5.0))
    assert promotion.promoted == "median"
    assert promotion.model_mae is not None, "the loser's numbers are kept"


def test_good_intervals_around_a_worse_median_are_not_used() -> None:
    promotion = decided(forecasts("trees", error=1.7, spread=5.5), forecasts("median", error=1.5, spread=0.0))
    assert promotion.model_pinball is not None
    assert promotion.baseline_pinball is not None
    assert promotion.model_pinball < promotion.baseline_pinball
    assert promotion.promoted == "median"


def test_a_few_days_decide_nothing() -> None:
    promotion = decided(
        forecasts("trees", error=0.1, spread=1.0, days=3, per_day=40),
        forecasts("median", error=1.5, spread=5.0, days=3, per_day=40),
    )
    assert promotion.promoted == "median"


def test_without_a_model_the_best_rule_is_used_and_without_rows_the_fallback() -> None:
    alone = forecasts("last_week", error=0.5, spread=2.0)
    assert decided(alone, forecasts("median", error=1.5, spread=5.0)).promoted == "last_week"
    assert decided(alone.clear()).promoted == "habit"
