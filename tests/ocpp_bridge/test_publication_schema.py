"""The published JSON Schema of ``publication/1`` is the one that the code checks with.

To write it anew after a change: ``python tests/ocpp_bridge/test_publication_schema.py``.
"""

import json
from pathlib import Path

import jsonschema

from core.publication import Publication

FILE = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "publication-1.json"


def current_schema():
    schema = Publication.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def test_the_published_schema_is_current():
    assert json.loads(FILE.read_text(encoding="utf-8")) == current_schema()


def test_a_publication_fits_the_published_schema(kit):
    schema = json.loads(FILE.read_text(encoding="utf-8"))
    document = kit.publication("plan-1", [kit.entry("CP-1", 11, 0)])
    jsonschema.validate(document, schema)
    document["connectors"][0]["periods"][0]["limit_kw"] = -1
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(document))


if __name__ == "__main__":
    FILE.write_text(json.dumps(current_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
