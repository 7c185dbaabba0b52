"""The provider APIs over real sockets: paging, credentials, rate limits, faults, and nothing before its time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from core.time_grid import parse_instant
from simulator.providers.gate import Gate
from simulator.providers.geotab import Account, GeotabServer
from simulator.providers.rfms import RfmsServer
from simulator.providers.serving import serving
from simulator.providers.telematics import Telematics
from simulator.scenario import NO_FAULTS, Faults
from simulator.world.history import World

START = "2026-01-31T23:00:00Z"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def telematics(world: World) -> Telematics:
    found = Telematics(world)
    found.release(world.scenario.live_start_at)
    return found


@dataclass
class Now:
    """A present that the test sets."""

    at: datetime

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def now(world: World) -> Now:
    return Now(world.scenario.live_start_at)


def gate(now: Now, *, faults: Faults = NO_FAULTS, limit: int = 10_000, wall_s: float = 0.0) -> Gate:
    return Gate("test", seed=1, faults=faults, limit=limit, window_s=60, now=now, wall_s=lambda: wall_s)


@asynccontextmanager
async def rfms(
    world: World, telematics: Telematics, now: Now, *, page_size: int = 500, door: Gate | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    server = RfmsServer(world, telematics, now=now, token="t", gate=door or gate(now), page_size=page_size)
    async with serving(server.app(), port=0, now=now) as port:
        headers = {"Authorization": "Bearer t"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            yield client


async def ask(client: httpx.AsyncClient, resource: str, **query: str) -> httpx.Response:
    accept = {"Accept": f"application/json; rfms={resource}.v4.0"}
    return await client.get(f"/rfms/{resource}", params=query, headers=accept)


async def follow(client: httpx.AsyncClient, resource: str, envelope: str, items: str, **query: str) -> list[dict]:
    """Return all records of all pages, by the relative link."""
    accept = {"Accept": f"application/json; rfms={resource}.v4.0"}
    answer = (await ask(client, resource, **query)).json()
    records = answer[envelope][items]
    while answer["moreDataAvailable"]:
        assert answer["moreDataAvailableLink"].startswith("/rfms/")
        answer = (await client.get(answer["moreDataAvailableLink"], headers=accept)).json()
        records += answer[envelope][items]
    return records


@pytest.mark.parametrize("page_size", [40, 10_000])
async def test_rfms_pages_hold_every_status_once(world: World, telematics: Telematics, now: Now, page_size: int):
    heavy = [vehicle for vehicle in world.fleet.vehicles if vehicle.model.vehicle_class != "van"]
    async with rfms(world, telematics, now, page_size=page_size) as client:
        found = await follow(client, "vehiclestatuses", "vehicleStatusResponse", "vehicleStatuses", starttime=START)

    keys = [(record["vin"], record["createdDateTime"], record["triggerType"]["triggerType"]) for record in found]
    everything = telematics.statuses.known(now.at)
    assert len(keys) == len(set(keys)) == everything > 300
    assert {record["vin"] for record in found} == {vehicle.vin for vehicle in heavy}
    received = [record["receivedDateTime"] for record in found]
    assert received == sorted(received)


async def test_rfms_next_poll_from_the_servers_time_misses_nothing(world: World, telematics: Telematics, now: Now):
    now.at = world.scenario.live_start_at - 2 * DAY
    end = world.scenario.live_start_at
    async with rfms(world, telematics, now, page_size=10_000) as client:
        seen: list[str] = []
        start = START
        while now.at <= end:
            answer = (await ask(client, "vehiclestatuses", starttime=start)).json()
            assert not answer["moreDataAvailable"]
            seen += [one["vin"] + one["createdDateTime"] for one in answer["vehicleStatusResponse"]["vehicleStatuses"]]
            start = answer["requestServerDateTime"]
            now.at += timedelta(hours=7, seconds=13)
        whole = await follow(
            client, "vehiclestatuses", "vehicleStatusResponse", "vehicleStatuses", starttime=START, stoptime=start
        )

    assert len(seen) == len(set(seen))
    assert sorted(seen) == sorted(one["vin"] + one["createdDateTime"] for one in whole)


async def test_rfms_reveals_only_what_was_received(world: World, telematics: Telematics, now: Now):
    now.at = parse_instant("2026-02-04T10:00:00Z")
    async with rfms(world, telematics, now) as client:
        response = await ask(client, "vehiclestatuses", starttime=START)
        records = response.json()["vehicleStatusResponse"]["vehicleStatuses"]
        positions = (await ask(client, "vehiclepositions", starttime=START)).json()

    assert records
    assert max(record["receivedDateTime"] for record in records) < "2026-02-04T10:00:00"
    assert response.headers["date"] == "Wed, 04 Feb 2026 10:00:00 GMT"
    assert positions["vehiclePositionResponse"]["vehiclePositions"]


async def test_rfms_latest_and_filters(world: World, telematics: Telematics, now: Now):
    heavy = sorted(vehicle.vin for vehicle in world.fleet.vehicles if vehicle.model.vehicle_class != "van")
    async with rfms(world, telematics, now, page_size=2) as client:
        latest = await follow(
            client, "vehiclestatuses", "vehicleStatusResponse", "vehicleStatuses", latestOnly="true",
            contentFilter="SNAPSHOT",
        )  # fmt: skip
        vehicles = await follow(client, "vehicles", "vehicleResponse", "vehicles")
        one = await follow(
            client, "vehiclestatuses", "vehicleStatusResponse", "vehicleStatuses", starttime=START, vin=heavy[0],
            triggerFilter="IGNITION_OFF",
        )  # fmt: skip

    assert [record["vin"] for record in latest] == heavy == [vehicle["vin"] for vehicle in vehicles]
    assert all("snapshotData" in record and "accumulatedData" not in record for record in latest)
    assert {(record["vin"], record["triggerType"]["triggerType"]) for record in one} == {(heavy[0], "IGNITION_OFF")}


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ({"starttime": START}, {"Authorization": "Basic x"}, (400, "NoBearerToken")),
        ({"starttime": START}, {"Authorization": "Bearer x"}, (401, "InvalidAccessToken")),
        ({"starttime": START, "vin": "NOBODY"}, {}, (404, "UnknownVin")),
        ({"starttime": START}, {"Accept": "application/json"}, (406, "UnsupportedAcceptParameter")),
        ({}, {}, (400, "MissingParameter")),
        ({"starttime": "yesterday"}, {}, (400, "InvalidParameter")),
        ({"starttime": START, "latestOnly": "true"}, {}, (400, "ConflictingParameters")),
    ],
)
async def test_rfms_errors(
    world: World, telematics: Telematics, now: Now, query: dict, headers: dict, expected: tuple[int, str]
):
    accept = {"Accept": "application/json; rfms=vehiclestatuses.v4.0"}
    async with rfms(world, telematics, now) as client:
        response = await client.get("/rfms/vehiclestatuses", params=query, headers=accept | headers)

    assert (response.status_code, response.json()["error"]) == expected
    assert set(response.json()) == {"error", "error_description", "error_uri"}


async def test_rfms_rate_limit_says_when_to_come_back(world: World, telematics: Telematics, now: Now):
    async with rfms(world, telematics, now, door=gate(now, limit=2, wall_s=20.0)) as client:
        answers = [await ask(client, "vehicles") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["error"] == "RateExceeded"
    assert answers[-1].headers["retry-after"] == "40"
    assert [answer.headers["x-rate-limit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert int(answers[0].headers["x-rate-limit-reset"]) == int(now.at.timestamp()) + 40


async def test_faults_come_by_plan_and_a_retry_gets_through(world: World, telematics: Telematics, now: Now):
    faults = replace(NO_FAULTS, http_429_share=0.2, http_500_share=0.2)
    async with rfms(world, telematics, now, door=gate(now, faults=faults)) as client:
        statuses = [(await ask(client, "vehicles")).status_code for _ in range(40)]

    assert set(statuses) == {200, 429, 500}
    assert statuses.count(200) > 12


def test_records_of_faulty_devices(world: World, telematics: Telematics):
    from simulator.providers.geotab_records import log_record
    from simulator.providers.rfms_records import status_record

    faults = Faults(
        sentinel_share=1, string_heading_share=1, missing_soc_share=1, nan_speed_share=1, epoch_share=1,
        red_telltale_share=1,
    )  # fmt: skip
    received_at, sample = next(telematics.statuses.items(40, 41))
    noon = sample._replace(at=sample.at.replace(hour=11))

    status = status_record(received_at, noon, contents=["SNAPSHOT", "UPTIME"], faults=faults)
    log = log_record(sample, 1, 1, faults)

    assert status["snapshotData"]["ambientAirTemperature"] == 65535
    assert isinstance(status["snapshotData"]["gnssPosition"]["heading"], str)
    assert "hybridBatteryPackRemainingCharge" not in status["snapshotData"]
    assert status["createdDateTime"].startswith("1970")
    assert status["uptimeData"]["tellTaleInfo"][0]["state"] == "RED"
    assert log["speed"] == "NaN"


@asynccontextmanager
async def geotab(
    world: World, telematics: Telematics, now: Now, *, door: Gate | None = None
) -> AsyncIterator["GeotabCaller"]:
    server = GeotabServer(world, telematics, now=now, account=Account("u", "p"), gate=door or gate(now))
    async with (
        serving(server.app(), port=0, now=now) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield GeotabCaller(client)


class GeotabCaller:
    """Calls methods; ``credentials`` after ``log_in``."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.credentials: dict[str, Any] = {}

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        document = {"method": method, "params": params | {"credentials": self.credentials}}
        response = await self.client.post("/apiv1", json=document)
        assert response.status_code == 200
        return response.json()

    async def log_in(self) -> None:
        answer = await self.call("Authenticate", database="depot", userName="u", password="p")
        assert answer["result"]["path"] == "ThisServer"
        self.credentials = answer["result"]["credentials"]

    async def feed(self, type_name: str, limit: int, version: str | None = None) -> tuple[list[dict], str]:
        records: list[dict] = []
        while True:
            query = {"typeName": type_name, "resultsLimit": limit, "fromVersion": version}
            page = (await self.call("GetFeed", **query))["result"]
            records, version = records + page["data"], page["toVersion"]
            if len(page["data"]) < limit:
                return records, version


