"""Remedies are true: whoever makes the changes that they name is left with no more short than they say."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planning.model import Change, Problem, Remedy
from planning.remedies import in_words
from planning.solve import solve


def apply(problem: Problem, change: Change) -> Problem:
    fleet, ids = problem.fleet, problem.fleet.vehicle_ids
    if change.kind == "more_power":
        limit = problem.grid_limit_kw.copy()
        limit[list(change.slots)] += change.value
        return replace(problem, grid_limit_kw=limit)
    assert change.vehicle_id is not None
    row = ids.index(change.vehicle_id)
    departure, required = fleet.departure_slot.copy(), fleet.required_soc_pct.copy()
    if change.kind == "leave_later":
        departure[row] += int(change.value // problem.slot_minutes)
        return replace(problem, fleet=replace(fleet, departure_slot=departure))
    assert change.kind == "swap_duties"
    assert change.with_vehicle_id is not None
    other = ids.index(change.with_vehicle_id)
    departure[row], departure[other] = departure[other], departure[row]
    energy_kwh = fleet.required_soc_pct * fleet.battery_kwh
    required[row], required[other] = (
        energy_kwh[other] / fleet.battery_kwh[row],
        energy_kwh[row] / fleet.battery_kwh[other],
    )
    return replace(problem, fleet=replace(fleet, departure_slot=departure, required_soc_pct=np.minimum(required, 100)))


def left_short(problem: Problem, remedy: Remedy) -> float:
    for change in remedy.changes:
        problem = apply(problem, change)
    missing = solve(problem).shortfall_kwh
    return float(missing[missing > 0.05].sum())


def kinds(remedy: Remedy) -> set[str]:
    return {change.kind for change in remedy.changes}


def test_a_late_van_can_swap_leave_later_or_get_more_power(depot: Callable[..., Problem]) -> None:
    late = {"start_soc_pct": 20.0, "required_soc_pct": 50.0, "departure_slot": 6, "max_power_kw": 22.0}
    full = {"start_soc_pct": 90.0, "required_soc_pct": 50.0, "departure_slot": 12}
    problem = depot(late | {"taper_power_kw": 22.0}, full, slots=16, grid_limit_kw=[17.0] * 16)
    plan = solve(problem, with_remedies=True)
    assert not plan.is_ready[0]
    assert {frozenset(kinds(remedy)) for remedy in plan.remedies} == {
        frozenset({"swap_duties"}),
        frozenset({"leave_later"}),
        frozenset({"more_power"}),
    }
    # One swap is less trouble than an hour's delay or six kilowatts.
    assert kinds(plan.remedies[0]) == {"swap_duties"}
    assert in_words(plan.remedies[0]) == "van-00 and van-01 swap duties"
    assert "van-00 leaves 90 min later" in {in_words(remedy) for remedy in plan.remedies}
    for remedy in plan.remedies:
        assert remedy.shortfall_kwh == 0
        assert left_short(problem, remedy) == 0


def test_a_delay_is_as_short_as_does(depot: Callable[..., Problem]) -> None:
    problem = depot({"required_soc_pct": 80.0, "departure_slot": 4}, slots=16)
    (remedy,) = solve(problem, with_remedies=True).remedies
    (change,) = remedy.changes
    less = replace(change, value=change.value - 15)
    assert left_short(problem, remedy) == 0
    assert left_short(problem, replace(remedy, changes=(less,))) > 0


def test_a_night_without_shortfall_has_no_remedies(depot: Callable[..., Problem]) -> None:
    assert solve(depot({}), with_remedies=True).remedies == ()


VEHICLE = st.fixed_dictionaries(
    {
        "start_soc_pct": st.sampled_from([20.0, 50.0, 90.0]),
        "required_soc_pct": st.sampled_from([50.0, 80.0]),
        "departure_slot": st.integers(3, 12),
        "plugged_connector": st.none(),
    }
)


@given(st.lists(VEHICLE, min_size=2, max_size=4), st.floats(14, 30), st.booleans(), st.booleans())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_remedy_does_what_it_says(
    records: Any, depot: Callable[..., Problem], fleet: list[dict[str, object]], limit: float, minimum: bool, own: bool
) -> None:
    items = [records.connector(index) for index in range(len(fleet))]
    connectors = {"items": items, "attended": [False] * 16} if own else None
    site = {"slots": 16, "grid_limit_kw": [limit] * 16, "demand_charges": [], "connectors": connectors}
    problem = depot(*fleet, **site, enforce_min_power=minimum)
    plan = solve(problem, with_remedies=True)
    for remedy in plan.remedies:
        assert remedy.shortfall_kwh < plan.shortfall_kwh.sum()
        assert left_short(problem, remedy) <= remedy.shortfall_kwh + 0.1
