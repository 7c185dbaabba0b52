"""Proxy mode over real sockets: a station, the bridge, and a back end of somebody else's behind it."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from simulator.back_ends.csms import Csms

TOKEN = "TAG-1"


def proxied(kit, tmp_path, csms, **upstream):
    """A configuration with CP-1 behind a back end, and CP-2 of the bridge's own."""
    config = kit.config_dict(tmp_path / "state")
    config["stations"][1]["connectors"][0]["max_kw"] = 11  # what it counts for while it is away
    config["stations"][0]["upstream"] = {"url": csms.url, "retry_max_s": 0.5, "timeout_s": 30.0, **upstream}
    return config


@pytest.fixture
async def csms():
    async with Csms(tokens={TOKEN}).serving() as one:
        yield one


@pytest.fixture
async def proxy(kit, tmp_path, csms):
    async with kit.running_bridge(proxied(kit, tmp_path, csms)) as running:
        yield running


@pytest.fixture
async def impatient_proxy(kit, tmp_path, csms):
    """A bridge that soon takes a silent back end for lost, and soon gives up on a call."""
    config = proxied(kit, tmp_path, csms, timeout_s=1.0)
    config["link"] |= {"call_timeout_s": 0.5}
    async with kit.running_bridge(config) as running:
        yield running


@asynccontextmanager
async def settled(proxy, csms, **options):
    """CP-1, connected through to its back end, with its fallback and maximum installed."""
    async with proxy.station("CP-1", **options) as station:
        await proxy.settled("CP-1")
        await csms.until(lambda: "CP-1" in csms.sockets)
        yield station


async def upstream_of(proxy, name="CP-1"):
    stations = (await proxy.client.get("/stations")).json()["stations"]
    return next(one["upstream"] for one in stations if one["station_id"] == name)


async def waits(proxy, kit, *, connected):
    async def look():
        return (await upstream_of(proxy))["connected"] == connected

    await kit.eventually(look, 60, lambda: f"never connected={connected}")


async def test_the_back_end_hears_the_station_under_its_own_ids(proxy, csms, kit):
    async with settled(proxy, csms) as station:
        answer = await station.call("DataTransfer", {"vendorId": "v", "data": "x"})
        assert json.loads(answer["data"]) == {"echo": "x"}
        await station.status(1, "Preparing")
        transaction_id = await station.start(1)
        assert transaction_id == 501, "the back end's id"
        await station.meter(1, {"value": "5", "measurand": "Power.Active.Import", "unit": "kW"})
        found = (await proxy.client.get("/stations")).json()["stations"][0]["connectors"][0]
        assert (found["transaction_id"], found["power_kw"]) == (501, 5.0)
        await station.stop(1)
    uids = [one.uid for one in csms.heard]
    assert uids == [f"CP-1-{k + 1}" for k in range(len(uids))]
    assert csms.actions() == [
        "BootNotification",
        "DataTransfer",
        "StatusNotification",
        "StartTransaction",
        "MeterValues",
        "StopTransaction",
    ]
    await csms.until(lambda: "CP-1" not in csms.sockets)  # the back end sees its station leave


async def test_the_bridge_s_own_calls_stay_between_it_and_the_station(proxy, csms, kit):
    async with settled(proxy, csms) as station:
        transaction_id = await station.start(1)
        plan_id = await proxy.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
        await proxy.reaches(plan_id, "CP-1", "verified")
        assert station.allowed_kw(1) == pytest.approx(11, abs=0.1)
        assert {action for action, _ in station.received} >= {"GetConfiguration", "SetChargingProfile"}
    assert set(csms.actions()) == {"BootNotification", "StartTransaction"}
    assert csms.strays == []


async def test_calls_of_the_back_end_reach_the_station_and_come_back_verbatim(proxy, csms, kit):
    async with settled(proxy, csms) as station:
        station.refused["UnlockConnector"] = {"status": "Unlocked"}
        answer = await csms.call("CP-1", "UnlockConnector", {"connectorId": 1}, uid="u-1")
        assert answer.payload == {"status": "Unlocked"}
        refusal = await csms.call("CP-1", "Reset", {"type": "Soft"}, uid="dw-mine")
        assert refusal.error == "NotImplemented"
        assert ("Reset", {"type": "Soft"}) in station.received


