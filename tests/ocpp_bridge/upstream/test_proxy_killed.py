"""A bridge in proxy mode that is killed outright loses nothing that the back end must hear of."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from websockets.exceptions import WebSocketException

from simulator.back_ends.csms import Csms

REPOSITORY = Path(__file__).resolve().parents[3]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def start(file, token):
    log = file.with_suffix(".log").open("ab")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ocpp_bridge", "--config", str(file), "--log-format", "json"),
        cwd=REPOSITORY,
        env={**os.environ, "DEPOTWISE_BRIDGE_TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
    )
    log.close()
    assert await asyncio.wait_for(process.stdout.readline(), 90) == b"bridge ready\n"
    return process


async def kill(process):
    process.send_signal(signal.SIGKILL)
    await process.wait()


class Killed:
    """A bridge in a process of its own that dies at any moment and is started again."""

    def __init__(self, kit, folder, csms):
        self.kit = kit
        self.port, http_port = free_port(), free_port()
        config = kit.config_dict(folder / "state", stations=("CP-1",))
        config["listeners"][0]["port"], config["http"]["port"] = self.port, http_port
        config["stations"][0]["upstream"] = {"url": csms.url, "retry_max_s": 0.3, "timeout_s": 0.5}
        self.file = folder / "bridge.yaml"
        self.file.write_text(yaml.safe_dump(config), encoding="utf-8")
        self.process = None

    async def start(self):
        self.process = await start(self.file, self.kit.token)

    async def blow(self, chance):
        """Die after a while, again and again."""
        while True:
            await asyncio.sleep(chance.uniform(0.02, 1.0))
            await kill(self.process)
            await self.start()


async def say(station, chance, step):
    """Say something until it is answered, as a station does: with its first time stamp, after dialling again."""
    stamp = datetime.now(UTC)
    station.now = lambda: stamp
    while True:
        try:
            if station._socket is None or station.closed.is_set():
                await station.connect(boot=chance.random() < 0.3)
            await step()
            return
        except (OSError, TimeoutError, AssertionError, WebSocketException):
            await asyncio.sleep(0.05)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(8))
async def test_whenever_it_is_killed_nothing_is_lost(kit, tmp_path, seed):
    chance = random.Random(seed)
    csms = Csms(tokens={"TAG-1"})
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(csms.serving())
        killed = Killed(kit, tmp_path, csms)
        await killed.start()
        station = kit.ChargePoint(f"ws://127.0.0.1:{killed.port}", "CP-1")
        blowing = asyncio.create_task(killed.blow(chance))
        expected, register = [], 0
        for _ in range(10):
            register += 1
            expected.append(("meterStart", register))
            await say(station, chance, lambda begin=register: station.start(1, meter=begin))
            number = station.running[1]
            csms.deaf = {chance.choice(["StopTransaction", "StartTransaction", "MeterValues", "Heartbeat"])}
            for _ in range(3):
                register += 1
                expected.append(("value", register))
                await say(station, chance, lambda value=register: station.meter(1, {"value": str(value)}))
            register += 1
            expected.append(("meterStop", register))

            async def stop(number=number, end=register):
                station.running[1] = number
                await station.stop(1, meter=end)

            await say(station, chance, stop)
            csms.deaf = set()
        blowing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await blowing
        try:
            await say(station, chance, lambda: station.call("Heartbeat", {}))
            await csms.until(lambda: set(expected) <= set(told(csms)), 30)
        finally:
            if killed.process.returncode is None:
                await kill(killed.process)
        assert list(dict.fromkeys(told(csms))) == expected, "in the order in which the station told it"
        await station.close()


def told(csms):
    """Return what the back end heard of transactions, by the meter, in order."""
    found = []
    for one in csms.heard:
        if one.action == "MeterValues":
            found.append(("value", int(one.payload["meterValue"][0]["sampledValue"][0]["value"])))
        found += [(name, one.payload[name]) for name in ("meterStart", "meterStop") if name in one.payload]
    return found


async def test_a_killed_bridge_still_tells_the_back_end_all(kit, tmp_path):
    csms = Csms(tokens={"TAG-1"})
    port, upstream_port = free_port(), free_port()
    csms.port = upstream_port
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",))
    config["listeners"][0]["port"], config["http"]["port"] = port, free_port()
    config["stations"][0]["upstream"] = {"url": csms.url, "retry_max_s": 0.5, "timeout_s": 1.0}
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")

    process = await start(file, kit.token)
    try:
        station = await kit.ChargePoint(f"ws://127.0.0.1:{port}", "CP-1").connect()
        local = await station.start(1)
        for k in range(5):
            await station.meter(1, {"value": str(1000 + k)})
        await kill(process)
        await asyncio.wait_for(station.closed.wait(), 60)

        process = await start(file, kit.token)
        await station.connect(boot=False)
        await station.meter(1, {"value": "2000"})
        async with csms.serving(upstream_port):
            await csms.until(lambda: len(csms.payloads("MeterValues")) == 6)
            kept = [one for one in csms.heard if one.action != "BootNotification"]
            assert csms.actions()[0] == "BootNotification"
            assert [one.action for one in kept] == ["StartTransaction", *["MeterValues"] * 6]
            assert {one.payload["transactionId"] for one in kept[1:]} == {501}
            # The pair of ids survives a second death.
            await kill(process)
            await asyncio.wait_for(station.closed.wait(), 60)
            process = await start(file, kit.token)
            await station.connect(boot=False)
            station.refused["RemoteStopTransaction"] = {"status": "Accepted"}
            await csms.until(lambda: "CP-1" in csms.sockets)
            await csms.call("CP-1", "RemoteStopTransaction", {"transactionId": 501}, uid="s-1")
            assert ("RemoteStopTransaction", {"transactionId": local}) in station.received
            await station.stop(1)
            await csms.until(lambda: csms.payloads("StopTransaction") != [])
            assert csms.payloads("StopTransaction")[0]["transactionId"] == 501
        await station.close()
    finally:
        if process.returncode is None:
            await kill(process)
    lines = [json.loads(line) for line in file.with_suffix(".log").read_text(encoding="utf-8").splitlines()]
    assert {"CP-1: its back end is reached", "CP-1: connected, OCPP 1.6"} <= {line["message"] for line in lines}
    assert {line["station_id"] for line in lines if "CP-1" in line["message"]} == {"CP-1"}
    assert "TAG-1" not in json.dumps(lines)