@pytest.mark.parametrize("type_name", ["StatusData", "LogRecord", "Trip", "ChargeEvent"])
async def test_geotab_feed_pages_hold_every_record_once(world: World, telematics: Telematics, now: Now, type_name: str):
    async with geotab(world, telematics, now) as caller:
        await caller.log_in()
        whole, _ = await caller.feed(type_name, 50_000)
        paged, version = await caller.feed(type_name, 997)
        rest, same = await caller.feed(type_name, 997, version)

    assert paged == whole
    assert len({record["id"] for record in whole}) == len(whole) > 20
    assert (rest, same) == ([], version)


async def test_geotab_feed_goes_on_with_what_was_received_since(world: World, telematics: Telematics, now: Now):
    end = now.at
    now.at = end - 3 * DAY
    async with geotab(world, telematics, now) as caller:
        await caller.log_in()
        first, version = await caller.feed("StatusData", 50_000)
        now.at = end
        second, _ = await caller.feed("StatusData", 50_000, version)
        whole, _ = await caller.feed("StatusData", 50_000)

    assert first
    assert second
    assert first + second == whole
    assert max(record["dateTime"] for record in first) < (end - 3 * DAY).isoformat()


async def test_geotab_units_and_references(world: World, telematics: Telematics, now: Now):
    vans = {vehicle.device_id: vehicle for vehicle in world.fleet.vehicles if vehicle.model.vehicle_class == "van"}
    async with geotab(world, telematics, now) as caller:
        await caller.log_in()
        devices = (await caller.call("Get", typeName="Device"))["result"]
        data, _ = await caller.feed("StatusData", 50_000)
        trips, _ = await caller.feed("Trip", 50_000)
        charges, _ = await caller.feed("ChargeEvent", 50_000)

    assert {device["id"]: device["vehicleIdentificationNumber"] for device in devices} == {
        name: vehicle.vin for name, vehicle in vans.items()
    }
    powers = [one["data"] for one in data if one["diagnostic"]["id"] == "DiagnosticElectricVehicleBatteryPowerId"]
    assert powers
    assert max(powers) < 0  # charging is negative
    odometers = [one["data"] for one in data if one["diagnostic"]["id"] == "DiagnosticOdometerId"]
    assert min(odometers) > 5_000_000  # metres
    assert all(0 < trip["distance"] < 200 for trip in trips)
    assert {trip["nextTripStart"] for trip in trips} == {"2050-01-01T00:00:00.000Z"}
    for charge in charges:
        assert charge["measuredOnBoardChargerEnergyInKwh"] > charge["energyConsumedKwh"]


