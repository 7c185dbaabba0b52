"""Shapes of charts: steps, areas and blocks lie where the numbers say."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.charts import area_path, block_path, level_paths, nice_step, nice_top, share_pct, step_path
from reporting.view import PowerStep, Span
from tests.reporting.depot import EVENING, hours

NIGHT = Span(EVENING, EVENING + hours(10))


def heights(path: str) -> list[float]:
    """Return the y of each step of a line."""
    return [float(y) for y in re.findall(r"V([\d.e+-]+)", path)]


@given(st.lists(st.none() | st.floats(0, 1000), max_size=60))
def test_a_step_line_has_a_step_for_every_known_slot_at_its_height(values: list[float | None]) -> None:
    path = step_path(values, top=1000.0)
    known = [value for value in values if value is not None]
    assert heights(path) == pytest.approx([100 - value / 10 for value in known], abs=0.01)
    gaps = sum(value is not None and (k == 0 or values[k - 1] is None) for k, value in enumerate(values))
    assert path.count("M") == gaps


def test_an_area_lies_between_two_lines_and_leaves_out_what_is_unknown() -> None:
    path = area_path([0.0, 0.0, None, 10.0], [50.0, 100.0, 70.0, 20.0], top=100.0)
    assert path == "M0 100V50H1V0H2V100H1V100H0ZM3 90V80H4V90H3Z"


@given(st.floats(0.001, 1e6))
def test_axes_end_at_a_round_number_above_all_values(highest: float) -> None:
    top, step = nice_top([None, highest]), nice_step(highest, ticks=4)
    assert highest <= top * (1 + 1e-9)
    assert top <= highest + step
    assert 1 <= round(top / step) <= 4


def test_axes_of_nothing_still_have_a_height() -> None:
    assert nice_top([]) == nice_top([None, 0.0]) == 1.0


def test_blocks_are_placed_by_the_minute_and_kept_within_the_night() -> None:
    stay = Span(EVENING + hours(1), EVENING + hours(1.5))
    beyond = Span(EVENING + hours(9), EVENING + hours(20))
    outside = Span(EVENING - hours(5), EVENING - hours(4))
    assert block_path([stay, beyond, outside], NIGHT, y=1, height=18) == "M60 1h30v18H60zM540 1h60v18H540z"


def test_adjoining_slots_of_one_level_are_one_block() -> None:
    steps = [
        PowerStep(EVENING + hours(k / 4), EVENING + hours((k + 1) / 4), kw)
        for k, kw in enumerate((20.0, 19.0, 5.0, 0.0, 20.0))
    ]
    assert level_paths(steps, NIGHT, full_kw=20.0, y=0, height=9) == [
        (1, "M30 0h15v9H30z"),
        (4, "M0 0h30v9H0zM60 0h15v9H60z"),
    ]


@given(st.floats(-100, 100))
def test_shares_stay_within_the_span(offset_h: float) -> None:
    assert 0 <= share_pct(EVENING + hours(offset_h), NIGHT) <= 100
