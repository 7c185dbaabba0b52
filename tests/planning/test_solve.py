"""The planner whole: valid on every variant, close to the optimum, monotone, and no worse than brute force."""

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.cheap_slot import CHEAP_SLOT, ROOM_KW, cheap_slot_record, picture
from planning.baselines import baseline
from planning.documents import problem_from_record
from planning.feasibility import measure, violations
from planning.model import Problem, Reason
from planning.solve import solve


def cost_of(problem: Problem) -> float:
    plan = solve(problem)
    assert violations(problem, plan) == []
    return plan.cost.total


VEHICLE = st.fixed_dictionaries(
    {
        "arrival_slot": st.integers(0, 5),
        "departure_slot": st.integers(6, 12),
        "start_soc_pct": st.floats(5, 95).map(lambda value: round(value, 1)),
        "required_soc_pct": st.floats(40, 100).map(lambda value: round(value, 1)),
        "battery_kwh": st.sampled_from([12.0, 20.0, 60.0]),
        "max_power_kw": st.sampled_from([4.6, 11.0, 22.0]),
        "taper_power_kw": st.sampled_from([11.0, 30.0]),
        "taper_knee_soc_pct": st.sampled_from([50.0, 80.0, 95.0]),
        "priority": st.sampled_from([1, 1, 2]),
    }
)
FLEET = st.lists(VEHICLE, min_size=1, max_size=5)
PRICES = st.lists(st.sampled_from([-0.05, 0.1, 0.2, 0.3]), min_size=12, max_size=12)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(FLEET, PRICES, st.floats(12, 40), st.booleans())
@QUICK
def test_solve_always_makes_a_valid_plan(
    depot: Callable[..., Problem], fleet: list[dict[str, object]], prices: list[float], limit: float, minimum: bool
) -> None:
    site = {"slots": 12, "grid_limit_kw": [limit] * 12, "price_per_kwh": prices, "feed_in_per_kwh": min(prices)}
    problem = depot(*fleet, **site, enforce_min_power=minimum)
    plan = solve(problem)
    assert violations(problem, plan) == []
    if not minimum:
        assert plan.solver.lower_bound is not None
        assert plan.cost.total <= plan.solver.lower_bound + 0.02 + 1e-5 * plan.cost.total


@given(FLEET, PRICES, st.floats(12, 40), st.floats(0, 20))
@QUICK
def test_more_limit_never_costs_more(
    depot: Callable[..., Problem], fleet: list[dict[str, object]], prices: list[float], limit: float, more: float
) -> None:
    problem = depot(*fleet, slots=12, grid_limit_kw=[limit] * 12, price_per_kwh=prices)
    assert cost_of(replace(problem, grid_limit_kw=problem.grid_limit_kw + more)) <= cost_of(problem) + 0.01


@given(FLEET, PRICES, st.floats(12, 40))
@QUICK
def test_more_time_never_costs_more(
    depot: Callable[..., Problem], fleet: list[dict[str, object]], prices: list[float], limit: float
) -> None:
    longer = [{**vehicle, "departure_slot": 12} for vehicle in fleet]
    site = {"slots": 12, "grid_limit_kw": [limit] * 12, "price_per_kwh": prices}
    assert cost_of(depot(*longer, **site)) <= cost_of(depot(*fleet, **site)) + 0.01


@given(FLEET, st.integers(1, 3), st.sets(st.integers(0, 11), max_size=6))
@QUICK
def test_one_more_connector_never_costs_more(
    records, depot: Callable[..., Problem], fleet: list[dict[str, object]], count: int, attended: set[int]
) -> None:
    flags = [slot in attended for slot in range(12)]
    site = {"slots": 12, "grid_limit_kw": [60.0] * 12, "demand_charges": []}
    few, more = (
        depot(*fleet, **site, connectors={"items": [records.connector(k) for k in range(size)], "attended": flags})
        for size in (count, count + 1)
    )
    assert cost_of(more) <= cost_of(few) + 0.01


