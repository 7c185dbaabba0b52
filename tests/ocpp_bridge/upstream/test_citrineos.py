"""Stations behind a REST back end: queued is not accepted, and what the station says comes later."""

import socket

import pytest

from simulator.back_ends.citrineos import CitrineOs
from simulator.back_ends.csms import Csms


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
async def citrine():
    async with Csms(tokens={"TAG-1"}).serving() as csms, CitrineOs(csms).serving() as one:
        yield one


@pytest.fixture
async def bridge(kit, tmp_path, citrine):
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",))
    port = free_port()
    config["http"] = {"host": "127.0.0.1", "port": port, "callback_url": f"http://127.0.0.1:{port}"}
    publisher = {"name": "citrine", "kind": "citrineos", "url": citrine.url, "version": "1.6", "timeout_s": 3.0}
    config["publishers"] = [{**publisher, "retry_s": 0.2}]
    config["stations"][0]["publisher"] = "citrine"
    async with kit.running_bridge(config) as running:
        yield running


def station_of(kit, citrine):
    return kit.ChargePoint(f"ws://127.0.0.1:{citrine.csms.port}/csms", "CP-1")


async def test_a_plan_reaches_a_station_through_its_back_end(bridge, citrine, kit):
    async with station_of(kit, citrine) as station:
        await bridge.settled("CP-1")
        assert [one["chargingProfilePurpose"] for _, one in station.book.profiles] == [
            "TxDefaultProfile",
            "ChargePointMaxProfile",
        ]
        transaction_id = await station.start(1)
        plan_id = await bridge.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
        entry = await bridge.reaches(plan_id, "CP-1", "verified", seconds=60)
        assert entry["evidence"] == "composite"
        assert station.allowed_kw(1) == pytest.approx(11, abs=0.1)
        found = (await bridge.client.get("/stations")).json()["stations"][0]
        assert (found["connected"], found["version"], found["publisher"]) == (True, "1.6", "citrine")


async def test_queued_is_not_accepted(bridge, citrine, kit):
    async with station_of(kit, citrine) as station:
        await bridge.settled("CP-1")
        transaction_id = await station.start(1)
        citrine.mute = True
        plan_id = await bridge.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
        await kit.eventually(lambda: station.installed("TxProfile"), 60, lambda: "nothing was sent")
        assert (await bridge.states(plan_id))[("CP-1", 1)]["state"] == "sent"
        citrine.mute = False
        await bridge.reaches(plan_id, "CP-1", "accepted", "verified", seconds=60)


async def test_what_the_station_refuses_is_refused(bridge, citrine, kit):
    async with station_of(kit, citrine) as station:
        await bridge.settled("CP-1")
        plan_id = await bridge.publish([kit.entry("CP-1", 11, transaction_id=999)])  # no such transaction runs
        station.refused["SetChargingProfile"] = {"status": "Rejected"}
        entry = await bridge.reaches(plan_id, "CP-1", "rejected", seconds=60)
        assert entry["detail"] == "Rejected"


async def test_a_station_that_is_not_there_counts_as_away(bridge, citrine, kit):
    async def told():
        reasons = (await bridge.client.get("/health")).json()["reasons"]
        return any("No connection found for CP-1" in reason for reason in reasons)

    await kit.eventually(told, 60, lambda: "health says nothing")
    plan_id = await bridge.publish([kit.entry("CP-1", 11)])
    assert "SetChargingProfile" not in citrine.actions()
    async with station_of(kit, citrine):
        await bridge.reaches(plan_id, "CP-1", "accepted", "verified", seconds=60)

    async def away():
        await bridge.publish([kit.entry("CP-1", 9)])
        return not (await bridge.client.get("/stations")).json()["stations"][0]["connected"]

    await kit.eventually(away, 60, lambda: "still taken for connected")


async def test_a_back_end_that_makes_no_sense_is_tried_again(bridge, citrine, kit):
    async with station_of(kit, citrine) as station:
        await bridge.settled("CP-1")
        transaction_id = await station.start(1)
        citrine.babbles = True
        plan_id = await bridge.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
        await kit.eventually(lambda: citrine.actions()[-1] == "SetChargingProfile", 60, lambda: "not asked")

        async def told():
            reasons = (await bridge.client.get("/health")).json()["reasons"]
            return any("makes no sense" in reason for reason in reasons)

        await kit.eventually(told, 60, lambda: "health says nothing")
        citrine.babbles = False
        await bridge.reaches(plan_id, "CP-1", "accepted", "verified", seconds=60)


async def test_revoking_reaches_through(bridge, citrine, kit):
    async with station_of(kit, citrine) as station:
        await bridge.settled("CP-1")
        answer = await bridge.client.post("/revoke", json={"station_id": "CP-1"})
        assert answer.json() == {"cleared": ["CP-1"], "pending": []}
        assert station.book.profiles == []


async def test_nobody_can_make_results_up(bridge):
    answer = await bridge.client.post("/callbacks/guess", json={"status": "Accepted"})
    assert answer.status_code == 404
    answer = await bridge.client.post("/callbacks/guess", content=b"[1")
    assert answer.status_code == 400


async def test_a_station_behind_another_back_end_cannot_dial_in(bridge):
    with pytest.raises(Exception, match="404"):
        await bridge.station("CP-1").connect()