async def test_geotab_trips_add_up_to_what_was_driven(world: World, telematics: Telematics, now: Now):
    async with geotab(world, telematics, now) as caller:
        await caller.log_in()
        trips, _ = await caller.feed("Trip", 50_000)

    for vehicle in world.fleet.vehicles:
        if vehicle.model.vehicle_class == "van":
            driven_km = sum(one.drive.distance_km for one in world.driven if one.drive.vehicle is vehicle)
            done = {trip["start"]: trip for trip in trips if trip["device"]["id"] == vehicle.device_id}
            finished = [trip for trip in done.values() if trip["stop"] < "2026-02-09"]
            assert sum(trip["distance"] for trip in finished) == pytest.approx(driven_km, rel=1e-3)


async def test_geotab_recalculated_trips_have_new_ids(world: World):
    faults = replace(NO_FAULTS, recalculated_trip_share=0.3, merged_trip_share=0.2)
    telematics = Telematics(replace(world, scenario=replace(world.scenario, faults=faults)))
    telematics.release(world.scenario.live_start_at)
    versions: dict[tuple[str, datetime], list[Any]] = {}
    for _, trip in telematics.trips.items(0, telematics.trips.known(world.scenario.live_start_at)):
        versions.setdefault((trip.vehicle.vehicle_id, trip.started_at), []).append(trip)

    again = [group for group in versions.values() if len(group) > 1]
    assert len(again) > 10
    assert all(len({trip.trip_id for trip in group}) >= 2 for group in again if group[-1].deleted_at is None)
    assert any(group[-1].deleted_at is not None for group in again)