@given(FLEET, PRICES, st.randoms(use_true_random=False))
@QUICK
def test_the_order_of_vehicles_changes_nothing(
    depot: Callable[..., Problem], fleet: list[dict[str, object]], prices: list[float], chance
) -> None:
    problem = depot(*fleet, slots=12, grid_limit_kw=[25.0] * 12, price_per_kwh=prices)
    order = list(range(len(fleet)))
    chance.shuffle(order)
    assert cost_of(problem.with_fleet(order)) == pytest.approx(cost_of(problem), abs=0.01)


def brute_force(problem: Problem, levels: list[float]) -> float:
    """Return the least cost over all powers from a few levels, valid as the oracle judges them."""
    template, reason = baseline(problem, "fcfs"), Reason("site_limit", 1.0, "kW", (), "made by hand")
    best = np.inf
    for choice in itertools.product(levels, repeat=problem.fleet.size * problem.slots):
        power = np.array(choice).reshape(problem.fleet.size, problem.slots)
        if (power.sum(axis=0) + problem.other_load_kw > problem.grid_limit_kw).any():
            continue
        figures = measure(problem, power, None)
        if figures.cost.total >= best:
            continue
        plan = replace(
            template,
            power_kw=power,
            cost=figures.cost,
            peak_kw=figures.peak_kw,
            end_soc_pct=figures.end_soc_pct,
            shortfall_kwh=figures.shortfall_kwh,
            reasons=(reason,) * problem.fleet.size,
        )
        if not violations(problem, plan):
            best = figures.cost.total
    return best


@pytest.mark.parametrize("limit", [14.0, 18.0, 40.0])
@pytest.mark.parametrize("minimum", [False, True])
def test_solve_agrees_with_brute_force_on_tiny_depots(
    depot: Callable[..., Problem], limit: float, *, minimum: bool
) -> None:
    vehicle = {"battery_kwh": 10.0, "start_soc_pct": 40.0, "departure_slot": 3, "max_power_kw": 8.0, "efficiency": 1.0}
    problem = depot(
        {**vehicle, "required_soc_pct": 70.0, "min_power_kw": 4.0},
        {**vehicle, "required_soc_pct": 60.0, "min_power_kw": 4.0},
        slots=3,
        grid_limit_kw=[limit] * 3,
        price_per_kwh=[0.3, 0.1, 0.2],
        demand_charges=[{"name": "month", "price_per_kw": 0.05, "so_far_kw": 12.0, "slots": None}],
        enforce_min_power=minimum,
    )
    levels = [0.0, 4.0, 6.0, 8.0] if minimum else [0.0, 2.0, 4.0, 6.0, 8.0]
    assert solve(problem).cost.total <= brute_force(problem, levels) + 1e-3


def test_one_cheap_slot_and_one_limit_serve_every_vehicle() -> None:
    """N vehicles, one cheap slot, one limit (evcc PR #31902): alone they clamp each other, together they fit."""
    problem = problem_from_record(cheap_slot_record())
    alone, together = baseline(problem, "cheapest_slot"), solve(problem)
    assert alone.is_ready.sum() == 2
    assert together.is_ready.all()
    assert violations(problem, together) == []
    # The cheap slot is used to the limit, and not beyond it.
    assert together.power_kw[:, CHEAP_SLOT].sum() == pytest.approx(ROOM_KW, abs=1e-3)
    assert together.cost.energy < baseline(problem, "fcfs").cost.energy


def test_the_picture_of_the_cheap_slot_is_what_its_command_draws() -> None:
    drawn = picture(problem_from_record(cheap_slot_record()))
    kept = (Path(__file__).parents[2] / "docs" / "cheap_slot.svg").read_text()
    words = [re.findall(r">([^<\n]+)<", svg) for svg in (drawn, kept)]
    assert words[0] == words[1]
    assert "2 of 6 ready" in words[0]
    assert "6 of 6 ready" in words[0]


