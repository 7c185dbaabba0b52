"""A bridge in proxy mode that is killed outright loses nothing that the back end must hear of."""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import yaml

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
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"bridge ready\n"
    return process


async def kill(process):
    process.send_signal(signal.SIGKILL)
    await process.wait()


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
        await asyncio.wait_for(station.closed.wait(), 5)

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
            await asyncio.wait_for(station.closed.wait(), 5)
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
