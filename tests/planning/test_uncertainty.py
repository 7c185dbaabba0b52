"""The margin holds what it says, whatever hangs together with what, and is bought where it is cheap."""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.uncertainty import Outlook, Quantiles, hold

LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


def normal(mean: float, spread: float) -> Quantiles:
    return Quantiles(LEVELS, tuple(NormalDist(mean, spread).inv_cdf(level) for level in LEVELS))


def exponential(scale: float) -> Quantiles:
    return Quantiles(LEVELS, tuple(-scale * float(np.log(1 - level)) for level in LEVELS))


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("correlation", [-0.95, 0.0, 0.95])
def test_the_stated_confidence_holds_whatever_the_dependence(confidence: float, correlation: float) -> None:
    outlook = Outlook(normal(4.0, 0.8), normal(40.0, 6.0))
    buffer = hold(outlook, departure_h=14, target_pct=80, battery_kwh=60, confidence=confidence)
    chance = np.random.default_rng(7)
    shock = chance.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], 200_000)
    arrival_h, soc_pct = 4.0 + 0.8 * shock[:, 0], 40.0 + 6.0 * shock[:, 1]
    held = ((arrival_h <= buffer.arrival_h) & (soc_pct >= buffer.soc_pct)).mean()
    assert held >= confidence - 0.001
    assert buffer.confidence == pytest.approx(confidence)


@pytest.mark.parametrize(("stay_h", "cheap"), [(40.0, "arrival"), (2.5, "soc")])
def test_margin_is_bought_where_it_is_cheap(stay_h: float, cheap: str) -> None:
    outlook = Outlook(normal(4.0, 0.6), normal(40.0, 5.0))
    buffer = hold(outlook, departure_h=4.0 + stay_h, target_pct=80, battery_kwh=60)
    small = buffer.arrival_risk if cheap == "arrival" else buffer.soc_risk
    assert small < 0.4 * 0.01


def test_no_split_of_the_risk_asks_for_less_power() -> None:
    outlook = Outlook(exponential(0.7), normal(35.0, 8.0))
    buffer = hold(outlook, departure_h=9, target_pct=90, battery_kwh=77)

    def mean_kw(risk: float) -> float:
        soc = outlook.soc_pct.at(0.01 - risk)
        return (90 - soc) / 100 * 77 / (9 - outlook.arrival_h.at(1 - risk))

    chosen = (90 - buffer.soc_pct) / 100 * 77 / (9 - buffer.arrival_h)
    assert chosen <= min(mean_kw(risk) for risk in np.linspace(0.0005, 0.0095, 50)) * 1.005


def test_an_exponential_tail_is_continued_exactly() -> None:
    assert exponential(2.0).at(0.995) == pytest.approx(-2.0 * np.log(0.005))


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_higher_levels_never_have_lower_values(one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert normal(3.0, 1.0).at(low) <= normal(3.0, 1.0).at(high) + 1e-12


@pytest.mark.parametrize(
    "make",
    [
        lambda: Quantiles((0.5,), (1.0,)),
        lambda: Quantiles((0.5, 0.4), (1.0, 2.0)),
        lambda: Quantiles((0.1, 0.9), (2.0, 1.0)),
        lambda: hold(Outlook(normal(1, 1), normal(1, 1)), departure_h=2, target_pct=3, battery_kwh=4, confidence=1.0),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must|give"):
        make()
