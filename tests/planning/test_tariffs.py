"""Price tiers and soft limits: their cost by hand, what they make the plan do, and that readiness comes before them."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planning.documents import problem_from_record, problem_record
from planning.feasibility import measure, violations
from planning.findings import ProblemError
from planning.model import Problem
from planning.optimiser.decomposition import solve_decomposed
from planning.optimiser.monolith import solve_monolith
from planning.optimiser.scope import free_scope
from planning.solve import solve

# Six kWh in the battery, 6.67 at the grid.
VAN = {"start_soc_pct": 50.0, "required_soc_pct": 60.0, "battery_kwh": 60.0, "taper_knee_soc_pct": 100.0}
PEAK_HOURS = {"name": "peak hours", "limit_kw": [12.0] * 4 + [100.0] * 4, "price_per_kwh": 0.5}


def test_measure_prices_tiers_and_overruns_by_hand(depot: Callable[..., Problem]) -> None:
    tiers = [
        {"name": "second", "above_kwh": 20.0, "so_far_kwh": 15.0, "surcharge_per_kwh": 0.1},
        {"name": "third", "above_kwh": 10.0, "so_far_kwh": 15.0, "surcharge_per_kwh": 0.02},
    ]
    problem = depot(VAN, price_tiers=tiers, soft_limits=[PEAK_HOURS])
    cost = measure(problem, np.full((1, 8), 4.0), None).cost
    # 14 kW over two hours are 28 kWh: 23 of them beyond the second tier, all beyond the third.
    assert np.isclose(cost.tiers, 23 * 0.1 + 28 * 0.02)
    assert np.isclose(cost.overrun, 2.0 * 1.0 * 0.5)
    assert np.isclose(cost.total, cost.energy + cost.demand + cost.shortfall + cost.tiers + cost.overrun)


def test_a_soft_limit_moves_charging_and_readiness_overrides_it(depot: Callable[..., Problem]) -> None:
    can_wait = depot(VAN, soft_limits=[PEAK_HOURS])
    plan = solve(can_wait)
    assert plan.is_ready.all()
    assert plan.cost.overrun < 1e-3
    must_not = depot({**VAN, "departure_slot": 4}, soft_limits=[PEAK_HOURS])
    plan = solve(must_not)
    assert violations(must_not, plan) == []
    assert plan.is_ready.all()
    # Two kW an hour pass under the limit; the rest of 6.67 kWh goes above it.
    assert np.isclose(plan.cost.overrun, (6.0 / 0.9 - 2.0) * 0.5, atol=1e-2)


def test_a_soft_limit_dearer_than_a_shortfall_is_kept(depot: Callable[..., Problem]) -> None:
    dear = {**PEAK_HOURS, "price_per_kwh": 500.0}
    plan = solve(depot({**VAN, "departure_slot": 4}, soft_limits=[dear]))
    assert plan.cost.overrun < 1e-2
    assert not plan.is_ready.any()
    assert plan.reasons[0] is not None


def test_tiers_make_a_battery_that_loses_too_much_stand_still(depot: Callable[..., Problem]) -> None:
    """What a round trip saves on price it loses to a surcharge on all that is imported."""
    battery = {
        "capacity_kwh": 20.0,
        "max_power_kw": 10.0,
        "charge_efficiency": 0.8,
        "discharge_efficiency": 0.9,
        "start_kwh": 0.0,
    }
    site: dict[str, Any] = {"price_per_kwh": [0.1] * 4 + [0.2] * 4, "battery": battery, "demand_charges": []}
    used = solve(depot(VAN, **site))
    assert used.battery_kw is not None
    assert used.battery_kw.max() > 1
    tier = {"name": "second", "above_kwh": 0.0, "so_far_kwh": 0.0, "surcharge_per_kwh": 0.3}
    problem = depot(VAN, **site, price_tiers=[tier])
    idle = solve(problem)
    assert violations(problem, idle) == []
    assert idle.battery_kw is not None
    assert np.abs(idle.battery_kw).max() < 1e-3


@pytest.mark.data
def test_the_decomposition_knows_tiers_and_soft_limits(bench: SimpleNamespace) -> None:
    record = bench.generate.generate(60, 4, "late")
    limit = [0.7 * kw for kw in record["grid_limit_kw"]]
    record["soft_limits"] = [{"name": "evening", "limit_kw": limit, "price_per_kwh": 0.05}]
    record["price_tiers"] = [{"name": "second", "above_kwh": 500.0, "so_far_kwh": 0.0, "surcharge_per_kwh": 0.03}]
    problem = problem_from_record(record)
    whole, parts = (method(problem, free_scope(problem)) for method in (solve_monolith, solve_decomposed))
    costs = [measure(problem, one.power_kw, one.battery_kw).cost.total for one in (whole, parts)]
    assert whole.lower_bound is not None
    assert np.isclose(whole.lower_bound, costs[0], rtol=1e-5)
    assert np.isclose(costs[1], costs[0], rtol=1e-3)


def test_tariffs_are_read_and_written(records: SimpleNamespace) -> None:
    tier = {"name": "second", "above_kwh": 20.0, "so_far_kwh": 15.0, "surcharge_per_kwh": 0.1}
    record = records.problem([records.vehicle()], price_tiers=[tier], soft_limits=[PEAK_HOURS])
    written = json.loads(json.dumps(problem_record(problem_from_record(record))))
    assert written["price_tiers"] == [tier]
    assert written["soft_limits"] == [PEAK_HOURS]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"soft_limits": [{**PEAK_HOURS, "limit_kw": [1.0]}]}, "soft_limits[0].limit_kw", id="length"),
        pytest.param(
            {"soft_limits": [{**PEAK_HOURS, "price_per_kwh": -1}]}, "soft_limits[0].price_per_kwh", id="price"
        ),
        pytest.param(
            {"price_tiers": [{"name": "a", "above_kwh": 1, "so_far_kwh": 0, "surcharge_per_kwh": -0.1}]},
            "price_tiers[0].surcharge_per_kwh",
            id="a tier that gets cheaper",
        ),
    ],
)
def test_tariffs_that_make_no_sense_are_refused(records: SimpleNamespace, changes: dict[str, Any], path: str) -> None:
    with pytest.raises(ProblemError) as caught:
        problem_from_record(records.problem([records.vehicle()], **changes))
    assert [found for found, _ in caught.value.findings] == [path]