async def test_the_station_gets_one_call_at_a_time_whoever_calls(proxy, csms, kit):
    async with settled(proxy, csms) as station:
        transaction_id = await station.start(1)
        open_calls, most = 0, 0
        plain = station._handle

        async def slow(frame):
            nonlocal open_calls, most
            open_calls += 1
            most = max(most, open_calls)
            await asyncio.sleep(0.05)
            await plain(frame)
            open_calls -= 1

        tasks = []

        async def detached(frame):
            tasks.append(asyncio.create_task(slow(frame)))

        station._handle = detached
        station.refused["UnlockConnector"] = {"status": "Unlocked"}
        asked = [csms.call("CP-1", "UnlockConnector", {"connectorId": 1}, uid=f"u-{k}") for k in range(4)]
        plan_id = await proxy.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
        answers = await asyncio.gather(*asked)
        await proxy.reaches(plan_id, "CP-1", "accepted", "verified")
        assert [answer.payload["status"] for answer in answers] == ["Unlocked"] * 4
        assert most == 1
        await asyncio.gather(*tasks)


async def test_a_late_answer_is_still_passed_on(impatient_proxy, csms):
    async with settled(impatient_proxy, csms) as station:
        plain, held = station._handle, []

        async def hold(frame):
            if frame[2] == "UnlockConnector":
                held.append(frame)
            else:
                await plain(frame)

        station._handle = hold
        asking = asyncio.create_task(csms.call("CP-1", "UnlockConnector", {"connectorId": 1}, uid="u-9"))
        # One call is open at a time: when the next one comes through, this one was given up.
        assert (await csms.call("CP-1", "Reset", {"type": "Soft"}, uid="u-10")).error == "NotImplemented"
        assert len(held) == 1
        station.refused["UnlockConnector"] = {"status": "Unlocked"}
        await plain(held[0])
        assert (await asking).payload == {"status": "Unlocked"}


async def test_broken_texts_break_nothing(kit, tmp_path):
    csms = Csms(tokens={TOKEN})
    async with csms.serving() as there:
        port = there.port
    async with kit.running_bridge(proxied(kit, tmp_path, csms)) as proxy, proxy.station("CP-1") as station:
        half = chr(0xD800)
        for _ in range(2):  # once while the back end is away, once while it is there
            start = {"connectorId": 1, "idTag": half, "meterStart": 1, "timestamp": "2026-02-10T18:00:00Z"}
            assert (await station.call_frame("StartTransaction", start))[0] in (3, 4)
            assert (await station.call_frame("Authorize", {"idTag": half}))[0] in (3, 4)
            assert (await station.call_frame(half, {half: [half]}))[0] == 4
            await station.status(1, half)
            await station.start(1)
            async with csms.serving(port):
                await csms.until(lambda: "StartTransaction" in csms.actions())
                assert (await station.call_frame("DataTransfer", {"vendorId": half}))[0] == 3
                await station.stop(1)
                await csms.until(lambda: "StopTransaction" in csms.actions())
        assert not station.closed.is_set()


async def test_tokens_are_the_back_end_s_business(proxy, csms):
    async with settled(proxy, csms) as station:
        assert (await station.call("Authorize", {"idTag": TOKEN}))["idTagInfo"]["status"] == "Accepted"
        assert (await station.call("Authorize", {"idTag": "STRANGER"}))["idTagInfo"]["status"] == "Invalid"


def maximum(limit, *, profile_id=7, purpose="ChargePointMaxProfile", level=0):
    schedule = {
        "startSchedule": "2020-01-01T00:00:00Z",
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
    }
    return {
        "chargingProfileId": profile_id,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": schedule,
    }


async def test_a_back_end_may_lower_the_station_but_never_raise_it(proxy, csms, kit):
    async with settled(proxy, csms) as station:
        transaction_id = await station.start(1)
        plan_id = await proxy.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
        await proxy.reaches(plan_id, "CP-1", "verified")
        for purpose, connector_id in (("TxDefaultProfile", 0), ("TxDefaultProfile", 1), ("TxProfile", 1)):
            profile = maximum(32, purpose=purpose, level=5)
            payload = {"connectorId": connector_id, "csChargingProfiles": profile}
            answer = await csms.call("CP-1", "SetChargingProfile", payload, uid=f"{purpose}-{connector_id}")
            assert answer.payload == {"status": "Rejected"}
        assert station.allowed_kw(1) == pytest.approx(11, abs=0.1)
        payload = {"connectorId": 0, "csChargingProfiles": maximum(8)}
        assert (await csms.call("CP-1", "SetChargingProfile", payload, uid="max")).payload == {"status": "Accepted"}
        assert station.allowed_kw(1) == pytest.approx(8 * 0.69, abs=0.1)
        ours = [one for where, one in station.book.profiles if where == 0 and one["chargingProfileId"] >= 71_000_000]
        assert len(ours) == 1, "the bridge's own maximum is still there"


