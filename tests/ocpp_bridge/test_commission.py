"""Commissioning, against stations that behave and stations that do not, on a clock that runs fast."""

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
import yaml
from typer.testing import CliRunner

from core.clock import SimulatedClock
from ocpp_bridge import command, commission
from ocpp_bridge.commission import CommissioningError, Patience
from simulator.personalities.catalogue import PERSONALITIES
from simulator.personalities.link import CallFailedError
from simulator.personalities.station import Station

START = datetime(2026, 2, 10, 18, 0, tzinfo=UTC)
RATE = 60.0
PATIENCE = Patience(
    vehicle_s=5, sample_s=5, settling_s=0.15, cut_s=2.5, return_s=10, trial_s=3600, cut_trial_s=45, look_s=0.05
)


@asynccontextmanager
async def charging(kit, tmp_path, personality):
    """A station that charges, reports, and comes back by itself."""
    clock_config = {"start_at": kit.iso(START), "rate": RATE}
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",), limit_kw=30, clock=clock_config)
    async with kit.running_bridge(config) as running:
        clock = running.bridge._recording.clock
        assert isinstance(clock, SimulatedClock)
        station = Station(running.url, "CP-1", PERSONALITIES[personality], now_s=lambda: clock.now().timestamp())
        await station.connect()
        await station.plug_in()

        async def live():
            last_s = station.own_now_s()
            while True:
                await asyncio.sleep(0.05)
                now_s = station.own_now_s()
                station.pass_time(now_s - last_s)
                last_s = now_s
                with suppress(OSError, CallFailedError, Exception):
                    if not station.is_connected:
                        await station.connect(boots=False)
                        await asyncio.sleep(0.3)  # connected, but with nothing to tell yet
                    await station.report_meter()

        living = asyncio.create_task(live())
        try:
            yield running
        finally:
            living.cancel()
            await station.close()


async def walk(kit, running, said, **options):
    url = str(running.client.base_url)
    return await asyncio.to_thread(
        command.commission, url, kit.token, "CP-1", 1, say=said.append, patience=PATIENCE, **options
    )


def verdicts(protocol):
    return {one["step"]: one["verdict"] for one in protocol["steps"]}


async def test_a_good_station_passes_and_everything_is_measured(kit, tmp_path, monkeypatch):
    """By the command line, with a protocol file at the end."""
    from orchestration.cli.bridge import app

    monkeypatch.setattr(commission, "Patience", lambda **_: PATIENCE)
    file, config = tmp_path / "protocol.json", tmp_path / "bridge.yaml"
    async with charging(kit, tmp_path, "libocpp") as running:
        raw = kit.config_dict(tmp_path / "state", stations=("CP-1",))
        raw["http"]["port"] = running.bridge.http_port
        config.write_text(yaml.safe_dump(raw), encoding="utf-8")
        arguments = ["commission", "CP-1", "--config", str(config), "--protocol", str(file)]
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert done.exit_code == 0, done.output
        protocol = json.loads(file.read_text(encoding="utf-8"))
        found = (await running.client.get("/stations")).json()["stations"][0]["connectors"][0]
    assert protocol["schema"] == "depotwise.commissioning/1"
    assert protocol["passed"] is True
    steps = ("capabilities", "vehicle", "limit", "pause", "phases", "minimum", "fallback")
    assert verdicts(protocol) == dict.fromkeys(steps, "passed"), protocol
    measured = {one["step"]: one["measured"] for one in protocol["steps"]}
    assert measured["phases"]["phases"] == 3
    assert measured["minimum"]["current_a"] == 6
    assert [round(one["power_kw"], 1) for one in measured["limit"]["tried"]] == [8.3, 5.5]
    assert measured["fallback"]["offline_s"] > 60
    assert "The link is cut" in done.output
    assert found["limit_kw"] == pytest.approx(4.14)  # the trial is over


@pytest.mark.parametrize(
    ("personality", "steps"), [("solidstudio", {"limit", "pause", "fallback"}), ("sticks-at-zero", {"pause"})]
)
async def test_a_bad_station_fails_where_it_is_bad(kit, tmp_path, personality, steps):
    async with charging(kit, tmp_path, personality) as running:
        protocol = await walk(kit, running, [])
    assert protocol["passed"] is False
    assert {step for step, verdict in verdicts(protocol).items() if verdict == "failed"} >= steps, protocol


async def test_what_is_not_there_is_said(kit, bridge):
    url, said = str(bridge.client.base_url), []
    for name, complaint in (("CP-1", "not connected"), ("CP-9", "no station of this bridge")):
        with pytest.raises(CommissioningError, match=complaint):
            await asyncio.to_thread(command.commission, url, kit.token, name, 1, say=said.append, patience=PATIENCE)
    trial = {"connector_id": 1, "limit_kw": 5, "seconds": 60}
    assert (await bridge.client.post("/stations/CP-9/trial", json=trial)).status_code == 404
    assert (await bridge.client.post("/stations/CP-1/trial", json=trial)).status_code == 404
    assert (await bridge.client.post("/stations/CP-9/cut", json={"seconds": 1})).status_code == 404
    async with bridge.station("CP-1") as station:
        await station.start(1)
        too_much = await bridge.client.post("/stations/CP-1/trial", json={**trial, "limit_kw": 23})
        assert too_much.status_code == 422
        assert too_much.json()["errors"][0]["path"] == "limit_kw"


async def test_a_cut_turns_the_station_away_until_it_is_over(lone):
    station = await lone.station("CP-1").connect()
    assert (await lone.client.post("/stations/CP-1/cut", json={"seconds": 0.4})).status_code == 200
    await asyncio.wait_for(station.closed.wait(), 60)
    begun_s = time.monotonic()
    with pytest.raises(Exception, match="503"):
        await station.connect()
    await asyncio.sleep(max(0.0, begun_s + 0.5 - time.monotonic()))
    await station.connect()
    await station.close()


async def test_a_trial_keeps_to_the_limit_of_the_site(bridge, kit):
    """What others may hold is not taken from them."""
    async with bridge.station("CP-1") as one, bridge.station("CP-2") as other:
        for station in (one, other):
            await bridge.settled(station.station_id)
        ids = [await station.start(1) for station in (one, other)]
        entry = kit.entry("CP-2", 20, transaction_id=ids[1])
        await bridge.reaches(await bridge.publish([entry]), "CP-2", "verified")
        await bridge.client.post("/stations/CP-1/trial", json={"connector_id": 1, "limit_kw": 22, "seconds": 300})
        await kit.eventually(lambda: one.allowed_kw(1) > 5, 60, lambda: f"no trial came: {one.allowed_kw(1)}")
        for _ in range(20):
            assert one.allowed_kw(1) + other.allowed_kw(1) <= 30 + 1e-6
            await asyncio.sleep(0.02)
