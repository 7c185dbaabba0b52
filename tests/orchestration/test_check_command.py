"""``depotwise check --json`` on the starter configuration, against its published schema."""

import json
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from ingestion.registry.starter import write_starter
from orchestration.cli.app import app

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "check-1.json"


def test_the_last_line_fits_the_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPOTWISE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DEPOTWISE_RFMS_TOKEN", raising=False)
    write_starter(tmp_path / "depot")
    done = CliRunner().invoke(app, ["check", "--config", str(tmp_path / "depot"), "--json"])
    document = json.loads(done.stdout.splitlines()[-1])
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    assert done.exit_code == 1
    assert not document["ok"]
    assert any("DEPOTWISE_RFMS_TOKEN" in finding["problem"] for finding in document["findings"])
