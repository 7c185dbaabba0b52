"""The dbt project as a whole: declared once in core, layered, described, and free of packages."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.entities import ENTITIES, charging, fleet, outcomes, signals, telematics
from core.settings import Settings
from orchestration import warehouse

INSTANT = "timestamptz"
SQL_TYPES = {pl.String: "string", pl.Float64: "double", pl.Int64: "bigint", pl.Boolean: "boolean", pl.Date: "date"}
DOMAINS = {
    entity.name: module.__name__.rsplit(".", maxsplit=1)[1]
    for module in (fleet, telematics, charging, signals, outcomes)
    for entity in module.ENTITIES
}
# Which layers a model may read.
MAY_READ = {
    "staging": {"raw"},
    "restricted": {"raw"},
    "intermediate": {"staging", "intermediate"},
    "marts": {"staging", "intermediate", "marts"},
}


@pytest.fixture(scope="module")
def manifest(empty: Settings) -> Mapping[str, Any]:
    return json.loads(warehouse.manifest_path(empty).read_bytes())


@pytest.fixture(scope="module")
def models(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}


def test_sources_are_the_canonical_entities(manifest: Mapping[str, Any]) -> None:
    sources = {source["name"]: source for source in manifest["sources"].values()}
    assert set(sources) == set(ENTITIES)
    for name, source in sources.items():
        assert source["schema"] == "raw"
        assert source["description"] == ENTITIES[name].description
        assert source["config"]["meta"]["dagster"] == {"asset_key": ["raw", name], "group": DOMAINS[name]}


@pytest.mark.parametrize("name", ENTITIES)
def test_staging_repeats_the_declaration(models: Mapping[str, Any], name: str) -> None:
    """Names, types and descriptions come from core.entities: change them there, then in stg_<entity>."""
    declared = {
        column: (SQL_TYPES.get(type(spec.dtype), INSTANT), spec.description)
        for column, spec in ENTITIES[name].all_columns.items()
    }
    model = models[f"stg_{name}"]
    columns = {column: (spec["data_type"], spec["description"]) for column, spec in model["columns"].items()}
    source = columns.pop("source")
    assert columns == declared
    assert source[0] == "string"
    assert model["schema"] == ("restricted" if ENTITIES[name].restricted else "staging")


def test_layers_read_only_downwards(manifest: Mapping[str, Any], models: Mapping[str, Any]) -> None:
    nodes = {**manifest["nodes"], **manifest["sources"]}
    upwards = [
        f"{model['name']} reads {nodes[parent]['name']}"
        for model in models.values()
        for parent in model["depends_on"]["nodes"]
        if nodes[parent]["schema"] not in MAY_READ[model["schema"]]
    ]
    assert upwards == []


def test_no_mart_can_reach_restricted_data(manifest: Mapping[str, Any], models: Mapping[str, Any]) -> None:
    restricted = {model["unique_id"] for model in models.values() if model["schema"] == "restricted"}
    assert restricted
    readers = [name for name, model in models.items() if restricted & set(model["depends_on"]["nodes"])]
    assert readers == []


def test_every_model_is_described_contracted_and_named_by_its_layer(models: Mapping[str, Any]) -> None:
    prefixes = {"staging": "stg_", "restricted": "stg_", "intermediate": "int_", "marts": ("dim_", "fct_")}
    for name, model in models.items():
        assert name.startswith(prefixes[model["schema"]])
        assert model["config"]["contract"]["enforced"], name
        assert "Grain: " in model["description"], name
        undescribed = [column for column, spec in model["columns"].items() if not spec["description"]]
        assert undescribed == [], name
        assert Path(model["patch_path"]).stem == name, "one YAML per model, named after it"
        assert model["meta"]["dagster"]["group"] == Path(model["original_file_path"]).parts[2]


def test_units_and_kinds_are_in_the_names_of_columns(models: Mapping[str, Any]) -> None:
    columns = [(column, spec["data_type"]) for model in models.values() for column, spec in model["columns"].items()]
    instants = {name for name, dtype in columns if dtype == INSTANT}
    assert {name for name in instants if not name.endswith("_at")} <= {"as_of"}
    assert {name for name, dtype in columns if dtype == "date" and not name.endswith("_date")} == set()
    flags = {name for name, dtype in columns if dtype == "boolean"}
    assert {name for name in flags if not name.startswith(("is_", "has_", "was_"))} == set()


def test_every_mart_states_its_grain_as_a_test(manifest: Mapping[str, Any], models: Mapping[str, Any]) -> None:
    tested = {
        parent
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and node.get("test_metadata", {}).get("name") == "unique_combination"
        for parent in node["depends_on"]["nodes"]
    }
    untested = [
        name for name, model in models.items() if model["schema"] == "marts" and model["unique_id"] not in tested
    ]
    assert untested == []


def test_the_unit_tests_ran(empty: Settings, manifest: Mapping[str, Any]) -> None:
    """They are part of the empty warehouse's build, which would have failed with them."""
    results = json.loads((empty.home / "warehouse/dbt/target/run_results.json").read_bytes())["results"]
    passed = {result["unique_id"] for result in results if result["status"] == "pass"}
    assert manifest["unit_tests"]
    assert set(manifest["unit_tests"]) <= passed


def test_a_run_writes_nothing_into_the_project(empty: Settings, project_dir: Path) -> None:
    strangers = [
        path.name for path in project_dir.rglob("*") if path.is_file() and path.suffix not in {".sql", ".yml", ".csv"}
    ]
    assert strangers == []
