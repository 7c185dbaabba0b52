"""``depotwise plan`` as people see it: warnings and errors on stderr, each with the name of the field."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.sample_problem import Record, problem_record, vehicle_record
from orchestration.cli.app import app


def planned(folder: Path, record: Record) -> tuple[int, str, str]:
    problem = folder / "problem.json"
    problem.write_text(json.dumps(record))
    result = CliRunner().invoke(app, ["plan", str(problem), "-o", str(folder / "plan.json")])
    return result.exit_code, result.stdout, result.stderr


def test_a_warning_is_shown_beside_the_plan(tmp_path: Path) -> None:
    late = vehicle_record(arrival_slot=50, departure_slot=60)
    code, out, err = planned(tmp_path, problem_record([late]))
    assert code == 0
    assert "0 of 1 vehicles" in out
    assert "warning: vehicles[0].arrival_slot" in err
    assert json.loads((tmp_path / "plan.json").read_text())["warnings"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"standby_kw": 11.0}, "vehicles[0].standby_kw", id="standby"),
        pytest.param({"precondition_kw": 2.0}, "vehicles[0].precondition_min", id="preconditioning"),
        pytest.param({"current_type": "[/red]"}, "vehicles[0].current_type: is '[/red]'", id="what looks like markup"),
    ],
)
def test_an_error_names_the_field(tmp_path: Path, changes: Record, field: str) -> None:
    code, _, err = planned(tmp_path, problem_record([vehicle_record(**changes)]))
    assert code == 1
    assert field in err
