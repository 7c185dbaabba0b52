"""Charging that loses something while it is on: by hand, against brute force, and off unless a vehicle says so."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planning.baselines import RULES, baseline
from planning.documents import problem_from_record, problem_record
from planning.drafts import draft
from planning.feasibility import measure, violations
from planning.findings import ProblemError
from planning.model import Problem
from planning.optimiser.decomposition import solve_decomposed
from planning.optimiser.monolith import solve_monolith
from planning.optimiser.relaxation import relax
from planning.optimiser.scope import free_scope
from planning.solve import solve
from planning.standby import at_full_power

# 6 kWh into the battery at 0.9 of what is left beyond 1 kW.
VAN: dict[str, Any] = {
    "start_soc_pct": 50.0,
    "required_soc_pct": 60.0,
    "taper_knee_soc_pct": 100.0,
    "standby_kw": 1.0,
}
LEVELS_KW = (0.0, 1.5, 3.0, 4.5, 6.0, 7.5, 9.0, 10.0, 11.0)


def test_measure_counts_the_standby_of_slots_that_charge(depot: Callable[..., Problem]) -> None:
    power = np.array([[11.0, 0.0, 5.0, 0.5, 0.0, 0.0, 0.0, 0.0]])
    figures = measure(depot(VAN), power, None)
    assert figures.end_soc_pct[0] == pytest.approx(50 + 100 * 0.9 * (10.0 + 4.0) * 0.25 / 60)


def test_a_plan_charges_fast_and_seldom_instead_of_slowly_throughout(depot: Callable[..., Problem]) -> None:
    problem = depot(VAN)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.is_ready.all()
    # 6.67 kWh are 26.7 kW over slots: at 10 useful kW at least three of the eight.
    assert (plan.power_kw > 0).sum() == 3
    assert plan.power_kw.sum() * 0.25 == pytest.approx(6.0 / 0.9 + 3 * 0.25, abs=1e-3)


def test_the_peak_price_decides_between_standby_and_power(depot: Callable[..., Problem]) -> None:
    charge = {"name": "month", "price_per_kw": 10.0, "so_far_kw": 0.0, "slots": None}
    problem = depot(VAN, demand_charges=[charge])
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.is_ready.all()
    assert plan.power_kw == pytest.approx(np.full((1, 8), 6.0 / 0.9 / 2 + 1.0), abs=1e-3)


def brute_force(problem: Problem) -> float:
    """Return the least cost of a vehicle's powers in ``LEVELS_KW``, left as they are; no valid one is cheaper."""
    best = np.inf
    for levels in product(LEVELS_KW, repeat=problem.slots):
        power = np.array([levels])
        figures = measure(problem, power, None)
        if figures.end_soc_pct[0] <= 100 and (figures.import_kw <= problem.grid_limit_kw).all():
            best = min(best, figures.cost.total)
    return best


@settings(max_examples=6, deadline=None)
@given(
    price=st.lists(st.floats(0.05, 0.6), min_size=4, max_size=4),
    limit=st.floats(13.0, 25.0),
    demand=st.sampled_from([0.0, 0.05, 3.0]),
    standby=st.floats(0.1, 2.0),
    need=st.floats(1.0, 12.0),
    minimum=st.booleans(),
)
def test_no_powers_on_a_grid_beat_the_plan_and_none_its_bound(
    depot: Callable[..., Problem],
    price: list[float],
    limit: float,
    demand: float,
    standby: float,
    need: float,
    *,
    minimum: bool,
) -> None:
    vehicle = {**VAN, "standby_kw": standby, "required_soc_pct": 50 + need, "departure_slot": 4, "min_power_kw": 1.4}
    charge = {"name": "month", "price_per_kw": demand, "so_far_kw": 0.0, "slots": None}
    site = {"price_per_kwh": price, "grid_limit_kw": [limit] * 4, "demand_charges": [charge]}
    problem = depot(vehicle, slots=4, enforce_min_power=minimum, **site)
    plan = solve(problem)
    assert violations(problem, plan) == []
    best = brute_force(problem)
    caused = best - measure(problem, np.zeros((1, 4)), None).cost.energy
    assert plan.cost.total <= best + 5e-3 * max(caused, 0.0) + 1e-3
    assert plan.solver.lower_bound is not None
    assert plan.solver.lower_bound <= best + 1e-6


