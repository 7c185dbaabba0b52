"""Vehicles that give back: off by default, judged by the oracle, and worth it only where prices are."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planning.documents import problem_from_record, problem_record
from planning.feasibility import measure, violations
from planning.findings import ProblemError
from planning.model import FloatArray, Plan, Problem
from planning.solve import plan_of, solve

GIVER: dict[str, Any] = {
    "start_soc_pct": 60.0,
    "required_soc_pct": 70.0,
    "taper_knee_soc_pct": 100.0,
    "max_discharge_kw": 10.0,
    "discharge_efficiency": 0.9,
    "min_soc_pct": 50.0,
}
DEAR_FIRST = [0.9] * 4 + [0.1] * 8


def two_way(depot: Callable[..., Problem], *vehicles: dict[str, Any], **changes: object) -> Problem:
    site = {"slots": 12, "price_per_kwh": DEAR_FIRST, "demand_charges": [], "allow_discharge": True}
    return depot(*({"departure_slot": 12, **vehicle} for vehicle in vehicles), **{**site, **changes})


def with_powers(problem: Problem, power_kw: FloatArray) -> Plan:
    plan = solve(problem)
    return replace(plan_of(problem, (power_kw, None), plan.assignment, plan.solver), reasons=plan.reasons)


def test_a_vehicle_sells_at_a_dear_hour_and_is_ready(depot: Callable[..., Problem]) -> None:
    problem = two_way(depot, GIVER)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.is_ready.all()
    # Ten points of 60 kWh less a tenth of losses are 5.4 kWh at the grid, all of it in the dear hour.
    given_kwh = -np.minimum(plan.power_kw, 0.0) * problem.slot_hours
    assert np.isclose(given_kwh[:, :4].sum(), 5.4, atol=0.01)
    assert given_kwh[:, 4:].sum() < 1e-3
    one_way = solve(replace(problem, allow_discharge=False))
    saved = one_way.cost.total - plan.cost.total
    assert np.isclose(saved, 5.4 * 0.9 - (6.0 / 0.9) * 0.1, atol=0.01)


def test_discharge_is_off_unless_the_problem_allows_it(depot: Callable[..., Problem]) -> None:
    problem = two_way(depot, GIVER, allow_discharge=None)
    plan = solve(problem)
    assert plan.power_kw.min() >= 0
    power = np.full((1, 12), 11.0)
    power[0, 0] = -2.0
    assert any("negative power" in one for one in violations(problem, with_powers(problem, power)))


@pytest.mark.parametrize(
    ("first_kw", "changes", "what"),
    [
        (-10.5, {}, "more discharge than the vehicle gives"),
        (-10.0, {"start_soc_pct": 49.0}, "more discharge than the vehicle gives"),
        (-10.0, {"min_soc_pct": 58.0}, "discharge below the SoC that the vehicle keeps"),
    ],
)
def test_the_oracle_refuses_discharge_beyond_what_there_is(
    depot: Callable[..., Problem], first_kw: float, changes: dict[str, Any], what: str
) -> None:
    problem = two_way(depot, {**GIVER, **changes})
    power = np.zeros((1, 12))
    power[0, 0], power[0, 1:5] = first_kw, 11.0
    assert any(what in one for one in violations(problem, with_powers(problem, power)))


def test_the_oracle_counts_losses_of_discharge(depot: Callable[..., Problem]) -> None:
    problem = two_way(depot, GIVER)
    power = np.zeros((1, 12))
    power[0, 0] = -9.0
    figures = measure(problem, power, None)
    assert np.isclose(figures.end_soc_pct[0], 60 - 100 * (9.0 * 0.25 / 0.9) / 60)
    assert np.isclose(figures.shortfall_kwh[0], (6.0 + 2.5) / 0.9)


def test_who_comes_with_less_than_it_keeps_gives_nothing(depot: Callable[..., Problem]) -> None:
    problem = two_way(depot, {**GIVER, "start_soc_pct": 45.0}, GIVER)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.power_kw[0].min() > -1e-3
    assert plan.power_kw[1].min() < -1


def test_vehicles_feed_each_other_under_a_limit(depot: Callable[..., Problem]) -> None:
    """Nothing comes from the grid: one van is made ready by the other, which has more than it needs."""
    needy = {"start_soc_pct": 50.0, "required_soc_pct": 54.0, "departure_slot": 4, "taper_knee_soc_pct": 100.0}
    rich = {**GIVER, "start_soc_pct": 90.0}
    problem = two_way(depot, needy, rich, grid_limit_kw=[10.0] * 12)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.is_ready.all()
    assert solve(replace(problem, allow_discharge=False)).shortfall_kwh[0] > 2


@pytest.mark.parametrize("with_connectors", [False, True])
def test_minimum_power_holds_for_charging_alone(
    depot: Callable[..., Problem], records: SimpleNamespace, *, with_connectors: bool
) -> None:
    items = [records.connector(index) for index in range(2)]
    connectors = {"items": items, "attended": [True] * 12} if with_connectors else None
    problem = two_way(depot, GIVER, {**GIVER, "start_soc_pct": 55.0}, enforce_min_power=True, connectors=connectors)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.is_ready.all()
    assert plan.cost.total <= solve(replace(problem, allow_discharge=False)).cost.total + 1e-6


def test_discharge_is_read_and_written(records: SimpleNamespace) -> None:
    record = records.problem([records.vehicle(**GIVER), records.vehicle("van-02")], allow_discharge=True)
    written = problem_record(problem_from_record(record))
    assert written["allow_discharge"] is True
    assert {name: written["vehicles"][0][name] for name in GIVER} == GIVER
    assert written["vehicles"][1]["max_discharge_kw"] == 0
    assert (
        "max_discharge_kw"
        not in problem_record(problem_from_record(records.problem([records.vehicle()])))["vehicles"][0]
    )


@pytest.mark.parametrize("field", ["max_discharge_kw", "discharge_efficiency", "min_soc_pct"])
def test_discharge_that_makes_no_sense_is_refused(records: SimpleNamespace, field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        problem_from_record(records.problem([records.vehicle(**{**GIVER, field: -1.0})]))
    assert [path for path, _ in caught.value.findings] == [f"vehicles[0].{field}"]
