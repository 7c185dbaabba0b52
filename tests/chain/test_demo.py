"""The demonstration as people start it: a program that ends well, says what came of the night, and leaves nothing."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.landing import Landing
from core.settings import Settings
from core.time_grid import parse_instant
from orchestration import warehouse
from orchestration.demo.drive import DemoHomeError, DemoOptions, run_demo
from tests.chain.processes import living_in_session
from tests.chain.run_document import check_run_document

RATE = 4800
"""Four times as fast as for people: two vehicles keep up."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that has ended: where it ran, how it ended, what it said last, and what it left running."""

    folder: Path
    exit_code: int
    last_line: str
    errors: str
    left_running: list[str]

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.last_line)
        return document


def start(folder: Path) -> subprocess.Popen[str]:
    arguments = ["--home", "home", "demo", "--vehicles", "4", "--days", "5", "--rate", str(RATE), "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DEPOTWISE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left_after_a_while(session_id: int) -> list[str]:
    """Return what still lives in a session once those on their way out have had half a minute to go."""
    deadline = time.monotonic() + 30
    while (left := living_in_session(session_id)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    with start(folder) as process:
        try:
            output, errors = process.communicate()
        finally:
            process.kill()  # its children die with it
        left_running = left_after_a_while(process.pid)
    return Demo(folder, process.returncode, output.splitlines()[-1] if output else "", errors, left_running)


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestDemo:
    def test_it_ends_well_and_leaves_nothing_running(self, demo: Demo) -> None:
        assert demo.exit_code == 0, demo.errors[-3000:]
        assert demo.left_running == []

    def test_its_last_line_says_what_came_of_the_night(self, demo: Demo) -> None:
        check_run_document(demo.document)
        assert demo.document["job"] == "demo"
        assert demo.document["rows"]["landed"] > 0
        assert demo.document["readiness"]["departures"] > 0
        assert demo.document["cost"]["total"] is not None

    def test_chargers_accepted_profiles(self, demo: Demo) -> None:
        profiles = demo.document["profiles"]
        assert 0 < profiles["accepted"] <= profiles["sent"]
        assert profiles["verified"] <= profiles["accepted"]

    def test_every_plan_says_what_forecast_the_sites_load_and_how_old_that_knowledge_was(self, demo: Demo) -> None:
        plans = Landing(demo.folder / "home" / "landing").read("plan")
        assert plans.height
        for as_of, inputs in plans.select("as_of", "inputs_json").iter_rows():
            power = json.loads(inputs)["power"]["base_load_kw"]
            assert power["name"]
            assert as_of - timedelta(hours=2) <= parse_instant(power["newest_input_at"]) <= as_of

    def test_the_page_needs_nothing_from_outside(self, demo: Demo) -> None:
        page = (demo.folder / demo.document["page"]).read_text(encoding="utf-8")
        assert "N-VAN-01" in page
        assert re.findall(r"https?://[^\s\"'<>)]+", page) == []

    def test_analysts_can_query_the_marts(self, demo: Demo) -> None:
        assert (demo.folder / demo.document["warehouse"]).exists()
        assert demo.document["published"] == "home/published/marts.duckdb"
        settings = Settings(home=demo.folder / "home")
        assert warehouse.query(settings, "SELECT sum(energy_kwh) AS kwh FROM fct_charging_session")["kwh"][0] > 0


def test_a_demo_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    log = tmp_path / "home" / "logs" / "simulator.log"
    with start(tmp_path) as process:
        try:
            while "simulator ready" not in (log.read_text(encoding="utf-8") if log.exists() else ""):
                assert process.poll() is None, "it ended before its programs were ready"
                time.sleep(0.05)
            assert len(living_in_session(process.pid)) > 2
        finally:
            process.kill()
    assert left_after_a_while(process.pid) == []


def test_a_home_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    with pytest.raises(DemoHomeError, match="choose another folder"):
        run_demo(Settings(home=tmp_path), DemoOptions(vehicles=4, days=5, seed=1), console=None)
    assert (tmp_path / "landing").is_dir()
