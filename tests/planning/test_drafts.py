"""Drafts: valid, near what the planner finds, and never dearer than going on with the one before."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from planning.documents import problem_from_record
from planning.drafts import Drafter, draft
from planning.feasibility import measure, violations
from planning.model import DemandCharge, Plan, Problem
from planning.optimiser.site import cost_without_vehicles
from planning.solve import solve

pytestmark = pytest.mark.data


@pytest.mark.parametrize(("variant", "within"), [("minpower", 0.01), ("base", 0.002), ("connectors", 0.05)])
def test_a_draft_is_valid_and_near_what_the_planner_finds(bench: SimpleNamespace, variant: str, within: float) -> None:
    problem = problem_from_record(bench.generate.generate(20, 31, variant))
    drafted, solved = draft(problem), solve(problem)
    assert violations(problem, drafted) == []
    caused = solved.cost.total - cost_without_vehicles(problem)
    assert drafted.cost.total - solved.cost.total <= within * caused
    assert drafted.shortfall_kwh.sum() <= solved.shortfall_kwh.sum() + 0.05


def after(problem: Problem, plan: Plan, slots: int) -> tuple[Problem, float]:
    """Return what is left of a problem once a plan's first slots are done, and what it costs to go on with the plan."""
    fleet = problem.fleet
    hours = slots * problem.slot_minutes / 60
    peak = measure(problem, plan.power_kw, plan.battery_kw).import_kw[:slots].max()
    gained = 100 * fleet.efficiency * plan.power_kw[:, :slots].mean(axis=1) * hours / fleet.battery_kwh
    rest = replace(
        problem,
        start_at=problem.start_at + slots * timedelta(minutes=problem.slot_minutes),
        grid_limit_kw=problem.grid_limit_kw[slots:],
        base_load_kw=problem.base_load_kw[slots:],
        pv_kw=problem.pv_kw[slots:],
        price_per_kwh=problem.price_per_kwh[slots:],
        demand_charges=tuple(
            DemandCharge(one.name, one.price_per_kw, max(one.so_far_kw, float(peak)), None)
            for one in problem.demand_charges
        ),
        fleet=replace(
            fleet,
            arrival_slot=(fleet.arrival_slot - slots).clip(0),
            departure_slot=(fleet.departure_slot - slots).clip(0),
            start_soc_pct=(fleet.start_soc_pct + gained).clip(0, 100),
        ),
    )
    return rest, measure(rest, plan.power_kw[:, slots:], None).cost.total


def test_the_next_draft_is_no_dearer_than_going_on(bench: SimpleNamespace) -> None:
    problem = problem_from_record(bench.generate.generate(8, 33, "minpower"))
    drafter = Drafter()
    plan = drafter(problem)
    for _ in range(6):
        problem, going_on = after(problem, plan, 4)
        plan = drafter(problem)
        assert violations(problem, plan) == []
        assert plan.cost.total <= going_on + 1e-3 * abs(going_on)
