"""The oracle, against the public checker: both must say the same of good plans and of plans that were tampered with."""

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from planning.baselines import RULES, baseline
from planning.documents import plan_record, problem_from_record
from planning.feasibility import measure, violations
from planning.model import NO_CONNECTOR, Assignment, Plan, Problem, Reason
from planning.solve import solve

Mutation = Callable[[Problem, Plan], Plan]


def with_power(plan: Plan, problem: Problem, power: np.ndarray) -> Plan:
    """Return the plan with other powers and true figures, so that only rules can be broken."""
    figures = measure(problem, power, plan.battery_kw)
    return replace(
        plan,
        power_kw=power,
        cost=figures.cost,
        peak_kw=figures.peak_kw,
        end_soc_pct=figures.end_soc_pct,
        shortfall_kwh=figures.shortfall_kwh,
        reasons=(Reason("site_limit", 1.0, "kW", (), "given by hand"),) * len(plan.vehicle_ids),
        solver=replace(plan.solver, lower_bound=None),
    )


def busiest(plan: Plan) -> tuple[int, int]:
    row, slot = np.unravel_index(int(plan.power_kw.argmax()), plan.power_kw.shape)
    return int(row), int(slot)


def negative_power(problem: Problem, plan: Plan) -> Plan:
    power = plan.power_kw.copy()
    power[busiest(plan)] = -1.0
    return with_power(plan, problem, power)


def above_maximum(problem: Problem, plan: Plan) -> Plan:
    power = plan.power_kw.copy()
    row, slot = busiest(plan)
    power[row, slot] = problem.fleet.max_power_kw[row] + 0.1
    return with_power(plan, problem, power)


def away(problem: Problem, plan: Plan) -> Plan:
    power = plan.power_kw.copy()
    row, _ = busiest(plan)
    power[row, max(0, problem.fleet.arrival_slot[row] - 1)] = 5.0
    return with_power(plan, problem, power)


def too_full(problem: Problem, plan: Plan) -> Plan:
    power = np.where(problem.present(), problem.fleet.max_power_kw[:, None], 0.0)
    return with_power(plan, problem, power)


def a_trickle(problem: Problem, plan: Plan) -> Plan:
    power = plan.power_kw.copy()
    row, slot = busiest(plan)
    power[row, slot] = 1.0
    return with_power(plan, problem, power)


def all_at_once(problem: Problem, plan: Plan) -> Plan:
    return with_power(plan, problem, baseline(problem, "uncontrolled").power_kw)


def nothing(problem: Problem, plan: Plan) -> Plan:
    return with_power(plan, problem, np.zeros_like(plan.power_kw))


def untrue_cost(problem: Problem, plan: Plan) -> Plan:
    return replace(plan, cost=replace(plan.cost, energy=plan.cost.energy * 1.01))


def untrue_peak(problem: Problem, plan: Plan) -> Plan:
    return replace(plan, peak_kw=plan.peak_kw * 0.99)


def untrue_soc(problem: Problem, plan: Plan) -> Plan:
    return replace(plan, end_soc_pct=plan.end_soc_pct + 0.1)


def unexplained(problem: Problem, plan: Plan) -> Plan:
    return replace(nothing(problem, plan), reasons=(None,) * len(plan.vehicle_ids))


def battery_run_down(problem: Problem, plan: Plan) -> Plan:
    if problem.battery is None:
        return replace(plan, battery_kw=np.ones(problem.slots))
    return with_power(
        replace(plan, battery_kw=np.full(problem.slots, -problem.battery.max_power_kw)), problem, plan.power_kw
    )


def one_connector_for_all(problem: Problem, plan: Plan) -> Plan:
    held = plan.assignment
    return replace(plan, assignment=replace(held, connector=np.where(held.connector != NO_CONNECTOR, 0, NO_CONNECTOR)))


