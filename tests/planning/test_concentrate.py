"""What is missing falls on the fewest vehicles, judged by a cut formula that knows no solver."""

from collections.abc import Callable
from itertools import chain, combinations
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from planning.feasibility import measure, violations
from planning.model import SHORT_KWH, FloatArray, Problem
from planning.optimiser.relaxation import relax
from planning.optimiser.scope import free_scope
from planning.solve import solve

SLOTS = 5
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
VAN = {"battery_kwh": 60.0, "start_soc_pct": 40.0, "efficiency": 1.0, "taper_knee_soc_pct": 100.0}


def most_kwh(problem: Problem, rows: tuple[int, ...]) -> float:
    """Return what some vehicles alone can be given: the least of all cuts, a cut being any set of slots."""
    fleet, hours = problem.fleet, problem.slot_hours
    room = np.maximum(problem.grid_limit_kw - problem.other_load_kw, 0.0) * hours
    cap = free_scope(problem).ceiling_kw * hours
    cuts = chain.from_iterable(combinations(range(problem.slots), size) for size in range(problem.slots + 1))
    values = []
    for cut in cuts:
        through = [min(fleet.need_kwh[row], cap[row].sum() - cap[row, list(cut)].sum()) for row in rows]
        values.append(room[list(cut)].sum() + sum(through))
    return float(min(values))


def fewest_short(problem: Problem) -> int:
    """Return the least number of vehicles that any plan must leave short without leaving more kWh short than it must.

    What vehicles can be given together is a polymatroid, so those that alone can all be ready can be so in a plan that
    gives as much as any.
    """
    everyone = range(problem.fleet.size)
    sets = chain.from_iterable(combinations(everyone, size) for size in range(problem.fleet.size, -1, -1))
    need = problem.fleet.need_kwh
    ready = next(rows for rows in sets if most_kwh(problem, rows) >= need[list(rows)].sum() - 1e-6)
    return problem.fleet.size - len(ready)


VEHICLE = st.fixed_dictionaries(
    {
        "arrival_slot": st.integers(0, 3),
        "departure_slot": st.integers(4, SLOTS),
        "required_soc_pct": st.sampled_from([45.0, 50.0, 55.0, 60.0]),
        "priority": st.just(1),
    }
)
ROOMS = st.lists(st.sampled_from([0.0, 6.0, 11.0, 16.0, 22.0]), min_size=SLOTS, max_size=SLOTS)


@given(st.lists(VEHICLE, min_size=2, max_size=5), ROOMS, st.sampled_from([[0.2] * SLOTS, [0.1, 0.5, 0.1, 0.3, 0.2]]))
@settings(max_examples=60, deadline=None, phases=UNSHRUNK, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_fewest_vehicles_are_short(
    depot: Callable[..., Problem], vehicles: list[dict[str, Any]], room_kw: list[float], price: list[float]
) -> None:
    problem = depot(
        *({**VAN, **vehicle} for vehicle in vehicles),
        slots=SLOTS,
        grid_limit_kw=[10.0 + room for room in room_kw],
        price_per_kwh=price,
    )
    plan = solve(problem)
    assert violations(problem, plan) == []
    unavoidable = problem.fleet.need_kwh.sum() - most_kwh(problem, tuple(range(problem.fleet.size)))
    assert plan.shortfall_kwh.sum() <= unavoidable + 1e-3
    assert (plan.shortfall_kwh > SHORT_KWH).sum() == fewest_short(problem)


def test_of_two_vans_with_room_for_one_and_a_half_one_is_ready(depot: Callable[..., Problem]) -> None:
    """A dearer quarter-hour is taken for it: readiness is worth more than a cent."""
    van = {**VAN, "required_soc_pct": 50.0, "departure_slot": 4}
    problem = depot(van, van, slots=4, grid_limit_kw=[10.0 + 9.0] * 4, price_per_kwh=[0.1, 0.2, 0.3, 0.4])
    plan = solve(problem)
    np.testing.assert_allclose(np.sort(plan.shortfall_kwh), [0.0, 3.0], atol=1e-3)


def test_a_vehicle_of_higher_priority_is_ready_before_two_of_lower(depot: Callable[..., Problem]) -> None:
    van: dict[str, Any] = {**VAN, "departure_slot": 4}
    vans = [{**van, "required_soc_pct": 60.0, "priority": 3}, *[{**van, "required_soc_pct": 50.0}] * 2]
    problem = depot(*vans, slots=4, grid_limit_kw=[10.0 + 12.0] * 4)
    short: FloatArray = solve(problem).shortfall_kwh
    # 12 kWh in all: the first van takes its 11 (its charger gives no more), and 1 is left for the others.
    np.testing.assert_allclose(short.sum(), 24.0 - 12.0, atol=1e-3)
    np.testing.assert_allclose(short[0], 1.0, atol=1e-3)


def test_more_is_not_paid_for_fewer_short_vehicles(depot: Callable[..., Problem]) -> None:
    van = {**VAN, "required_soc_pct": 50.0}
    vans = [{**van, "arrival_slot": first, "departure_slot": first + 4} for first in (0, 1, 2, 3, 4)]
    problem = depot(*vans, slots=8, grid_limit_kw=[10.0 + 11.0] * 8, price_per_kwh=[0.1, 0.5] * 4)
    relaxed = relax(problem, free_scope(problem))
    cost = measure(problem, relaxed.power_kw, relaxed.battery_kw).cost.total
    assert solve(problem).cost.total <= cost * 1.001
