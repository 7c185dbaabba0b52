"""The bridge's local HTTP: publications in; events, frames, states and metrics out. Starlette wiring only.

Every request needs the bearer token. Answers to mistakes say what to do.
"""

import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ocpp_bridge.admission import Problem, PublicationRefusedError
from ocpp_bridge.frame_log import CursorError
from ocpp_bridge.office import Office, UnknownPlanError, UnknownStationError
from ocpp_bridge.outbox import Verdict
from ocpp_bridge.security import same_token
from ocpp_bridge.trials import CutRequest, NotThereError, TrialRequest, Trials
from ocpp_bridge.upstream.charging_requests import ChargingRequests
from ocpp_bridge.view import View

log = logging.getLogger(__name__)

WAIT_MAX_S: Final = 60.0
LINES_MAX: Final = 50_000
Endpoint = Callable[[Request], Awaitable[Response]]


class BodyTooLargeError(ValueError):
    """The body is larger than the configuration allows."""


class LimitRequest(BaseModel):
    """The body of ``PUT /limits``."""

    ev_limit_kw: float = Field(ge=0, allow_inf_nan=False)
    valid_until: AwareDatetime
    reason: str = Field("", max_length=500)


class RevokeRequest(BaseModel):
    """The body of ``POST /revoke``: null means every station."""

    station_id: str | None


