"""What must not hurt: a full disk, a flood of nonsense, a station that drops and returns, a killed delivery."""

import asyncio
import json
import random
import resource

import pytest

from ocpp_bridge import wire

HONEST = '[2,"h","Heartbeat",{}]'
SEEDS = (
    [2, "a", "MeterValues", {"connectorId": 1, "meterValue": [{"timestamp": "x", "sampledValue": [{"value": "1"}]}]}],
    [
        2,
        "b",
        "StartTransaction",
        {"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-02-10T18:00:00Z"},
    ],
    [2, "c", "StatusNotification", {"connectorId": 1, "status": "Charging", "errorCode": "NoError"}],
    [2, "d", "StopTransaction", {"transactionId": 1, "meterStop": 5, "timestamp": "2026-02-10T18:00:00Z"}],
    [3, "e", {"status": "Accepted"}],
    [4, "f", "InternalError", "", {}],
)
ODD = (
    None,
    True,
    -1,
    2**63,
    1e308,
    "",
    "\u0000",
    "x" * 500,
    [],
    {},
    [[]],
    {"a": {"b": []}},
    "NaN",
    "2026-13-45T99:99:99Z",
)


def mutated(chance):
    """A frame with one or several of its parts replaced, removed or repeated."""
    frame = json.loads(json.dumps(chance.choice(SEEDS)))
    for _ in range(chance.randint(1, 3)):
        target = frame
        while isinstance(target, list | dict) and target and chance.random() < 0.7:
            inner = chance.choice(list(target.values() if isinstance(target, dict) else target))
            if not isinstance(inner, list | dict) or not inner:
                break
            target = inner
        place = chance.choice(list(target) if isinstance(target, dict) else range(len(target)))
        target[place] = json.loads(json.dumps(chance.choice(ODD)))
    text = json.dumps(frame)
    return text[: chance.randint(0, len(text))] if chance.random() < 0.1 else text


async def test_half_a_character_is_read_as_a_question_mark(lone):
    """JSON can escape a lone surrogate, which no file, database or hash takes."""
    async with lone.station("CP-1") as station:
        assert "idTagInfo" in await station.call("Authorize", {"idTag": "T\ud800"})
        assert (await station.call_frame("\udfff", {}))[0] == 4
        assert await station.start(1, id_tag="\ud800") > 0
        assert not station.closed.is_set()
    assert wire.parse('[2,"a","X",{"t":"\\ud83d\\ude00"}]')[0][3] == {"t": "😀"}


async def test_a_flood_of_nonsense_harms_nobody(kit, tmp_path):
    """Nothing but fairness protects the honest station: the rude one may send as much as it can."""
    chance = random.Random(7)
    config = kit.config_dict(tmp_path / "state")
    config["link"] |= {"messages_per_s": 100_000}
    async with kit.running_bridge(config) as bridge, bridge.station("CP-2") as honest:
        rude = await bridge.station("CP-1").connect()
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        async def flood():
            for _ in range(2000):
                await rude.send_raw(mutated(chance))
                await asyncio.sleep(0)

        def read():
            """How many frames the bridge has read, the malformed ones included."""
            return sum(bridge.bridge._recording.meters.frames[kind] for kind in ("in", "malformed"))

        flooding = asyncio.create_task(flood())
        others, served = 0, 0
        while not flooding.done():
            before = read()
            assert "currentTime" in await honest.call("Heartbeat", {})
            others, served = max(others, read() - before - 1), served + 1
        await flooding
        assert served > 20
        assert others < 20, "frames of the rude one that were read while an honest one waited"
        assert "currentTime" in await rude.call("Heartbeat", {}, seconds=60)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 100_000
        await rude.close()


