"""Charging requests of a depot system become duties, through the bridge's own store and the run of ingestion."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from core.landing import Landing
from core.time_grid import format_instant
from ingestion.http import Policy, open_client
from ingestion.payloads import PayloadArchive
from ingestion.registry.models import Site, Source, Vehicle
from ingestion.registry.registry import Registry
from ingestion.reports import IngestReport
from ingestion.run import ingest_source
from ocpp_bridge.store import Store
from ocpp_bridge.upstream.charging_requests import ChargingRequests
from ocpp_bridge.upstream.vdv463 import read_requests

T0 = datetime(2026, 2, 10, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)
NORTH = Site.model_validate(
    {
        "site_id": "north",
        "name": "Depot North",
        "timezone": "Europe/Berlin",
        "currency": "EUR",
        "position": {"latitude": 52.55, "longitude": 13.35},
        "geofence_radius_m": 250,
        "import_limit": [{"from": "00:00", "limit_kw": 200}],
        "tariff": {"price_zone": "DEMO"},
    }
)
QUICK = Policy(attempts=2, wait_initial_s=0.01, wait_max_s=0.05, requests_per_min=60_000)


class Depot:
    """A presystem's requests in the bridge's store, served as the bridge serves them."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "outbox.sqlite"
        self.requests = ChargingRequests(Store(self._path))
        self.most = 1000

    def ask(self, *requests: dict[str, Any], at: datetime) -> None:
        self.requests.replace("BMS-1", read_requests({"chargingRequestList": list(requests)}), received_at=at)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/charging_requests", self._serve)])

    async def _serve(self, request: Request) -> JSONResponse:
        assert request.headers["authorization"] == "Bearer a token"
        after = int(request.query_params["after"])
        store = Store(self._path)  # the server has a thread of its own
        found = ChargingRequests(store).read(after, min(self.most, int(request.query_params["limit"])))
        store.close()
        return JSONResponse({"requests": found, "next": found[-1]["cursor"] if found else after})


def request_of(name: str, vehicle_id: str, departure_at: datetime | None, low: float = 80) -> dict[str, Any]:
    data: dict[str, Any] = {"minTargetSoc": low, "maxTargetSoc": 100}
    if departure_at is not None:
        data["requestedTimeForDeparture"] = format_instant(departure_at)
    return {"vehicleId": vehicle_id, "chargingRequestId": name, "chargingRequestData": data}


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    return Depot(tmp_path / "bridge")


class Run:
    """Runs of ingestion into one landing zone."""

    def __init__(self, url: str, folder: Path, registry: Registry) -> None:
        place = {"url": url, "site_id": "north", "credentials": {"token_env": "VDV_TOKEN"}}
        promise = {"owner": "o", "contact": "c", "freshness_min": 15, "latency_min": 1, "on_failure": "later"}
        self.source = Source.model_validate({"source_id": "bms", "kind": "vdv463", **place, **promise})
        self.registry = registry
        self.landing = Landing(folder / "landing")
        self.payloads = PayloadArchive(folder / "payloads")

    def __call__(self, as_of: datetime) -> IngestReport:
        report = ingest_source(
            self.source, registry=self.registry, landing=self.landing, payloads=self.payloads, as_of=as_of,
            client_factory=lambda source: open_client(source.source_id, source.url, policy=QUICK),
        )  # fmt: skip
        assert report.failure is None, report.failure
        return report

    def duties(self) -> list[dict[str, Any]]:
        rows = self.landing.read("duty").sort("block_id", "operating_date", "vehicle_id").to_dicts()
        return [row for row in rows if not row["is_deleted"]]


@pytest.fixture
def run(depot: Depot, serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("VDV_TOKEN", "a token")
    return Run(serve(depot.app()), tmp_path, Registry(sites=(NORTH,), vehicles=vehicles()))


def vehicles() -> tuple[Vehicle, ...]:
    shared = {
        "source_id": "t", "site_id": "north", "model": "M", "vehicle_class": "bus", "usable_kwh": 300, "dc_max_kw": 150,
    }  # fmt: skip
    return (
        Vehicle.model_validate({"vehicle_id": "bus-7", "vin": "WDB12345678901231", "source_ref": "a", **shared}),
        Vehicle.model_validate({"vehicle_id": "bus-8", "vin": "WDB12345678901235", "source_ref": "b", **shared}),
    )


def test_a_request_becomes_the_duty_of_its_local_day(depot: Depot, run: Run) -> None:
    depot.ask(
        request_of("r-1", "BUS-7", T0 + 5.5 * HOUR), request_of("r-2", "wdb12345678901235", T0 + 11 * HOUR), at=T0
    )
    report = run(T0 + HOUR)
    assert (report.read, report.landed, report.quarantined) == (2, 2, 0)
    first, second = run.duties()
    assert (first["vehicle_id"], first["block_id"], first["site_id"]) == ("bus-7", "r-1", "north")
    assert first["operating_date"] == date(2026, 2, 11), "23:30 UTC is the next day in Berlin"
    assert (first["planned_departure_at"], first["min_target_soc_pct"]) == (T0 + 5.5 * HOUR, 80)
    assert first["available_at"] == T0
    assert second["vehicle_id"] == "bus-8"
    assert run(T0 + HOUR).read == 0


def test_changes_and_withdrawals_follow(depot: Depot, run: Run) -> None:
    departure = T0 + 11 * HOUR
    depot.ask(request_of("r-1", "bus-7", departure), request_of("r-2", "bus-8", departure), at=T0)
    run(T0)
    depot.ask(request_of("r-1", "bus-7", departure, 95), request_of("r-2", "bus-7", departure), at=T0 + HOUR)
    run(T0 + HOUR)
    assert [(one["block_id"], one["vehicle_id"], one["min_target_soc_pct"]) for one in run.duties()] == [
        ("r-1", "bus-7", 95),
        ("r-2", "bus-7", 80),
    ]
    depot.ask(request_of("r-1", "bus-7", departure + 24 * HOUR, 95), at=T0 + 2 * HOUR)
    run(T0 + 2 * HOUR)
    assert [(one["block_id"], one["operating_date"]) for one in run.duties()] == [("r-1", date(2026, 2, 12))]


def test_a_request_that_was_served_stays_a_duty(depot: Depot, run: Run) -> None:
    depot.ask(request_of("r-1", "bus-7", T0 + HOUR), at=T0)
    run(T0)
    depot.ask(at=T0 + 2 * HOUR)  # the bus has left, so the depot system asks no more
    run(T0 + 2 * HOUR)
    assert [one["block_id"] for one in run.duties()] == ["r-1"]


def test_what_gives_no_duty_is_quarantined_with_the_reason(depot: Depot, run: Run) -> None:
    depot.ask(request_of("r-1", "tram-1", T0 + HOUR), request_of("r-2", "bus-7", None), at=T0)
    report = run(T0)
    assert (report.read, report.landed, report.quarantined) == (2, 0, 2)
    assert report.reasons == {"unknown_vehicle": 1, "no_departure": 1}


def test_pages_and_a_run_as_of_the_past(depot: Depot, run: Run) -> None:
    depot.most = 1
    for k in range(3):
        asked = [request_of(f"r-{j}", "bus-7", T0 + (20 + j) * HOUR) for j in range(k + 1)]
        depot.ask(*asked, at=T0 + k * HOUR)
    run(T0 + HOUR)
    assert [one["block_id"] for one in run.duties()] == ["r-0", "r-1"]
    run(T0 + 5 * HOUR)
    assert [one["block_id"] for one in run.duties()] == ["r-0", "r-1", "r-2"]
