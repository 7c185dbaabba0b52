"""The bridge as a process: it starts, says so, survives kill -9 with nothing lost, and stops cleanly."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from core.clock import drive_clock
from ocpp_bridge import command

REPOSITORY = Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A bridge in a process of its own, on fixed ports."""

    def __init__(self, kit, folder, **changes):
        self.kit = kit
        self.ports = (free_port(), free_port())
        config = kit.config_dict(folder / "state", stations=("CP-1",), **changes)
        config["listeners"][0]["port"], config["http"]["port"] = self.ports
        self.file = folder / "bridge.yaml"
        self.file.write_text(yaml.safe_dump(config), encoding="utf-8")
        self.process = None

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "ocpp_bridge", "--config", str(self.file)),
            cwd=REPOSITORY,
            env={**os.environ, "DEPOTWISE_BRIDGE_TOKEN": self.kit.token},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        line = await asyncio.wait_for(self.process.stdout.readline(), 30)
        assert line == b"bridge ready\n", await self.process.stderr.read()
        return self

    async def end(self, number):
        self.process.send_signal(number)
        _, errors = await asyncio.wait_for(self.process.communicate(), 15)
        return self.process.returncode, errors.decode()

    def client(self):
        headers = {"Authorization": f"Bearer {self.kit.token}"}
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.ports[1]}", headers=headers, trust_env=False)

    def station(self, **options):
        return self.kit.ChargePoint(f"ws://127.0.0.1:{self.ports[0]}", "CP-1", **options)


@pytest.fixture
async def start_bridge(kit, tmp_path):
    """Start bridges that end with the test, however it ends."""
    started = []

    async def start(**changes):
        started.append(Process(kit, tmp_path, **changes))
        return await started[-1].start()

    yield start
    for one in started:
        if one.process.returncode is None:
            one.process.kill()
            await one.process.wait()


async def state_of(client, plan_id):
    return (await client.get(f"/publications/{plan_id}")).json()["connectors"][0]["state"]


async def test_a_killed_bridge_forgets_nothing(kit, start_bridge):
    process = await start_bridge()
    station = await process.station().connect()
    transaction_id = await station.start(1)
    document = kit.publication("plan-k", [kit.entry("CP-1", 11, 0, transaction_id=transaction_id)])
    async with process.client() as client:
        await kit.eventually(lambda: station.book.profiles[1:], 60, lambda: "no fallback and maximum came")
        station.silent.add("SetChargingProfile")
        assert (await client.put("/publications/plan-k", json=document)).status_code == 202
        await kit.eventually(lambda: station.installed("TxProfile"), 60, lambda: "nothing was sent")
    code, _ = await process.end(signal.SIGKILL)
    assert code == -signal.SIGKILL
    await asyncio.wait_for(station.closed.wait(), 60)
    station.silent.clear()

    await process.start()
    async with process.client() as client:
        assert await state_of(client, "plan-k") in ("pending", "sent")
        may_hold = (await client.get("/stations")).json()["stations"][0]["connectors"][0]["may_hold_kw"]
        assert may_hold >= 10.9  # the profile that was sent and never answered still counts
        await station.connect(boot=False)
        await kit.eventually(lambda: station.allowed_kw(1) > 10.8, 60, lambda: "not delivered after the restart")

        async def verified():
            return await state_of(client, "plan-k") == "verified"

        await kit.eventually(verified, 60, lambda: "not verified after the restart")
        assert (await client.put("/publications/plan-k", json=document)).status_code == 200
        # The transaction goes on under the number that the killed bridge gave it.
        await station.meter(1, {"value": "5", "measurand": "Power.Active.Import", "unit": "kW"})
        found = (await client.get("/stations")).json()["stations"][0]["connectors"][0]
        assert found["transaction_id"] == transaction_id
        frames = (await client.get("/frames")).text.splitlines()
        assert sum("StartTransaction" in line for line in frames) == 1
    await station.close()
    code, errors = await process.end(signal.SIGTERM)
    assert code == 0, errors
    assert "Traceback" not in errors


