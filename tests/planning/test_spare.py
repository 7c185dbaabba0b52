"""What is charged to spare: it takes nothing from anybody, breaks no rule and raises no peak."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planning.documents import problem_from_record
from planning.drafts import draft
from planning.feasibility import measure, violations
from planning.model import SHORT_KWH, DemandCharge, Discharge, Plan, Problem
from planning.solve import solve
from planning.spare import with_spare

VAN: dict[str, Any] = {"start_soc_pct": 50.0, "required_soc_pct": 60.0, "taper_knee_soc_pct": 100.0}


def peaks_kw(problem: Problem, plan: Plan) -> list[float]:
    """Return the import peak that each demand charge sees."""
    import_kw = measure(problem, plan.power_kw, plan.battery_kw).import_kw
    return [
        max(charge.so_far_kw, float(import_kw[... if charge.slots is None else charge.slots].max()))
        for charge in problem.demand_charges
    ]


@pytest.mark.data
@pytest.mark.parametrize("variant", ["base", "tight", "minpower", "connectors", "solar", "late"])
@pytest.mark.parametrize("seed", [41, 42])
def test_nothing_is_taken_from_anybody_and_no_peak_rises(bench: SimpleNamespace, variant: str, seed: int) -> None:
    problem = problem_from_record(bench.generate.generate(18, seed, variant))
    plan = solve(problem)
    names = problem.fleet.vehicle_ids
    # Plans drive up no peak that they need not, and fill it: somebody else has driven it up further.
    charges = (replace(one, so_far_kw=1.1 * plan.peak_kw) for one in problem.demand_charges)
    problem = replace(problem, grid_limit_kw=1.05 * problem.grid_limit_kw, demand_charges=tuple(charges))
    plan = replace(plan, solver=replace(plan.solver, lower_bound=None))
    filled = with_spare(problem, plan, {name: 3.0 + row for row, name in enumerate(names[::2])})
    assert violations(problem, filled) == []
    assert (filled.end_soc_pct >= plan.end_soc_pct - 1e-6).all()
    assert filled.end_soc_pct[::2].sum() > plan.end_soc_pct[::2].sum() + 1
    assert filled.power_kw[1::2] == pytest.approx(plan.power_kw[1::2])
    assert peaks_kw(problem, filled) == pytest.approx(peaks_kw(problem, plan), abs=1e-3)
    # The last slot of who starts anew may give its minimum where less was wanted.
    beyond_pp = filled.end_soc_pct - plan.end_soc_pct
    step_pp = 100 * problem.least_kw * problem.slot_hours / problem.fleet.battery_kwh
    assert (beyond_pp[::2] <= 3.0 + np.arange(len(names[::2])) + step_pp[::2] + 0.01).all()


def test_who_leaves_first_is_charged_first_in_what_the_peak_leaves(depot: Callable[..., Problem]) -> None:
    problem = depot({**VAN, "departure_slot": 8}, {**VAN, "departure_slot": 6})
    peak = DemandCharge("month", 10.0, 0.0, None)
    problem = replace(problem, enforce_min_power=False, demand_charges=(peak,), base_load_kw=np.zeros(8))
    plan = draft(problem)
    room_kwh = (plan.peak_kw * 8 - plan.power_kw.sum()) * problem.slot_hours
    wanted = {"van-00": 50.0, "van-01": 2.0}
    filled = with_spare(problem, plan, wanted)
    assert filled.peak_kw == pytest.approx(plan.peak_kw, abs=1e-4)
    assert filled.end_soc_pct[1] - plan.end_soc_pct[1] == pytest.approx(min(2.0, room_kwh), abs=0.01)
    paid = replace(problem, demand_charges=(replace(peak, so_far_kw=plan.peak_kw + 4.0),))
    more = with_spare(paid, plan, wanted)
    assert more.peak_kw == pytest.approx(plan.peak_kw + 4.0, abs=1e-4)
    assert more.end_soc_pct[1] == pytest.approx(plan.end_soc_pct[1] + 2.0, abs=0.01)
    assert more.power_kw.sum(axis=0)[:7] == pytest.approx(plan.peak_kw + 4.0)


def test_heat_is_left_as_it_is(depot: Callable[..., Problem]) -> None:
    problem = depot({**VAN, "precondition_kw": 5.0, "precondition_min": 20.0}, VAN)
    plan = solve(problem)
    filled = with_spare(problem, plan, {"van-00": 5.0, "van-01": 5.0})
    assert violations(problem, filled) == []
    assert filled.end_soc_pct == pytest.approx(plan.end_soc_pct + 5.0, abs=0.6)


def test_a_vehicle_that_is_short_or_full_gets_nothing_more(depot: Callable[..., Problem]) -> None:
    problem = depot({**VAN, "start_soc_pct": 1.0, "required_soc_pct": 100.0}, {**VAN, "start_soc_pct": 100.0})
    plan = solve(problem)
    assert plan.shortfall_kwh[0] > SHORT_KWH
    assert with_spare(problem, plan, {"van-00": 9.0, "van-01": 9.0}) is plan


def test_nothing_wanted_or_energy_given_back_leaves_the_plan_alone(depot: Callable[..., Problem]) -> None:
    problem = depot(VAN)
    plan = solve(problem)
    assert with_spare(problem, plan, {}) is plan
    assert with_spare(problem, plan, {"somebody else": 10.0}) is plan
    able = Discharge(np.array([5.0]), np.array([0.9]), np.array([20.0]))
    both = replace(problem, allow_discharge=True, fleet=replace(problem.fleet, discharge=able))
    assert with_spare(both, solve(both), {"van-00": 10.0}).power_kw == pytest.approx(solve(both).power_kw)
