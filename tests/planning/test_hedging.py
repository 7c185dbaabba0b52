"""A plan leans to the careful side as little as it may, and never so little that the careful side is out of reach."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from planning.assembly import assemble
from planning.drafts import draft
from planning.fallback import SocEstimate
from planning.feasibility import violations
from planning.hedging import COMMITTED_SLOTS, LEANINGS, RESERVE, guarded, hedge, leant
from planning.model import DemandCharge, Problem
from planning.optimiser.relaxation import relax
from planning.optimiser.scope import free_scope
from planning.requirements import Requirement
from planning.site_state import ArrivalEstimate, ConnectorState, Expected, SiteState, VehicleRequest, VehicleSpec

START = datetime(2026, 2, 10, 18, tzinfo=UTC)
SLOTS = 24
HOUR = timedelta(hours=1)


def site(limit_kw: float) -> SiteState:
    return SiteState(
        site_id="north",
        currency="EUR",
        start_at=START,
        grid_limit_kw=np.full(SLOTS, limit_kw),
        base_load_kw=np.zeros(SLOTS),
        pv_kw=np.zeros(SLOTS),
        price_per_kwh=np.full(SLOTS, 0.2),
        connectors=tuple(
            ConnectorState(f"CP-{k}", 1, "ac", 11.0, 1.4, 0.0, transaction_id="t" if k == 0 else None) for k in range(3)
        ),
        demand_charges=(DemandCharge("month", 10.0, 0.0, None),),
        slot_minutes=30,
    )


def van(number: int, **changes: object) -> VehicleRequest:
    one = VehicleRequest(
        spec=VehicleSpec(f"van-{number}", 60.0, ac_max_kw=11.0, efficiency=0.9),
        requested_departure_at=START + 11 * HOUR,
        soc=SocEstimate(20.0, 4, "forecast", START),
        requirement=Requirement(80.0, "dispatch", None),
        bay=(f"CP-{number}", 1),
    )
    return replace(one, **changes)


def yard(careful_pct: float = 20.0, here_pct: float = 50.0) -> list[VehicleRequest]:
    """One van that is here, two that are out: expected within an hour at 50 %, at worst in four with less."""
    here = van(0, plugged_at=("CP-0", 1), transaction_id="t", soc=SocEstimate(here_pct, 1, "telematics", START))
    worst = ArrivalEstimate(START + 4 * HOUR, "careful", 4, START)
    soc = SocEstimate(careful_pct, 4, "forecast", START)
    out = [van(k, arrival=worst, soc=soc, expected=Expected(START + HOUR, 50.0)) for k in (1, 2)]
    return [here, *out]


def least_short_kwh(problem: Problem, limit_kw: float, after: Problem | None = None) -> float:
    """The least that can be missing under a limit, by another solver, after another problem's relaxed first slots."""
    fleet, slots = problem.fleet, problem.slots
    most = np.where(problem.present(), fleet.max_power_kw[:, None], 0.0)
    if after is not None:
        row = fleet.vehicle_ids.index("van-0")
        relaxed_kw = relax(after, free_scope(after)).power_kw
        given = relaxed_kw[after.fleet.vehicle_ids.index("van-0"), :COMMITTED_SLOTS]
        most[row, :COMMITTED_SLOTS] = np.minimum(most[row, :COMMITTED_SLOTS], given)
    under_limit = np.tile(np.eye(slots), fleet.size)
    within_need = np.kron(np.eye(fleet.size), np.full(slots, problem.slot_hours))
    found = linprog(
        -np.full(fleet.size * slots, problem.slot_hours),
        A_ub=np.vstack([under_limit, within_need]),
        b_ub=np.concatenate([np.full(slots, limit_kw), fleet.need_kwh]),
        bounds=np.column_stack([np.zeros(most.size), most.ravel()]),
    )
    return float(fleet.need_kwh.sum() + found.fun)


def test_with_room_it_plans_for_less_than_is_expected() -> None:
    hedged = hedge(site(100.0), yard(), as_of=START, planner=draft)
    assert hedged.leaning == LEANINGS[0] < 0
    assert hedged.assembled.problem.fleet.start_soc_pct.tolist() == [50.0, 62.0, 62.0]
    careful = draft(assemble(site(100.0), yard(), as_of=START).problem)
    assert hedged.plan.peak_kw < careful.peak_kw - 1.0


