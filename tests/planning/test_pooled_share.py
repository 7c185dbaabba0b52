"""The pooled margin covers a fleet as often as it claims, and never asks more of a vehicle than its own margin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.uncertainty import pooled_share

MARGINS = st.lists(st.floats(0.01, 500.0), min_size=1, max_size=60)


@given(MARGINS)
def test_a_share_of_the_margins(margins: list[float]) -> None:
    assert 0 < pooled_share(margins, level=0.9) <= 1


@given(MARGINS, st.floats(0.1, 10.0))
def test_the_unit_does_not_matter(margins: list[float], factor: float) -> None:
    scaled = [factor * margin for margin in margins]
    assert pooled_share(scaled, level=0.9) == pytest.approx(pooled_share(margins, level=0.9))


@given(st.floats(0.01, 100.0))
def test_a_single_vehicle_keeps_its_margin(margin: float) -> None:
    assert pooled_share([margin], level=0.9) == 1.0


@given(st.integers(1, 100))
def test_more_vehicles_need_no_larger_share(size: int) -> None:
    assert pooled_share([10.0] * (size + 1), level=0.9) <= pooled_share([10.0] * size, level=0.9) + 1e-12


def test_without_margins_nothing_is_shared() -> None:
    assert pooled_share([], level=0.9) == 1.0


@pytest.mark.parametrize("common", [0.0, 0.05, 0.2])
def test_simulated_fleets_are_covered_as_often_as_stated(common: float) -> None:
    """Errors drawn with that correlation stay within the pooled margin in 99 fleets of a hundred."""
    chance = np.random.default_rng(7)
    margins = np.linspace(2.0, 30.0, 20)
    share = pooled_share(list(margins), level=0.9, confidence=0.99, common=common)
    shared, own = chance.standard_normal((200_000, 1)), chance.standard_normal((200_000, 20))
    errors = (np.sqrt(common) * shared + np.sqrt(1 - common) * own) * margins / 1.2815515655446004
    covered = float((errors.sum(axis=1) <= share * margins.sum()).mean())
    assert covered == pytest.approx(0.99, abs=0.002)
