"""Few power changes: fewer than the optimum has, for next to nothing, within the same rules."""

from types import SimpleNamespace

import numpy as np
import pytest

from planning.documents import problem_from_record
from planning.feasibility import measure, violations
from planning.model import FloatArray, Problem
from planning.optimiser.relaxation import relax
from planning.optimiser.scope import free_scope
from planning.optimiser.site import cost_without_vehicles
from planning.optimiser.smoothing import COST_SHARE, pattern_scope, smooth
from planning.solve import solve

pytestmark = pytest.mark.data


def changes(power_kw: FloatArray) -> float:
    """Return how often the mean vehicle's power changes by more than 0.1 kW, its start and its end included."""
    steps = np.abs(np.diff(power_kw, axis=1, prepend=0.0, append=0.0))
    return float((steps > 0.1).sum(axis=1).mean())


def bench_problem(bench: SimpleNamespace, vehicles: int, seed: int, variant: str) -> Problem:
    return problem_from_record(bench.generate.generate(vehicles, seed, variant))


@pytest.mark.parametrize("variant", ["base", "late", "solar", "tight"])
def test_smooth_halves_the_changes_and_costs_next_to_nothing(bench: SimpleNamespace, variant: str) -> None:
    problem = bench_problem(bench, 40, 7, variant)
    scope = free_scope(problem)
    before = relax(problem, scope)
    after = smooth(problem, scope, before)
    assert changes(after.power_kw) < 0.6 * changes(before.power_kw)
    cost = [measure(problem, one.power_kw, one.battery_kw).cost.total for one in (before, after)]
    allowed = COST_SHARE * (cost[0] - cost_without_vehicles(problem))
    assert cost[1] <= cost[0] + allowed + 1e-6 * abs(cost[0])


@pytest.mark.parametrize("variant", ["minpower", "connectors"])
def test_plans_under_minimum_power_are_smooth_and_valid(bench: SimpleNamespace, variant: str) -> None:
    problem = bench_problem(bench, 40, 8, variant)
    plan = solve(problem)
    assert violations(problem, plan) == []
    # The plain repair has 12 to 14.
    assert changes(plan.power_kw) < 8


def test_a_pattern_stays_on_at_its_minimum_exactly_where_it_is_on(bench: SimpleNamespace) -> None:
    problem = bench_problem(bench, 10, 3, "minpower")
    power = solve(problem).power_kw
    inside = pattern_scope(problem, free_scope(problem), power)
    assert inside.floor_kw is not None
    assert np.array_equal(inside.ceiling_kw > 0, power > 0)
    assert (inside.floor_kw[power > 0] >= problem.fleet.min_power_kw.min() - 1e-3).all()
    assert (inside.floor_kw <= np.where(power > 0, power, 0)).all()