def test_without_room_it_plans_for_the_careful_side() -> None:
    """The van that is here must be done when the others come: 8 kW would do for what is expected, at worst 11."""
    hedged = hedge(site(11.5), yard(here_pct=10.0), as_of=START, planner=draft)
    assert hedged.leaning == 1.0
    assert hedged.assembled.problem.fleet.start_soc_pct.tolist() == [10.0, 20.0, 20.0]


def test_a_tight_night_that_can_be_caught_up_with_is_planned_as_expected() -> None:
    hedged = hedge(site(11.5), yard(), as_of=START, planner=draft)
    assert hedged.leaning == LEANINGS[0]


def test_who_is_plugged_in_and_still_to_be_told_of_is_planned_as_likely_where_there_is_room() -> None:
    """Its telematics is late: at worst it came with 20 %, most likely with 50."""
    here = van(0, plugged_at=("CP-0", 1), transaction_id="t", expected=Expected(None, 50.0))
    roomy = hedge(site(100.0), [here], as_of=START, planner=draft)
    assert roomy.leaning == LEANINGS[0]
    assert roomy.assembled.problem.fleet.start_soc_pct.tolist() == [62.0]
    tight = hedge(site(3.5), [here], as_of=START, planner=draft)
    assert tight.leaning == 1.0
    assert tight.assembled.problem.fleet.start_soc_pct.tolist() == [20.0]


def test_nothing_is_hedged_where_nothing_is_expected() -> None:
    plain = [replace(request, expected=None) for request in yard()]
    hedged = hedge(site(100.0), plain, as_of=START, planner=draft)
    alone = draft(assemble(site(100.0), plain, as_of=START).problem)
    assert hedged.leaning == 1.0
    assert hedged.plan.power_kw.tolist() == alone.power_kw.tolist()


def test_who_is_not_expected_any_more_costs_no_peak_where_the_limit_has_room_for_it() -> None:
    gone = [replace(request, expected=request.expected and Expected(None, 0.0)) for request in yard()]
    alone = draft(assemble(site(100.0), gone[:1], as_of=START).problem)
    roomy = hedge(site(100.0), gone, as_of=START, planner=draft)
    assert roomy.leaning == LEANINGS[0]
    assert roomy.plan.vehicle_ids == ("van-0",)
    assert roomy.plan.peak_kw == pytest.approx(alone.peak_kw)
    tight = hedge(site(11.5), gone, as_of=START, planner=draft)
    kept_kw = 11.5 * (1 - RESERVE)
    careful = assemble(site(11.5), gone, as_of=START).problem
    assert least_short_kwh(careful, kept_kw, tight.assembled.problem) <= least_short_kwh(careful, kept_kw) + 0.02


@settings(max_examples=15)
@given(limit_kw=st.floats(8.0, 60.0), careful_pct=st.floats(5.0, 50.0), here_pct=st.floats(5.0, 70.0))
def test_the_careful_side_stays_within_reach(limit_kw: float, careful_pct: float, here_pct: float) -> None:
    requests = yard(careful_pct, here_pct)
    hedged = hedge(site(limit_kw), requests, as_of=START, planner=draft)
    careful = assemble(site(limit_kw), requests, as_of=START).problem
    assert (hedged.plan.power_kw.sum(axis=0) <= limit_kw + 1e-4).all()
    if hedged.leaning < 1.0:
        left_kw = limit_kw * (1 - RESERVE)
        least_kwh = least_short_kwh(careful, left_kw)
        assert least_short_kwh(careful, left_kw, after=hedged.assembled.problem) <= least_kwh + 0.02


@pytest.mark.parametrize(
    ("share", "hours", "pct"), [(-0.2, 0.4, 56.0), (0.0, 1.0, 50.0), (0.5, 2.5, 35.0), (1.0, 4.0, 20.0)]
)
def test_leaning_is_a_share_of_the_way(share: float, hours: float, pct: float) -> None:
    moved = leant(yard()[1], share, as_of=START)
    assert moved.arrival is not None
    assert moved.arrival.at == START + hours * HOUR
    assert moved.soc.soc_pct == pytest.approx(pct)
    assert leant(yard()[0], share, as_of=START) == yard()[0]
    soon = leant(yard()[1], share, as_of=START + 3 * HOUR).arrival
    assert soon is not None
    assert soon.at == START + max(hours, 3.0) * HOUR


