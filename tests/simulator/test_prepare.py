"""What ``prepare`` writes, read by the programs that it is for."""

import csv
import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from core.clock import SimulatedClock, drive_clock
from core.time_grid import parse_instant
from ingestion.registry import load_registry
from ocpp_bridge.config import load_config
from ocpp_bridge.security import verify_password
from simulator.cli import app
from simulator.output.secrets import station_password
from simulator.scenario import Difficulty, Scenario, read_scenario
from tests.simulator.conftest import SECRETS


def prepare(folder: Path, *arguments: str) -> Path:
    result = CliRunner().invoke(app, ["prepare", "--out", str(folder), *arguments])
    assert result.exit_code == 0, result.output
    return folder


ARGUMENTS = ("--vehicles", "12", "--days", "6", "--seed", "3", "--port-base", "9750")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One prepared scenario that no test changes."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SECRETS, "DEPOTWISE_HASH_KEY": "a key for tests only"}.items():
            patch.setenv(name, value)
        return prepare(tmp_path_factory.mktemp("prepared") / "demo", *ARGUMENTS)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_platform_reads_the_configuration_without_a_mistake(folder: Path):
    registry = load_registry(folder / "config")

    assert [site.site_id for site in registry.sites] == ["north", "south"]
    assert len(registry.vehicles) == 12
    assert {source.kind for source in registry.sources} == {
        "rfms_v4", "geotab", "ocpp_files", "ocpp_bridge", "day_ahead", "weather", "site_load",
    }  # fmt: skip
    assert str(registry.source("rfms-heavy").url) == "http://127.0.0.1:9750/rfms"
    paths = [source.path for source in registry.sources if source.path]
    assert all((folder / "config" / path).exists() for path in paths)
    last = max(duty.operating_date.isoformat() for duty in registry.duties)
    assert last == "2026-02-11"


@pytest.mark.parametrize("arguments", [("--vehicles", "2", "--days", "3"), ("--vehicles", "40", "--days", "1")])
def test_bridges_start_with_it_and_know_the_stations_passwords(tmp_path: Path, arguments: tuple[str, ...]):
    prepare(tmp_path, *arguments)
    load_registry(tmp_path / "config")
    for path in (tmp_path / "config").glob("bridge-*.yaml"):
        config = load_config(path)
        station = config.stations[0]
        assert station.password_hash is not None
        assert verify_password(station_password(station.station_id).encode(), station.password_hash)
        assert config.clock is not None
        assert config.clock.file == tmp_path / "clock.json"


def test_same_arguments_write_the_same_bytes(folder: Path, tmp_path: Path):
    again = prepare(tmp_path / "demo", *ARGUMENTS)
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())

    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for name in names:
        if not name.name.startswith("bridge-"):  # which hold paths of their own folder
            assert (folder / name).read_bytes() == (again / name).read_bytes(), name


def test_no_secret_is_written(folder: Path):
    text = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file())

    for name in ("DEPOTWISE_RFMS_TOKEN", "DEPOTWISE_GEOTAB_PASSWORD", "DEPOTWISE_STATION_SECRET"):
        assert os.environ[name] not in text
        assert station_password("N-AC-01") not in text


def test_missing_secret_is_named_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DEPOTWISE_STATION_SECRET")

    result = CliRunner().invoke(app, ["prepare", "--out", str(tmp_path), "--vehicles", "2", "--days", "1"])

    assert result.exit_code == 2
    assert "DEPOTWISE_STATION_SECRET" in result.output


def test_prices_and_weather_reach_to_the_end_of_what_is_published(folder: Path):
    prices = table(folder / "signals" / "day_ahead.csv")
    starts = [parse_instant(row["Datetime (UTC)"].replace(" ", "T") + "Z") for row in prices]
    assert all((later - earlier).total_seconds() == 3600 for earlier, later in pairwise(starts))
    assert starts[-1].isoformat() == "2026-02-10T22:00:00+00:00"
    assert len({row["Price (EUR/MWhe)"] for row in prices}) > 100

    weather = json.loads((folder / "signals" / "weather-south.json").read_text())
    assert weather["utc_offset_seconds"] == 0
    assert len(weather["hourly"]["time"]) == len(weather["hourly"]["temperature_2m"]) == len(prices)


def test_site_load_ends_at_the_live_start(folder: Path):
    rows = table(folder / "signals" / "site_load.csv")

    assert rows[-1]["end_at"] == "2026-02-09T11:30:00Z"
    assert {row["site_id"] for row in rows} == {"north", "south"}
    assert max(float(row["pv_kw"]) for row in rows if row["site_id"] == "south") > 0
    assert {row["pv_kw"] for row in rows if row["site_id"] == "north"} == {"0.00"}


def test_scenario_survives_the_file(folder: Path, tmp_path: Path):
    scenario = read_scenario(folder)

    assert scenario == Scenario(seed=3, vehicles=12, days=6, ports=scenario.ports, difficulty=Difficulty())
    assert scenario.ports.base == 9750
    (tmp_path / "scenario.json").write_text("{}")
    with pytest.raises(ValueError, match="prepare"):
        read_scenario(tmp_path)


def test_truth_and_configuration_agree_on_plans_but_not_on_the_truth(folder: Path):
    truth = json.loads((folder / "truth.json").read_text())
    capacity = {vehicle["vehicle_id"]: vehicle["capacity_kwh"] for vehicle in truth["vehicles"]}
    nominal = {
        row["vehicle_id"]: float(row["usable_kwh"]) * float(row["soh_pct"]) / 100
        for row in table(folder / "config" / "vehicles.csv")
    }
    assert capacity != nominal
    assert all(capacity[name] == pytest.approx(nominal[name], rel=0.05) for name in nominal)


def test_serve_prints_ready_follows_the_clock_and_writes_the_night(tmp_path: Path):
    folder = prepare(tmp_path / "demo", "--vehicles", "2", "--days", "3", "--port-base", "9770")
    start = read_scenario(folder).live_start_at
    drive_clock(folder / "clock.json", at=start, rate=0)
    command = [sys.executable, "-m", "simulator", "serve", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "simulator ready\n"
        drive_clock(folder / "clock.json", at=start, rate=40_000)
        clock = SimulatedClock(start, 0, file=folder / "clock.json")
        while (clock.now() - start).total_seconds() < 70_000:
            time.sleep(0.05)
    finally:
        process.terminate()
        assert process.wait(20) == 0

    night = json.loads((folder / "night.json").read_text())
    assert {one["vehicle_id"] for one in night["departures"]} <= {"N-VAN-01", "N-TRUCK-01"}
    assert yaml.safe_load((folder / "config" / "sites.yaml").read_text())["sites"][0]["site_id"] == "north"
    assert table(folder / "signals" / "site_load.csv")[-1]["end_at"] > "2026-02-09T12:00:00Z"
