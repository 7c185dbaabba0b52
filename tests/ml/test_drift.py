"""Drift: found where errors surely rose, not where they did not, and stored with its numbers either way."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import ttest_ind

from core.landing import Landing
from ml.drift import compared, drift_of_site
from ml.registry import ModelRegistry
from ml.training import train_site
from tests.ml.conftest import FAST_TREES, SITE, START, Fleet, Plan


def forecasts(error: float, *, days: int, seed: int = 0, rows_per_day: int = 10) -> pl.DataFrame:
    """Return forecasts whose mean absolute error is about this."""
    random = np.random.default_rng(seed)
    size = days * rows_per_day
    actual = random.normal(0, error * np.sqrt(np.pi / 2), size)
    at = [START + timedelta(days=number // rows_per_day) for number in range(size)]
    instant = pl.Datetime("us", "UTC")
    columns = {"predicted_at": at, "actual": actual, "q50": np.zeros(size)}
    return pl.DataFrame(columns, schema_overrides={"predicted_at": instant})


def test_a_clear_rise_is_drift_and_its_numbers_are_those_of_a_welch_test() -> None:
    before, since = forecasts(1.0, days=28), forecasts(2.0, days=7, seed=1)
    comparison = compared(before, since)
    assert comparison.has_drifted
    assert "has drifted" in comparison.reason
    daily = [np.abs(frame["actual"].to_numpy()).reshape(-1, 10).mean(axis=1) for frame in (since, before)]
    assert comparison.p_value == pytest.approx(ttest_ind(*daily, equal_var=False, alternative="greater").pvalue)
    assert comparison.error_since == pytest.approx(np.abs(since["actual"].to_numpy()).mean())
    assert (comparison.rows, comparison.days) == (70, 7)


@pytest.mark.parametrize(("error", "days"), [(1.0, 7), (0.5, 7), (1.1, 60), (5.0, 3), (5.0, 0)])
def test_the_same_less_a_little_more_or_too_few_days_are_no_drift(error: float, days: int) -> None:
    assert not compared(forecasts(1.0, days=28), forecasts(error, days=days, seed=2)).has_drifted


def test_constant_errors_need_no_chance() -> None:
    same = forecasts(1.0, days=8).with_columns(actual=pl.lit(1.0))
    assert compared(same, same).p_value == 1.0
    assert compared(same, same.with_columns(actual=pl.lit(2.0))).has_drifted


@pytest.mark.parametrize("later_h", [0.0, 3.0])
def test_a_service_that_changes_after_the_training_is_found_and_stored(later_h: float, tmp_path: Path) -> None:
    fleet = Fleet(Plan(vehicles=5, days=40))
    fleet.lateness_h = fleet.lateness_h + later_h * (fleet.day >= 34)
    landing, models = Landing(tmp_path / "landing"), tmp_path / "models"
    fleet.land(landing)
    trained_at = START + timedelta(days=34)
    train_site(landing, site_id=SITE, as_of=trained_at, models_dir=models, parameters=FAST_TREES)

    def decided(as_of: datetime) -> dict[str, bool]:
        found = drift_of_site(landing, site_id=SITE, as_of=as_of, models_dir=models)
        return {decision.target: decision.has_drifted for decision in found}

    assert decided(trained_at + timedelta(days=2)) == {}, "too soon to tell"
    as_of = START + timedelta(days=41)
    assert decided(as_of) == {"return_at": later_h > 0, "soc_at_arrival_pct": False}
    stored = ModelRegistry(models).drift(site_id=SITE, target="return_at")
    assert [decision["has_drifted"] for decision in stored] == [later_h > 0]
    assert stored[0]["error_since"] > stored[0]["error_before"] or not later_h
    assert ModelRegistry(models).drift(site_id=SITE, target="soc_at_arrival_pct")[0]["rows"] >= 30
