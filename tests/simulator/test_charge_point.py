"""A charge point against a real back end on loopback; every frame it sends is valid OCPP 1.6."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from simulator.charge_point.connector import Plugged
from simulator.charge_point.link import Link
from simulator.charge_point.station import Station
from simulator.world.battery import DC_CABINET, ON_BOARD_CHARGER, Battery
from simulator.world.fleet import Connector
from tests.simulator.back_end import BackEnd, back_end

START = datetime(2026, 2, 9, 17, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
VAN = Battery(60.0, ON_BOARD_CHARGER.to_terminal_kw(11.04), ON_BOARD_CHARGER)
BUS = Battery(350.0, 150.0, DC_CABINET)


class Depot:
    """A station whose time the test moves."""

    def __init__(self, current_type: str = "ac") -> None:
        kind, power_kw = ("AC", 11.04) if current_type == "ac" else ("DC", 120.0)
        numbers = (1, 2) if current_type == "ac" else (1,)
        connectors = [Connector(k, f"N-{kind}-01", k, "north", None, current_type, power_kw) for k in numbers]
        self.station = Station(f"N-{kind}-01", connectors, dict.fromkeys(numbers, 1234.5))
        self.at = START

    def pass_minutes(self, minutes: int) -> None:
        for _ in range(minutes):
            self.at += MINUTE
            self.station.tick(self.at, MINUTE)

    def van(self, soc: float = 0.5) -> Plugged:
        return Plugged("04AABBCCDDEE11", VAN, 11.04, 3, soc, self.at)

    def bus(self, soc: float = 0.5) -> Plugged:
        return Plugged("04AABBCCDDEE22", BUS, 158.0, 3, soc, self.at)

    @asynccontextmanager
    async def dialling(self, url: str) -> AsyncIterator[None]:
        link = Link(self.station, url=url + self.station.station_id, password="secret", now=lambda: self.at)
        task = asyncio.create_task(link.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def connected(depot: Depot) -> AsyncIterator[BackEnd]:
    async with back_end() as end, depot.dialling(end.url):
        outlets = len(depot.station.outlets)
        await end.until(lambda: len(end.payloads("StatusNotification")) == outlets + 1)
        yield end


def profile(purpose: str, limit: float, *, unit: str = "A", **more: object) -> dict:
    return {
        "chargingProfileId": more.pop("profile_id", 1),
        "stackLevel": 0,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {
            "chargingRateUnit": unit,
            "startSchedule": "2026-02-09T16:59:00Z",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
        },
        **more,
    }


async def test_transaction_from_plugging_in_to_unplugging():
    depot = Depot()
    async with connected(depot) as end:
        assert end.users == ["N-AC-01:secret"]
        assert end.calls[0][0] == "BootNotification"
        depot.station.plug_in(1, depot.van())
        await end.until(lambda: bool(end.payloads("StartTransaction")))
        depot.pass_minutes(61)
        depot.station.unplug(1, depot.at)
        await end.until(lambda: end.calls[-1] == ("StatusNotification", {**end.calls[-1][1], "status": "Available"}))

        start, stop = end.payloads("StartTransaction")[0], end.payloads("StopTransaction")[0]
        assert (start["meterStart"], start["idTag"]) == (1_234_500, "04AABBCCDDEE11")
        assert stop["transactionId"] == 501
        assert stop["meterStop"] - start["meterStart"] == pytest.approx(11_040, rel=0.02)
        statuses = [one["status"] for one in end.payloads("StatusNotification") if one["connectorId"] == 1]
        assert statuses == ["Available", "Preparing", "Charging", "Finishing", "Available"]
        meters = [one for one in end.payloads("MeterValues") if one["connectorId"] == 1]
        assert len(meters) == 12
        sampled = {one["measurand"]: one for one in meters[-1]["meterValue"][0]["sampledValue"]}
        assert sampled["Power.Active.Import"]["value"] == "11040"
        assert sampled["Current.Offered"]["value"] == "16.0"
        assert "SoC" not in sampled


async def test_profiles_are_obeyed_and_reported():
    depot = Depot()
    async with connected(depot) as end:
        depot.station.plug_in(1, depot.van())
        await end.until(lambda: bool(end.payloads("StartTransaction")))
        await asyncio.sleep(0.05)
        request = {"connectorId": 1, "csChargingProfiles": profile("TxProfile", 10, transactionId=501)}
        assert await end.call("SetChargingProfile", request) == {"status": "Accepted"}
        depot.pass_minutes(5)
        assert depot.station.outlets[1].power_kw == pytest.approx(6.9)
        schedule = await end.call("GetCompositeSchedule", {"connectorId": 1, "duration": 3600})
        assert schedule["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 10.0}]

        pause = {"connectorId": 1, "csChargingProfiles": profile("TxProfile", 0, transactionId=501)}
        assert await end.call("SetChargingProfile", pause) == {"status": "Accepted"}
        depot.pass_minutes(5)
        await end.until(lambda: end.payloads("StatusNotification")[-1]["status"] == "SuspendedEVSE")
        assert depot.station.outlets[1].power_kw == 0
        cleared = await end.call("ClearChargingProfile", {"connectorId": 1, "chargingProfilePurpose": "TxProfile"})
        assert cleared == {"status": "Accepted"}
        depot.pass_minutes(1)
        assert depot.station.outlets[1].power_kw == pytest.approx(11.04)
        wrong = {"connectorId": 1, "csChargingProfiles": profile("TxProfile", 10, transactionId=999)}
        assert await end.call("SetChargingProfile", wrong) == {"status": "Rejected"}


async def test_station_maximum_holds_for_all_connectors_together():
    depot = Depot()
    async with connected(depot) as end:
        for number in (1, 2):
            depot.station.plug_in(number, depot.van())
        await end.until(lambda: len(end.payloads("StartTransaction")) == 2)
        await end.call(
            "SetChargingProfile", {"connectorId": 0, "csChargingProfiles": profile("ChargePointMaxProfile", 20)}
        )
        depot.pass_minutes(1)
        assert depot.station.power_kw() == pytest.approx(13.8)

        tight = profile("ChargePointMaxProfile", 10)
        await end.call("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": tight})
        depot.pass_minutes(1)
        powers = sorted(outlet.power_kw for outlet in depot.station.outlets.values())
        assert powers == [0.0, pytest.approx(6.9)]  # two times 3.45 kW would be below 6 A


async def test_cabinet_speaks_power_and_knows_the_soc():
    depot = Depot("dc")
    async with connected(depot) as end:
        depot.station.plug_in(1, depot.bus(soc=0.42))
        await end.until(lambda: bool(end.payloads("StartTransaction")))
        limited = {"connectorId": 1, "csChargingProfiles": profile("TxDefaultProfile", 40_000, unit="W")}
        assert await end.call("SetChargingProfile", limited) == {"status": "Accepted"}
        in_amperes = {"connectorId": 1, "csChargingProfiles": profile("TxDefaultProfile", 60, profile_id=2)}
        assert await end.call("SetChargingProfile", in_amperes) == {"status": "Rejected"}
        depot.pass_minutes(5)
        await end.until(lambda: bool(end.payloads("MeterValues")))
        sampled = {one["measurand"]: one for one in end.payloads("MeterValues")[-1]["meterValue"][0]["sampledValue"]}
        assert sampled["Power.Offered"]["value"] == "40000"
        assert (
            sampled["Power.Active.Import"] | {"value": "40000", "location": "Inlet"} == sampled["Power.Active.Import"]
        )
        assert sampled["SoC"]["value"] == "43"


async def test_unknown_token_is_not_charged():
    depot = Depot()
    async with connected(depot) as end:
        end.answers["Authorize"] = lambda _: {"idTagInfo": {"status": "Invalid"}}
        depot.station.plug_in(1, depot.van())
        await end.until(lambda: bool(end.payloads("Authorize")))
        depot.pass_minutes(10)
        assert not end.payloads("StartTransaction")
        assert depot.station.power_kw() == 0
        depot.station.unplug(1, depot.at)
        await end.until(lambda: end.payloads("StatusNotification")[-1]["status"] == "Available")


async def test_offline_station_charges_without_limit_and_reports_its_transaction_later():
    depot = Depot()
    depot.station.plug_in(1, depot.van())
    depot.pass_minutes(30)
    assert depot.station.power_kw() == pytest.approx(11.04)

    async with connected(depot) as end:
        await end.until(lambda: len(end.payloads("MeterValues")) == 6)
        assert end.payloads("StartTransaction")[0]["timestamp"] == "2026-02-09T17:00:00Z"
        assert {one["transactionId"] for one in end.payloads("MeterValues")} == {501}


async def test_lost_connection_is_dialled_again_without_boot_and_loses_no_transaction():
    depot = Depot()
    async with connected(depot) as end:
        depot.station.plug_in(1, depot.van())
        await end.until(lambda: bool(end.payloads("StartTransaction")))
        depot.pass_minutes(5)
        await end.until(lambda: bool(end.payloads("MeterValues")))
        assert end.connection is not None
        before = len(end.payloads("StatusNotification"))
        await end.connection.close()
        while depot.station.is_online:  # noqa: ASYNC110 - a station raises no event of its own
            await asyncio.sleep(0.01)
        depot.pass_minutes(20)
        depot.station.unplug(1, depot.at)
        await end.until(lambda: len(end.payloads("StatusNotification")) == before + 3)

        assert len(end.payloads("BootNotification")) == 1
        assert len(end.payloads("MeterValues")) == 5
        assert end.payloads("StopTransaction")[0]["transactionId"] == 501


async def test_commands_are_answered():
    depot = Depot()
    async with connected(depot) as end:
        settings = await end.call("GetConfiguration", {"key": ["ChargingScheduleMaxPeriods", "Unheard"]})
        assert settings["configurationKey"][0]["value"] == "24"
        assert settings["unknownKey"] == ["Unheard"]
        everything = await end.call("GetConfiguration", {})
        assert len(everything["configurationKey"]) > 10
        change = {"key": "MeterValueSampleInterval", "value": "60"}
        assert await end.call("ChangeConfiguration", change) == {"status": "Accepted"}
        wrong = {"key": "MeterValuesSampledData", "value": "Energy.Active.Import.Register,SoC"}
        assert await end.call("ChangeConfiguration", wrong) == {"status": "Rejected"}
        for message, action in (("MeterValues", "MeterValues"), ("Heartbeat", "Heartbeat")):
            assert await end.call("TriggerMessage", {"requestedMessage": message}) == {"status": "Accepted"}
            await end.until(lambda action=action: bool(end.payloads(action)))
        assert await end.call("UnlockConnector", {"connectorId": 1}) == {"status": "NotSupported"}
        assert await end.call("GetDiagnostics", {"location": "ftp://example.org"}) == {"error": "NotImplemented"}
        assert await end.call("SetChargingProfile", {}) == {"error": "FormationViolation"}
        assert await end.call("Reset", {"type": "Soft"}) == {"status": "Accepted"}
        await end.until(lambda: len(end.payloads("BootNotification")) == 2)
