"""The decomposition and its best responses, against the whole linear programme."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planning.documents import problem_from_record
from planning.feasibility import measure
from planning.model import SHORT_KWH, Group, Problem
from planning.optimiser.connectors import relax_both
from planning.optimiser.decomposition import GAP, solve_decomposed
from planning.optimiser.minimum import repair
from planning.optimiser.monolith import solve_monolith
from planning.optimiser.relaxation import relax
from planning.optimiser.response import FleetResponse
from planning.optimiser.scope import Scope, assigned_scope, curve_of, free_scope
from planning.solve import solve
from planning.taper import settle

VEHICLE = st.fixed_dictionaries(
    {
        "arrival_slot": st.integers(0, 6),
        "departure_slot": st.integers(8, 16),
        "start_soc_pct": st.floats(5, 99).map(lambda value: round(value, 1)),
        "required_soc_pct": st.floats(5, 100).map(lambda value: round(value, 1)),
        "battery_kwh": st.sampled_from([8.0, 20.0, 60.0]),
        "max_power_kw": st.sampled_from([4.6, 11.0, 22.0]),
        "taper_power_kw": st.sampled_from([11.0, 30.0]),
        "taper_knee_soc_pct": st.sampled_from([30.0, 80.0, 95.0, 100.0]),
        "taper_end_fraction": st.sampled_from([0.0, 0.2, 1.0]),
    }
)
PRICES = st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.6]), min_size=16, max_size=16)


@given(st.lists(VEHICLE, min_size=1, max_size=5), PRICES, st.sampled_from([0.0, 0.3]), st.sampled_from([0.4, 100.0]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_best_response_is_exact(
    depot: Callable[..., Problem], fleet: list[dict[str, Any]], prices: list[float], rebate: float, short: float
) -> None:
    """At fixed prices the whole programme does no better; with a rebate some prices are negative."""
    price = np.array(prices) - rebate
    problem = depot(
        *fleet,
        slots=16,
        price_per_kwh=price.tolist(),
        feed_in_per_kwh=float(price.min()),
        grid_limit_kw=[1e4] * 16,
        base_load_kw=[0.0] * 16,
        demand_charges=[],
        shortfall_price_per_kwh=short,
    )
    scope = free_scope(problem)
    response = FleetResponse(problem, scope)
    energy = response.respond(price[None], np.zeros(problem.fleet.size, dtype=np.int64))
    taken = settle(curve_of(problem), problem.fleet.start_soc_pct / 100, energy / 0.25) * 0.25
    assert taken == pytest.approx(energy, abs=1e-6)
    assert not energy[~problem.present()].any()
    cost = float((energy * price).sum() + response.shortfall_cost(energy).sum())
    best = solve_monolith(problem, scope).lower_bound
    assert best is not None
    assert cost == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("price_per_kwh", [0.2, -0.2])
def test_who_needs_nothing_takes_what_is_paid_for_alone(depot: Callable[..., Problem], price_per_kwh: float) -> None:
    """Full batteries take nothing at any price; those at their target go on where somebody pays for it."""
    full = {"arrival_slot": 0, "departure_slot": 8, "start_soc_pct": 100.0, "required_soc_pct": 100.0}
    done = {**full, "start_soc_pct": 70.0, "required_soc_pct": 70.0, "taper_knee_soc_pct": 30.0}
    prices = np.full(8, price_per_kwh)
    for fleet in ([full, full], [done, done, full]):
        problem = depot(*fleet, slots=8, price_per_kwh=prices.tolist(), grid_limit_kw=[1e4] * 8, base_load_kw=[0.0] * 8)
        response = FleetResponse(problem, free_scope(problem))
        energy = response.respond(prices[None], np.zeros(len(fleet), dtype=np.int64))
        takes = problem.fleet.start_soc_pct < (100 if price_per_kwh < 0 else 0)
        assert np.array_equal(energy.sum(axis=1) > 0.1, takes)


@pytest.mark.data
@pytest.mark.parametrize("variant", ["base", "late", "solar", "tight"])
def test_the_decomposition_is_as_good_as_the_whole_programme(bench: SimpleNamespace, variant: str) -> None:
    problem = problem_from_record(bench.generate.generate(160, 21, variant))
    scope = free_scope(problem)
    whole, parts = solve_monolith(problem, scope), solve_decomposed(problem, scope)
    assert whole.lower_bound is not None
    assert parts.lower_bound is not None
    cost = measure(problem, parts.power_kw, parts.battery_kw).cost.total
    assert parts.lower_bound <= whole.lower_bound * (1 + 1e-6)
    assert cost <= whole.lower_bound + 1.1 * GAP * abs(whole.lower_bound)
    taken = settle(curve_of(problem), problem.fleet.start_soc_pct / 100, parts.power_kw)
    assert taken == pytest.approx(parts.power_kw, abs=1e-6)


@pytest.mark.data
def test_the_decomposition_keeps_the_limits_of_groups(bench: SimpleNamespace) -> None:
    problem = problem_from_record(bench.generate.generate(160, 22, "late"))
    free = free_scope(problem)
    load = solve_monolith(problem, free).power_kw
    member = np.arange(160) % 3 - 1
    limit = 0.7 * load[member == 0].sum(axis=0).max()
    grouped = replace(problem, groups=(Group("one", np.full(96, limit)), Group("two", np.full(96, 1e5))))
    scope = Scope(free.ceiling_kw, member)
    whole, parts = solve_monolith(grouped, scope), solve_decomposed(grouped, scope)
    assert whole.lower_bound is not None
    assert parts.lower_bound is not None
    assert parts.power_kw[member == 0].sum(axis=0).max() <= limit + 1e-6
    cost = measure(grouped, parts.power_kw, None).cost.total
    assert parts.lower_bound - 1e-3 <= whole.lower_bound <= cost + 1e-3
    assert cost - whole.lower_bound <= 1.1 * GAP * cost


@pytest.mark.data
def test_large_fleets_go_to_the_decomposition_and_give_the_same_twice(bench: SimpleNamespace) -> None:
    problem = problem_from_record(bench.generate.generate(150, 23, "base"))
    one, two = relax(problem, free_scope(problem)), relax(problem, free_scope(problem))
    assert one.name == "decomposition"
    assert np.array_equal(one.power_kw, two.power_kw)
    assert relax(problem.with_fleet(range(20)), free_scope(problem.with_fleet(range(20)))).name == "highs"


@pytest.mark.data
def test_repair_by_chunks_leaves_who_obeys_alone_and_costs_next_to_nothing(bench: SimpleNamespace) -> None:
    problem = problem_from_record(bench.generate.generate(420, 24, "minpower"))
    scope = free_scope(problem)
    relaxed = relax(problem, scope)
    mended = repair(problem, scope, relaxed)
    drawn = mended.power_kw[mended.power_kw > 1e-6]
    least = np.broadcast_to(problem.fleet.min_power_kw[:, None], mended.power_kw.shape)[mended.power_kw > 1e-6]
    assert (drawn >= least - 1e-6).all()
    obeys = ((relaxed.power_kw == 0) | (relaxed.power_kw >= problem.least_kw[:, None])).all(axis=1)
    assert obeys.any()
    assert np.array_equal(mended.power_kw[obeys], relaxed.power_kw[obeys])
    figures = measure(problem, mended.power_kw, None)
    assert figures.shortfall_kwh.sum() < 0.05
    assert relaxed.lower_bound is not None
    assert figures.cost.total <= 1.002 * relaxed.lower_bound


@pytest.mark.data
def test_who_keeps_full_power_while_many_are_mended_is_not_short_for_it(bench: SimpleNamespace) -> None:
    problem = problem_from_record(bench.generate.generate(3000, 7, "minpower"))
    plan = solve(problem)
    assert plan.shortfall_kwh.max() <= SHORT_KWH
    assert plan.solver.lower_bound is not None
    assert plan.cost.total <= 1.002 * plan.solver.lower_bound


@pytest.mark.data
def test_a_master_that_ends_outside_the_tolerances_is_solved_anew(bench: SimpleNamespace) -> None:
    """One of some 300 fleets: HiGHS 1.15 called it neither optimal nor infeasible when it went on from a basis."""
    problem = problem_from_record(bench.generate.generate(1000, 12, "tight"))
    assert relax(problem, free_scope(problem)).name == "decomposition"


@pytest.mark.data
def test_every_vehicle_answers_the_prices_that_it_sees(bench: SimpleNamespace) -> None:
    problem = problem_from_record(bench.generate.generate(90, 25, "base"))
    response = FleetResponse(problem, free_scope(problem))
    prices = np.random.default_rng(1).uniform(0.05, 0.6, (3, problem.slots))
    sees = np.arange(90) % 3
    apart = np.stack([response.respond(prices[[row]], np.zeros(90, dtype=np.int64)) for row in range(3)])
    assert np.array_equal(response.respond(prices, sees), apart[sees, np.arange(90)])


@pytest.mark.data
def test_the_bound_and_the_first_assignment_are_the_same_side_by_side(bench: SimpleNamespace) -> None:
    problem = problem_from_record(bench.generate.generate(200, 26, "connectors"))
    bound, first = relax_both(problem)
    alone = relax(problem, free_scope(problem))
    assert np.array_equal(bound.power_kw, alone.power_kw)
    assert bound.lower_bound == alone.lower_bound
    within = assigned_scope(problem, first.assignment)
    assert np.array_equal(first.relaxed.power_kw, relax(problem, within).power_kw)
    assert (first.relaxed.power_kw <= within.ceiling_kw + 1e-9).all()


@pytest.mark.data
@pytest.mark.parametrize("variant", ["base", "tight"])
def test_a_warm_start_is_as_good_as_a_cold_one(bench: SimpleNamespace, variant: str) -> None:
    problem = problem_from_record(bench.generate.generate(400, 21, variant))
    before = solve(problem)
    soc = np.minimum(problem.fleet.start_soc_pct + 1.0, 99.0)
    changed = replace(problem, fleet=replace(problem.fleet, start_soc_pct=soc))
    cold, warm = solve(changed), solve(changed, start_price=before.slot_price)
    assert warm.solver.name == "decomposition"
    assert warm.cost.total == pytest.approx(cold.cost.total, rel=5e-4)
    assert warm.solver.lower_bound is not None
    assert warm.solver.lower_bound <= cold.cost.total * (1 + 1e-9)
