"""A CPO that speaks OCPI 2.2.1: it takes charging profiles for active sessions, and sends results and sessions."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.time_grid import format_instant
from simulator.providers.serving import HOST, serving

Json = dict[str, Any]
PLAIN = ssl.create_default_context()  # once: reading authorities takes longer than all else here


@dataclass
class Cpo:
    """The CPO. ``profiles`` holds what each active session was told; ``refuses`` answers a session with a result.

    ``verdict`` is the result that is sent later; ``mute`` keeps it back.
    """

    token: str
    peer_token: str
    sessions: dict[str, str] = field(default_factory=dict)
    profiles: dict[str, Json] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)
    verdict: str = "ACCEPTED"
    timeout_s: int = 2
    mute: bool = False
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Its ChargingProfiles endpoint."""
        return f"http://{HOST}:{self.port}/ocpi/2.2.1/chargingprofiles"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Cpo"]:
        """Be there while the block runs."""
        path = "/ocpi/2.2.1/chargingprofiles/{session_id}"
        app = Starlette(routes=[Route(path, self._take, methods=["PUT", "GET", "DELETE"])])
        async with serving(app, port=0, now=lambda: datetime.now(UTC)) as self.port:
            try:
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()

    async def tell(self, bridge_url: str, session_id: str, evse_uid: str, status: str, *, method: str = "PUT") -> Json:
        """Send a session, as a CPO does when it begins, changes or ends; return the answer's envelope."""
        now = format_instant(datetime.now(UTC).replace(microsecond=0))
        whole = {"id": session_id, "evse_uid": evse_uid, "status": status, "start_date_time": now, "kwh": 0}
        body = whole if method == "PUT" else {"status": status, "last_updated": now}
        if status == "ACTIVE":
            self.sessions[session_id] = evse_uid
        else:
            self.sessions.pop(session_id, None)
            self.profiles.pop(session_id, None)
        token = base64.b64encode(self.peer_token.encode()).decode()
        async with httpx.AsyncClient(
            verify=PLAIN, trust_env=False, headers={"Authorization": f"Token {token}"}
        ) as client:
            reply = await client.request(method, f"{bridge_url}/ocpi/2.2.1/sessions/DE/CPO/{session_id}", json=body)
        answer: Json = reply.json()
        return answer

    async def _take(self, request: Request) -> Response:
        session_id = unquote(request.path_params["session_id"])
        self.requests.append((request.method, session_id))
        self.headers.append(dict(request.headers))
        expected = base64.b64encode(self.token.encode()).decode()
        if request.headers.get("authorization") != f"Token {expected}":
            return JSONResponse({"status_code": 2001, "status_message": "unknown token"}, status_code=401)
        if session_id in self.refuses:
            return self._envelope({"result": self.refuses[session_id], "timeout": 0})
        if session_id not in self.sessions:
            return self._envelope({"result": "UNKNOWN_SESSION", "timeout": 0})
        if request.method == "PUT":
            body = await request.json()
            url = body["response_url"]
            if self.verdict == "ACCEPTED":
                self.profiles[session_id] = body["charging_profile"]
            result: Json = {"result": self.verdict}
        else:
            url = request.query_params["response_url"]
            result = self._active(session_id) if request.method == "GET" else self._cleared(session_id)
        task = asyncio.ensure_future(self._report(url, result))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return self._envelope({"result": "ACCEPTED", "timeout": self.timeout_s})

    def _active(self, session_id: str) -> Json:
        profile = self.profiles.get(session_id)
        if profile is None:
            return {"result": "UNKNOWN"}
        begin = profile["start_date_time"]
        return {"result": "ACCEPTED", "profile": {"start_date_time": begin, "charging_profile": profile}}

    def _cleared(self, session_id: str) -> Json:
        return {"result": "ACCEPTED" if self.profiles.pop(session_id, None) is not None else "UNKNOWN"}

    async def _report(self, url: str, result: Json) -> None:
        if self.mute:
            return
        async with httpx.AsyncClient(verify=PLAIN, trust_env=False) as client:
            await client.post(url, json=result)

    @staticmethod
    def _envelope(data: Json) -> Response:
        now = format_instant(datetime.now(UTC).replace(microsecond=0))
        return JSONResponse({"data": data, "status_code": 1000, "status_message": "Success", "timestamp": now})
