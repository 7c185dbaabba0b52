"""VDV 463 over real sockets: a depot system asks for charging, and is told how it goes."""

from datetime import UTC, datetime, timedelta

import pytest
from websockets.exceptions import InvalidStatus

from core.time_grid import parse_instant
from ocpp_bridge.security import hash_password
from ocpp_bridge.upstream import vdv463
from ocpp_bridge.upstream.vdv463 import VdvError
from simulator.back_ends.vdv463 import Presystem

PASSWORD = "a depot's secret"
DEPARTURE = datetime(2026, 2, 11, 4, 30, tzinfo=UTC)


def asked(name, vehicle_id, *, point=None, departure="2026-02-11T05:30:00+01:00", low=80, high=100, **data):
    request = {
        "vehicleId": vehicle_id,
        "chargingRequestId": name,
        "chargingRequestData": {
            "minTargetSoc": low,
            "maxTargetSoc": high,
            "requestedTimeForDeparture": departure,
            **data,
        },
    }
    return request if point is None else {**request, "chargingPointId": point}


@pytest.fixture
def config(kit, tmp_path):
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",))
    config["stations"][0]["connectors"][0]["charging_point_id"] = "Bay 1"
    presystem = {"presystem_id": "BMS-1", "password_hash": hash_password(PASSWORD.encode())}
    config["vdv463"] = {"port": 0, "interval_s": 0.1, "depot_id": "Depot North", "presystems": [presystem]}
    return config


@pytest.fixture
async def bridge(kit, config):
    async with kit.running_bridge(config) as running:
        running.vdv_url = f"ws://127.0.0.1:{running.bridge.vdv463.port}/"
        yield running


@pytest.fixture
async def presystem(bridge):
    async with Presystem("BMS-1", PASSWORD).connected(bridge.vdv_url) as one:
        assert await one.boot() == {"status": "Accepted"}
        yield one


async def requests_of(bridge, after=0):
    answer = await bridge.client.get("/charging_requests", params={"after": after})
    assert answer.status_code == 200, answer.text
    return answer.json()


def point_of(told):
    return told["depotInfoList"][0]["chargingStationInfoList"][0]["chargingPointInfoList"][0]


async def test_requests_are_kept_in_plan_words(bridge, presystem):
    data = {"expectedArrivalTimeAtChargingPoint": "2026-02-10T19:00:00Z", "expectedSocAtArrival": 35}
    answer = await presystem.request({**asked("r-1", "bus-7", point="Bay 1", **data), "priority": 2})
    assert (answer[0], answer[5], answer[6]) == (2, "ProvideChargingRequests", {})
    found = (await requests_of(bridge))["requests"]
    assert len(found) == 1
    assert found[0] | {"cursor": 0, "received_at": ""} == {
        "cursor": 0,
        "received_at": "",
        "presystem_id": "BMS-1",
        "is_withdrawn": False,
        "charging_request_id": "r-1",
        "vehicle_id": "bus-7",
        "charging_point_id": "Bay 1",
        "charging_process_id": None,
        "priority": 2,
        "expected_arrival_at": "2026-02-10T19:00:00Z",
        "expected_soc_at_arrival_pct": 35,
        "min_target_soc_pct": 80,
        "max_target_soc_pct": 100,
        "requested_departure_at": "2026-02-11T04:30:00Z",
        "is_ad_hoc": False,
    }


async def test_the_list_is_the_whole_set(bridge, presystem):
    await presystem.request(asked("r-1", "bus-7"), asked("r-2", "bus-8"))
    first = await requests_of(bridge)
    await presystem.request(asked("r-1", "bus-7"), asked("r-2", "bus-8"))
    assert (await requests_of(bridge, first["next"]))["requests"] == [], "the same again is nothing new"
    await presystem.request(asked("r-1", "bus-7", low=90))
    later = await requests_of(bridge, first["next"])
    assert [(one["charging_request_id"], one["is_withdrawn"]) for one in later["requests"]] == [
        ("r-1", False),
        ("r-2", True),
    ]
    assert later["requests"][0]["min_target_soc_pct"] == 90
    await presystem.request(asked("r-1", "bus-7", low=90), asked("r-2", "bus-8"))
    back = await requests_of(bridge, later["next"])
    assert [(one["charging_request_id"], one["is_withdrawn"]) for one in back["requests"]] == [("r-2", False)]


async def test_what_makes_no_sense_is_refused_whole_with_every_mistake(bridge, presystem):
    answer = await presystem.request(
        asked("r-1", "bus-7", low=120), asked("r-2", "bus-8", low=90, high=50), asked("", "b")
    )
    assert answer[0] == 3
    words = answer[6]["errorMessage"]
    for part in (
        "chargingRequestList.0.chargingRequestData.minTargetSoc",
        "minTargetSoc is above maxTargetSoc",
        "List.2",
    ):
        assert part in words
    twice = await presystem.request(asked("r-1", "bus-7"), asked("r-1", "bus-8"))
    assert "given twice: r-1" in twice[6]["errorMessage"]
    naive = await presystem.request(asked("r-1", "bus-7", departure="2026-02-11T05:30:00"))
    assert naive[0] == 3
    other = await presystem.ask("BootNotification", {"presystem": "BMS"}, presystem_id="BMS-2")
    assert "BMS-1 is logged in" in other[6]["errorMessage"]
    backwards = await presystem.ask("ProvideChargingInformation", {"depotInfoList": []})
    assert "is for the charging side to send" in backwards[6]["errorMessage"]
    assert (await requests_of(bridge))["requests"] == []


