"""What a plan changed, and why: every reason is a fact that differs, and what goes on is called unchanged."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from planning.assembly import assemble
from planning.changes import PlanFacts, changes, expected_soc
from planning.fallback import SocEstimate
from planning.publication import to_publication
from planning.requirements import Requirement
from planning.site_state import ArrivalEstimate, SiteState, VehicleRequest
from planning.solve import solve
from tests.planning.test_assembly import START, connector, out, plugged, site

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "plan_changes-1.json").read_text())
QUARTER = timedelta(minutes=15)
COMING = ArrivalEstimate(START + QUARTER, "telematics", 1)
HERE = site(connector(1, transaction_id="7"), connector(2))


def planned(
    state: SiteState, *requests: VehicleRequest, quarters: int = 0, overrides: tuple[str, ...] = ()
) -> PlanFacts:
    at = START + quarters * QUARTER
    moved = replace(state, start_at=at)
    assembled = assemble(moved, requests, as_of=at)
    plan = solve(assembled.problem, as_of=at)
    name = f"plan-{quarters}-{len(requests)}"
    publication = to_publication(plan, assembled.problem, moved, plan_id=name, as_of=at)
    soc = expected_soc(assembled.problem, plan.power_kw)
    inputs = {**assembled.inputs, "overrides": list(overrides)}
    return PlanFacts(name, at, inputs, assembled.problem, publication, soc)


def after(before: PlanFacts, one: VehicleRequest) -> VehicleRequest:
    """Return the request of a vehicle that charged as the plan before expected."""
    soc = before.expected_soc_pct[one.spec.vehicle_id][0]
    return replace(one, soc=SocEstimate(soc, 1, "rfms", before.as_of + QUARTER))


def codes(document: dict) -> list[str]:
    jsonschema.validate(document, SCHEMA)
    return [reason["code"] for reason in document["reasons"]]


def test_the_first_plan_says_so() -> None:
    now = planned(HERE, plugged(1))
    document = changes(None, now, trigger="nightly")
    assert codes(document) == ["first_plan"]
    assert document["connectors_changed"] == ["CP-1/1"]


def test_where_nothing_happened_time_is_the_reason_and_the_connector_goes_on() -> None:
    """All must charge at full power to the end, so that the plan can only be continued."""
    urgent = plugged(
        1, requested_departure_at=START + timedelta(hours=1), requirement=Requirement(99, "dispatch", None)
    )
    before = planned(HERE, urgent)
    now = planned(HERE, after(before, urgent), quarters=1)
    document = changes(before, now, trigger="intraday")
    assert codes(document) == ["quarter_hour"]
    assert document["previous_plan_id"] == before.plan_id
    assert (document["connectors_unchanged"], document["connectors_changed"]) == (["CP-1/1"], [])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"soc": SocEstimate(90.0, 1, "rfms", START)}, "deviation"),
        ({"requested_departure_at": START + timedelta(hours=6)}, "departure"),
        ({"requirement": Requirement(60.0, "dispatch", None)}, "target"),
        (
            {"plugged_at": None, "transaction_id": None, "arrival": ArrivalEstimate(START + QUARTER, "x", 1)},
            "unplugged",
        ),
    ],
)
def test_what_differs_of_a_vehicle_is_a_reason(change: dict, code: str) -> None:
    one = plugged(1)
    before = planned(HERE, one)
    now = planned(HERE, replace(after(before, one), **change), quarters=1)
    assert codes(changes(before, now, trigger="intraday")) == [code]


def test_a_vehicle_that_plugs_in_or_comes_later_is_a_reason() -> None:
    before = planned(site(connector(1)), out(2.0))
    came = planned(HERE, plugged(1), quarters=1)
    late = planned(site(connector(1)), out(3.0), quarters=1)
    assert codes(changes(before, came, trigger="plug_in")) == ["plugged_in"]
    document = changes(before, late, trigger="intraday")
    assert codes(document) == ["forecast"]
    assert "60 min later" in document["reasons"][0]["text"]
    assert codes(changes(before, planned(HERE), trigger="plug_in")) == ["left"]


def test_prices_limits_and_overrides_are_reasons() -> None:
    one = plugged(1)
    before = planned(HERE, one)
    same = after(before, one)
    slots = HERE.slots
    dearer = planned(replace(HERE, price_per_kwh=np.full(slots, 0.3)), same, quarters=1)
    lower = planned(replace(HERE, grid_limit_kw=np.full(slots, 90.0)), same, quarters=1)
    told = planned(HERE, same, quarters=1, overrides=("override o-1, charge now",))
    assert codes(changes(before, dearer, trigger="intraday")) == ["price"]
    assert codes(changes(before, lower, trigger="intraday")) == ["limit"]
    assert codes(changes(before, told, trigger="override")) == ["override"]
    assert codes(changes(told, planned(HERE, same, quarters=1), trigger="override")) == ["override_over"]
