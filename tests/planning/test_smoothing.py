"""Few power changes: fewer than the optimum has, for next to nothing, within the same rules."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from planning.documents import problem_from_record
from planning.feasibility import measure, violations
from planning.model import FloatArray, Problem
from planning.optimiser.relaxation import relax
from planning.optimiser.scope import free_scope
from planning.optimiser.site import cost_without_vehicles
from planning.optimiser.smoothing import CARE_SHARE, COST_SHARE, FULL_SOC_PCT, pattern_scope, smooth
from planning.solve import solve


def changes(power_kw: FloatArray) -> float:
    """Return how often the mean vehicle's power changes by more than 0.1 kW, its start and its end included."""
    steps = np.abs(np.diff(power_kw, axis=1, prepend=0.0, append=0.0))
    return float((steps > 0.1).sum(axis=1).mean())


def bench_problem(bench: SimpleNamespace, vehicles: int, seed: int, variant: str) -> Problem:
    return problem_from_record(bench.generate.generate(vehicles, seed, variant))


@pytest.mark.data
@pytest.mark.parametrize("variant", ["base", "late", "solar", "tight"])
def test_smooth_halves_the_changes_and_costs_next_to_nothing(bench: SimpleNamespace, variant: str) -> None:
    problem = bench_problem(bench, 40, 7, variant)
    scope = free_scope(problem)
    before = relax(problem, scope)
    after = smooth(problem, scope, before)
    assert changes(after.power_kw) < 0.6 * changes(before.power_kw)
    cost = [measure(problem, one.power_kw, one.battery_kw).cost.total for one in (before, after)]
    allowed = (COST_SHARE + CARE_SHARE) * (cost[0] - cost_without_vehicles(problem))
    assert cost[1] <= cost[0] + allowed + 1e-6 * abs(cost[0])


@pytest.mark.data
@pytest.mark.parametrize("variant", ["minpower", "connectors"])
def test_plans_under_minimum_power_are_smooth_and_valid(bench: SimpleNamespace, variant: str) -> None:
    problem = bench_problem(bench, 40, 8, variant)
    plan = solve(problem)
    assert violations(problem, plan) == []
    # The plain repair has 12 to 14.
    assert changes(plan.power_kw) < 8


@pytest.mark.data
def test_a_pattern_stays_on_at_its_minimum_exactly_where_it_is_on(bench: SimpleNamespace) -> None:
    problem = bench_problem(bench, 10, 3, "minpower")
    power = solve(problem).power_kw
    inside = pattern_scope(problem, free_scope(problem), power)
    assert inside.floor_kw is not None
    assert np.array_equal(inside.ceiling_kw > 0, power > 0)
    assert (inside.floor_kw[power > 0] >= problem.fleet.min_power_kw.min() - 1e-3).all()
    assert (inside.floor_kw <= np.where(power > 0, power, 0)).all()


def test_a_battery_is_full_shortly_before_it_leaves_where_that_costs_nothing(depot: Callable[..., Problem]) -> None:
    van = {"departure_slot": 32, "start_soc_pct": 70.0, "required_soc_pct": 100.0, "taper_knee_soc_pct": 100.0}
    problem = depot(van, slots=32, demand_charges=[])
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.is_ready.all()
    gain_pct = 100 * problem.fleet.efficiency[0] * problem.slot_hours / problem.fleet.battery_kwh[0]
    soc_pct = 70.0 + np.cumsum(gain_pct * plan.power_kw[0])
    # Few changes of power are worth more than a late last tenth; but nobody stands full.
    assert (soc_pct > 99.5).sum() <= 1
    assert (soc_pct > FULL_SOC_PCT + 0.1).sum() < 16


def test_a_cheap_night_is_worth_standing_full(depot: Callable[..., Problem]) -> None:
    van = {"departure_slot": 32, "start_soc_pct": 70.0, "required_soc_pct": 100.0, "taper_knee_soc_pct": 100.0}
    problem = depot(van, slots=32, demand_charges=[], price_per_kwh=[0.1] * 16 + [0.3] * 16)
    assert solve(problem).power_kw[0, 16:].max() < 1e-3
