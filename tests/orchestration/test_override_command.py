"""``depotwise override`` on a starter configuration: set, listed, cancelled, and refused with what would be right."""

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from core.settings import Settings
from ingestion.registry.starter import write_starter
from orchestration.cli.app import app
from orchestration.steps.ingest import land_configuration
from orchestration.steps.workplace import Workplace

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "override-1.json").read_text())
NOW = ("--as-of", "2026-02-09T20:00:00Z", "--no-plan", "--json")


@pytest.fixture
def depot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_starter(tmp_path / "config")
    monkeypatch.setenv("DEPOTWISE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DEPOTWISE_CONFIG", str(tmp_path / "config"))
    return tmp_path


def run(*arguments: str) -> dict:
    done = CliRunner().invoke(app, ["override", *arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])


def test_an_override_is_set_listed_and_cancelled(depot: Path) -> None:
    vehicle = Workplace(Settings()).registry.vehicles[0].vehicle_id
    made = run(vehicle, "target=95", "--until", "2026-02-10T08:00:00+01:00", "--reason", "long tour", *NOW)
    jsonschema.validate(made, SCHEMA)
    assert (made["vehicle_id"], made["target_soc_pct"], made["reason"]) == (vehicle, 95.0, "long tour")
    assert made["valid_until_at"] == "2026-02-10T07:00:00Z"
    (listed,) = run("list", *NOW)["overrides"]
    assert listed["override_id"] == made["override_id"]
    cancelled = run("cancel", made["override_id"], "--as-of", "2026-02-09T20:05:00Z", "--no-plan", "--json")
    assert cancelled["is_cancelled"]
    assert run("list", "--as-of", "2026-02-09T20:06:00Z", "--json")["overrides"] == []
    # What was in force before it was cancelled can still be read.
    assert len(run("list", *NOW)["overrides"]) == 1


def test_a_mistake_is_told_in_one_line(depot: Path) -> None:
    done = CliRunner().invoke(app, ["override", "nobody", "charge-now", *NOW])
    assert done.exit_code == 1
    assert "neither a vehicle nor a connector" in done.stderr


def test_a_missing_secret_is_told_in_one_line_and_the_override_stands(
    depot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEPOTWISE_BRIDGE_TOKEN", raising=False)
    workplace = Workplace(Settings())
    land_configuration(workplace, as_of=datetime(2026, 2, 9, 12, tzinfo=UTC))
    vehicle = workplace.registry.vehicles[0].vehicle_id
    done = CliRunner().invoke(app, ["override", vehicle, "target=95", "--as-of", "2026-02-09T20:00:00Z"])
    assert done.exit_code == 1
    (standing,) = run("list", *NOW)["overrides"]
    assert standing["vehicle_id"] == vehicle
    assert done.stderr.strip() == (
        f"error: what was decided on {standing['override_id']} is recorded, for the next plan; none was made: "
        "set the environment variable DEPOTWISE_BRIDGE_TOKEN; the configuration refers to it"
    )
