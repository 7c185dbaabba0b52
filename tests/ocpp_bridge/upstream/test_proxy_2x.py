"""Proxy mode in OCPP 2.0.1 and 2.1, and the subprotocol that station and back end have in common."""

import pytest
from websockets.typing import Subprotocol

from simulator.back_ends.csms import Csms

BOOT = {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}}
TOKEN = {"idToken": "TAG-1", "type": "ISO14443"}


def event(kind, seq, *, token=TOKEN, offline=False):
    payload = {
        "eventType": kind,
        "timestamp": "2026-02-10T18:00:00Z",
        "triggerReason": "Authorized",
        "seqNo": seq,
        "transactionInfo": {"transactionId": "tx-a"},
        "evse": {"id": 1, "connectorId": 1},
    }
    return payload if token is None else {**payload, "idToken": token}


def config_of(kit, tmp_path, csms, **upstream):
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",))
    config["stations"][0]["upstream"] = {"url": csms.url, "retry_max_s": 0.5, "timeout_s": 1.0, **upstream}
    return config


def able(station):
    """Let the raw station accept what a 2.0.1 station would."""
    station.reads_back = False
    station.refused |= {
        "GetVariables": {"getVariableResult": []},
        "SetChargingProfile": {"status": "Accepted"},
        "ClearChargingProfile": {"status": "Accepted"},
        "RequestStartTransaction": {"status": "Accepted"},
    }
    return station


@pytest.fixture
def csms():
    return Csms(tokens={"TAG-1"})


BOTH = pytest.mark.parametrize("subprotocol", ["ocpp2.0.1", "ocpp2.1"])


@BOTH
async def test_a_transaction_survives_the_loss_of_its_back_end(kit, tmp_path, csms, subprotocol):
    async with csms.serving() as there:
        port = there.port
    async with kit.running_bridge(config_of(kit, tmp_path, csms)) as proxy:
        async with csms.serving(port):
            station = await able(proxy.station("CP-1")).connect(boot=False, subprotocols=(subprotocol,))
            await csms.until(lambda: "CP-1" in csms.sockets)
            assert csms.sockets["CP-1"].subprotocol == subprotocol
            assert (await station.call("BootNotification", BOOT))["interval"] == 300
            assert (await station.call("TransactionEvent", event("Started", 0)))["idTokenInfo"]["status"] == "Accepted"
        # Away: a running transaction goes on, whatever its token; a stranger may not begin.
        assert await station.call("TransactionEvent", event("Updated", 1, token=None)) == {}
        stranger = {"idToken": {"idToken": "STRANGER", "type": "ISO14443"}}
        assert (await station.call("Authorize", stranger))["idTokenInfo"]["status"] == "Invalid"
        assert (await station.call("Authorize", {"idToken": TOKEN}))["idTokenInfo"]["status"] == "Accepted"
        plan_id = await proxy.publish([kit.entry("CP-1", 11, transaction_id="tx-a")])
        await proxy.reaches(plan_id, "CP-1", "accepted", "verified")
        assert (await station.call("TransactionEvent", event("Ended", 2)))["idTokenInfo"]["status"] == "Accepted"
        async with csms.serving(port):
            await csms.until(lambda: len(csms.payloads("TransactionEvent")) == 3)
            assert [one["seqNo"] for one in csms.payloads("TransactionEvent")] == [0, 1, 2]
        await station.close()


