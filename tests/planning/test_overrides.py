"""Overrides: who is meant, until when, and what a plan makes of them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from planning.assembly import assemble
from planning.overrides import Override, overridden_connectors, overridden_requests
from planning.site_state import SiteState, VehicleRequest
from planning.solve import solve
from tests.planning.test_assembly import START, connector, out, plugged, request, site

LATER = START + timedelta(hours=2)


def override(kind: str, **changes: object) -> Override:
    known = {"vehicle_id": None if "connector" in changes else request().spec.vehicle_id}
    return Override("o-1", kind, START, LATER, **{**known, **changes})


def applied(one: VehicleRequest, decision: Override, *, minutes: float = 0) -> VehicleRequest:
    at = START + timedelta(minutes=minutes)
    (found,) = overridden_requests([one], [connector(1), connector(2)], [decision], as_of=at)
    return found


@pytest.mark.parametrize(("minutes", "holds"), [(0, True), (119, True), (120, False)])
def test_it_expires(minutes: float, holds: bool) -> None:
    found = applied(plugged(1), override("target", target_soc_pct=95.0), minutes=minutes)
    assert found.requirement.soc_pct == (95.0 if holds else 80.0)
    assert bool(found.notes) == holds


def test_it_is_about_nobody_else() -> None:
    one = plugged(1)
    assert applied(one, override("target", target_soc_pct=95.0, vehicle_id="van-99")) == one


def test_departure_and_target_replace_what_was_planned() -> None:
    departure = START + timedelta(hours=5)
    found = applied(plugged(1), override("departure", departure_at=departure))
    assert (found.requested_departure_at, found.departure_source) == (departure, "override")
    assert applied(out(3), override("target", target_soc_pct=95.0)).requirement.owner == "override"


def test_out_of_service_vehicles_are_not_charged() -> None:
    state = site(connector(1, transaction_id="7"))
    (one,) = overridden_requests([plugged(1)], state.connectors, [override("out_of_service")], as_of=START)
    plan = solve(assemble(state, [one], as_of=START).problem)
    assert plan.power_kw.sum() == 0


def test_charge_now_takes_full_power_at_once() -> None:
    state = site(connector(1, transaction_id="7"), connector(2))
    (one,) = overridden_requests([plugged(1)], state.connectors, [override("charge_now")], as_of=START)
    problem = assemble(state, [one], as_of=START).problem
    plan = solve(problem)
    most = problem.fleet.max_power_kw[0]
    assert plan.power_kw[0, 0] == pytest.approx(most, rel=0.1)
    assert plan.is_ready.all()


def closed(state: SiteState) -> SiteState:
    decision = override("out_of_service", connector=("CP-1", 1))
    return replace(state, connectors=overridden_connectors(state.connectors, [decision], as_of=START))


def test_nobody_is_planned_at_a_connector_out_of_service() -> None:
    state = closed(site(connector(1), connector(2)))
    decision = override("out_of_service", connector=("CP-1", 1))
    coming = out(2.0, bay=("CP-1", 1))
    (one,) = overridden_requests([coming], state.connectors, [decision], as_of=START)
    problem = assemble(state, [one], as_of=START).problem
    assert problem.connectors is not None
    assert [item.station_id for item in problem.connectors.items] == ["CP-2"]
    assert solve(problem).is_ready.all()


def test_who_stands_there_must_be_plugged_in_elsewhere() -> None:
    state = closed(site(connector(1, transaction_id="7"), connector(2)))
    decision = override("out_of_service", connector=("CP-1", 1))
    (one,) = overridden_requests([plugged(1)], state.connectors, [decision], as_of=START)
    assert one.plugged_at is None
    assert one.notes == ("CP-1/1 is out of service",)
    assembled = assemble(state, [one], as_of=START)
    assert solve(assembled.problem).is_ready.all()
