"""A night in hindsight: every policy on the same facts, and who could not have been made ready by anyone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from planning.baselines import RULES
from planning.counterfactual import FORESIGHT, Stay, hindsight, hindsight_problem
from planning.feasibility import violations
from planning.model import DemandCharge, Group
from planning.site_state import ConnectorState, SiteState, VehicleSpec
from planning.solve import solve

START = datetime(2026, 2, 10, 12, tzinfo=UTC)
SLOTS = 80


def site(limit_kw: float = 60.0, **changes: object) -> SiteState:
    known = {
        "site_id": "north",
        "currency": "EUR",
        "start_at": START,
        "grid_limit_kw": np.full(SLOTS, limit_kw),
        "base_load_kw": np.full(SLOTS, 10.0),
        "pv_kw": np.zeros(SLOTS),
        "price_per_kwh": np.where(np.arange(SLOTS) < 48, 0.3, 0.1),
        "connectors": (),
        "demand_charges": (DemandCharge("month", 10.0, 20.0, None),),
    }
    return SiteState(**{**known, **changes})


def stay(number: int, *, arrive_h: float = 5.0, leave_h: float = 18.0, start: float = 30.0, need: float = 80.0) -> Stay:
    return Stay(
        spec=VehicleSpec(f"van-{number}", usable_kwh=70.0, ac_max_kw=11.0),
        plugged_in_at=START + timedelta(hours=arrive_h),
        departed_at=START + timedelta(hours=leave_h),
        start_soc_pct=start,
        required_soc_pct=need,
        current_type="ac",
        connector_max_kw=22.0,
        connector_min_kw=4.14,
        group_id="feeder",
    )


def test_hindsight_scores_every_policy_on_the_same_facts() -> None:
    night = hindsight(site(), [stay(number) for number in range(6)])
    assert set(night.scores) == {*RULES, FORESIGHT}
    foresight = night.scores[FORESIGHT]
    assert foresight.ready_pct == 100
    assert night.infeasible == ()
    assert all(foresight.cost <= score.cost + 1e-6 for score in night.scores.values() if score.ready_pct == 100)
    assert night.scores["uncontrolled"].peak_kw == pytest.approx(76.0)


def test_hindsight_names_departures_that_nobody_could_have_made_ready() -> None:
    night = hindsight(site(), [stay(1), stay(2, leave_h=6.0)])
    assert night.infeasible == ("van-2",)
    assert night.scores[FORESIGHT].ready == 1


def test_ready_tolerates_one_point() -> None:
    one_hour = 100 * 11 * 0.9 / 70  # what an hour at full power gives, in points
    stays = [stay(1, leave_h=6.0, need=30 + one_hour + 0.9), stay(2, leave_h=6.0, need=30 + one_hour + 1.1)]
    assert hindsight(site(), stays).infeasible == ("van-2",)


def test_rules_and_foresight_leave_room_for_idle_connectors_and_the_margin() -> None:
    idle = ConnectorState("CP-1", 1, "ac", max_kw=22.0, min_kw=4.14, fallback_kw=4.2)
    state = site(connectors=(idle,), safety_margin_kw=2.0)
    problem = hindsight_problem(state, [replace(stay(1), connector=("CP-1", 1))])
    assert problem.grid_limit_kw[0] == pytest.approx(60.0 - 2.0 - 4.2)  # nobody is there yet
    assert problem.grid_limit_kw[30] == pytest.approx(60.0 - 2.0)


def test_best_rule_is_the_cheapest_that_is_as_ready_and_within_the_limit() -> None:
    night = hindsight(site(limit_kw=50.0), [stay(number) for number in range(6)])
    best = night.best_rule(ready_pct=100.0)
    assert best.policy == "llf_min_peak"
    assert night.scores["uncontrolled"].peak_kw > 50.0
    assert best.cost <= night.scores["fcfs"].cost


def test_best_rule_is_the_readiest_where_none_is_as_ready_as_the_plan() -> None:
    night = hindsight(site(limit_kw=26.0), [stay(number, leave_h=12.0) for number in range(4)])
    best = night.best_rule(ready_pct=101.0)
    assert best.ready_pct == max(
        score.ready_pct for name, score in night.scores.items() if name in RULES and name != "uncontrolled"
    )


def test_hindsight_problem_keeps_the_groups_that_vehicles_really_shared() -> None:
    state = site(groups=(Group("feeder", np.full(SLOTS, 15.0)),))
    problem = hindsight_problem(state, [stay(1), stay(2)])
    plan = solve(problem)
    assert violations(problem, plan) == []
    assert plan.power_kw.sum(axis=0).max() <= 15.0 + 1e-6
    assert hindsight(state, []).scores[FORESIGHT].ready_pct == 100.0