class BridgeApi:
    """The endpoints, on top of the office that does the work."""

    def __init__(
        self,
        office: Office,
        view: View,
        requests: ChargingRequests,
        trials: Trials,
        *,
        token: str,
        max_body_bytes: int,
    ) -> None:
        self._office = office
        self._view = view
        self._requests = requests
        self._trials = trials
        self._token = token
        self._max_body_bytes = max_body_bytes

    def app(self, beside: Sequence[Route] = ()) -> Starlette:
        """Return the application; ``beside`` are routes for others, with safeguards of their own."""
        routes = [
            self._route("/publications/{plan_id}", self._put_publication, "PUT"),
            self._route("/publications/{plan_id}", self._get_publication, "GET"),
            self._route("/events", self._events, "GET"),
            self._route("/frames", self._frames, "GET"),
            self._route("/charging_requests", self._charging_requests, "GET"),
            self._route("/limits", self._limits, "PUT"),
            self._route("/stations", self._stations, "GET"),
            self._route("/stations/{station_id}/trial", self._trial, "POST"),
            self._route("/stations/{station_id}/cut", self._cut, "POST"),
            self._route("/revoke", self._revoke, "POST"),
            self._route("/health", self._health, "GET"),
            self._route("/metrics", self._metrics, "GET"),
        ]
        return Starlette(routes=[*routes, *beside])

    def _route(self, path: str, endpoint: Endpoint, method: str) -> Route:
        async def guarded(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.casefold() != "bearer" or not same_token(token.strip(), self._token):
                return _error(401, "send the token as Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
            try:
                return await endpoint(request)
            except BodyTooLargeError as error:
                return _error(413, str(error))
            except sqlite3.OperationalError as error:
                log.exception("a request could not be carried out")
                return _error(503, f"nothing was changed, the bridge cannot store it: {error}; try again later")
            except ClientDisconnect:
                return _error(400, "the request ended early")

        return Route(path, guarded, methods=[method])

    # --- publications ----------------------------------------------------------------------------------------------

    async def _put_publication(self, request: Request) -> Response:
        plan_id = request.path_params["plan_id"]
        try:
            verdict = self._office.publish(plan_id, await self._body(request))
        except PublicationRefusedError as error:
            return _problems(error.problems)
        if verdict is Verdict.STORED:
            return JSONResponse({"plan_id": plan_id, "stored": True}, status_code=202)
        if verdict is Verdict.SAME:
            return JSONResponse({"plan_id": plan_id, "stored": True})
        if verdict is Verdict.CONFLICT:
            return _error(409, f"{plan_id} was published before with another content; give the new one a new plan_id")
        if verdict is Verdict.REPLAYED:
            return _error(409, f"{plan_id} was superseded and does not come back; plan again from what is known now")
        return _error(409, "a publication with a later as_of is in force; plan again from what is known now")

    async def _get_publication(self, request: Request) -> Response:
        try:
            return JSONResponse(self._office.publication(request.path_params["plan_id"]))
        except UnknownPlanError as error:
            return _error(404, str(error))

    # --- reading ---------------------------------------------------------------------------------------------------

    async def _events(self, request: Request) -> Response:
        after, wait_s = _query_number(request, "after", 0), _query_number(request, "wait_s", 0)
        if after is None or wait_s is None:
            return _error(422, "after must be the next of an earlier answer, and wait_s a number of seconds")
        events = await self._office.events(int(after), min(max(0.0, wait_s), WAIT_MAX_S))
        next_cursor = events[-1]["cursor"] if events else int(after)
        return JSONResponse({"events": events, "next": next_cursor})

    async def _frames(self, request: Request) -> Response:
        limit = _query_number(request, "limit", 10_000)
        if limit is None or limit < 1:
            return _error(422, "limit must be a positive number of lines")
        after = request.query_params.get("after")
        try:
            lines, cursor = await run_in_threadpool(self._office.frames, after, min(int(limit), LINES_MAX))
        except CursorError as error:
            return _error(422, str(error))
        return Response(b"".join(lines), media_type="application/x-ndjson", headers={"X-Next-Cursor": cursor})

    async def _charging_requests(self, request: Request) -> Response:
        after, limit = _query_number(request, "after", 0), _query_number(request, "limit", 1000)
        if after is None or limit is None or limit < 1:
            return _error(422, "after must be the next of an earlier answer, and limit a positive number")
        found = self._requests.read(int(after), min(int(limit), LINES_MAX))
        return JSONResponse({"requests": found, "next": found[-1]["cursor"] if found else int(after)})

    async def _stations(self, _: Request) -> Response:
        return JSONResponse({"site": self._view.site(), "stations": self._view.stations()})

    async def _health(self, _: Request) -> Response:
        reasons = list(self._view.reasons())
        return JSONResponse({"status": "degraded" if reasons else "ok", "reasons": reasons})

    async def _metrics(self, _: Request) -> Response:
        return PlainTextResponse(self._view.metrics(), media_type="text/plain; version=0.0.4")

    # --- changing --------------------------------------------------------------------------------------------------

    async def _limits(self, request: Request) -> Response:
        try:
            body = LimitRequest.model_validate_json(await self._body(request))
        except ValidationError as error:
            return _problems(_validation_problems(error))
        try:
            in_force_kw = self._office.limit(body.ev_limit_kw, body.valid_until, body.reason)
        except ValueError as error:
            return _problems([Problem("valid_until", str(error))])
        return JSONResponse({**body.model_dump(mode="json"), "in_force_kw": in_force_kw})

    async def _revoke(self, request: Request) -> Response:
        try:
            body = RevokeRequest.model_validate_json(await self._body(request))
        except ValidationError as error:
            return _problems(_validation_problems(error))
        try:
            cleared, pending = await self._office.revoke(body.station_id)
        except UnknownStationError as error:
            return _error(404, str(error))
        return JSONResponse({"cleared": cleared, "pending": pending})

    async def _trial(self, request: Request) -> Response:
        try:
            wanted = TrialRequest.model_validate_json(await self._body(request))
            return JSONResponse(self._trials.begin(request.path_params["station_id"], wanted))
        except ValidationError as error:
            return _problems(_validation_problems(error))
        except NotThereError as error:
            return _error(404, str(error))
        except ValueError as error:
            return _problems([Problem("limit_kw", str(error))])

    async def _cut(self, request: Request) -> Response:
        try:
            wanted = CutRequest.model_validate_json(await self._body(request))
            return JSONResponse(await self._trials.cut(request.path_params["station_id"], wanted))
        except ValidationError as error:
            return _problems(_validation_problems(error))
        except NotThereError as error:
            return _error(404, str(error))

    async def _body(self, request: Request) -> bytes:
        """Read the body, but no more of it than is allowed."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self._max_body_bytes:
                raise BodyTooLargeError(f"the body is larger than {self._max_body_bytes} bytes")
            chunks.append(chunk)
        return b"".join(chunks)


def _query_number(request: Request, name: str, default: float) -> float | None:
    text = request.query_params.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e15 else None


def _validation_problems(error: ValidationError) -> list[Problem]:
    return [Problem(".".join(str(part) for part in one["loc"]), one["msg"]) for one in error.errors()]


def _problems(problems: list[Problem]) -> Response:
    return JSONResponse({"errors": [{"path": one.path, "message": one.message} for one in problems]}, status_code=422)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps({"error": message}, ensure_ascii=False), status, headers, media_type="application/json")
