"""Calibration: claims hold on unseen rows, recover after a regime change, and use nothing known later."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.calibration import Asked, CalibrationParameters, Misses, calibrated, corrections
from ml.models.protocol import LEVELS, FloatArray

PARAMETERS = CalibrationParameters()


def series(actual: FloatArray, raw: FloatArray, *, delay_s: int = 3600, group: str = "all") -> tuple[Asked, Misses]:
    """Return forecasts an hour apart that are settled after a delay."""
    made = np.arange(len(actual)) * 3600
    groups = np.full(len(actual), group)
    return Asked(raw, made, groups), Misses(raw, actual, made + delay_s, groups)


def coverage(quantiles: FloatArray, actual: FloatArray, low: int, high: int) -> float:
    return float(np.mean((quantiles[:, low] <= actual) & (actual <= quantiles[:, high])))


@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_intervals_hold_what_they_claim(shape: str) -> None:
    random = np.random.default_rng(4)
    noise = random.normal(0, 2, 4000) if shape == "normal" else random.exponential(3, 4000)
    asked, misses = series(5 + noise, np.full((4000, 9), 5.0))
    quantiles = calibrated(asked, misses, default_spread=1.0, parameters=PARAMETERS)[500:]
    actual = misses.actual[500:]
    for low, high, claim in ((3, 5, 0.5), (2, 6, 0.8), (1, 7, 0.9), (0, 8, 0.95)):
        band = 2.6 * np.sqrt(claim * (1 - claim) / len(actual))
        assert coverage(quantiles, actual, low, high) == pytest.approx(claim, abs=band + 0.01)
    assert (np.diff(quantiles, axis=1) >= 0).all()


def test_overconfident_quantiles_are_widened_and_timid_ones_narrowed() -> None:
    random = np.random.default_rng(5)
    actual = random.normal(0, 1, 1500)
    for scale in (0.2, 5.0):
        raw = np.tile(scale * np.array([-2.0, -1.6, -1.3, -0.7, 0, 0.7, 1.3, 1.6, 2.0]), (1500, 1))
        asked, misses = series(actual, raw)
        quantiles = calibrated(asked, misses, default_spread=1.0, parameters=PARAMETERS)[700:]
        width = (quantiles[:, 7] - quantiles[:, 1]).mean()
        assert width == pytest.approx(2 * 1.645, rel=0.15)


def test_coverage_recovers_after_a_change_of_regime() -> None:
    random = np.random.default_rng(6)
    actual = np.concatenate([random.normal(0, 1, 1500), random.normal(4, 3, 1500)])
    asked, misses = series(actual, np.zeros((3000, 9)))
    quantiles = calibrated(asked, misses, default_spread=1.0, parameters=PARAMETERS)
    shock = coverage(quantiles[1500:1550], actual[1500:1550], 1, 7)
    later = coverage(quantiles[2000:], actual[2000:], 1, 7)
    assert shock < 0.75
    assert later == pytest.approx(0.9, abs=0.03)


def test_steering_recovers_faster_than_the_window_alone() -> None:
    random = np.random.default_rng(7)
    actual = np.concatenate([random.normal(0, 1, 1200), random.normal(0, 3, 300)])
    asked, misses = series(actual, np.zeros((1500, 9)))
    shares = [
        coverage(
            calibrated(asked, misses, default_spread=1.0, parameters=CalibrationParameters(step=step))[1250:],
            actual[1250:],
            1,
            7,
        )
        for step in (0.0, PARAMETERS.step)
    ]
    assert shares[1] > shares[0]


@settings(deadline=None, max_examples=15)
@given(cut=st.integers(1, 199), seed=st.integers(0, 20))
def test_outcomes_known_later_change_nothing(cut: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    actual = random.normal(0, 1, 200)
    asked, misses = series(actual, np.zeros((200, 9)), delay_s=7200)
    other = actual.copy()
    at = asked.predicted_s[cut]
    other[misses.known_s > at] += 100
    changed = Misses(misses.raw, other, misses.known_s, misses.group)
    first, second = (
        calibrated(asked, some, default_spread=1.0, parameters=PARAMETERS)[: cut + 1] for some in (misses, changed)
    )
    assert np.array_equal(first, second)


def test_groups_are_calibrated_apart_once_they_have_outcomes_enough() -> None:
    random = np.random.default_rng(8)
    group = np.where(np.arange(2000) % 2 == 0, "near", "far")
    actual = np.where(group == "near", random.normal(0, 1, 2000), random.normal(0, 5, 2000))
    made = np.arange(2000) * 3600
    asked, misses = Asked(np.zeros((2000, 9)), made, group), Misses(np.zeros((2000, 9)), actual, made + 60, group)
    quantiles = calibrated(asked, misses, default_spread=1.0, parameters=PARAMETERS)
    width = quantiles[:, 7] - quantiles[:, 1]
    assert width[1000:][group[1000:] == "far"].mean() > 3.5 * width[1000:][group[1000:] == "near"].mean()


def test_without_any_outcome_the_default_spread_is_claimed() -> None:
    asked = Asked(np.full((1, 9), 10.0), np.array([0]), np.array(["all"]))
    none = Misses(np.empty((0, 9)), np.empty(0), np.empty(0, np.int64), np.empty(0, np.str_))
    quantiles = calibrated(asked, none, default_spread=2.0, parameters=PARAMETERS)
    assert quantiles[0, 4] == 10.0
    assert quantiles[0, 7] == pytest.approx(10 + 2 * 1.6449, abs=1e-3)


def test_trees_without_any_outcome_keep_the_spread_that_they_claim() -> None:
    raw = np.linspace(0, 8, 9)[None, :]
    none = Misses(np.empty((0, 9)), np.empty(0), np.empty(0, np.int64), np.empty(0, np.str_))
    asked = Asked(raw, np.array([0]), np.array(["all"]))
    assert np.array_equal(calibrated(asked, none, default_spread=2.0, parameters=PARAMETERS), raw)


@pytest.mark.parametrize("count", [18, 25, 44])
def test_a_few_outcomes_are_enough_for_what_is_claimed_and_no_more(count: int) -> None:
    """Rounded ranks of 25 would cover 84.6 %."""
    random = np.random.default_rng(count)
    covered = 0
    for seen in random.normal(0, 1, (4000, count)):
        added = corrections(np.repeat(seen[:, None], 9, axis=1), LEVELS, default_spread=1.0)
        covered += added[2] <= random.normal(0, 1) <= added[6]
    assert covered / 4000 == pytest.approx(0.8, abs=0.015)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=60))
def test_corrections_are_finite_and_ordered(values: list[float]) -> None:
    scores = np.repeat(np.asarray(values)[:, None], 9, axis=1)
    added = corrections(scores, LEVELS, default_spread=1.0)
    assert np.isfinite(added).all()
    assert (np.diff(added) >= 0).all()
    assert added[0] <= np.median(values) <= added[-1]
