"""What tests of ingestion share: servers on loopback that speak the providers' protocols, and a configuration."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.landing import Landing
from ingestion.http import Policy, open_client
from ingestion.payloads import PayloadArchive
from ingestion.registry import Registry, load_registry
from ingestion.registry.models import Source
from ingestion.registry.starter import FILES
from ingestion.reports import IngestReport
from ingestion.run import ingest_source

T0 = datetime(2026, 2, 2, tzinfo=UTC)
DEPOT = (52.55, 13.35)
TRUCK = "WDEPT000000000001"
QUICK = Policy(attempts=4, wait_initial_s=0.01, wait_max_s=0.2, requests_per_min=60_000)
Serve = Callable[[Starlette], str]


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve applications on loopback ports of their own until the test ends."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: Starlette) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", date_header=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((server, thread))
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.005)
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for server, _ in running:
        server.should_exit = True
    for _, thread in running:
        thread.join(10)


@dataclass
class RfmsServer:
    """rFMS 4.0 as makers serve it: spans of received time, pages, a link or not, its own clock."""

    statuses: list[dict] = field(default_factory=list)
    positions: list[dict] = field(default_factory=list)
    vins: list[str] = field(default_factory=lambda: [TRUCK])
    page_size: int = 3
    gives_link: bool = False
    clock_at: datetime = T0 + timedelta(days=1)
    answers: dict[int, Response] = field(default_factory=dict)  # instead of the n-th request to vehiclestatuses
    requests: list[Request] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/rfms/vehicles", self._vehicles),
                Route("/rfms/vehiclestatuses", self._statuses),
                Route("/rfms/vehiclepositions", self._positions),
            ]
        )

    def asked(self, path: str) -> list[dict[str, str]]:
        return [dict(one.query_params) for one in self.requests if one.url.path.endswith(path)]

    async def _vehicles(self, request: Request) -> Response:
        self.requests.append(request)
        if (refusal := self._refused(request, "vehicles")) is not None:
            return refusal
        last = request.query_params.get("lastVin")
        left = self.vins[self.vins.index(last) + 1 :] if last else self.vins
        page = [{"vin": vin, "type": "TRUCK"} for vin in left[: self.page_size]]
        return JSONResponse({"vehicleResponse": {"vehicles": page}, "moreDataAvailable": len(left) > self.page_size})

    async def _statuses(self, request: Request) -> Response:
        self.requests.append(request)
        instead = self.answers.pop(len(self.asked("vehiclestatuses")), None)
        return instead or self._history(request, self.statuses, "vehiclestatuses", "vehicleStatus", "Statuses")

    async def _positions(self, request: Request) -> Response:
        self.requests.append(request)
        return self._history(request, self.positions, "vehiclepositions", "vehiclePosition", "Positions")

    def _history(self, request: Request, records: list[dict], path: str, name: str, plural: str) -> Response:
        if (refusal := self._refused(request, path)) is not None:
            return refusal
        start, stop = request.query_params["starttime"], request.query_params["stoptime"]
        skip = int(request.query_params.get("page", 0)) * self.page_size
        received = sorted(
            (one for one in records if start <= one["receivedDateTime"][:19] + "Z" < stop),
            key=lambda one: one["receivedDateTime"],
        )[skip:]
        more = len(received) > self.page_size
        answer = {
            f"{name}Response": {f"vehicle{plural}": received[: self.page_size]},
            "moreDataAvailable": more,
            "requestServerDateTime": stamp(self.clock_at),
        }
        if more and self.gives_link:
            page = skip // self.page_size + 1
            answer["moreDataAvailableLink"] = f"/rfms/{path}?starttime={start}&stoptime={stop}&page={page}"
        return JSONResponse(answer)

    def _refused(self, request: Request, path: str) -> Response | None:
        if request.headers.get("authorization") != "Bearer a-secret-token":
            return JSONResponse({"error": "InvalidAccessToken"}, 401)
        if request.headers.get("accept") != f"application/json; rfms={path}.v4.0":
            return JSONResponse({"error": "UnsupportedAcceptParameter"}, 406)
        return None


def status(
    at: datetime, *, vin: str = TRUCK, soc: float | None = 60, km: float | None = 1000.0, **more: object
) -> dict:
    """A vehicle status as the truck sends it, standing in the depot, received a minute later."""
    kwh = None if km is None else 1.1 * km
    snapshot = {
        "gnssPosition": {
            "latitude": DEPOT[0], "longitude": DEPOT[1], "heading": "90", "positionDateTime": stamp(at),
        },
        "wheelBasedSpeed": 0.0,
        "hybridBatteryPackRemainingCharge": soc,
        "batteryPackChargingConnectionStatus": "CONNECTED",
        "batteryPackChargingStatus": "NOT_CHARGING",
        **more.pop("snapshot", {}),
    }  # fmt: skip
    return {
        "vin": vin,
        "triggerType": {"triggerType": "TIMER", "context": "RFMS"},
        "createdDateTime": stamp(at),
        "receivedDateTime": stamp(at + timedelta(minutes=1)),
        "hrTotalVehicleDistance": None if km is None else km * 1000,
        "totalElectricEnergyUsed": None if kwh is None else kwh * 1000,
        "driver1Id": {"tachoDriverIdentification": {"driverIdentification": "DF000012345670"}},
        "snapshotData": snapshot,
        **more,
    }


@dataclass
class GeotabServer:
    """MyGeotab: JSON-RPC, sessions, feeds by version, errors inside HTTP 200."""

    feeds: dict[str, list[dict]] = field(default_factory=dict)
    path: str = "ThisServer"
    page_size: int | None = None
    errors: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  # name, message, headers
    logins: int = 0
    calls: list[dict] = field(default_factory=list)
    date: str | None = None

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/apiv1", self._call, methods=["POST"])])

    async def _call(self, request: Request) -> Response:
        call = json.loads(await request.body())
        params = call["params"]
        if call["method"] == "Authenticate":
            self.logins += 1
            if params.get("password") != "a-secret-password":
                return _geotab_error("InvalidUserException", "Incorrect login credentials", {})
            credentials = {"userName": params["userName"], "sessionId": f"s{self.logins}", "database": "depot"}
            return JSONResponse({"result": {"path": self.path, "credentials": credentials}, "jsonrpc": "2.0"})
        self.calls.append(params)
        if self.errors:
            return _geotab_error(*self.errors.pop(0))
        return self._feed(params)

    def _feed(self, params: dict) -> Response:
        records = self.feeds.get(params["typeName"], [])
        start = int(params.get("fromVersion", "0"), 16)
        size = min(self.page_size or params["resultsLimit"], params["resultsLimit"])
        page = records[start : start + size]
        headers = {"date": self.date} if self.date else {}
        answer = {"result": {"data": page, "toVersion": f"{start + len(page):016x}"}, "jsonrpc": "2.0"}
        return Response(json.dumps(answer), media_type="application/json", headers=headers)


def _geotab_error(name: str, message: str, headers: dict[str, str]) -> Response:
    return JSONResponse({"error": {"errors": [{"name": name, "message": message}]}}, headers=headers)


@dataclass
class Depot:
    """A configured home: runs of ingestion against servers of the test, and what they landed."""

    folder: Path
    landing: Landing
    payloads: PayloadArchive
    registry: Registry

    def ingest(self, source_id: str, as_of: datetime) -> IngestReport:
        def client(source: Source):
            return open_client(source.source_id, source.url, policy=QUICK)

        return ingest_source(
            self.registry.source(source_id),
            registry=self.registry,
            landing=self.landing,
            payloads=self.payloads,
            as_of=as_of,
            client_factory=client,
        )

    def rows(self, entity: str) -> list[dict]:
        return self.landing.read(entity).drop("ingested_at").to_dicts()

    def reasons(self) -> set[str]:
        return {row["reason"] for row in self.rows("quarantined_row")}


@pytest.fixture
def make_depot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Depot]:
    """Make a depot from the starter configuration, its sources at the given URLs."""
    monkeypatch.setenv("DEPOTWISE_RFMS_TOKEN", "a-secret-token")
    monkeypatch.setenv("DEPOTWISE_GEOTAB_USER", "depotwise")
    monkeypatch.setenv("DEPOTWISE_GEOTAB_PASSWORD", "a-secret-password")

    def make(*, rfms: str = "http://127.0.0.1:9", geotab: str = "http://127.0.0.1:9", name: str = "home") -> Depot:
        folder = tmp_path / name / "config"
        for file, text in FILES.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            here = text.replace("http://127.0.0.1:9401", rfms).replace("http://127.0.0.1:9402", geotab)
            (folder / file).write_text(here.replace("2026-01-12T00:00:00Z", stamp(T0)))
        landing = Landing(tmp_path / name / "landing")
        return Depot(folder, landing, PayloadArchive(tmp_path / name / "payloads"), load_registry(folder))

    return make


@pytest.fixture(name="rfms")
def _rfms() -> type[RfmsServer]:
    return RfmsServer


@pytest.fixture(name="geotab")
def _geotab() -> type[GeotabServer]:
    return GeotabServer


@pytest.fixture(name="status")
def _status() -> Callable[..., dict]:
    return status
