"""A MyGeotab server for the vans: JSON-RPC at ``/apiv1``, with sessions, feeds by version, errors inside HTTP 200."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.time_grid import parse_instant
from simulator.providers.event_log import EventLog
from simulator.providers.gate import Gate, Verdict
from simulator.providers.geotab_records import (
    charge_event,
    device,
    log_record,
    status_datum,
    trip,
)
from simulator.providers.telematics import Telematics
from simulator.world.history import World

Json = dict[str, Any]
DATABASE = "depot"
MOST_RESULTS = 50_000


class GeotabError(Exception):
    """An error of the JSON-RPC kind: the HTTP status stays 200."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name, self.message = name, message


@dataclass(frozen=True, slots=True)
class Account:
    """The credentials that are accepted."""

    user: str
    password: str
    database: str = DATABASE


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed: where its records are, how one is rendered, and when its event happened."""

    log: EventLog[Any]
    render: Callable[[Any, int], Json]
    happened_at: Callable[[Any], datetime]


class GeotabServer:
    """The API over one ``Telematics``; ``now`` is the simulated present."""

    def __init__(
        self, world: World, telematics: Telematics, *, now: Callable[[], datetime], account: Account, gate: Gate
    ) -> None:
        self._now, self._account, self._gate = now, account, gate
        self._calls_per_session = world.scenario.faults.geotab_calls_per_session
        self._sessions: dict[str, int] = {}
        self._devices = [vehicle for vehicle in world.fleet.vehicles if vehicle.model.vehicle_class == "van"]
        seed, faults = world.scenario.seed, world.scenario.faults
        self._feeds: Mapping[str, Feed] = {
            "StatusData": Feed(telematics.status_data, status_datum, lambda datum: datum.at),
            "LogRecord": Feed(
                telematics.log_records, lambda sample, n: log_record(sample, n, seed, faults), lambda sample: sample.at
            ),
            "Trip": Feed(telematics.trips, lambda version, _: trip(version), lambda version: version.ended_at),
            "ChargeEvent": Feed(telematics.charge_events, charge_event, lambda record: record.started_at),
        }

    def app(self) -> Starlette:
        """Return the web application."""
        return Starlette(routes=[Route("/apiv1", self._call, methods=["POST"])])

    async def _call(self, request: Request) -> Response:
        verdict, allowance = self._gate.admit()
        if verdict is Verdict.BROKEN:
            return Response("Service temporarily unavailable", status_code=500, headers=allowance.headers)
        headers = allowance.headers
        try:
            if verdict is Verdict.TOO_MANY:
                headers["Retry-After"] = str(allowance.retry_after_s)
                raise GeotabError("OverLimitException", "API calls quota exceeded. Maximum admitted reached.")
            call = _read(await request.body())
            return JSONResponse({"result": self._dispatch(call), "jsonrpc": "2.0"}, headers=headers)
        except GeotabError as error:
            return JSONResponse(_error_body(error), headers=headers)

    def _dispatch(self, call: Json) -> object:
        method, params = call.get("method"), call.get("params") or {}
        if method == "Authenticate":
            return self._authenticate(params)
        self._check_session(params)
        if method == "Get":
            return self._get(params)
        if method == "GetFeed":
            return self._feed(params)
        if method == "ExtendSession":
            return None
        raise GeotabError("MissingMethodException", f"The method {method!r} could not be found")

    def _authenticate(self, params: Json) -> Json:
        given = (params.get("userName"), params.get("password"), params.get("database"))
        if given != (self._account.user, self._account.password, self._account.database):
            raise GeotabError("InvalidUserException", "Incorrect login credentials")
        session_id = secrets.token_urlsafe(16)
        self._sessions[session_id] = 0
        names = {"userName": self._account.user, "database": self._account.database, "sessionId": session_id}
        return {"path": "ThisServer", "credentials": names}

    def _check_session(self, params: Json) -> None:
        """Refuse an unknown session, and one that has made its number of calls: it has expired."""
        session_id = (params.get("credentials") or {}).get("sessionId")
        if session_id not in self._sessions:
            raise GeotabError("InvalidUserException", "Incorrect login credentials or the session has expired")
        self._sessions[session_id] += 1
        if self._sessions[session_id] > self._calls_per_session:
            del self._sessions[session_id]
            raise GeotabError("InvalidUserException", "The session has expired")

    def _get(self, params: Json) -> list[Json]:
        name = params.get("typeName")
        limit = _limit(params)
        if name == "Device":
            return [device(vehicle) for vehicle in self._devices][:limit]
        feed = self._named_feed(name)
        begin, end = _span(params)
        found = []
        for number, (_, record) in enumerate(feed.log.items(0, feed.log.known(self._now()))):
            at = feed.happened_at(record)
            if (begin is None or at >= begin) and (end is None or at <= end):
                found.append(feed.render(record, number))
        return found[:limit]

    def _feed(self, params: Json) -> Json:
        """Return what the provider received after ``fromVersion``, or, without one, all since ``fromDate``."""
        feed = self._named_feed(params.get("typeName"))
        known, limit = feed.log.known(self._now()), _limit(params)
        seeded, _ = _span(params)
        position = _version(params.get("fromVersion"))
        data: list[Json] = []
        for _, record in feed.log.items(position, known):
            if len(data) >= limit:
                break
            if params.get("fromVersion") or seeded is None or feed.happened_at(record) >= seeded:
                data.append(feed.render(record, position))
            position += 1
        return {"data": data, "toVersion": f"{position:016x}"}

    def _named_feed(self, name: object) -> Feed:
        if not isinstance(name, str) or name not in self._feeds:
            raise GeotabError("ArgumentException", f"The type {name!r} has no feed")
        return self._feeds[name]


def _read(body: bytes) -> Json:
    try:
        call = json.loads(body)
    except ValueError as error:
        raise GeotabError("JsonReaderException", "The request is no JSON") from error
    if not isinstance(call, dict):
        raise GeotabError("ArgumentException", "The request is no JSON object")
    return call


def _limit(params: Json) -> int:
    limit = params.get("resultsLimit", MOST_RESULTS)
    if not isinstance(limit, int) or limit < 1:
        raise GeotabError("ArgumentException", "resultsLimit is a whole number above 0")
    return min(limit, MOST_RESULTS)


def _span(params: Json) -> tuple[datetime | None, datetime | None]:
    search = params.get("search") or {}
    try:
        begin, end = (parse_instant(search[name]) if search.get(name) else None for name in ("fromDate", "toDate"))
    except ValueError as error:
        raise GeotabError("ArgumentException", f"search holds a wrong date: {error}") from error
    return begin, end


def _version(text: object) -> int:
    try:
        return int(str(text), 16) if text else 0
    except ValueError as error:
        raise GeotabError("ArgumentException", "fromVersion is no version that this server gave") from error


def _error_body(error: GeotabError) -> Json:
    """Return the error in the older form and in JSON-RPC's, as newer servers do."""
    return {
        "error": {
            "name": "JSONRPCError",
            "message": error.message,
            "code": -32000,
            "data": {"type": error.name, "id": secrets.token_hex(8)},
            "errors": [{"name": error.name, "message": error.message}],
        },
        "jsonrpc": "2.0",
    }