@BOTH
async def test_the_limits_stay_the_bridge_s(kit, tmp_path, csms, subprotocol):
    async with csms.serving(), kit.running_bridge(config_of(kit, tmp_path, csms)) as proxy:
        station = await able(proxy.station("CP-1")).connect(boot=False, subprotocols=(subprotocol,))
        await csms.until(lambda: "CP-1" in csms.sockets)
        await station.call("BootNotification", BOOT)
        await proxy.settled("CP-1")
        schedule = {
            "id": 1,
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 32.0}],
            "startSchedule": "2020-01-01T00:00:00Z",
        }
        profile = {
            "id": 9,
            "stackLevel": 3,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Absolute",
            "chargingSchedule": [schedule],
        }
        answer = await csms.call("CP-1", "SetChargingProfile", {"evseId": 1, "chargingProfile": profile}, uid="p-1")
        assert answer.payload["status"] == "Rejected"
        assert answer.payload["statusInfo"]["reasonCode"] == "InvalidProfile"
        start = {"idToken": TOKEN, "remoteStartId": 5, "evseId": 1, "chargingProfile": profile}
        assert (await csms.call("CP-1", "RequestStartTransaction", start, uid="p-2")).payload["status"] == "Accepted"
        got = next(payload for action, payload in station.received if action == "RequestStartTransaction")
        assert got == {"idToken": TOKEN, "remoteStartId": 5, "evseId": 1}
        secret = {
            "setVariableData": [
                {
                    "component": {"name": "SecurityCtrlr"},
                    "variable": {"name": "BasicAuthPassword"},
                    "attributeValue": "0123456789abcdef",
                }
            ]
        }
        answer = await csms.call("CP-1", "SetVariables", secret, uid="p-3")
        assert [one["attributeStatus"] for one in answer.payload["setVariableResult"]] == ["Rejected"]
        assert "SetVariables" not in [action for action, _ in station.received]
        await station.close()


async def test_what_2_1_adds_cannot_move_our_limits(kit, tmp_path, csms):
    """Dynamic updates of our profiles are refused; what has nothing to do with limits goes through as it is."""
    async with csms.serving(), kit.running_bridge(config_of(kit, tmp_path, csms)) as proxy:
        station = able(proxy.station("CP-1"))
        station.refused["NotifyAllowedEnergyTransfer"] = {"status": "Accepted"}
        await station.connect(boot=False, subprotocols=("ocpp2.1",))
        await csms.until(lambda: "CP-1" in csms.sockets)
        await station.call("BootNotification", BOOT)
        await proxy.settled("CP-1")
        ours = next(
            payload["chargingProfile"]["id"] for action, payload in station.received if action == "SetChargingProfile"
        )
        update = {"chargingProfileId": ours, "scheduleUpdate": {"limit": 32.0}}
        assert (await csms.call("CP-1", "UpdateDynamicSchedule", update, uid="d-1")).payload["status"] == "Rejected"
        priority = {"transactionId": "tx-a", "activate": True}
        assert (await csms.call("CP-1", "UsePriorityCharging", priority, uid="d-2")).payload["status"] == "NoProfile"
        told = {"UpdateDynamicSchedule", "UsePriorityCharging"} & {action for action, _ in station.received}
        assert told == set()
        energy = {"transactionId": "tx-a", "allowedEnergyTransfer": ["AC_three_phase"]}
        answer = await csms.call("CP-1", "NotifyAllowedEnergyTransfer", energy, uid="d-3")
        assert answer.payload == {"status": "Accepted"}
        assert ("NotifyAllowedEnergyTransfer", energy) in station.received
        await station.close()


async def test_a_station_that_offers_more_is_held_to_what_its_back_end_speaks(kit, tmp_path):
    csms = Csms(tokens={"TAG-1"}, subprotocols=(Subprotocol("ocpp1.6"),))
    config = config_of(kit, tmp_path, csms, subprotocols=["ocpp1.6"])
    async with csms.serving():
        config["stations"][0]["upstream"]["url"] = csms.url
        async with kit.running_bridge(config) as proxy:
            station = await proxy.station("CP-1").connect(boot=True, subprotocols=("ocpp2.0.1", "ocpp1.6"))
            await csms.until(lambda: "CP-1" in csms.sockets)
            await station.close()


async def test_a_back_end_without_a_common_subprotocol_is_named(kit, tmp_path):
    csms = Csms(subprotocols=(Subprotocol("ocpp2.0.1"),))
    async with (
        csms.serving(),
        kit.running_bridge(config_of(kit, tmp_path, csms)) as proxy,
        proxy.station("CP-1") as station,
    ):

        async def told():
            reasons = (await proxy.client.get("/health")).json()["reasons"]
            return any("its back end is away" in reason for reason in reasons)

        await kit.eventually(told, 60, lambda: "health says nothing")
        assert await station.start(1) > 0