def test_a_plan_is_never_empty_when_targets_are_out_of_reach(depot: Callable[..., Problem]) -> None:
    vehicle = {"start_soc_pct": 10.0, "required_soc_pct": 100.0, "departure_slot": 4}
    problem = depot(*[vehicle] * 3, grid_limit_kw=[21.0] * 8)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.power_kw[:, :4].sum(axis=0) == pytest.approx(np.full(4, 11.0), abs=1e-3)
    assert all(reason is not None for reason in plan.reasons)


def test_a_site_over_its_limit_before_any_vehicle_still_gets_a_plan(depot: Callable[..., Problem]) -> None:
    problem = depot({}, base_load_kw=[120.0, 120.0] + [10.0] * 6)
    plan = solve(problem)
    assert plan.is_ready.all()
    assert plan.power_kw[0, :2].sum() == 0
    assert plan.solver.lower_bound is None


def test_export_that_pays_more_than_import_invites_no_arbitrage(depot: Callable[..., Problem]) -> None:
    problem = depot({}, pv_kw=[60.0] * 8, price_per_kwh=[0.02] * 8, feed_in_per_kwh=0.08)
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.is_ready.all()
    assert plan.solver.lower_bound is None


@pytest.mark.data
def test_solve_is_deterministic(bench: SimpleNamespace) -> None:
    problem = problem_from_record(bench.generate.generate(40, 5, "connectors"))
    one, two = solve(problem), solve(problem)
    assert np.array_equal(one.power_kw, two.power_kw)
    assert np.array_equal(one.assignment.connector, two.assignment.connector)


def test_carbon_moves_charging_to_clean_slots_at_its_price(depot: Callable[..., Problem]) -> None:
    dirty_first = [0.6] * 4 + [0.1] * 4
    site = {"price_per_kwh": [0.20] * 4 + [0.25] * 4, "demand_charges": [], "carbon_kg_per_kwh": dirty_first}
    vehicle = {"required_soc_pct": 55.0}
    free, priced = depot(vehicle, **site), depot(vehicle, **site, carbon_price_per_kg=0.2)
    without, plan = solve(free), solve(priced)
    assert violations(priced, plan) == []
    assert without.power_kw[0, 4:].sum() == pytest.approx(0, abs=1e-3)
    assert plan.power_kw[0, :4].sum() == pytest.approx(0, abs=1e-3)
    energy_kwh = 60 * 0.05 / 0.9
    # The site's own 10 kW emit, too.
    assert plan.cost.carbon == pytest.approx(0.2 * (10 * (0.6 + 0.1) + 0.1 * energy_kwh), rel=1e-3)
    assert plan.cost.total == pytest.approx(plan.cost.energy + plan.cost.carbon, abs=0.01)


def test_a_ratchet_and_a_billing_boundary_are_demand_charges_over_slots(depot: Callable[..., Problem]) -> None:
    """A month that ends inside the horizon is two charges; a ratchet is a peak that counts as paid already."""
    month = {"name": "old month", "price_per_kw": 10.0, "so_far_kw": 21.0, "slots": [0, 1, 2, 3]}
    new = {"name": "new month, ratchet at 16 kW", "price_per_kw": 10.0, "so_far_kw": 16.0, "slots": [4, 5, 6, 7]}
    problem = depot({"required_soc_pct": 62.0}, demand_charges=[month, new], price_per_kwh=[0.3] * 4 + [0.1] * 4)
    plan = solve(problem)
    assert violations(problem, plan) == []
    # 8 kWh: the cheap new month takes what the ratchet leaves free (6 kW), the old month its free 11 kW for the rest.
    assert plan.power_kw[0, 4:] == pytest.approx(np.full(4, 6.0), abs=1e-2)
    assert plan.power_kw[0, :4].sum() * 0.25 == pytest.approx(2.0, abs=1e-2)
    assert plan.cost.demand == pytest.approx(0, abs=1e-3)
