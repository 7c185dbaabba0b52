"""Room under a peak that is paid for is used while later slots would come near it, and is left where they do not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planning.creep import CHANCE, NEAR, at_known_charges, expecting_creep
from planning.drafts import draft
from planning.feasibility import measure, violations
from planning.model import DemandCharge, FloatArray, Problem

VAN: dict[str, Any] = {"start_soc_pct": 20.0, "taper_knee_soc_pct": 100.0, "max_power_kw": 22.0}
PEAK_KW = 10.0


@pytest.fixture
def evening(depot: Callable[..., Problem]) -> Callable[[float], Problem]:
    """A van that needs so many kWh at the grid in eight slots, of which the first four are dearer; 10 kW are paid."""

    def make(need_kwh: float) -> Problem:
        problem = depot({**VAN, "required_soc_pct": 20.0 + need_kwh * 0.9 / 60 * 100})
        return replace(
            problem,
            enforce_min_power=False,
            base_load_kw=np.zeros(8),
            price_per_kwh=np.repeat([0.3, 0.2], 4),
            demand_charges=(DemandCharge("month", 10.0, PEAK_KW, None),),
        )

    return make


def drawn_kw(problem: Problem) -> FloatArray:
    return draft(expecting_creep(problem)).power_kw[0]


def test_dear_slots_are_used_where_the_others_would_fill_up_to_the_peak(evening: Callable[[float], Problem]) -> None:
    problem = evening(10.0)
    assert draft(problem).power_kw[0] == pytest.approx([0.0] * 4 + [PEAK_KW] * 4, abs=1e-3)
    power_kw = drawn_kw(problem)
    assert power_kw.sum() / 4 == pytest.approx(10.0, abs=1e-3)
    assert power_kw[4:] == pytest.approx((1 - NEAR) * PEAK_KW, abs=1e-3)
    assert power_kw[:4].sum() / 4 == pytest.approx(NEAR * 10.0, abs=1e-3)


def test_where_the_cheap_slots_have_room_nothing_is_paid_for_more(evening: Callable[[float], Problem]) -> None:
    problem = evening(0.9 * (1 - NEAR) * 10.0)
    assert drawn_kw(problem)[:4] == pytest.approx(0.0, abs=1e-3)


def test_the_next_slot_may_reach_the_peak_that_is_paid_for(evening: Callable[[float], Problem]) -> None:
    """More is needed than all later slots hold below the peak: the next one fills up to it."""
    assert drawn_kw(evening(19.0))[0] == pytest.approx(PEAK_KW, abs=1e-3)


def test_a_peak_that_will_do_is_not_exceeded(evening: Callable[[float], Problem]) -> None:
    assert drawn_kw(evening(19.9)).max() == pytest.approx(PEAK_KW, abs=0.02)


def test_nothing_more_is_paid_where_the_limit_keeps_the_peak_from_rising(evening: Callable[[float], Problem]) -> None:
    problem = replace(evening(10.0), grid_limit_kw=np.repeat([20.0, PEAK_KW], 4))
    assert drawn_kw(problem) == pytest.approx([0.0] * 4 + [PEAK_KW] * 4, abs=1e-3)


def test_the_plan_is_one_of_the_problem_itself(evening: Callable[[float], Problem]) -> None:
    problem = evening(10.0)
    expecting = expecting_creep(problem)
    assert expecting.demand_charges[0] == problem.demand_charges[0]
    assert expecting.demand_charges[1].price_per_kw == pytest.approx(CHANCE * 10.0)
    plan = at_known_charges(problem, draft(expecting), lower_bound=draft(problem).solver.lower_bound)
    assert violations(problem, plan) == []
    assert plan.cost == measure(problem, plan.power_kw, None).cost
    assert plan.cost.demand == pytest.approx(0.0, abs=1e-3)


def test_nothing_is_added_before_any_peak_or_where_no_later_slot_counts(evening: Callable[[float], Problem]) -> None:
    problem = evening(10.0)
    [charge] = problem.demand_charges
    for one in (replace(charge, so_far_kw=0.0), replace(charge, slots=np.array([0]))):
        assert expecting_creep(replace(problem, demand_charges=(one,))).demand_charges == (one,)