async def test_a_back_end_that_clears_everything_clears_only_its_own(proxy, csms, kit):
    async with settled(proxy, csms) as station:
        transaction_id = await station.start(1)
        plan_id = await proxy.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
        await proxy.reaches(plan_id, "CP-1", "verified")
        assert (await csms.call("CP-1", "ClearChargingProfile", {}, uid="c-1")).payload == {"status": "Unknown"}
        payload = {"connectorId": 0, "csChargingProfiles": maximum(8)}
        await csms.call("CP-1", "SetChargingProfile", payload, uid="max")
        ours = next(one["chargingProfileId"] for _, one in station.book.profiles if one["chargingProfileId"] != 7)
        assert (await csms.call("CP-1", "ClearChargingProfile", {"id": ours}, uid="c-2")).payload["status"] == "Unknown"
        criteria = {"chargingProfilePurpose": "ChargePointMaxProfile", "stackLevel": 0}
        assert (await csms.call("CP-1", "ClearChargingProfile", criteria, uid="c-3")).payload["status"] == "Accepted"
        assert 7 not in [one["chargingProfileId"] for _, one in station.book.profiles]
        assert station.allowed_kw(1) == pytest.approx(11, abs=0.1)


async def test_limits_that_a_back_end_left_on_the_station_are_cleared_once(proxy, csms, kit):
    station = proxy.station("CP-1")
    for purpose, connector_id, number in (("TxDefaultProfile", 1, 5), ("ChargePointMaxProfile", 0, 6)):
        left = maximum(32, profile_id=number, purpose=purpose, level=8)
        assert station.book.install(connector_id, left, None) == "Accepted"
    async with station:
        await proxy.settled("CP-1")
        assert station.allowed_kw(1) == pytest.approx(4.14, abs=0.1), "the fallback, not what was left"
        assert 6 in [one["chargingProfileId"] for _, one in station.book.profiles], "a maximum only lowers"
    cleared = [payload for action, payload in station.received if action == "ClearChargingProfile"]
    assert [payload["chargingProfilePurpose"] for payload in cleared] == ["TxProfile", "TxDefaultProfile"]
    station.received.clear()
    async with station:
        await proxy.settled("CP-1")
    assert "ClearChargingProfile" not in [action for action, _ in station.received]


async def test_a_remote_start_goes_through_without_its_profile(proxy, csms):
    async with settled(proxy, csms) as station:
        station.refused["RemoteStartTransaction"] = {"status": "Accepted"}
        payload = {"connectorId": 1, "idTag": TOKEN, "chargingProfile": maximum(32, purpose="TxProfile")}
        answer = await csms.call("CP-1", "RemoteStartTransaction", payload, uid="r-1")
        assert answer.payload == {"status": "Accepted"}
        assert ("RemoteStartTransaction", {"connectorId": 1, "idTag": TOKEN}) in station.received


async def test_the_station_s_password_is_not_changed_behind_the_bridge_s_back(proxy, csms, tmp_path):
    async with settled(proxy, csms) as station:
        payload = {"key": "AuthorizationKey", "value": "0123456789abcdef"}
        answer = await csms.call("CP-1", "ChangeConfiguration", payload, uid="k-1")
        assert answer.payload == {"status": "Rejected"}
        assert "ChangeConfiguration" not in [action for action, _ in station.received]
        audit = (tmp_path / "state" / "audit.jsonl").read_text(encoding="utf-8")
        assert "refused: AuthorizationKey was not changed" in audit
        assert "0123456789" not in audit


