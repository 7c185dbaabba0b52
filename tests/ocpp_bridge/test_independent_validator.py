"""What the bridge sends and answers, judged by `ocpp-rpc` in strict mode: an OCPP-J implementation that is not ours.

`npm ci` in `rpc/` installs it (`.ci/run` does); without Node these tests skip with a reason.
"""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import skip_for_want_of

FOLDER = Path(__file__).resolve().parent / "rpc"
PURPOSES = {"TxDefaultProfile", "TxProfile"}


@pytest.fixture(scope="module")
def node():
    """The Node that has ocpp-rpc."""
    found = shutil.which("node")
    if found is None or not (FOLDER / "node_modules" / "ocpp-rpc").is_dir():
        skip_for_want_of("npm", "ocpp-rpc is not installed: npm ci --prefix tests/ocpp_bridge/rpc")
    return found


class StrictStation:
    """The station's process, and what it says."""

    def __init__(self, process):
        self.process = process
        self.calls = []

    async def says(self, key):
        while True:
            line = await asyncio.wait_for(self.process.stdout.readline(), 60)
            assert line, (await self.process.stderr.read()).decode()
            found = json.loads(line)
            if "call" in found:
                self.calls.append((found["call"], found["params"]))
            if key in found:
                return found

    async def hears(self, wanted):
        while not any(wanted(*call) for call in self.calls):
            await self.says("call")

    async def end(self):
        self.process.stdin.close()
        found = await self.says("failures")
        assert await self.process.wait() == 0
        return found


def purpose(params):
    profile = params.get("csChargingProfiles") or params.get("chargingProfile") or {}
    return profile.get("chargingProfilePurpose", "")


@pytest.mark.npm
@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
async def test_everything_that_is_sent_and_answered_is_valid(lone, kit, node, version):
    process = await asyncio.create_subprocess_exec(
        *(node, str(FOLDER / "station.mjs"), lone.url, "CP-1", version),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        station = StrictStation(process)
        begun = await station.says("transactionId")
        assert begun["isStrict"], "the validator lets everything pass"
        await station.hears(lambda action, params: purpose(params).endswith("MaxProfile"))
        entry = kit.entry("CP-1", 11, 0, 7.4, 9, transaction_id=begun["transactionId"])
        plan_id = await lone.publish([entry])
        await lone.reaches(plan_id, "CP-1", "accepted", "verified")
        await station.hears(lambda action, _: action == "GetCompositeSchedule")
        answer = await lone.client.post("/revoke", json={"station_id": "CP-1"})
        assert answer.json() == {"cleared": ["CP-1"], "pending": []}
        found = await station.end()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert found["failures"] == []
    assert {purpose(params) for action, params in station.calls if action == "SetChargingProfile"} >= PURPOSES
    probe = "GetConfiguration" if version == "1.6" else "GetVariables"
    assert {probe, "SetChargingProfile", "GetCompositeSchedule", "ClearChargingProfile"} == set(found["methods"])


@pytest.mark.npm
def test_the_lock_names_no_registry():
    text = (FOLDER / "package-lock.json").read_text(encoding="utf-8")
    packages = json.loads(text)["packages"]
    assert all("integrity" in one for name, one in packages.items() if name)
    assert "://" not in text
