"""Shares of a limit that is not enough for all that is wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_bridge.curves import steps
from ocpp_bridge.targets import Demand, Want, shrink


def want(value: float, *, fallback: float = 0.0, least: float = 6.0) -> Want:
    return Want(
        value, Demand(steps([(0.0, value)]), steps([(0.0, value)]), steps([(0.0, fallback)]), least, (None,)), 0.0
    )


def test_a_kilowatt_too_few_costs_nobody_everything() -> None:
    """Who is at the minimum keeps it; the others give way together."""
    shares = shrink([want(6.0), want(4.14, least=4.14), want(94.0)], 102.0)
    assert shares == pytest.approx([6.0, 4.14, 91.86])


def test_the_least_deserving_goes_without_when_minimums_do_not_fit() -> None:
    assert shrink([want(11.0), want(11.0), want(11.0)], 13.0) == pytest.approx([6.5, 6.5, 0.0])


def test_fallbacks_are_taken_last() -> None:
    assert shrink([want(11.0, fallback=4.2, least=4.14), want(4.2, fallback=4.2, least=4.14)], 9.0) == pytest.approx(
        [4.8, 4.2]
    )


@given(
    values=st.lists(st.tuples(st.floats(0, 150), st.booleans()), min_size=1, max_size=8), available=st.floats(0, 400)
)
def test_shares_fit_and_are_never_more_than_wanted(values: list[tuple[float, bool]], available: float) -> None:
    wants = [want(value, fallback=4.2 if has_fallback else 0.0, least=4.14) for value, has_fallback in values]
    shares = shrink(wants, available)
    assert sum(shares) <= available + 1e-6
    for share, asked in zip(shares, wants, strict=True):
        assert -1e-9 <= share <= asked.value + 1e-9
        assert share < 1e-9 or share >= min(asked.value, asked.demand.least_kw) - 1e-6
