"""Heat before departure: it comes first, counts for all but the battery, and is left out only where it cannot fit."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planning.baselines import RULES, baseline
from planning.documents import problem_from_record, problem_record
from planning.drafts import Drafter, draft
from planning.feasibility import measure, violations
from planning.findings import ProblemError
from planning.model import Problem
from planning.optimiser.monolith import solve_monolith
from planning.optimiser.relaxation import relax
from planning.optimiser.scope import free_scope
from planning.preconditioning import around_heat, heat_kw
from planning.solve import solve

# 6.67 kWh at the grid for the battery, and 5 kW of heat in the last twenty minutes: one slot and a third of another.
VAN: dict[str, Any] = {
    "start_soc_pct": 50.0,
    "required_soc_pct": 60.0,
    "taper_knee_soc_pct": 100.0,
    "precondition_kw": 5.0,
    "precondition_min": 20.0,
}
HEAT_KW = [0.0] * 6 + [5.0 / 3, 5.0]


def test_heat_is_drawn_before_departure_and_does_not_charge(depot: Callable[..., Problem]) -> None:
    problem = depot(VAN)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert heat_kw(problem)[0] == pytest.approx(HEAT_KW)
    assert (plan.power_kw[0] >= np.array(HEAT_KW) - 1e-6).all()
    assert plan.power_kw.sum() * 0.25 == pytest.approx(6.0 / 0.9 + (5.0 + 5.0 / 3) * 0.25, abs=1e-3)
    assert plan.end_soc_pct[0] == pytest.approx(60.0, abs=1e-3)
    without = solve(replace(problem, fleet=replace(problem.fleet, preconditioning=None)))
    assert plan.cost.energy - without.cost.energy == pytest.approx((5.0 + 5.0 / 3) * 0.25 * 0.2, abs=1e-3)


def test_the_connector_gives_heat_and_charge_together(depot: Callable[..., Problem], records: SimpleNamespace) -> None:
    connectors = {"items": [records.connector(0, max_kw=7.0)], "attended": [True] * 8}
    full_out = {**VAN, "required_soc_pct": 80.0}
    problem = depot(full_out, connectors=connectors)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.power_kw.max() <= 7.0 + 1e-6
    # Heat comes first: what the battery misses is what the connector cannot give beside it.
    assert plan.shortfall_kwh[0] == pytest.approx(18 / 0.9 - (8 * 7.0 - sum(HEAT_KW)) * 0.25, abs=1e-3)
    assert plan.reasons[0] is not None


def test_heat_raises_the_peak_that_is_planned_around(depot: Callable[..., Problem]) -> None:
    charge = {"name": "month", "price_per_kw": 10.0, "so_far_kw": 0.0, "slots": None}
    problem = depot(VAN, demand_charges=[charge])
    plan = solve(problem)
    # 5 kW of heat beside 10 kW of other load: nothing charges then, and nothing else is higher.
    assert plan.peak_kw == pytest.approx(15.0, abs=0.01)
    assert plan.power_kw[0, 7] == pytest.approx(5.0, abs=0.01)


def test_heat_that_does_not_fit_is_left_out_with_a_warning(depot: Callable[..., Problem]) -> None:
    problem = depot(VAN, {**VAN, "priority": 2}, grid_limit_kw=[18.0] * 8)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.power_kw[1, 7] >= 5.0 - 1e-6
    (warning,) = (one for one in plan.warnings if "precondition_kw" in one)
    assert warning.startswith("vehicles[0].precondition_kw")


def test_minimum_power_holds_for_heat_too(depot: Callable[..., Problem]) -> None:
    problem = depot({**VAN, "precondition_kw": 2.0, "required_soc_pct": 50.0}, enforce_min_power=True)
    plan = solve(problem)
    assert violations(problem, plan) == []
    # A station gives its minimum or nothing.
    assert plan.power_kw[0] == pytest.approx([0.0] * 6 + [4.14, 4.14])


def test_the_oracle_refuses_a_cold_vehicle_and_heat_that_charges(depot: Callable[..., Problem]) -> None:
    problem = depot(VAN)
    plan = solve(problem)
    cold = plan.power_kw.copy()
    cold[0, 7] = 0.0
    assert any("not preconditioned" in one for one in violations(problem, replace(plan, power_kw=cold)))
    assert measure(problem, np.array([HEAT_KW]), None).end_soc_pct[0] == pytest.approx(50.0)


@pytest.mark.parametrize("connectors_kw", [None, 11.0, 22.0])
@pytest.mark.parametrize("minimum", [False, True])
@settings(max_examples=4, deadline=None)
@given(
    heats=st.lists(st.tuples(st.floats(0.5, 8.0), st.floats(1.0, 90.0)), min_size=3, max_size=3),
    departures=st.lists(st.integers(2, 8), min_size=3, max_size=3),
    limit_and_standby=st.tuples(st.floats(10.0, 60.0), st.sampled_from([0.0, 0.5])),
)
def test_every_way_to_plan_agrees_with_the_oracle(
    depot: Callable[..., Problem],
    records: SimpleNamespace,
    connectors_kw: float | None,
    heats: list[tuple[float, float]],
    departures: list[int],
    limit_and_standby: tuple[float, float],
    *,
    minimum: bool,
) -> None:
    limit, standby = limit_and_standby
    vehicles = [
        {
            **VAN,
            "precondition_kw": kw,
            "precondition_min": minutes,
            "departure_slot": leaves,
            "taper_knee_soc_pct": 55.0,
            "standby_kw": standby,
        }
        for (kw, minutes), leaves in zip(heats, departures, strict=True)
    ]
    items = [records.connector(index, max_kw=connectors_kw, group_id="feeder") for index in range(2)]
    groups = [{"group_id": "feeder", "limit_kw": [16.0] * 8}]
    on_connectors = {"connectors": {"items": items, "attended": [True] * 8}, "groups": groups}
    site = {} if connectors_kw is None else on_connectors
    problem = depot(*vehicles, grid_limit_kw=[limit] * 8, enforce_min_power=minimum, **site)
    plans = [solve(problem), *(baseline(problem, rule) for rule in RULES if rule != "uncontrolled")]
    for plan in plans:
        assert violations(problem, plan) == []
    drafter = Drafter()
    for drafted in (draft(problem), drafter(problem), drafter(problem)):
        assert [one for one in violations(problem, drafted) if "without a reason" not in one] == []
    bound = plans[0].solver.lower_bound
    assert bound is None or bound <= plans[0].cost.total + 1e-6


def test_large_fleets_answer_prices_around_their_heat(bench: SimpleNamespace) -> None:
    record = bench.generate.generate(170, 5, "base")
    heated = {"precondition_kw": 3.0, "precondition_min": 25.0}
    record["vehicles"] = [one if one["current_type"] == "dc" else {**one, **heated} for one in record["vehicles"]]
    problem = problem_from_record(record)
    room = around_heat(problem)
    scope = free_scope(room)
    whole, found = solve_monolith(room, scope), relax(room, scope)
    costs = [measure(room, one.power_kw, one.battery_kw).cost.total for one in (whole, found)]
    assert costs[1] == pytest.approx(costs[0], rel=1e-3)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.power_kw.sum() * 0.25 > sum(problem.fleet.need_kwh) - 1


def test_a_shared_connector_heats_whoever_holds_it_last(
    depot: Callable[..., Problem], records: SimpleNamespace
) -> None:
    connectors = {"items": [records.connector(0)], "attended": [True] * 8}
    problem = depot({**VAN, "departure_slot": 4}, {**VAN, "departure_slot": 8}, connectors=connectors)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.is_ready.all()
    assert plan.power_kw[1, 7] >= 5.0 - 1e-6


def test_preconditioning_is_read_and_written(records: SimpleNamespace) -> None:
    vehicles = [records.vehicle(precondition_kw=3.0, precondition_min=30), records.vehicle("van-02")]
    written = problem_record(problem_from_record(records.problem(vehicles)))["vehicles"]
    assert [(one["precondition_kw"], one["precondition_min"]) for one in written] == [(3.0, 30.0), (0.0, 0.0)]
    plain = problem_record(problem_from_record(records.problem([records.vehicle(precondition_kw=0)])))
    assert "precondition_kw" not in plain["vehicles"][0]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        pytest.param({"precondition_kw": -1.0, "precondition_min": 10}, "precondition_kw", id="negative"),
        pytest.param({"precondition_kw": 3.0, "precondition_min": float("nan")}, "precondition_min", id="no number"),
        pytest.param({"precondition_kw": 3.0}, "precondition_min", id="power without minutes"),
        pytest.param({"precondition_min": 10}, "precondition_kw", id="minutes without power"),
    ],
)
def test_preconditioning_that_makes_no_sense_is_refused(
    records: SimpleNamespace, fields: dict[str, Any], path: str
) -> None:
    with pytest.raises(ProblemError) as caught:
        problem_from_record(records.problem([records.vehicle(**fields)]))
    assert [found for found, _ in caught.value.findings] == [f"vehicles[0].{path}"]


def test_more_heat_than_the_vehicle_draws_gives_a_warning(records: SimpleNamespace) -> None:
    problem = problem_from_record(records.problem([records.vehicle(precondition_kw=20.0, precondition_min=15)]))
    assert any("precondition_kw" in one for one in problem.warnings)
    assert violations(problem, solve(problem)) == []


def test_preconditioning_and_discharge_are_not_combined(records: SimpleNamespace) -> None:
    giver = records.vehicle(precondition_kw=3.0, precondition_min=30, max_discharge_kw=5.0)
    with pytest.raises(ProblemError, match="precondition_kw"):
        problem_from_record(records.problem([giver], allow_discharge=True))
