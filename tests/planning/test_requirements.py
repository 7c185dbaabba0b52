"""The margin on top of a required SoC: as large as what is doubtful, and gone with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.requirements import Requirement, margin_pp

POINTS = st.floats(0.0, 100.0)


def test_a_vehicle_that_is_charged_and_read_needs_no_margin() -> None:
    assert margin_pp(missing_pp=0.0, counted_pp=0.0) == 0.0
    assert margin_pp(missing_pp=-12.0, counted_pp=0.0) == 0.0


def test_a_long_charge_is_planned_with_little_more() -> None:
    assert margin_pp(missing_pp=50.0, counted_pp=0.0) == pytest.approx(0.75)


@given(start_pct=POINTS, charged_pp=POINTS, counted_pp=POINTS)
def test_the_margin_melts_on_the_way_and_a_reading_makes_it_smaller(
    start_pct: float, charged_pp: float, counted_pp: float
) -> None:
    later = margin_pp(missing_pp=start_pct - charged_pp, counted_pp=0.0)
    assert 0.0 <= later <= margin_pp(missing_pp=start_pct, counted_pp=0.0)
    assert margin_pp(missing_pp=start_pct, counted_pp=counted_pp) >= margin_pp(missing_pp=start_pct, counted_pp=0.0)


def test_a_target_stays_within_the_battery() -> None:
    assert Requirement(99.5, "dispatch", None, margin_pp=1.2).target_pct == 100.0