def plugged_at_midnight(problem: Problem, plan: Plan) -> Plan:
    held = plan.assignment
    return replace(plan, assignment=Assignment(held.connector, held.plug_slot, np.minimum(held.unplug_slot, 50)))


MUTATIONS: list[Mutation] = [
    negative_power,
    above_maximum,
    away,
    too_full,
    a_trickle,
    all_at_once,
    nothing,
    untrue_cost,
    untrue_peak,
    untrue_soc,
    unexplained,
    battery_run_down,
    one_connector_for_all,
    plugged_at_midnight,
]


@pytest.mark.data
@pytest.mark.parametrize("variant", ["base", "solar", "tight", "minpower", "connectors"])
def test_violations_agrees_with_the_public_checker(bench: SimpleNamespace, variant: str) -> None:
    record = bench.generate.generate(15, 4, variant)
    problem = problem_from_record(record)
    good = solve(problem)
    for change in [lambda _, plan: plan, *MUTATIONS]:
        plan = change(problem, good)
        theirs, figures = bench.check.check(record, json.loads(json.dumps(plan_record(plan, ""))))
        ours = violations(problem, plan)
        assert bool(ours) == bool(theirs), f"{getattr(change, '__name__', change)}: ours {ours}, theirs {theirs}"
        measured = measure(problem, plan.power_kw, plan.battery_kw)
        for name in ("energy", "demand", "shortfall", "total"):
            assert getattr(measured.cost, name) == pytest.approx(figures[name], abs=1e-6)
        assert measured.peak_kw == pytest.approx(figures["peak_kw"])
        assert measured.ready_pct == pytest.approx(figures["ready_pct"])


@pytest.mark.data
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "uncontrolled"])
@pytest.mark.parametrize("variant", ["base", "solar", "tight", "minpower", "connectors"])
def test_every_rule_makes_a_valid_plan(bench: SimpleNamespace, rule: str, variant: str) -> None:
    problem = problem_from_record(bench.generate.generate(30, 2, variant))
    assert violations(problem, baseline(problem, rule)) == []


@pytest.mark.parametrize(
    ("mutation", "said"),
    [
        (negative_power, "negative power"),
        (above_maximum, "above the vehicle's maximum"),
        (too_full, "SoC above 100 %"),
        (a_trickle, "between zero and the minimum"),
        (untrue_cost, "reported cost.energy"),
        (untrue_peak, "reported peak_kw"),
        (untrue_soc, "end_soc_pct"),
        (unexplained, "without a reason"),
        (battery_run_down, "without a battery"),
    ],
)
def test_violations_names_what_is_broken(depot: Callable[..., Problem], mutation: Mutation, said: str) -> None:
    problem = depot({"start_soc_pct": 90.0, "required_soc_pct": 96.0}, {}, enforce_min_power=True)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert any(said in sentence for sentence in violations(problem, mutation(problem, plan)))


def test_violations_judges_groups_and_holds(records: SimpleNamespace) -> None:
    vehicles = [records.vehicle("a", plugged_connector=0), records.vehicle("b", plugged_connector=1)]
    record = records.problem(
        vehicles,
        connectors={
            "items": [records.connector(0, group_id="feeder"), records.connector(1, group_id="feeder")],
            "attended": [False] * 8,
        },
        groups=[{"group_id": "feeder", "limit_kw": [14.0] * 8}],
    )
    problem = problem_from_record(record)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.power_kw.sum(axis=0).max() <= 14.0 + 1e-6
    both = np.zeros_like(plan.power_kw)
    both[:, 0] = 11.0
    assert any("group feeder" in sentence for sentence in violations(problem, with_power(plan, problem, both)))
    swapped = replace(plan, assignment=replace(plan.assignment, connector=plan.assignment.connector[::-1]))
    assert any("is plugged into connector" in sentence for sentence in violations(problem, swapped))
    early = replace(plan, assignment=replace(plan.assignment, unplug_slot=np.full(2, 7)))
    assert any("nobody is there" in sentence for sentence in violations(problem, early))