@settings(max_examples=8, deadline=None)
@given(
    standby=st.lists(st.floats(0.0, 3.0), min_size=3, max_size=3),
    soc=st.lists(st.floats(0.0, 99.0), min_size=3, max_size=3),
    limit=st.floats(10.0, 60.0),
)
def test_every_way_to_plan_agrees_with_the_oracle(
    depot: Callable[..., Problem], standby: list[float], soc: list[float], limit: float
) -> None:
    vehicles = [
        {"standby_kw": one, "start_soc_pct": begin, "required_soc_pct": 100.0, "taper_knee_soc_pct": 80.0}
        for one, begin in zip(standby, soc, strict=True)
    ]
    problem = depot(*vehicles, grid_limit_kw=[limit] * 8)
    plans = [solve(problem), *(baseline(problem, rule) for rule in RULES if rule != "uncontrolled")]
    for plan in plans:
        assert violations(problem, plan) == []
    drafted = [one for one in violations(problem, draft(problem)) if "without a reason" not in one]
    assert drafted == []


def test_a_fleet_comes_close_to_full_power_all_the_time(depot: Callable[..., Problem]) -> None:
    """Where many share a limit they take turns at full power, so the bound is nearly reached."""
    fleet = [{**VAN, "standby_kw": 0.3, "start_soc_pct": 45.0 + k % 7, "departure_slot": 5 + k % 4} for k in range(40)]
    problem = depot(*fleet, grid_limit_kw=[300.0] * 8, price_per_kwh=[0.3, 0.1, 0.2, 0.2, 0.1, 0.3, 0.2, 0.1])
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.is_ready.all()
    without = measure(problem, np.zeros((40, 8)), None).cost.energy
    assert plan.solver.lower_bound is not None
    assert plan.cost.total - plan.solver.lower_bound <= 0.02 * (plan.solver.lower_bound - without)


def test_the_decomposition_relaxes_to_the_same_bound(bench: SimpleNamespace) -> None:
    record = bench.generate.generate(160, 4, "base")
    record["vehicles"] = [{**vehicle, "standby_kw": 0.4} for vehicle in record["vehicles"]]
    problem = problem_from_record(record)
    ideal = at_full_power(problem)
    whole, parts = solve_monolith(ideal, free_scope(ideal)), solve_decomposed(ideal, free_scope(ideal))
    assert relax(problem, free_scope(problem)).name == "decomposition"
    assert whole.lower_bound is not None
    assert parts.lower_bound is not None
    assert np.isclose(whole.lower_bound, parts.lower_bound, rtol=1e-3)
    plan = solve(problem)
    assert violations(problem, plan) == []


def test_standby_of_nothing_changes_nothing(records: SimpleNamespace, depot: Callable[..., Problem]) -> None:
    plain, zero = depot({"required_soc_pct": 99.0}), depot({"required_soc_pct": 99.0, "standby_kw": 0})
    assert zero.fleet.standby_kw is None
    assert (solve(plain).power_kw == solve(zero).power_kw).all()
    assert "standby_kw" not in problem_record(problem_from_record(records.problem([records.vehicle()])))["vehicles"][0]


def test_standby_is_read_and_written(records: SimpleNamespace) -> None:
    problem = problem_from_record(records.problem([records.vehicle(standby_kw=0.3), records.vehicle("van-02")]))
    assert [one["standby_kw"] for one in problem_record(problem)["vehicles"]] == [0.3, 0.0]
    assert problem.with_fleet([1]).fleet.standby_kw == pytest.approx([0.0])


@pytest.mark.parametrize("value", [-0.1, "much", float("nan"), 11.0])
def test_standby_that_makes_no_sense_is_refused(records: SimpleNamespace, value: object) -> None:
    with pytest.raises(ProblemError) as caught:
        problem_from_record(records.problem([records.vehicle(standby_kw=value)]))
    assert [path for path, _ in caught.value.findings] == ["vehicles[0].standby_kw"]


def test_standby_and_discharge_are_not_combined(records: SimpleNamespace) -> None:
    giver = records.vehicle(standby_kw=0.3, max_discharge_kw=5.0)
    with pytest.raises(ProblemError, match="standby_kw"):
        problem_from_record(records.problem([giver], allow_discharge=True))


def test_where_drawing_power_is_paid_for_nothing_is_proven(depot: Callable[..., Problem]) -> None:
    problem = depot(VAN, price_per_kwh=[-0.1] * 8)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.solver.lower_bound is None
    assert solve(replace(problem, fleet=replace(problem.fleet, standby_kw=None))).solver.lower_bound is not None