async def test_a_lost_back_end_changes_nothing_for_the_station(kit, tmp_path):
    csms = Csms(tokens={TOKEN})
    async with csms.serving() as there:
        port = there.port
    async with kit.running_bridge(proxied(kit, tmp_path, csms)) as proxy:
        async with csms.serving(port):
            station = await proxy.station("CP-1").connect()
            await proxy.settled("CP-1")
            await csms.until(lambda: "CP-1" in csms.sockets)
            assert (await station.call("Authorize", {"idTag": TOKEN}))["idTagInfo"]["status"] == "Accepted"
        await waits(proxy, kit, connected=False)
        told = len(csms.heard)

        # The token that the back end accepted before may charge; a stranger may not.
        assert (await station.call("Authorize", {"idTag": TOKEN}))["idTagInfo"]["status"] == "Accepted"
        assert (await station.call("Authorize", {"idTag": "STRANGER"}))["idTagInfo"]["status"] == "Invalid"
        assert "currentTime" in await station.call("Heartbeat", {})
        await station.status(1, "Preparing")
        local = await station.start(1)
        await station.status(1, "Charging")
        await station.meter(1, {"value": "1500"})
        plan_id = await proxy.publish([kit.entry("CP-1", 11, transaction_id=local)])
        await proxy.reaches(plan_id, "CP-1", "verified")
        reasons = (await proxy.client.get("/health")).json()["reasons"]
        assert any("CP-1: its back end is away" in reason and "3 messages wait" in reason for reason in reasons)

        async with csms.serving(port):
            await csms.until(lambda: len(csms.heard) >= told + 3)
            late = csms.heard[told:]
            assert [one.action for one in late] == ["StartTransaction", "StatusNotification", "MeterValues"]
            assert late[1].payload["status"] == "Charging", "of the statuses only the last counts"
            upstream_id = late[2].payload["transactionId"]
            assert upstream_id == 501 != local
            # From now on each side goes on with the id that it knows.
            await station.meter(1, {"value": "1600"})
            await csms.until(lambda: len(csms.payloads("MeterValues")) == 2)
            assert csms.payloads("MeterValues")[1]["transactionId"] == upstream_id
            station.refused["RemoteStopTransaction"] = {"status": "Accepted"}
            await csms.call("CP-1", "RemoteStopTransaction", {"transactionId": upstream_id}, uid="s-1")
            assert ("RemoteStopTransaction", {"transactionId": local}) in station.received
            await station.stop(1)
            await csms.until(lambda: csms.payloads("StopTransaction") != [])
            assert csms.payloads("StopTransaction")[0]["transactionId"] == upstream_id
            assert (await upstream_of(proxy))["waiting"] == 0
            assert not station.closed.is_set()
        await station.close()


async def test_what_must_not_be_lost_keeps_its_order_while_the_queue_drains(kit, tmp_path):
    csms = Csms(tokens={TOKEN})
    async with csms.serving() as there:
        port = there.port
    async with kit.running_bridge(proxied(kit, tmp_path, csms)) as proxy, proxy.station("CP-1") as station:
        await station.start(1)
        for k in range(40):
            await station.meter(1, {"value": str(1000 + k)})
        async with csms.serving(port):
            await csms.until(lambda: "StartTransaction" in csms.actions())
            await station.meter(1, {"value": "5000"})
            await station.stop(1)
            await csms.until(lambda: "StopTransaction" in csms.actions())
        kept = [one for one in csms.heard if one.action in ("StartTransaction", "MeterValues", "StopTransaction")]
        assert csms.actions()[0] == "BootNotification"
        assert [one.action for one in kept] == ["StartTransaction", *["MeterValues"] * 41, "StopTransaction"]
        values = [one.payload["meterValue"][0]["sampledValue"][0]["value"] for one in kept[1:-1]]
        assert values == [str(1000 + k) for k in range(40)] + ["5000"]
        assert {one.payload["transactionId"] for one in kept[1:]} == {501}


async def test_a_back_end_that_falls_silent_is_taken_for_lost(impatient_proxy, csms, kit):
    async with settled(impatient_proxy, csms) as station:
        csms.deaf.add("StartTransaction")
        local = await station.start(1)  # answered by the bridge once the back end has not
        assert local != 501
        csms.deaf.clear()
        await csms.until(lambda: len([one for one in csms.heard if one.action == "StartTransaction"]) >= 2)
        await station.meter(1, {"value": "1100"})
        await csms.until(lambda: csms.payloads("MeterValues") != [])
        assert csms.payloads("MeterValues")[0]["transactionId"] == 501


async def test_what_the_back_end_keeps_refusing_is_set_aside_and_told(impatient_proxy, csms, kit):
    async with settled(impatient_proxy, csms) as station:
        csms.deaf.add("StopTransaction")
        await station.start(1)
        await station.stop(1)  # not answered upstream, so it is kept
        csms.refuses["StopTransaction"] = "FormationViolation"
        csms.deaf.clear()

        async def set_aside():
            return (await upstream_of(impatient_proxy))["set_aside"] == 1

        await kit.eventually(set_aside, 60, lambda: "never set aside")
        reasons = (await impatient_proxy.client.get("/health")).json()["reasons"]
        assert "CP-1: its back end refused 1 messages for good" in reasons


