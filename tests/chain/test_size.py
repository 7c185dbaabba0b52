"""``depotwise size`` on a home that the nightly job filled: duty cycles in, a depot and a page out."""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

from tests.chain.conftest import Undisturbed
from tests.chain.depot import Depot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "size-1.json"


def test_a_depot_is_sized_from_recorded_nights(depot: Depot, undisturbed: Undisturbed, tmp_path: Path) -> None:
    page = tmp_path / "size.html"
    options = ("--year", "2027=8", "--as-of", depot.as_of, "-o", str(page), "--json")
    command = depot.command(undisturbed.home, "size", *options)
    done = subprocess.run(command, capture_output=True, text=True, env=depot.environment(), check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    document = json.loads(done.stdout.splitlines()[-1])
    jsonschema.validate(document, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert document["nights"] >= 3
    assert document["now"]["ready_pct"] >= 99
    assert document["now"]["depot"]["ac_chargers"] + document["now"]["depot"]["dc_chargers"] >= 1
    assert [step["year"] for step in document["steps"]] == ["now", "2027"]
    assert "<svg" in page.read_text(encoding="utf-8")