async def test_the_command_line_tools_reach_the_bridge(kit, start_bridge):
    process = await start_bridge()
    url = f"http://127.0.0.1:{process.ports[1]}"
    found = await asyncio.to_thread(command.status, url, kit.token)
    assert found["health"]["status"] == "degraded"
    assert [station["station_id"] for station in found["stations"]] == ["CP-1"]
    assert await asyncio.to_thread(command.revoke, url, kit.token, "CP-1") == {"cleared": [], "pending": ["CP-1"]}
    with pytest.raises(command.BridgeUnreachableError, match="401"):
        await asyncio.to_thread(command.status, url, "wrong")
    assert (await process.end(signal.SIGINT))[0] == 0
    with pytest.raises(command.BridgeUnreachableError, match="no bridge answers"):
        await asyncio.to_thread(command.status, url, kit.token)


async def test_schedules_and_frames_follow_a_clock_that_somebody_drives(kit, tmp_path, start_bridge):
    start = datetime(2026, 2, 10, 18, 0, tzinfo=UTC)
    clock_file = tmp_path / "clock.json"
    drive_clock(clock_file, at=start, rate=0)
    clock = {"start_at": kit.iso(start), "rate": 1, "file": str(clock_file)}
    process = await start_bridge(clock=clock)
    simulated = {"now": start}
    station = await process.station(now=lambda: simulated["now"]).connect()
    transaction_id = await station.start(1)
    entry = kit.entry("CP-1", 11, 8, now=start, transaction_id=transaction_id)
    document = kit.publication("plan-s", [entry], now=start, hours=1)
    async with process.client() as client:
        assert (await client.put("/publications/plan-s", json=document)).status_code == 202
        await kit.eventually(lambda: station.installed("TxProfile"), 60, lambda: "nothing was sent")
        profile = station.installed("TxProfile")[0]["csChargingProfiles"]
        assert profile["validTo"] == "2026-02-10T19:00:00Z"
        assert profile["chargingSchedule"]["startSchedule"] == "2026-02-10T17:59:00Z"
        line = (await client.get("/frames", params={"limit": 1})).json()
        assert line["at"].startswith("2026-02-10T18:00:00")
        drive_clock(clock_file, at=start + timedelta(minutes=59), rate=900)
        simulated["now"] = start + timedelta(hours=2)

        async def expired():
            return await state_of(client, "plan-s") == "expired"

        await kit.eventually(expired, 60, lambda: "the plan did not run out")
    await station.close()
    assert (await process.end(signal.SIGTERM))[0] == 0


def test_it_refuses_to_start_and_says_why(kit, tmp_path, capsys, monkeypatch):
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(kit.config_dict(tmp_path / "state", limit_kw=8)), encoding="utf-8")
    assert command.run(file) == command.EXIT_CANNOT_START
    assert "0.4 kW above its limit of 8 kW" in capsys.readouterr().err
    file.write_text(yaml.safe_dump(kit.config_dict(tmp_path / "state")), encoding="utf-8")
    monkeypatch.delenv("DEPOTWISE_BRIDGE_TOKEN")
    assert command.run(file) == command.EXIT_CANNOT_START
    assert "DEPOTWISE_BRIDGE_TOKEN" in capsys.readouterr().err


async def test_two_bridges_never_share_a_state(kit, start_bridge):
    process = await start_bridge()
    second = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "ocpp_bridge", "--config", str(process.file)),
        cwd=REPOSITORY,
        env={**os.environ, "DEPOTWISE_BRIDGE_TOKEN": kit.token},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(second.communicate(), 20)
    assert second.returncode == command.EXIT_CANNOT_START
    assert "another bridge is running" in errors.decode()
    await process.end(signal.SIGTERM)


def test_starting_it_imports_nothing_heavy():
    """The bridge may stand on a small machine at the depot's edge."""
    code = "import sys, ocpp_bridge.command; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    heavy = {"dagster", "dbt", "polars", "pandas", "pyarrow", "duckdb", "scipy", "sklearn", "great_expectations"}
    assert not heavy & set(found.stdout.split())


def test_hash_password_reads_a_line():
    hashed = command.hash_password("correct horse\n")
    assert hashed.startswith("scrypt$")
    with pytest.raises(ValueError, match="no password"):
        command.hash_password("\n")