async def test_the_presystem_is_told_how_charging_goes(bridge, presystem, kit):
    await presystem.request(
        asked("r-1", "bus-7"), asked("r-2", "bus-8", point="Bay 1"), asked("r-3", "bus-9", point="Bay 99")
    )
    told = await presystem.until(lambda one: "rejectedChargingRequestInfoList" in one)
    assert told["rejectedChargingRequestInfoList"] == [
        {
            "presystemId": "BMS-1",
            "chargingRequestId": "r-3",
            "reason": "the charging point Bay 99 is not known here",
        }
    ]
    assert told["depotInfoList"][0]["depotId"] == "Depot North"
    assert point_of(told)["chargingPointStatus"] == "Unavailable"
    async with bridge.station("CP-1") as station:
        await bridge.settled("CP-1")
        await station.status(1, "Available")
        await presystem.until(lambda one: point_of(one)["chargingPointStatus"] == "Available")
        await station.status(1, "Charging")
        transaction_id = await station.start(1, meter=1000)
        plan = {
            "requested_departure_at": kit.iso(DEPARTURE),
            "min_target_soc_pct": 80,
            "predicted_departure_soc_pct": 91.5,
        }
        plan_id = await bridge.publish(
            [kit.entry("CP-1", 11, transaction_id=transaction_id, vehicle_id="bus-7", **plan)]
        )
        await bridge.reaches(plan_id, "CP-1", "verified")
        energy = {"value": "3500", "measurand": "Energy.Active.Import.Register", "unit": "Wh"}
        power = {"value": "10.5", "measurand": "Power.Active.Import", "unit": "kW"}
        await station.meter(1, energy, power, {"value": "55", "measurand": "SoC", "unit": "Percent"})
        point = point_of(await presystem.until(lambda one: "chargingProcessInfo" in point_of(one)))
    assert point["chargingPointId"] == "Bay 1"
    assert point["chargingPointStatus"] == "Occupied"
    assert point["presentPowerLimit"] == pytest.approx(11, abs=0.1)
    assert point["energyMeterReading"] == 3500
    assert point["vehicleInfo"]["vehicleId"] == "bus-7"
    assert point["vehicleInfo"]["tractionBatteryInfo"] == {"stateOfCharge": 55}
    process = point["chargingProcessInfo"]
    assert process["chargingRequestId"] == "r-1"
    assert (process["chargingProcessId"], process["processStatus"]) == (str(transaction_id), "Charging")
    assert process["electricData"] == {"chargingPower": 10.5}
    assert process["deliveredEnergy"] == 2500
    assert datetime.now(UTC) - parse_instant(process["startTime"]) < timedelta(minutes=1)
    assert process["chargingPredictionData"] == {
        "chargingPredictionDataStatus": "Ongoing",
        "chargingPredictionDataDepartureTime": {
            "predictedDepartureTimeSoc": 91.5,
            "requestedTimeForDeparture": "2026-02-11T04:30:00Z",
        },
    }
    assert [one["chargingRequestId"] for one in point["scheduledChargingProcessList"]] == ["r-2"]


async def test_requests_outlive_the_bridge(kit, config):
    for expected in ([("r-1", False)], [("r-1", False), ("r-1", True)]):
        async with kit.running_bridge(config) as bridge:
            url = f"ws://127.0.0.1:{bridge.bridge.vdv463.port}/"
            async with Presystem("BMS-1", PASSWORD).connected(url) as presystem:
                await presystem.request(*([asked("r-1", "bus-7")] if len(expected) == 1 else []))
            found = (await requests_of(bridge))["requests"]
            assert [(one["charging_request_id"], one["is_withdrawn"]) for one in found] == expected


async def test_strangers_stay_outside(bridge):
    for name, password in (("BMS-1", "wrong"), ("BMS-9", PASSWORD)):
        with pytest.raises(InvalidStatus, match="401"):
            async with Presystem(name, password).connected(bridge.vdv_url):
                pass
    reasons = (await bridge.client.get("/health")).json()["reasons"]
    assert "the presystem BMS-1 is not connected" in reasons
    assert (await bridge.client.get("/charging_requests", headers={"Authorization": "x"})).status_code == 401


def test_without_tls_it_stays_on_loopback(kit, config):
    from ocpp_bridge.config import BridgeConfig

    config["vdv463"]["host"] = "0.0.0.0"
    with pytest.raises(ValueError, match="vdv463 is wss"):
        BridgeConfig.model_validate(config)


@pytest.mark.parametrize(
    "text", ["", "[]", b"\x00", "[1,2,3,4,5,6,7]", '[9,"a","b","t","m","BootNotification",{}]', "[" * 100_000]
)
def test_what_is_no_message_says_so(text):
    with pytest.raises(VdvError):
        vdv463.parse(text)
