"""An rFMS v4 server: vehicles, positions and statuses of trucks and buses, as a manufacturer would serve them.

Paging, headers, error bodies and the optional relative link are those of the standard. A page never cuts the records
of one second of receipt apart, so that following the link loses nothing.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.time_grid import parse_instant
from simulator.providers.event_log import EventLog
from simulator.providers.gate import Gate, Verdict
from simulator.providers.rfms_records import position_record, status_record, vehicle_record
from simulator.providers.telematics import Telematics
from simulator.world.fleet import Vehicle
from simulator.world.history import World
from simulator.world.telemetry import Sample

SECOND = timedelta(seconds=1)
PAGE_SIZE = 500
Json = dict[str, Any]


class RfmsError(Exception):
    """An answer other than 200, with the standard's error body."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status, self.code, self.description = status, code, description


class RfmsServer:
    """The three endpoints over one ``Telematics``; ``now`` is the simulated present."""

    def __init__(
        self,
        world: World,
        telematics: Telematics,
        *,
        now: Callable[[], datetime],
        token: str,
        gate: Gate,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self._telematics, self._now, self._token = telematics, now, token
        self._gate, self._page_size = gate, page_size
        self._seed, self._faults = world.scenario.seed, world.scenario.faults
        heavy = [vehicle for vehicle in world.fleet.vehicles if vehicle.model.vehicle_class != "van"]
        self._vehicles = {vehicle.vin: vehicle for vehicle in sorted(heavy, key=lambda vehicle: vehicle.vin)}

    def app(self) -> Starlette:
        """Return the web application."""
        return Starlette(
            routes=[
                Route("/rfms/vehicles", self._vehicles_page),
                Route("/rfms/vehiclepositions", self._positions_page),
                Route("/rfms/vehiclestatuses", self._statuses_page),
            ]
        )

    async def _vehicles_page(self, request: Request) -> Response:
        return self._answer(request, "vehicles", self._list_vehicles)

    async def _positions_page(self, request: Request) -> Response:
        def pages(request: Request) -> Json:
            return self._history(request, self._telematics.positions, "vehiclePosition", self._position)

        return self._answer(request, "vehiclepositions", pages)

    async def _statuses_page(self, request: Request) -> Response:
        def pages(request: Request) -> Json:
            return self._history(request, self._telematics.statuses, "vehicleStatus", self._status)

        return self._answer(request, "vehiclestatuses", pages)

    def _answer(self, request: Request, resource: str, make: Callable[[Request], Json]) -> Response:
        verdict, allowance = self._gate.admit()
        headers = allowance.headers
        if verdict is Verdict.BROKEN:
            return Response("upstream connect error", status_code=500, headers=headers)
        try:
            self._check(request, resource)
            if verdict is Verdict.TOO_MANY:
                headers["Retry-After"] = str(allowance.retry_after_s)
                raise RfmsError(429, "RateExceeded", "Too many requests in this period")
            return JSONResponse(make(request), headers=headers)
        except RfmsError as error:
            body = {
                "error": error.code,
                "error_description": error.description,
                "error_uri": f"/rfms/errors/{error.code}.html",
            }
            return JSONResponse(body, status_code=error.status, headers=headers)

    def _check(self, request: Request, resource: str) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise RfmsError(400, "NoBearerToken", "The Authorization header holds no bearer token")
        if token != self._token:
            raise RfmsError(401, "InvalidAccessToken", "The access token is not valid")
        if f"rfms={resource}.v4.0" not in request.headers.get("accept", ""):
            raise RfmsError(406, "UnsupportedAcceptParameter", f"Accept must name rfms={resource}.v4.0")

    def _list_vehicles(self, request: Request) -> Json:
        vins, more = self._after_vin(request, list(self._vehicles))
        body: Json = {
            "vehicleResponse": {"vehicles": [vehicle_record(self._vehicles[vin]) for vin in vins]},
            "moreDataAvailable": more,
        }
        return body | (_link(request, {"lastVin": vins[-1]}) if more else {})

    def _after_vin(self, request: Request, vins: Sequence[str]) -> tuple[list[str], bool]:
        last = request.query_params.get("lastVin", "")
        rest = [vin for vin in vins if vin > last]
        return rest[: self._page_size], len(rest) > self._page_size

    def _history(
        self, request: Request, log: EventLog[Sample], name: str, render: Callable[[datetime, Sample, Request], Json]
    ) -> Json:
        now = self._now()
        if _is_latest_only(request):
            found, extra = self._latest(request, log, now)
        else:
            found, extra = self._period(request, log, now)
        plural = f"{name}es" if name.endswith("s") else f"{name}s"
        body: Json = {
            f"{name}Response": {plural: [render(received_at, sample, request) for received_at, sample in found]},
            "moreDataAvailable": bool(extra),
            "requestServerDateTime": _stamp(now),
        }
        return body | (_link(request, extra) if extra else {})

    def _period(
        self, request: Request, log: EventLog[Sample], now: datetime
    ) -> tuple[list[tuple[datetime, Sample]], dict[str, str]]:
        start, stop = _instant(request, "starttime"), _instant(request, "stoptime")
        if start is None:
            raise RfmsError(400, "MissingParameter", "Give starttime or latestOnly=true")
        # Data of the second that has not yet elapsed is never returned.
        end_at = min(stop or now, now.replace(microsecond=0))
        wanted = self._wanted(request)
        if request.query_params.get("datetype", "received") == "created":
            records = [
                record
                for record in log.items(0, log.position(now.replace(microsecond=0)))
                if start <= record[1].at < (stop or now) and wanted(record[1])
            ]
            return records, {}
        end = log.position(end_at)
        found: list[tuple[datetime, Sample]] = []
        for received_at, sample in log.items(log.position(start), end):
            if len(found) >= self._page_size and _second(received_at) > _second(found[-1][0]):
                return found, {"starttime": _stamp(_second(found[-1][0]) + SECOND)}
            if wanted(sample):
                found.append((received_at, sample))
        return found, {}

    def _latest(
        self, request: Request, log: EventLog[Sample], now: datetime
    ) -> tuple[list[tuple[datetime, Sample]], dict[str, str]]:
        if request.query_params.get("starttime") or request.query_params.get("stoptime"):
            raise RfmsError(400, "ConflictingParameters", "latestOnly excludes starttime and stoptime")
        wanted = self._wanted(request)
        latest: dict[str, tuple[datetime, Sample]] = {}
        for received_at, sample in log.items(0, log.position(now.replace(microsecond=0))):
            known = latest.get(sample.vehicle.vin)
            if wanted(sample) and (known is None or sample.at >= known[1].at):
                latest[sample.vehicle.vin] = (received_at, sample)
        vins, more = self._after_vin(request, sorted(latest))
        return [latest[vin] for vin in vins], {"lastVin": vins[-1]} if more else {}

    def _wanted(self, request: Request) -> Callable[[Sample], bool]:
        vin = request.query_params.get("vin")
        if vin is not None and vin not in self._vehicles:
            raise RfmsError(404, "UnknownVin", "No vehicle of this customer has this VIN")
        vehicle: Vehicle | None = self._vehicles[vin] if vin else None
        triggers = {name for name in request.query_params.get("triggerFilter", "").split(",") if name}

        def wanted(sample: Sample) -> bool:
            fits = vehicle is None or sample.vehicle is vehicle
            return fits and (
                not triggers or position_record(sample.at, sample)["triggerType"]["triggerType"] in triggers
            )

        return wanted

    def _position(self, received_at: datetime, sample: Sample, request: Request) -> Json:  # noqa: ARG002 - as _status
        return position_record(received_at, sample, seed=self._seed, faults=self._faults)

    def _status(self, received_at: datetime, sample: Sample, request: Request) -> Json:
        contents = request.query_params.get("contentFilter", "ACCUMULATED,SNAPSHOT,UPTIME").split(",")
        return status_record(received_at, sample, contents=contents, seed=self._seed, faults=self._faults)


def _is_latest_only(request: Request) -> bool:
    return request.query_params.get("latestOnly", "false").lower() == "true"


def _instant(request: Request, name: str) -> datetime | None:
    """Read a time of the query; milliseconds are accepted and ignored, as the standard says."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        return parse_instant(text.replace(" ", "+")).replace(microsecond=0)
    except ValueError as error:
        raise RfmsError(400, "InvalidParameter", f"{name} is no ISO 8601 time with a zone") from error


def _link(request: Request, changes: dict[str, str]) -> Json:
    query = {name: value for name, value in request.query_params.items() if name not in changes}
    return {"moreDataAvailableLink": f"{request.url.path}?{urlencode(query | changes)}"}


def _second(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)


def _stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
