"""Connectors that give nothing: who stands there must move, and no peak is driven up for whom nobody moves."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from planning.assembly import assemble
from planning.closures import GIVEN_UP_AFTER, MOVED_IN, closed, elsewhere
from planning.drafts import draft
from planning.hedging import hedge
from planning.model import DemandCharge
from planning.requirements import Requirement
from planning.site_state import Expected
from tests.planning.test_assembly import SLOTS, START, connector, out, plugged, site

BROKEN = ("CP-1", 1)


def test_who_stands_there_must_be_plugged_in_elsewhere() -> None:
    moved = elsewhere(plugged(1), {BROKEN: START}, as_of=START)
    assert moved.plugged_at is None
    assert moved.transaction_id is None
    assert moved.arrival is not None
    assert moved.arrival.at == START + MOVED_IN
    assert moved.expected == Expected(None, 0.0)
    assert moved.notes == ("CP-1/1 is out of service",)


def test_all_others_stay_as_they_are_and_nobody_comes_to_it() -> None:
    assert elsewhere(plugged(2), {BROKEN: START}, as_of=START) == plugged(2)
    assert elsewhere(out(2.0), {BROKEN: START}, as_of=START) == out(2.0)
    assert elsewhere(plugged(2, bay=BROKEN), {BROKEN: START}, as_of=START) == plugged(2)
    flags = [item.is_out_of_service for item in closed((connector(1), connector(2)), {BROKEN: START})]
    assert flags == [True, False]


def test_whose_bay_is_out_of_service_is_planned_for_once_it_is_plugged_in() -> None:
    """Until then limits keep room for it at any other connector, and no peak is driven up."""
    expected = Expected(START + timedelta(hours=1), 60.0)
    coming = elsewhere(out(2.0, bay=BROKEN, expected=expected), {BROKEN: START}, as_of=START)
    assert (coming.bay, coming.expected) == (None, Expected(None, 0.0))
    assert coming.notes == ("CP-1/1 is out of service",)
    assert coming.arrival == out(2.0).arrival
    state = site(connector(1), connector(2), connector(3, transaction_id="8"))
    state = replace(
        state,
        demand_charges=(DemandCharge("month", 10.0, 0.0, None),),
        connectors=closed(state.connectors, {BROKEN: START}),
    )
    there = plugged(3, transaction_id="8", spec=replace(plugged(3).spec, vehicle_id="van-02"))
    hedged = hedge(state, [coming, there], as_of=START, planner=draft)
    alone = draft(assemble(state, [there], as_of=START).problem)
    assert hedged.plan.vehicle_ids == ("van-02",)
    assert hedged.plan.peak_kw == pytest.approx(alone.peak_kw, abs=0.1)
    careful = assemble(state, [coming, there], as_of=START).problem
    assert careful.fleet.size == 2


def test_whom_nobody_moves_drives_no_peak_up() -> None:
    """Until it stands elsewhere the other one is charged as if it were alone."""
    later = START + timedelta(minutes=1)
    stuck = elsewhere(plugged(1), {BROKEN: START}, as_of=later)
    state = site(connector(1, transaction_id="7"), connector(2, transaction_id="8"))
    state = replace(
        state,
        demand_charges=(DemandCharge("month", 10.0, 0.0, None),),
        connectors=closed(state.connectors, {BROKEN: START}),
    )
    well = plugged(2, spec=replace(plugged(2).spec, vehicle_id="van-02"))
    hedged = hedge(state, [stuck, well], as_of=later, planner=draft)
    alone = draft(assemble(state, [well], as_of=later).problem)
    assert hedged.plan.vehicle_ids == ("van-02",)
    assert hedged.plan.peak_kw == pytest.approx(alone.peak_kw, abs=0.1)
    excluded = hedged.assembled.inputs["excluded"]
    assert [one["vehicle_id"] for one in excluded] == [stuck.spec.vehicle_id]


@pytest.mark.parametrize("is_given_up", [False, True])
def test_whom_nobody_moves_for_hours_is_given_up(is_given_up: bool) -> None:
    """As long as the limits keep room for it, the other one must hurry before its last hours come."""
    later = START + GIVEN_UP_AFTER + timedelta(minutes=1)
    leaves_at = later + timedelta(hours=3, minutes=30)
    closed_at = START if is_given_up else later - timedelta(minutes=1)
    stuck = elsewhere(plugged(1, requested_departure_at=leaves_at), {BROKEN: closed_at}, as_of=later)
    assert (stuck.arrival is None) == is_given_up
    well = plugged(
        2,
        spec=replace(plugged(2).spec, vehicle_id="van-02"),
        requested_departure_at=leaves_at,
        requirement=Requirement(60.0, "dispatch", None),
    )
    state = site(
        connector(1, transaction_id="7"),
        connector(2, transaction_id="8"),
        start_at=later,
        grid_limit_kw=np.full(SLOTS, 46.0),
        demand_charges=(DemandCharge("month", 10.0, 0.0, None),),
    )
    state = replace(state, connectors=closed(state.connectors, {BROKEN: closed_at}))
    hedged = hedge(state, [stuck, well], as_of=later, planner=draft)
    assert (hedged.leaning < 1.0) == is_given_up


def test_nobody_is_expected_to_draw_at_a_connector_that_is_out_of_service() -> None:
    """Its transaction runs on: room for its fallback is kept under the limit, and nothing more."""
    state = site(connector(1, transaction_id="7"), connector(2))
    guest = assemble(state, [out(2.0)], as_of=START).problem
    broken = assemble(replace(state, connectors=closed(state.connectors, {BROKEN: START})), [out(2.0)], as_of=START)
    assert np.allclose(broken.problem.base_load_kw, state.base_load_kw)
    assert guest.base_load_kw[0] > state.base_load_kw[0]
    assert (broken.problem.grid_limit_kw <= guest.grid_limit_kw).all()