async def test_a_passing_failure_of_the_back_end_is_waited_out(impatient_proxy, csms, kit):
    async with settled(impatient_proxy, csms) as station:
        csms.deaf.add("StopTransaction")
        await station.start(1)
        await station.stop(1)
        csms.refuses["StopTransaction"] = "InternalError"
        csms.deaf.clear()
        await csms.until(lambda: csms.actions().count("StopTransaction") >= 4)
        assert (await upstream_of(impatient_proxy))["set_aside"] == 0
        csms.refuses.clear()

        async def delivered():
            return (await upstream_of(impatient_proxy))["waiting"] == 0

        await kit.eventually(delivered, 60, lambda: "never delivered")


async def test_a_station_that_its_back_end_does_not_admit_yet_delivers_nothing_else(proxy, csms):
    csms.boot_status = "Pending"
    station = proxy.station("CP-1")
    await station.connect(boot=False)
    await csms.until(lambda: "CP-1" in csms.sockets)
    boot = {"chargePointVendor": "test", "chargePointModel": "raw"}
    assert (await station.call("BootNotification", boot))["status"] == "Pending", "as the back end said"
    await csms.sockets["CP-1"].close()
    await station.start(1)  # kept while the back end is away
    await csms.until(lambda: "CP-1" in csms.sockets)
    await asyncio.sleep(0.3)
    assert "StartTransaction" not in csms.actions()
    csms.boot_status = "Accepted"
    assert (await station.call("BootNotification", boot))["status"] == "Accepted"
    await csms.until(lambda: "StartTransaction" in csms.actions())
    await station.close()


async def test_a_token_that_the_back_end_refuses_afterwards_is_told(impatient_proxy, csms, kit):
    async with settled(impatient_proxy, csms) as station:
        csms.deaf.add("StartTransaction")
        csms.tokens.clear()
        await station.start(1)
        csms.deaf.clear()

        async def counted():
            metrics = (await impatient_proxy.client.get("/metrics")).text
            return 'depotwise_bridge_events_total{event="upstream_late_refusal"} 1' in metrics

        await kit.eventually(counted, 60, lambda: "not told")
        assert 1 in station.running, "and never stopped by us"
        assert "RemoteStopTransaction" not in [action for action, _ in station.received]


async def test_a_boot_while_the_back_end_is_away_is_told_first_and_until_accepted(kit, tmp_path):
    csms = Csms(tokens={TOKEN}, boot_status="Pending", boot_interval_s=1)
    async with csms.serving() as there:
        port = there.port
    async with kit.running_bridge(proxied(kit, tmp_path, csms)) as proxy, proxy.station("CP-1") as station:
        await station.start(1)
        async with csms.serving(port):
            await csms.until(lambda: csms.actions().count("BootNotification") >= 2)
            assert "StartTransaction" not in csms.actions()
            csms.boot_status = "Accepted"
            await csms.until(lambda: "StartTransaction" in csms.actions())


async def test_credentials_and_subprotocol_are_passed_through(kit, tmp_path, csms):
    from ocpp_bridge.security import hash_password

    config = proxied(kit, tmp_path, csms)
    config["listeners"][0]["security_profile"] = 1
    for station in config["stations"]:
        station["password_hash"] = hash_password(b"open sesame 1234")
    csms.passwords["CP-1"] = "open sesame 1234"
    async with kit.running_bridge(config) as proxy, settled(proxy, csms, password="open sesame 1234"):
        assert csms.users == ["CP-1:open sesame 1234"]
        assert csms.sockets["CP-1"].subprotocol == "ocpp1.6"
        assert "sesame" not in (await proxy.client.get("/frames")).text


async def test_the_back_end_s_password_may_come_from_the_environment(kit, tmp_path, csms, monkeypatch):
    monkeypatch.setenv("UPSTREAM_PASSWORD", "another secret")
    csms.passwords["CP-1"] = "another secret"
    config = proxied(kit, tmp_path, csms, password_env="UPSTREAM_PASSWORD")
    async with kit.running_bridge(config) as proxy, settled(proxy, csms):
        assert csms.users == ["CP-1:another secret"]
    csms.passwords["CP-1"] = "changed"
    (tmp_path / "second").mkdir()
    config = proxied(kit, tmp_path / "second", csms, password_env="UPSTREAM_PASSWORD")
    async with kit.running_bridge(config) as proxy, proxy.station("CP-1"):

        async def refused():
            return (await upstream_of(proxy))["problem"]

        assert await kit.eventually(refused, 60, lambda: "no problem told") == "it answered HTTP 401"


async def test_a_station_of_the_bridge_s_own_has_no_back_end(proxy, csms):
    async with proxy.station("CP-2") as station:
        assert await station.start(1) > 1000
        assert await upstream_of(proxy, "CP-2") is None
    assert csms.heard == []
