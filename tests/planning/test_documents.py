"""Problems read from JSON: what is refused and by which name, what is only warned of, and the way back."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planning.documents import ProblemError, parse_problem, plan_record, problem_from_record, problem_record
from planning.model import Problem
from planning.solve import plan_document, solve

NAN = float("nan")


def error_paths(record: dict[str, Any]) -> list[str]:
    with pytest.raises(ProblemError) as caught:
        parse_problem(json.dumps(record).encode())
    assert all(message for _, message in caught.value.findings)
    return [path for path, _ in caught.value.findings]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"arrival_slot": 5, "departure_slot": 3}, "departure_slot", id="departure before arrival"),
        pytest.param({"required_soc_pct": 100.5}, "required_soc_pct", id="required SoC over 100 %"),
        pytest.param({"required_soc_pct": None}, "required_soc_pct", id="required SoC missing"),
        pytest.param({"start_soc_pct": 140.0}, "start_soc_pct", id="SoC of 140 %"),
        pytest.param({"start_soc_pct": NAN}, "start_soc_pct", id="SoC not a number"),
        pytest.param({"max_power_kw": -1.0}, "max_power_kw", id="negative power"),
        pytest.param({"battery_kwh": 0.0}, "battery_kwh", id="battery of nothing"),
        pytest.param({"battery_kwh": 10**400}, "battery_kwh", id="more digits than a number can have"),
        pytest.param({"battery_kwh": float("inf")}, "battery_kwh", id="a battery without end"),
        pytest.param({"efficiency": 1.2}, "efficiency", id="efficiency above one"),
        pytest.param({"arrival_slot": 1.5}, "arrival_slot", id="half a slot"),
        pytest.param({"arrival_slot": True}, "arrival_slot", id="a boolean for a slot"),
        pytest.param({"current_type": "three-phase"}, "current_type", id="unknown current"),
        pytest.param({"vehicle_id": ""}, "vehicle_id", id="no name"),
        pytest.param({"plugged_connector": "CP-1"}, "plugged_connector", id="connector by name"),
        pytest.param({"transaction_id": [1]}, "transaction_id", id="a list of transactions"),
    ],
)
def test_parse_problem_names_the_field_of_the_vehicle(
    records: SimpleNamespace, changes: dict[str, Any], path: str
) -> None:
    vehicles = [records.vehicle("van-00"), records.vehicle("van-01", **changes)]
    assert error_paths(records.problem(vehicles)) == [f"vehicles[1].{path}"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"grid_limit_kw": [100.0] * 7 + [-1.0]}, "grid_limit_kw[7]", id="negative limit"),
        pytest.param({"price_per_kwh": [0.2] * 5 + [NAN] * 3}, "price_per_kwh[5]", id="price not a number"),
        pytest.param({"price_per_kwh": [0.2] * 5}, "price_per_kwh", id="wrong length"),
        pytest.param({"pv_kw": [-3.0] * 8}, "pv_kw[0]", id="negative solar output"),
        pytest.param({"carbon_kg_per_kwh": [0.3] * 7}, "carbon_kg_per_kwh", id="carbon of a wrong length"),
        pytest.param({"carbon_price_per_kg": -0.1}, "carbon_price_per_kg", id="negative carbon price"),
        pytest.param({"start_at": "2026-02-10T18:00:00"}, "start_at", id="no time zone"),
        pytest.param({"slots": 0}, "slots", id="no slots"),
        pytest.param({"slot_minutes": 7.5}, "slot_minutes", id="half a minute"),
        pytest.param({"schema": "depotwise.plan/1"}, "schema", id="another document"),
        pytest.param({"enforce_min_power": "yes"}, "enforce_min_power", id="a text for a flag"),
        pytest.param({"vehicles": {"van": 1}}, "vehicles", id="no list"),
        pytest.param(
            {"demand_charges": [{"name": "month", "price_per_kw": 1, "so_far_kw": 0, "slots": [8]}]},
            "demand_charges[0].slots",
            id="demand charge beyond the horizon",
        ),
        pytest.param(
            {
                "battery": {
                    "capacity_kwh": 10,
                    "max_power_kw": 5,
                    "charge_efficiency": 0.9,
                    "discharge_efficiency": 0.9,
                    "start_kwh": 11,
                }
            },
            "battery.start_kwh",
            id="battery more than full",
        ),
    ],
)
def test_parse_problem_names_the_field_of_the_site(
    records: SimpleNamespace, changes: dict[str, Any], path: str
) -> None:
    assert error_paths({**records.problem([records.vehicle()]), **changes}) == [path]


@pytest.mark.parametrize(
    ("vehicles", "path"),
    [
        pytest.param([{"plugged_connector": 7}], "vehicles[0].plugged_connector", id="unknown connector"),
        pytest.param([{"bay_connector": 7}], "vehicles[0].bay_connector", id="unknown bay"),
        pytest.param(
            [{"plugged_connector": 0}, {"plugged_connector": 0}], "vehicles[1].plugged_connector", id="held twice"
        ),
        pytest.param(
            [{"plugged_connector": 0, "current_type": "dc"}], "vehicles[0].plugged_connector", id="other current"
        ),
    ],
)
def test_parse_problem_refuses_contradictions_about_connectors(
    records: SimpleNamespace, vehicles: list[dict[str, Any]], path: str
) -> None:
    named = [records.vehicle(f"van-{row}", **changes) for row, changes in enumerate(vehicles)]
    connectors = {"items": [records.connector(0)], "attended": [True] * 8}
    assert error_paths(records.problem(named, connectors=connectors)) == [path]


def test_parse_problem_tells_all_mistakes_at_once(records: SimpleNamespace) -> None:
    vehicles = [records.vehicle("a", start_soc_pct=-1), records.vehicle("a", efficiency=0)]
    paths = error_paths(records.problem(vehicles, pv_kw=[0.0]))
    assert set(paths) == {"pv_kw", "vehicles[0].start_soc_pct", "vehicles[1].efficiency", "vehicles[1].vehicle_id"}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b'"text"'])
def test_parse_problem_refuses_what_is_no_object(data: bytes) -> None:
    with pytest.raises(ProblemError, match="JSON"):
        parse_problem(data)


@pytest.mark.parametrize(
    ("vehicles", "path"),
    [
        pytest.param([], "vehicles", id="nobody to charge"),
        pytest.param([{"plugged_connector": 3}], "vehicles[0].plugged_connector", id="plugged in where nothing is"),
    ],
)
def test_what_has_no_effect_is_warned_of(
    depot: Callable[..., Problem], vehicles: list[dict[str, Any]], path: str
) -> None:
    assert [one.split(": ")[0] for one in solve(depot(*vehicles)).warnings] == [path]


def test_parse_problem_warns_where_a_plan_can_still_be_made(depot: Callable[..., Problem]) -> None:
    problem = depot(
        {"arrival_slot": 3, "departure_slot": 3},
        {"arrival_slot": 9, "departure_slot": 12},
        {},
        base_load_kw=[120.0] + [10.0] * 7,
    )
    plan = solve(problem)
    text = " ".join(plan.warnings)
    assert "vehicles[0].departure_slot" in text
    assert "vehicles[1].arrival_slot" in text
    assert "base_load_kw[0]" in text
    assert plan.is_ready.tolist() == [False, False, True]
    assert all(reason is not None for reason in plan.reasons[:2])


def test_parse_problem_ignores_fields_that_it_does_not_know(records: SimpleNamespace) -> None:
    record = records.problem([records.vehicle(colour="red")], weather={"rain": True})
    assert parse_problem(json.dumps(record).encode()).fleet.vehicle_ids == ("van-01",)


@pytest.mark.parametrize("slots", [92, 100], ids=["a day of 23 hours", "a day of 25 hours"])
def test_plan_document_plans_days_on_which_the_clock_changes(records: SimpleNamespace, slots: int) -> None:
    vehicle = records.vehicle(arrival_slot=20, departure_slot=slots)
    record = records.problem([vehicle], slots=slots, start_at="2026-03-28T23:00:00Z")
    plan = plan_document(json.dumps(record).encode())
    assert len(plan["vehicles"][0]["power_kw"]) == slots
    assert plan["vehicles"][0]["shortfall_kwh"] < 0.001


def test_problem_record_and_problem_from_record_are_inverse(records: SimpleNamespace) -> None:
    vehicles = [records.vehicle("a", plugged_connector=1, transaction_id=17), records.vehicle("b", bay_connector=0)]
    record = records.problem(
        vehicles,
        connectors={
            "items": [records.connector(0, group_id="feeder"), records.connector(1)],
            "attended": [True] * 8,
        },
        groups=[{"group_id": "feeder", "limit_kw": [11.0] * 8}],
    )
    once = problem_record(problem_from_record(record))
    assert once == problem_record(problem_from_record(once))
    assert {key: once[key] for key in record if key != "vehicles"} == {
        key: value for key, value in record.items() if key != "vehicles"
    }
    assert once["vehicles"][0] == {**vehicles[0], "bay_connector": None, "dispatchable": True}


def test_plan_record_is_json_without_negative_zeros(depot: Callable[..., Problem]) -> None:
    plan = solve(depot({}, {}))
    text = json.dumps(plan_record(plan, "0" * 64), allow_nan=False)
    assert "-0.0" not in text
    assert np.isclose(json.loads(text)["cost"]["total"], plan.cost.total)
