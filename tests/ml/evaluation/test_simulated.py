"""Forecasts of a simulated depot come near an oracle who knows everything but the chance that was planted."""

import pytest

from benchmarks.forecast_simulated import bars
from tests.ml.conftest import FAST_TREES


@pytest.mark.slow
def test_a_small_depot_is_forecast_to_near_the_planted_noise() -> None:
    for bar in bars(vehicles=24, days=70, seed=3, parameters=FAST_TREES):
        assert bar.rows > 100
        assert bar.planted > 0.1
        assert bar.mae <= 1.02 * bar.best_rule_mae, f"{bar.target}: what is promoted is no worse than the best rule"
        assert bar.ratio < 1.2, f"{bar.target}: few days are seen of each driver"


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_depot_is_forecast_to_within_a_tenth_of_the_planted_noise(seed: int) -> None:
    for bar in bars(vehicles=60, days=120, seed=seed):
        assert bar.ratio <= 1.1, f"{bar.target}: {bar.promoted} {bar.mae:.3f} against {bar.planted:.3f}"