async def test_geotab_sessions(world: World, telematics: Telematics, now: Now):
    short = replace(world, scenario=replace(world.scenario, faults=replace(NO_FAULTS, geotab_calls_per_session=2)))
    async with geotab(short, telematics, now) as caller:
        refused = await caller.call("GetFeed", typeName="Trip")
        wrong = await caller.call("Authenticate", database="depot", userName="u", password="x")
        await caller.log_in()
        answers = [await caller.call("GetFeed", typeName="Trip", resultsLimit=1) for _ in range(3)]

    assert refused["error"]["errors"][0]["name"] == "InvalidUserException"
    assert wrong["error"]["data"]["type"] == "InvalidUserException"
    assert ["result" in answer for answer in answers] == [True, True, False]


async def test_geotab_errors_stay_http_200(world: World, telematics: Telematics, now: Now):
    async with geotab(world, telematics, now, door=gate(now, limit=5, wall_s=2.0)) as caller:
        await caller.log_in()
        names = [
            (await caller.call(method, **params))["error"]["errors"][0]["name"]
            for method, params in (
                ("Explode", {}),
                ("GetFeed", {"typeName": "Zone"}),
                ("GetFeed", {"typeName": "Trip", "fromVersion": "not hex"}),
                ("GetFeed", {"typeName": "Trip", "search": {"fromDate": "soon"}}),
            )
        ]
        over = await caller.client.post("/apiv1", json={"method": "GetFeed", "params": {}})

    assert names == ["MissingMethodException", *["ArgumentException"] * 3]
    assert over.json()["error"]["errors"][0]["name"] == "OverLimitException"
    assert over.headers["retry-after"] == "58"
