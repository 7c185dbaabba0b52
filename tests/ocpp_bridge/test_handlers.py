"""Every action that a station may start is answered, in every version, as its schema wants; and what is wrong is
refused with the right code, without harm to the connection.
"""

import asyncio
import json
from pathlib import Path

import ocpp
import pytest

from ocpp_bridge.wire import schema_error

AT = "2026-02-10T18:00:00Z"
CALLS_16 = {
    "Authorize": {"idTag": "T"},
    "BootNotification": {"chargePointVendor": "v", "chargePointModel": "m"},
    "DataTransfer": {"vendorId": "v"},
    "DiagnosticsStatusNotification": {"status": "Idle"},
    "FirmwareStatusNotification": {"status": "Idle"},
    "Heartbeat": {},
    "LogStatusNotification": {"status": "Idle"},
    "MeterValues": {"connectorId": 1, "meterValue": []},
    "SecurityEventNotification": {"type": "t", "timestamp": AT},
    "SignCertificate": {"csr": "x"},
    "SignedFirmwareStatusNotification": {"status": "Idle"},
    "StartTransaction": {"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": AT},
    "StatusNotification": {"connectorId": 1, "errorCode": "NoError", "status": "Available"},
    "StopTransaction": {"transactionId": 1, "meterStop": 1, "timestamp": AT, "idTag": "T"},
}
CALLS_201 = {
    "Authorize": {"idToken": {"idToken": "T", "type": "Central"}},
    "BootNotification": {"reason": "PowerUp", "chargingStation": {"model": "m", "vendorName": "v"}},
    "ClearedChargingLimit": {"chargingLimitSource": "EMS"},
    "DataTransfer": {"vendorId": "v"},
    "FirmwareStatusNotification": {"status": "Idle"},
    "Get15118EVCertificate": {"iso15118SchemaVersion": "x", "action": "Install", "exiRequest": "x"},
    "GetCertificateStatus": {"ocspRequestData": {}},
    "Heartbeat": {},
    "LogStatusNotification": {"status": "Idle"},
    "MeterValues": {"evseId": 1, "meterValue": []},
    "NotifyChargingLimit": {"chargingLimit": {"chargingLimitSource": "EMS"}},
    "NotifyCustomerInformation": {"data": "x", "seqNo": 0, "generatedAt": AT, "requestId": 1},
    "NotifyDisplayMessages": {"requestId": 1},
    "NotifyEVChargingNeeds": {"evseId": 1, "chargingNeeds": {}},
    "NotifyEVChargingSchedule": {"timeBase": AT, "evseId": 1, "chargingSchedule": {}},
    "NotifyEvent": {"generatedAt": AT, "seqNo": 0, "eventData": []},
    "NotifyMonitoringReport": {"requestId": 1, "seqNo": 0, "generatedAt": AT},
    "NotifyReport": {"requestId": 1, "seqNo": 0, "generatedAt": AT},
    "PublishFirmwareStatusNotification": {"status": "Idle"},
    "ReportChargingProfiles": {"requestId": 1, "chargingLimitSource": "CSO", "evseId": 1, "chargingProfile": []},
    "ReservationStatusUpdate": {"reservationId": 1, "reservationUpdateStatus": "Expired"},
    "SecurityEventNotification": {"type": "t", "timestamp": AT},
    "SignCertificate": {"csr": "x"},
    "StatusNotification": {"timestamp": AT, "connectorStatus": "Available", "evseId": 1, "connectorId": 1},
    "TransactionEvent": {
        "eventType": "Started",
        "timestamp": AT,
        "triggerReason": "CablePluggedIn",
        "seqNo": 0,
        "transactionInfo": {"transactionId": "tx-1"},
        "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": "T", "type": "Central"},
    },
}
CALLS_21 = {
    **CALLS_201,
    "BatterySwap": {},
    "ClosePeriodicEventStream": {"id": 1},
    "NotifyDERAlarm": {},
    "NotifyDERStartStop": {},
    "NotifyPriorityCharging": {"transactionId": "x", "activated": True},
    "NotifySettlement": {},
    "OpenPeriodicEventStream": {},
    "PullDynamicScheduleUpdate": {"chargingProfileId": 1},
    "ReportDERControl": {},
    "VatNumberValidation": {"vatNumber": "X1"},
}
VERSIONS = {"1.6": CALLS_16, "2.0.1": CALLS_201, "2.1": CALLS_21}


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_action_is_answered_as_its_schema_wants(lone, version):
    station = lone.station("CP-1")
    station._answer = lambda *_: None  # it supports nothing that we ask
    await station.connect(boot=False, subprotocols=(f"ocpp{version}",))
    for action, payload in VERSIONS[version].items():
        answer = await station.call(action, payload)
        assert schema_error(version, action, answer, is_answer=True) is None, (action, answer)
    await station.close()


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_unknown_action_and_one_of_a_back_end_are_refused(lone, version):
    station = lone.station("CP-1")
    station._answer = lambda *_: None
    await station.connect(boot=False, subprotocols=(f"ocpp{version}",))
    assert (await station.call_frame("MakeCoffee", {}))[2] == "NotImplemented"
    assert (await station.call_frame("SetChargingProfile", {}))[2] in ("NotImplemented", "NotSupported")
    await station.close()


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("StartTransaction", {"connectorId": 1, "meterStart": 0, "timestamp": AT}, "OccurenceConstraintViolation"),
        ("StartTransaction", {"connectorId": "x", "idTag": "T"}, "TypeConstraintViolation"),
        ("Authorize", {"idTag": 7}, "TypeConstraintViolation"),
        ("StatusNotification", {"status": "Available"}, "OccurenceConstraintViolation"),
    ],
)
async def test_a_payload_that_cannot_be_understood_is_refused(lone, action, payload, code):
    async with lone.station("CP-1") as station:
        frame = await station.call_frame(action, payload)
        assert (frame[0], frame[2]) == (4, code)


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "{}", "[]", "[2]", '[2,"a"]', '[9,"a","b",{}]', '[2,7,"Heartbeat",{}]', "[" * 5000, '[3,"x",[]]'],
    ids=lambda text: text[:12] or "empty",
)
async def test_a_malformed_frame_harms_nobody(lone, text):
    async with lone.station("CP-1") as station:
        await station.send_raw(text)
        await station._socket.send(b"\x00\xff binary")
        assert "currentTime" in await station.call("Heartbeat", {})


