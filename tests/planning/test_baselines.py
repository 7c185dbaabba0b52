"""The simple rules: each does what its name says, and none does better than the optimum."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from planning.baselines import RULES, baseline
from planning.documents import problem_from_record
from planning.feasibility import violations
from planning.model import Problem
from planning.solve import solve


def test_uncontrolled_charges_from_plug_in_and_ignores_the_limit(depot: Callable[..., Problem]) -> None:
    problem = depot({"arrival_slot": 2}, {}, grid_limit_kw=[15.0] * 8)
    plan = baseline(problem, "uncontrolled")
    assert plan.power_kw[0, 2:4].tolist() == [11.0, 11.0]
    assert plan.is_ready.all()
    assert any("site limit" in sentence for sentence in violations(problem, plan))


def test_uncontrolled_respects_the_taper(depot: Callable[..., Problem]) -> None:
    problem = depot({"start_soc_pct": 92.0, "required_soc_pct": 100.0}, grid_limit_kw=[500.0] * 8)
    plan = baseline(problem, "uncontrolled")
    assert violations(problem, plan) == []
    assert np.all(np.diff(plan.power_kw[0, 1:5]) < 0)


@pytest.mark.parametrize(("rule", "first"), [("fcfs", 0), ("edf", 1), ("llf", 2)])
def test_rules_serve_first_whom_they_say(depot: Callable[..., Problem], rule: str, first: int) -> None:
    problem = depot(
        {"arrival_slot": 0, "required_soc_pct": 70.0},
        {"arrival_slot": 1, "required_soc_pct": 55.0, "departure_slot": 5},
        {"arrival_slot": 1, "required_soc_pct": 79.0, "departure_slot": 8},
        grid_limit_kw=[21.0] * 8,
    )
    plan = baseline(problem, rule)
    assert int(plan.power_kw[:, 1].argmax()) == first
    assert plan.power_kw[:, 1].sum() == pytest.approx(11.0)
    assert violations(problem, plan) == []


def test_llf_min_peak_lowers_the_peak_as_far_as_it_still_delivers(depot: Callable[..., Problem]) -> None:
    problem = depot({}, {}, grid_limit_kw=[100.0] * 8)
    high, low = baseline(problem, "llf"), baseline(problem, "llf_min_peak")
    assert low.is_ready.all()
    assert low.peak_kw < high.peak_kw
    # 26.7 kWh over eight slots on top of the other 10 kW.
    assert low.peak_kw == pytest.approx(10 + 2 * 60 * 0.2 / 0.9 / 2, abs=0.1)


def test_rules_drop_powers_below_the_minimum(depot: Callable[..., Problem]) -> None:
    problem = depot({}, {}, grid_limit_kw=[22.0] * 8, enforce_min_power=True)
    for rule in RULES:
        plan = baseline(problem, rule)
        drawn = plan.power_kw[plan.power_kw > 0]
        assert (drawn >= 4.14 - 1e-9).all()
        assert drawn.size


def test_rules_share_a_group(records: SimpleNamespace) -> None:
    vehicles = [records.vehicle("a", plugged_connector=0), records.vehicle("b", plugged_connector=1)]
    items = [records.connector(0, group_id="feeder"), records.connector(1, group_id="feeder")]
    record = records.problem(
        vehicles,
        connectors={"items": items, "attended": [False] * 8},
        groups=[{"group_id": "feeder", "limit_kw": [13.0] * 8}],
    )
    problem = problem_from_record(record)
    plan = baseline(problem, "fcfs")
    assert violations(problem, plan) == []
    assert plan.power_kw[:, 0].tolist() == [11.0, 2.0]


@pytest.mark.data
@pytest.mark.parametrize("variant", ["base", "late", "solar", "minpower"])
def test_no_rule_beats_the_optimum(bench: SimpleNamespace, variant: str) -> None:
    problem = problem_from_record(bench.generate.generate(40, 8, variant))
    best = solve(problem)
    assert best.solver.lower_bound is not None
    for rule in RULES:
        plan = baseline(problem, rule)
        if rule != "uncontrolled":
            assert plan.cost.total >= best.solver.lower_bound - 1e-6
    strongest = baseline(problem, "llf_min_peak")
    assert strongest.is_ready.all()
    assert strongest.cost.total <= baseline(problem, "fcfs").cost.total
