"""What other back ends may ask of the bridge over HTTP: results of theirs, and a CPO's sessions. Starlette wiring.

A callback's address is its own secret; sessions need the CPO's token. Neither can do anything else.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.time_grid import format_instant
from ocpp_bridge.upstream.callbacks import PATH
from ocpp_bridge.upstream.publishers import Publishers, SessionRefusedError

BODY_MAX: Final = 256 * 1024
SESSIONS: Final = "/ocpi/2.2.1/sessions/{country_code}/{party_id}/{session_id}"


def routes(publishers: Publishers) -> list[Route]:
    """Return the routes for other back ends."""

    async def callback(request: Request) -> Response:
        body = await _object(request)
        if body is None:
            return _envelope(2001, "send a JSON object", http=400)
        if not publishers.callbacks.deliver(request.path_params["key"], body):
            return _envelope(2000, "nobody waits for this result", http=404)
        return _envelope(1000, "Success")

    async def session(request: Request) -> Response:
        if not publishers.knows_peer(request.headers.get("authorization", "")):
            return _envelope(2000, "unknown token", http=401)
        body = await _object(request)
        if body is None:
            return _envelope(2001, "send a JSON object", http=400)
        try:
            publishers.session(request.path_params["session_id"], body)
        except SessionRefusedError as error:
            return _envelope(2003, str(error))
        return _envelope(1000, "Success")

    return [
        Route(f"{PATH}{{key}}", callback, methods=["POST"]),
        Route(SESSIONS, session, methods=["PUT", "PATCH"]),
    ]


async def _object(request: Request) -> dict[str, Any] | None:
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_MAX:
            return None
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _envelope(status_code: int, message: str, *, http: int = 200) -> Response:
    now = format_instant(datetime.now(UTC).replace(microsecond=0))
    body = {"status_code": status_code, "status_message": message, "timestamp": now}
    return JSONResponse(body, status_code=http)
