"""The mixed-integer search for holds: chains that matching cannot make, and every rule of connectors."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planning.feasibility import measure, violations
from planning.model import Assignment, Problem
from planning.optimiser.handover import hand_over_slots, search_holds
from planning.optimiser.relaxation import relax
from planning.optimiser.scope import assigned_scope
from planning.solve import solve

NEEDS_TWO_SLOTS = {"battery_kwh": 50.0, "start_soc_pct": 50.0, "required_soc_pct": 59.9, "departure_slot": 12}


def few_connectors(records, count: int, *, slots: int = 12, attended: list[int] | None = None) -> dict[str, object]:
    there = range(slots) if attended is None else attended
    items = [records.connector(index) for index in range(count)]
    flags = [slot in there for slot in range(slots)]
    return {"slots": slots, "connectors": {"items": items, "attended": flags}, "grid_limit_kw": [100.0] * slots}


def test_three_vehicles_share_one_connector(records, depot: Callable[..., Problem]) -> None:
    problem = depot(*[NEEDS_TWO_SLOTS] * 3, **few_connectors(records, 1))
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.is_ready.all()
    assert set(plan.assignment.connector.tolist()) == {0}


def test_hands_change_on_the_hour_and_at_both_ends_of_a_presence(records, depot: Callable[..., Problem]) -> None:
    problem = depot({}, **few_connectors(records, 1, attended=[1, 2, 3, 4, 5, 9]))
    assert hand_over_slots(problem).tolist() == [1, 4, 5, 9]


def cost_of(problem: Problem, assignment: Assignment) -> float:
    relaxed = relax(problem, assigned_scope(problem, assignment))
    return measure(problem, relaxed.power_kw, relaxed.battery_kw).cost.total


def every_assignment(problem: Problem, slots: list[int]) -> list[Assignment]:
    """Return all ways to hold one connector one after another, with hand-overs in the given slots."""
    size, found = problem.fleet.size, []
    arrival, departure = problem.fleet.arrival_slot, problem.fleet.departure_slot
    for order in itertools.permutations(range(size)):
        for cuts in itertools.combinations_with_replacement(slots, size - 1):
            plug, unplug = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
            for place, row in enumerate(order):
                plug[row] = max(arrival[row], 0 if place == 0 else cuts[place - 1])
                unplug[row] = min(departure[row], departure[row] if place == size - 1 else cuts[place])
            held = plug < unplug
            found.append(Assignment(np.where(held, 0, -1), np.where(held, plug, -1), np.where(held, unplug, -1)))
    return found


@pytest.mark.parametrize("attended", [[4, 5, 8], [0, 4, 8]])
@pytest.mark.parametrize("limit", [30.0, 22.0])
def test_search_holds_is_as_good_as_trying_everything(
    records, depot: Callable[..., Problem], attended: list[int], limit: float
) -> None:
    site = few_connectors(records, 1, attended=attended) | {
        "grid_limit_kw": [limit] * 12,
        "price_per_kwh": [0.3, 0.3, 0.1, 0.1, 0.2, 0.2, 0.4, 0.4, 0.1, 0.3, 0.3, 0.3],
    }
    vehicles = [{**NEEDS_TWO_SLOTS, "required_soc_pct": pct} for pct in (55.0, 59.9, 64.0)]
    problem = depot(*vehicles, **site)
    assert problem.connectors is not None
    everyone, nobody = np.arange(3), Assignment(*[np.full(3, -1)] * 3)
    found = search_holds(problem, everyone, problem.connectors.items, nobody, gap=1e-3)
    best = min(cost_of(problem, one) for one in every_assignment(problem, hand_over_slots(problem).tolist()))
    assert cost_of(problem, found) <= best + 0.01


VEHICLE = st.fixed_dictionaries(
    {
        "arrival_slot": st.integers(0, 6),
        "departure_slot": st.integers(7, 12),
        "start_soc_pct": st.sampled_from([20.0, 40.0, 60.0]),
        "required_soc_pct": st.sampled_from([60.0, 70.0, 80.0]),
        "battery_kwh": st.sampled_from([12.0, 20.0]),
        "priority": st.sampled_from([1, 2]),
    }
)


@given(st.lists(VEHICLE, min_size=3, max_size=6), st.sets(st.integers(0, 11)), st.booleans(), st.booleans())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_plugged_vehicles_bays_and_groups_are_respected(
    records,
    depot: Callable[..., Problem],
    vehicles: list[dict[str, object]],
    attended: set[int],
    bay: bool,
    group: bool,
) -> None:
    first = {**vehicles[0], "arrival_slot": 0, "plugged_connector": 1}
    second = {**vehicles[1], "bay_connector": 0 if bay else None}
    site = few_connectors(records, 2, attended=sorted(attended))
    if group:
        items = [records.connector(index, group_id="feeder") for index in range(2)]
        site["connectors"] = {**site["connectors"], "items": items}  # type: ignore[dict-item]
        site["groups"] = [{"group_id": "feeder", "limit_kw": [12.0] * 12}]
    problem = depot(first, second, *vehicles[2:], **site, enforce_min_power=True)
    plan = solve(problem)
    assert violations(problem, plan) == []
    if bay and plan.assignment.connector[1] >= 0:
        assert plan.assignment.connector[1] == 0