async def test_a_full_disk_holds_deliveries_up_and_no_connection(lone, kit):
    store = lone.bridge._store
    async with lone.station("CP-1") as station:
        await lone.settled("CP-1")
        transaction_id = await station.start(1)
        pages = store.connection.execute("pragma page_count").fetchone()[0]
        store.connection.execute(f"pragma max_page_count = {pages}")
        document = kit.publication(
            "big", [kit.entry("CP-1", *[11, 10] * 200, transaction_id=transaction_id)], hours=200
        )
        answer = await lone.client.put("/publications/big", json=document)
        assert answer.status_code == 503
        assert "full" in answer.json()["error"]
        assert (await lone.client.get("/publications/big")).status_code == 404
        assert "currentTime" in await station.call("Heartbeat", {})
        store.connection.execute("pragma max_page_count = 1000000")
        assert (await lone.client.put("/publications/big", json=document)).status_code == 202
        await lone.reaches("big", "CP-1", "verified")


async def test_dropping_and_returning_at_any_moment_ends_with_the_plan(impatient, kit):
    """Seeded chaos: two stations drop, return, boot and fall silent while plans follow each other."""
    bridge = impatient
    chance = random.Random(11)
    stations = [await bridge.station(name).connect() for name in ("CP-1", "CP-2")]
    for station in stations:
        await bridge.settled(station.station_id)
    ids = [await station.start(1) for station in stations]
    plan_id, planned = None, (0, 0)
    for _ in range(12):
        first = chance.choice([0, 5, 10, 20])
        planned = (first, chance.choice([0, 5, 9]))
        entries = [
            kit.entry(station.station_id, power, transaction_id=ids[k])
            for k, (station, power) in enumerate(zip(stations, planned, strict=True))
        ]
        plan_id = await bridge.publish(entries)
        victim = chance.choice(stations)
        action = chance.choice(["drop", "boot", "silent", "nothing"])
        await asyncio.sleep(chance.random() * 0.05)
        if action in ("drop", "boot"):
            await victim.drop()
            assert sum(station.allowed_kw(1) for station in stations) <= 30
            await victim.connect(boot=action == "boot")
            await victim.meter(1, {"value": "1"})
        elif action == "silent":
            victim.silent.add("SetChargingProfile")
            await asyncio.sleep(chance.random() * 0.3)
            victim.silent.clear()
        assert sum(station.allowed_kw(1) for station in stations) <= 30

    def as_planned():
        return all(
            power - 0.08 <= station.allowed_kw(1) <= power for station, power in zip(stations, planned, strict=True)
        )

    await kit.eventually(as_planned, 60, lambda: f"{[one.allowed_kw(1) for one in stations]}, planned {planned}")
    for station in stations:  # what a station holds already may still be on its way to being told
        await bridge.reaches(plan_id, station.station_id, "accepted", "verified")
    for station, transaction_id in zip(stations, ids, strict=True):
        assert station.running[1] == transaction_id  # nobody was stopped
        assert not [action for action, _ in station.received if "Stop" in action or action == "Reset"]
        await station.close()


@pytest.mark.parametrize("hours", [-48, 48])
async def test_a_clock_that_jumps_stops_nothing(kit, tmp_path, hours):
    from datetime import UTC, datetime, timedelta

    from core.clock import drive_clock

    start = datetime(2026, 2, 10, 18, 0, tzinfo=UTC)
    file = tmp_path / "clock.json"
    drive_clock(file, at=start, rate=1)
    clock = {"start_at": kit.iso(start - timedelta(hours=100)), "rate": 1, "file": str(file)}
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",), clock=clock)
    async with kit.running_bridge(config) as running:
        now = running.bridge._recording.clock.now
        async with running.station("CP-1", now=now) as station:
            await running.settled("CP-1")
            transaction_id = await station.start(1)
            drive_clock(file, at=start + timedelta(hours=hours), rate=1)
            entry = kit.entry("CP-1", 11, now=now(), transaction_id=transaction_id)
            plan_id = await running.publish([entry], now=now())
            await running.reaches(plan_id, "CP-1", "verified")
            assert station.allowed_kw(1) == pytest.approx(10.97, abs=0.08)
