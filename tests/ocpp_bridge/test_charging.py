"""Plans reach chargers over real sockets, and chargers do what was planned."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest


async def test_a_connecting_station_gets_its_fallback_and_its_maximum(bridge):
    async with bridge.station("CP-1") as station:
        await bridge.settled("CP-1")
        base = station.installed("TxDefaultProfile")[0]["csChargingProfiles"]
        assert base["stackLevel"] == 0
        assert "validTo" not in base
        assert "duration" not in base["chargingSchedule"]
        assert base["chargingSchedule"]["chargingSchedulePeriod"] == [
            {"startPeriod": 0, "limit": 6.0, "numberPhases": 3}
        ]
        assert station.allowed_kw(1) == pytest.approx(4.14)


@pytest.mark.parametrize(("purpose", "connector_id"), [("TxDefaultProfile", 1), ("ChargePointMaxProfile", 0)])
async def test_what_an_earlier_controller_left_is_cleared_once(lone, kit, purpose, connector_id):
    """A pause that it left would hide the plan for ever."""
    schedule = {
        "startSchedule": "2020-01-01T00:00:00Z",
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 0.0}],
    }
    left = {
        "chargingProfileId": 5,
        "stackLevel": 8,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": schedule,
    }
    station = lone.station("CP-1")
    assert station.book.install(connector_id, left, None) == "Accepted"
    async with station:
        await lone.settled("CP-1")
        assert station.allowed_kw(1) == pytest.approx(4.14)
        cleared = [payload for action, payload in station.received if action == "ClearChargingProfile"]
        assert [set(payload) for payload in cleared] == [{"chargingProfilePurpose"}] * 3
    station.received.clear()
    async with station:  # it is known now
        await lone.settled("CP-1")
        assert "ClearChargingProfile" not in [action for action, _ in station.received]


async def test_a_plan_for_a_transaction_is_accepted_verified_and_expires(lone, kit):
    async with lone.station("CP-1") as station:
        await lone.settled("CP-1")
        transaction_id = await station.start(1)
        plan_id = await lone.publish([kit.entry("CP-1", 11, 0, 16, transaction_id=transaction_id)])
        entry = await lone.reaches(plan_id, "CP-1", "verified")
        assert entry["evidence"] == "composite"
        now = datetime.now(UTC)
        assert station.allowed_kw(1) == pytest.approx(10.97, abs=0.08)
        assert station.allowed_kw(1, now + timedelta(minutes=20)) == 0
        assert station.allowed_kw(1, now + timedelta(minutes=40)) == pytest.approx(15.94, abs=0.08)
        assert station.allowed_kw(1, now + timedelta(hours=5)) == pytest.approx(4.14)
        profile = station.installed("TxProfile")[-1]["csChargingProfiles"]
        assert profile["transactionId"] == transaction_id
        assert {"validFrom", "validTo"} <= set(profile)
        assert profile["chargingSchedule"]["duration"] > 0


async def test_an_entry_without_transaction_is_for_whoever_plugs_in_next(lone, kit):
    async with lone.station("CP-1") as station:
        await lone.settled("CP-1")
        plan_id = await lone.publish([kit.entry("CP-1", 8)])
        await lone.reaches(plan_id, "CP-1", "accepted", "verified")
        await station.start(1)
        assert station.allowed_kw(1) == pytest.approx(7.94, abs=0.08)


async def test_a_raise_waits_until_the_reduction_is_acknowledged(impatient, kit):
    bridge = impatient
    async with bridge.station("CP-1") as one, bridge.station("CP-2") as two:
        await bridge.settled("CP-1")
        await bridge.settled("CP-2")
        ids = [await one.start(1), await two.start(1)]
        first = await bridge.publish(
            [kit.entry("CP-1", 20, transaction_id=ids[0]), kit.entry("CP-2", 5, transaction_id=ids[1])]
        )
        await bridge.reaches(first, "CP-1", "verified")
        await bridge.reaches(first, "CP-2", "verified")
        one.silent.add("SetChargingProfile")
        second = await bridge.publish(
            [kit.entry("CP-1", 5, transaction_id=ids[0]), kit.entry("CP-2", 20, transaction_id=ids[1])]
        )

        def asked_again():
            """The call was given up and tried once more: the bridge has had every reason to lose patience."""
            assert one.allowed_kw(1) + two.allowed_kw(1) <= 30
            assert two.allowed_kw(1) <= 10.01
            return len(one.installed("TxProfile")) >= 3

        await kit.eventually(asked_again, 60, lambda: "the reduction was not sent twice")
        one.silent.clear()
        await bridge.reaches(second, "CP-1", "verified")

        async def raised():
            return two.allowed_kw(1) > 19

        await kit.eventually(raised, 60, lambda: f"CP-2 is still held at {two.allowed_kw(1)} kW")


async def test_a_silent_station_does_not_hold_up_others(kit, tmp_path):
    """Nothing waits for the call to it, which stays open all the while; only something newer cuts it short."""
    config = kit.config_dict(tmp_path / "state")
    config["link"] |= {"call_timeout_s": 300.0, "superseded_timeout_s": 0.5}
    async with (
        kit.running_bridge(config) as bridge,
        bridge.station("CP-1") as one,
        bridge.station("CP-2") as two,
    ):
        await bridge.settled("CP-1")
        await bridge.settled("CP-2")
        one.silent |= {"SetChargingProfile", "GetCompositeSchedule"}
        ids = [await one.start(1), await two.start(1)]
        plan_id = await bridge.publish(
            [kit.entry("CP-1", 10, transaction_id=ids[0]), kit.entry("CP-2", 10, transaction_id=ids[1])]
        )
        await kit.eventually(lambda: one.installed("TxProfile"), 60, lambda: "CP-1 was asked nothing")
        await bridge.reaches(plan_id, "CP-2", "verified")
        assert len(one.installed("TxProfile")) == 1  # the first call is still open
        newer = await bridge.publish([kit.entry("CP-1", 9, transaction_id=ids[0])])
        one.silent.clear()
        await bridge.reaches(newer, "CP-1", "accepted", "verified")
        assert (await bridge.states(plan_id))[("CP-1", 1)]["state"] == "superseded"
        assert one.allowed_kw(1) == pytest.approx(8.97, abs=0.08)


async def test_a_vehicle_on_another_connector_than_planned(bridge, kit):
    async with bridge.station("CP-1") as one, bridge.station("CP-2") as two:
        await bridge.settled("CP-1")
        await bridge.settled("CP-2")
        stale = await one.start(1, id_tag="VAN-7")
        plan_id = await bridge.publish([kit.entry("CP-1", 11, transaction_id=stale, vehicle_id="van-7")])
        await bridge.reaches(plan_id, "CP-1", "verified")
        # The van moves to the other connector, and another one takes its place.
        await one.stop(1)
        other = await one.start(1, id_tag="VAN-9")
        moved = await two.start(1, id_tag="VAN-7")
        entry = await bridge.reaches(plan_id, "CP-1", "transaction_changed")
        assert str(other) in entry["detail"] or "ended" in entry["detail"]
        assert one.allowed_kw(1) == pytest.approx(4.14)
        events = (await bridge.client.get("/events", params={"after": 0})).json()["events"]
        started = [event for event in events if event["type"] == "transaction_started"]
        assert [(event["station_id"], event["data"]["transaction_id"]) for event in started] == [
            ("CP-1", stale),
            ("CP-1", other),
            ("CP-2", moved),
        ]
        assert started[0]["data"]["token"] == started[2]["data"]["token"] != started[1]["data"]["token"]
        newer = await bridge.publish([kit.entry("CP-2", 11, transaction_id=moved, vehicle_id="van-7")])
        await bridge.reaches(newer, "CP-2", "verified")
        assert two.allowed_kw(1) == pytest.approx(10.97, abs=0.08)
        assert one.allowed_kw(1) == pytest.approx(4.14)


async def test_a_guest_keeps_the_default(bridge, kit):
    async with bridge.station("CP-1") as one, bridge.station("CP-2") as two:
        await bridge.settled("CP-1")
        await bridge.settled("CP-2")
        guest = await one.start(1, id_tag="GUEST")
        planned = await two.start(1)
        plan_id = await bridge.publish([kit.entry("CP-2", 20, transaction_id=planned)])
        await bridge.reaches(plan_id, "CP-2", "verified")
        assert one.allowed_kw(1) == pytest.approx(4.14)
        assert one.installed("TxProfile") == []
        assert one.running[1] == guest


async def test_a_stale_entry_never_touches_the_running_transaction(lone, kit):
    async with lone.station("CP-1") as one:
        await lone.settled("CP-1")
        running = await one.start(1)
        plan_id = await lone.publish([kit.entry("CP-1", 0, transaction_id=running + 1)])
        entry = await lone.reaches(plan_id, "CP-1", "transaction_changed")
        assert str(running) in entry["detail"]
        assert one.installed("TxProfile") == []


async def test_reconnecting_without_boot_needs_no_new_delivery(lone, kit):
    station = await lone.station("CP-1").connect()
    await lone.settled("CP-1")
    transaction_id = await station.start(1)
    plan_id = await lone.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
    await lone.reaches(plan_id, "CP-1", "verified")
    await station.drop()
    await station.connect(boot=False)
    newer = await lone.publish([kit.entry("CP-1", 7, transaction_id=transaction_id)])
    await lone.reaches(newer, "CP-1", "verified")
    assert len(station.installed("TxProfile")) == 2
    await station.close()


async def test_the_newest_connection_wins(lone, kit):
    old = await lone.station("CP-1").connect()
    await lone.settled("CP-1")
    new = await lone.station("CP-1", book=old.book).connect(boot=False)
    await asyncio.wait_for(old.closed.wait(), 60)
    transaction_id = await new.start(1)
    plan_id = await lone.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
    await lone.reaches(plan_id, "CP-1", "verified")
    stations = (await lone.client.get("/stations")).json()["stations"]
    assert stations[0]["connected"] is True
    await new.close()


async def test_a_lowered_limit_reaches_every_connector(bridge, kit):
    async with bridge.station("CP-1") as one, bridge.station("CP-2") as two:
        await bridge.settled("CP-1")
        await bridge.settled("CP-2")
        ids = [await one.start(1), await two.start(1)]
        plan_id = await bridge.publish(
            [kit.entry("CP-1", 15, transaction_id=ids[0]), kit.entry("CP-2", 15, transaction_id=ids[1])]
        )
        await bridge.reaches(plan_id, "CP-1", "verified")
        await bridge.reaches(plan_id, "CP-2", "verified")
        until = datetime.now(UTC) + timedelta(hours=1)
        body = {"ev_limit_kw": 5, "valid_until": kit.iso(until), "reason": "grid operator"}
        answer = await bridge.client.put("/limits", json=body)
        assert answer.json()["in_force_kw"] == 5

        async def lowered():
            return one.allowed_kw(1) + two.allowed_kw(1) <= 5

        await kit.eventually(lowered, 60, lambda: f"{one.allowed_kw(1)} + {two.allowed_kw(1)} kW")
        assert max(one.allowed_kw(1), two.allowed_kw(1)) > 4
        later = until + timedelta(minutes=2)
        assert one.allowed_kw(1, later) + two.allowed_kw(1, later) <= 30


async def test_revoke_leaves_nothing_of_ours(lone, kit):
    async with lone.station("CP-1") as one:
        await lone.settled("CP-1")
        transaction_id = await one.start(1)
        plan_id = await lone.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
        await lone.reaches(plan_id, "CP-1", "verified")
        answer = await lone.client.post("/revoke", json={"station_id": None})
        assert answer.json() == {"cleared": ["CP-1"], "pending": []}
        assert one.book.profiles == []
        await one.drop()
        await one.connect()
        await asyncio.sleep(0.5)
        assert one.book.profiles == []
        again = await lone.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
        await lone.reaches(again, "CP-1", "verified")
        assert one.allowed_kw(1) == pytest.approx(10.97, abs=0.08)


async def test_a_station_that_lies_is_found_out_by_its_meter(kit, tmp_path):
    """It accepts everything and computes the right schedule; the meter says otherwise."""
    start = datetime(2026, 2, 10, 18, 0, tzinfo=UTC)
    config = kit.config_dict(tmp_path, stations=("CP-1",), clock={"start_at": kit.iso(start), "rate": 200})
    async with kit.running_bridge(config) as running:
        clock = running.bridge._recording.clock
        async with running.station("CP-1", now=clock.now) as station:
            await running.settled("CP-1")
            transaction_id = await station.start(1)
            entry = kit.entry("CP-1", 5, now=clock.now(), transaction_id=transaction_id)
            plan_id = await running.publish([entry], now=clock.now(), hours=9)
            await running.reaches(plan_id, "CP-1", "verified")
            for _ in range(8):
                await station.meter(1, {"value": "11", "measurand": "Power.Active.Import", "unit": "kW"})
                await asyncio.sleep(0.2)
            found = (await running.states(plan_id))[("CP-1", 1)]
            assert found["state"] == "accepted"
            assert "11.00 kW is metered" in found["detail"]
            reasons = (await running.client.get("/health")).json()["reasons"]
            assert any("CP-1 connector 1: 11.00 kW is metered" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("book", "unit"), [({"units": ("W",)}, "W"), ({"max_periods": 3}, "A"), ({"max_stack_level": 1}, "A")]
)
async def test_what_a_station_can_do_is_respected(lone, kit, book, unit):
    async with lone.station("CP-1", book=kit.ProfileBook(**book)) as station:
        await lone.settled("CP-1")
        transaction_id = await station.start(1)
        entry = kit.entry("CP-1", 11, 0, 16, 5, 8, transaction_id=transaction_id)
        plan_id = await lone.publish([entry])
        await lone.reaches(plan_id, "CP-1", "verified")
        schedule = station.installed("TxProfile")[-1]["csChargingProfiles"]["chargingSchedule"]
        assert schedule["chargingRateUnit"] == unit
        assert 10.8 < station.allowed_kw(1) <= 11
        later = datetime.now(UTC) + timedelta(minutes=20)
        assert station.allowed_kw(1, later) == 0


async def test_a_station_that_refuses_its_own_highest_level_gets_a_lower_one(lone, kit):
    station = lone.station("CP-1")
    told = {"configurationKey": [{"key": "ChargeProfileMaxStackLevel", "readonly": True, "value": "5"}]}
    station.refused["GetConfiguration"] = told
    station.book.max_stack_level = 1
    async with station:
        await lone.settled("CP-1")
        transaction_id = await station.start(1)
        plan_id = await lone.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
        await lone.reaches(plan_id, "CP-1", "verified")
        levels = [one["csChargingProfiles"]["stackLevel"] for one in station.installed("TxProfile")]
        assert levels == [5, 1]


async def test_a_station_that_refuses_all_profiles_is_reported(lone, kit):
    station = lone.station("CP-1")
    station.refused["SetChargingProfile"] = {"status": "Rejected"}
    async with station:
        transaction_id = await station.start(1)
        plan_id = await lone.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
        entry = await lone.reaches(plan_id, "CP-1", "rejected")
        assert entry["detail"] == "Rejected"
        reasons = (await lone.client.get("/health")).json()["reasons"]
        assert "CP-1 connector 1 refused its fallback: Rejected" in reasons


async def test_a_rebooted_station_is_told_again(lone, kit):
    station = await lone.station("CP-1").connect()
    await lone.settled("CP-1")
    transaction_id = await station.start(1)
    plan_id = await lone.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
    await lone.reaches(plan_id, "CP-1", "verified")
    await station.drop()
    station.book.profiles.clear()  # some stations forget
    await station.connect(boot=True)
    await station.meter(1, {"value": "1"})
    await kit.eventually(lambda: 10.8 < station.allowed_kw(1) < 11, 60, lambda: "it was not told again")
    assert len(station.installed("ChargePointMaxProfile")) == 2
    await station.close()


async def test_a_paused_clock_stops_nothing_but_time(kit, tmp_path):
    start = datetime(2026, 2, 10, 18, 0, tzinfo=UTC)
    config = kit.config_dict(tmp_path, stations=("CP-1",), clock={"start_at": kit.iso(start), "rate": 0})
    async with kit.running_bridge(config) as running, running.station("CP-1", now=lambda: start) as station:
        await running.settled("CP-1")
        transaction_id = await station.start(1)
        entry = kit.entry("CP-1", 11, now=start, transaction_id=transaction_id)
        plan_id = await running.publish([entry], now=start)
        await running.reaches(plan_id, "CP-1", "verified")


async def test_a_single_phase_van_counts_for_three_until_its_meter_says_otherwise(bridge, kit):
    async with bridge.station("CP-1") as one, bridge.station("CP-2") as two:
        await bridge.settled("CP-1")
        await bridge.settled("CP-2")
        ids = [await one.start(1), await two.start(1)]
        plan_id = await bridge.publish(
            [
                kit.entry("CP-1", 7.36, transaction_id=ids[0], vehicle_phases=1),
                kit.entry("CP-2", 20, transaction_id=ids[1]),
            ]
        )
        await bridge.reaches(plan_id, "CP-1", "accepted", "verified")
        await bridge.reaches(plan_id, "CP-2", "accepted", "verified")
        assert one.allowed_kw(1) + two.allowed_kw(1) <= 30
        for _ in range(3):
            power_kw = one.allowed_kw(1) / 3
            await one.meter(1, {"value": str(power_kw), "measurand": "Power.Active.Import", "unit": "kW"})

        def both_whole():
            return one.book.limit_a(1, one.now(), ids[0]) > 31.3 and two.allowed_kw(1) > 19.9

        await kit.eventually(both_whole, 60, lambda: f"{one.allowed_kw(1) / 3} and {two.allowed_kw(1)} kW")
        profile = one.installed("TxProfile")[-1]["csChargingProfiles"]
        assert profile["chargingSchedule"]["chargingSchedulePeriod"][0]["numberPhases"] == 1