def test_nobody_is_expected_with_more_than_a_full_battery() -> None:
    full = replace(yard()[1], expected=Expected(START + HOUR, 95.0))
    assert leant(full, -0.4, as_of=START).soc.soc_pct == 100.0


def test_what_a_vehicle_may_lack_is_charged_under_the_peak_that_is_reached() -> None:
    """It needs 10 kW for some hours, which drives the peak up; what it may lack beyond that is charged after them."""
    here = van(0, plugged_at=("CP-0", 1), transaction_id="t", soc=SocEstimate(30.0, 4, "forecast", START))
    depot = site(100.0)
    plain = hedge(depot, [here], as_of=START, planner=draft)
    paid = replace(depot, demand_charges=(DemandCharge("month", 10.0, plain.plan.peak_kw + 1.0, None),))
    filled = hedge(paid, [replace(here, least_soc_pct=20.0)], as_of=START, planner=draft)
    assert filled.plan.end_soc_pct[0] == pytest.approx(plain.plan.end_soc_pct[0] + 10.0, abs=0.1)
    assert filled.plan.peak_kw <= plain.plan.peak_kw + 1.0 + 1e-4
    assert filled.assembled.problem.fleet.required_soc_pct[0] == 80.0


def test_a_plan_says_what_it_costs_at_the_charges_that_are_known() -> None:
    depot = replace(site(100.0), demand_charges=(DemandCharge("month", 10.0, 12.0, None),))
    hedged = hedge(depot, yard(), as_of=START, planner=draft)
    assert violations(hedged.assembled.problem, hedged.plan) == []
    assert hedged.assembled.problem.demand_charges == depot.demand_charges
    assert hedged.plan.solver.lower_bound is not None


def test_the_next_slot_is_guarded_against_more_load_than_expected() -> None:
    """Half of the way to the careful side, where a peak is paid for; the room under the limit stays what it was."""
    usual = replace(site(100.0), base_load_kw=np.full(SLOTS, 10.0), base_load_high_kw=np.full(SLOTS, 14.0))
    assert guarded(usual).base_load_kw.tolist() == [12.0] + [10.0] * (SLOTS - 1)
    assert guarded(usual).ev_limit_kw.tolist() == usual.ev_limit_kw.tolist()
    assert guarded(replace(usual, demand_charges=())).base_load_kw.tolist() == [10.0] * SLOTS


def test_a_peak_does_not_climb_by_chance_alone() -> None:
    """A van that needs 6 kW all night, under a load of 10 ± 2 kW: guarded, the peak ends lower."""
    chance = np.random.default_rng(20261126)
    load_kw = 10 + chance.normal(0, 2, SLOTS)

    def peak_kw(*, is_guarded: bool) -> float:
        peak, need_kwh = 0.0, 66.0
        for slot in range(SLOTS):
            known = replace(
                site(100.0),
                start_at=START + slot * HOUR / 2,
                grid_limit_kw=np.full(SLOTS - slot, 100.0),
                base_load_kw=np.full(SLOTS - slot, 10.0),
                base_load_high_kw=np.full(SLOTS - slot, 10 + 1.645 * 2) if is_guarded else None,
                pv_kw=np.zeros(SLOTS - slot),
                price_per_kwh=0.2 + 0.1 * (np.arange(SLOTS)[slot:] >= SLOTS // 2),
                demand_charges=(DemandCharge("month", 10.0, peak, None),),
            )
            soc = SocEstimate(100 - need_kwh * 0.9, 1, "telematics", known.start_at)
            here = van(0, plugged_at=("CP-0", 1), transaction_id="t", soc=soc, requirement=Requirement(100.0, "", None))
            big = replace(here, spec=replace(here.spec, usable_kwh=100.0), requested_departure_at=START + 12 * HOUR)
            power_kw = float(hedge(known, [big], as_of=known.start_at, planner=draft).plan.power_kw[0, 0])
            need_kwh = max(0.0, need_kwh - power_kw / 2)
            peak = max(peak, load_kw[slot] + power_kw)
        assert need_kwh < 0.5
        return peak

    assert peak_kw(is_guarded=True) < peak_kw(is_guarded=False) - 0.2