@pytest.fixture
def calls_of_real_chargers(data_dir):
    text = (data_dir / "ocpp" / "frames.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    return [json.loads(line["frame"]) for line in lines if line["type"] == "CALL" and line["direction"] == "recv"]


@pytest.mark.data
async def test_frames_of_real_chargers_are_all_answered(lone, calls_of_real_chargers):
    calls = calls_of_real_chargers
    async with lone.station("CP-1") as station:
        for _, _, action, payload in calls:
            answer = await station.call(action, payload)
            assert schema_error("1.6", action, answer, is_answer=True) is None


async def test_a_start_told_twice_is_one_transaction(lone):
    async with lone.station("CP-1") as station:
        payload = {"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": AT}
        first = await station.call("StartTransaction", payload)
        again = await station.call("StartTransaction", payload)
        assert first["transactionId"] == again["transactionId"]
        other = await station.call("StartTransaction", {**payload, "timestamp": "2026-02-10T19:00:00Z"})
        assert other["transactionId"] > first["transactionId"]


async def test_a_transaction_that_began_elsewhere_is_taken_over(lone, kit):
    async with lone.station("CP-1") as station:
        await lone.settled("CP-1")
        await station.status(1, "Charging")
        for nonsense in (-1, 0, 2**63 - 1):
            station.running[1] = nonsense
            await station.meter(1, {"value": "1"})
        assert (await lone.client.get("/stations")).json()["stations"][0]["connectors"][0]["transaction_id"] is None
        station.running[1] = 4711
        await station.meter(1, {"value": "1"})
        plan_id = await lone.publish([kit.entry("CP-1", 11, transaction_id=4711)])
        await lone.reaches(plan_id, "CP-1", "verified")


async def test_a_stop_without_a_known_number_ends_the_only_transaction(lone):
    async with lone.station("CP-1") as station:
        await station.start(1)
        await station.call("StopTransaction", {"transactionId": -1, "meterStop": 5, "timestamp": AT})
        found = (await lone.client.get("/stations")).json()["stations"][0]["connectors"][0]
        assert found["transaction_id"] is None


def test_our_lists_name_every_action_of_the_schemas():
    """Whatever the library has a schema for is either a station's to send, and answered, or ours."""
    folder = Path(ocpp.__file__).parent / "v16" / "schemas"
    names = {path.stem for path in folder.glob("*.json") if not path.stem.endswith("Response")}
    from ocpp_bridge.handlers_v16 import CSMS_ACTIONS

    assert names == set(CALLS_16) | CSMS_ACTIONS


# --- OCPP 2.x, end to end --------------------------------------------------------------------------------------------


class Station2:
    """Turns the 1.6 charge point of these tests into one of 2.x: same profile book, other words."""

    def __init__(self, station):
        self.station = station
        station._answer = self.answer

    def answer(self, action, payload):
        book, running = self.station.book, self.station.running.get(1)
        if action == "GetVariables":
            values = {"ProfileStackLevel": "3", "RateUnit": "A,W", "PeriodsPerSchedule": "5"}
            return {
                "getVariableResult": [
                    {**wanted, "attributeStatus": "Accepted", "attributeValue": values[wanted["variable"]["name"]]}
                    for wanted in payload["getVariableData"]
                ]
            }
        if action == "SetChargingProfile":
            profile = payload["chargingProfile"]
            as_16 = {
                **profile,
                "chargingProfileId": profile["id"],
                "chargingSchedule": profile["chargingSchedule"][0],
                "chargingProfilePurpose": profile["chargingProfilePurpose"]
                .replace("StationMax", "PointMax")
                .replace("ChargingPoint", "ChargePoint"),
            }
            return {"status": book.install(payload["evseId"], as_16, running)}
        if action == "ClearChargingProfile":
            purpose = payload.get("chargingProfileCriteria", {}).get("chargingProfilePurpose")
            return {"status": book.clear(payload.get("chargingProfileId"), purpose)}
        if action == "GetCompositeSchedule":
            found = self.station._composite({**payload, "connectorId": payload["evseId"]})
            schedule = found["chargingSchedule"]
            for period in schedule["chargingSchedulePeriod"]:
                period["startPeriod"] += 0.248  # a fraction, as one real station sends
            return {"status": "Accepted", "schedule": schedule}
        return None


@pytest.mark.parametrize("offered", [("ocpp2.0.1",), ("ocpp2.1", "ocpp2.0.1"), ("ocpp1.6", "ocpp2.0.1")])
async def test_a_plan_reaches_a_2x_station(lone, kit, offered):
    station = lone.station("CP-1")
    station.book.max_periods, station.book.max_stack_level = 5, 3
    Station2(station)
    await station.connect(boot=False, subprotocols=offered)
    await station.call("BootNotification", CALLS_201["BootNotification"])
    await lone.settled("CP-1")
    event = {**CALLS_201["TransactionEvent"], "transactionInfo": {"transactionId": "tx-9"}}
    await station.call("TransactionEvent", event)
    station.running[1] = "tx-9"
    plan_id = await lone.publish([kit.entry("CP-1", 11, 0, 16, transaction_id="tx-9")])
    entry = await lone.reaches(plan_id, "CP-1", "verified")
    assert entry["evidence"] == "composite"
    assert station.allowed_kw(1) == pytest.approx(10.97, abs=0.08)
    for action, payload in station.received:
        assert schema_error("2.0.1", action, payload) is None
    ended = {**event, "eventType": "Ended", "seqNo": 1}
    del ended["evse"]
    await station.call("TransactionEvent", ended)
    station.running.clear()
    await lone.reaches(plan_id, "CP-1", "transaction_changed")
    await asyncio.sleep(0.05)
    await station.close()
