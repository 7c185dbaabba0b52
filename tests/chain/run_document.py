"""Checks that hold for every ``depotwise.run/1`` document: its published schema, and that its rows balance."""

import json
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "run-1.json"


def check_run_document(document: dict[str, Any]) -> None:
    """Fail where a document does not fit its schema, or counts a record twice or not at all."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    rows, readiness = document["rows"], document["readiness"]
    assert rows["read"] == rows["landed"] + rows["duplicates"] + rows["quarantined"]
    fates = ("ready", "not_ready", "not_plugged", "unknown")
    assert readiness["departures"] == sum(readiness[fate] for fate in fates)
