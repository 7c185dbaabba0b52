"""The published schemas, against what the planner reads and writes."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from planning.explain import explain
from planning.feasibility import REASON_CODES
from planning.solve import plan_document

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SCHEMAS / name).read_text())
    return loaded


def check(document: dict[str, Any], name: str) -> None:
    jsonschema.validate(json.loads(json.dumps(document)), schema(name), cls=jsonschema.Draft202012Validator)


def test_schemas_are_schemas_and_know_every_reason() -> None:
    for name in ("planning_problem-1.json", "plan-1.json"):
        jsonschema.Draft202012Validator.check_schema(schema(name))
    codes = schema("plan-1.json")["properties"]["vehicles"]["items"]["properties"]["reason"]["properties"]["code"][
        "enum"
    ]
    assert set(codes) == REASON_CODES
    assert explain.__doc__


@pytest.mark.data
@pytest.mark.parametrize("variant", ["solar", "tight", "connectors"])
def test_the_benchmarks_problems_and_our_plans_fit_the_schemas(bench: SimpleNamespace, variant: str) -> None:
    problem = bench.generate.generate(12, 3, variant)
    check(problem, "planning_problem-1.json")
    check(plan_document(json.dumps(problem).encode()), "plan-1.json")


def test_a_problem_with_everything_fits_the_schema(records: SimpleNamespace) -> None:
    vehicles = [records.vehicle("a", plugged_connector=0, transaction_id=3, required_soc_pct=100.0, dispatchable=False)]
    problem = records.problem(
        vehicles,
        connectors={"items": [records.connector(0, group_id="feeder")], "attended": [True] * 8},
        groups=[{"group_id": "feeder", "limit_kw": [11.0] * 8}],
    )
    check(problem, "planning_problem-1.json")
    plan = plan_document(json.dumps(problem).encode())
    check(plan, "plan-1.json")
    assert plan["vehicles"][0]["reason"] is not None


@pytest.mark.parametrize("missing", ["schema", "slots", "price_per_kwh"])
def test_the_schema_refuses_what_the_planner_refuses(records: SimpleNamespace, missing: str) -> None:
    problem = records.problem([records.vehicle()])
    del problem[missing]
    with pytest.raises(jsonschema.ValidationError):
        check(problem, "planning_problem-1.json")
