"""A back end that is driven over REST, in the manner of CitrineOS: queued at once, answered at a callback later."""

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.back_ends.csms import Csms
from simulator.providers.serving import HOST, serving

Json = dict[str, Any]
PLAIN = ssl.create_default_context()  # once: reading authorities takes longer than all else here


@dataclass
class CitrineOs:
    """REST in front of a back end that stations dial: their answers go to the caller's callback address.

    ``mute`` keeps callbacks back; ``babbles`` answers with what is no JSON. Asked
    for a station that is not connected, it says 200 with ``success: false``.
    """

    csms: Csms
    version: str = "1.6"
    mute: bool = False
    babbles: bool = False
    requests: list[tuple[str, Json]] = field(default_factory=list)
    callbacks: list[Json] = field(default_factory=list)
    port: int = 0
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://{HOST}:{self.port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["CitrineOs"]:
        """Be there while the block runs."""
        path = f"/ocpp/{self.version}/{{module}}/{{action}}"
        app = Starlette(routes=[Route(path, self._take, methods=["POST"])])
        async with serving(app, port=0, now=lambda: datetime.now(UTC)) as self.port:
            try:
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()

    def actions(self) -> list[str]:
        """Return what was asked for, oldest first."""
        return [action for action, _ in self.requests]

    async def _take(self, request: Request) -> Response:
        station_id = request.query_params["identifier"]
        action = request.path_params["action"]
        action = action[0].upper() + action[1:]
        payload = await request.json()
        self.requests.append((action, payload))
        if self.babbles:
            return Response("<html>502 Bad Gateway</html>", media_type="text/html")
        if station_id not in self.csms.sockets:
            return JSONResponse([{"success": False, "payload": f"No connection found for {station_id}"}])
        task = asyncio.ensure_future(self._pass_on(station_id, action, payload, request.query_params["callbackUrl"]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return JSONResponse([{"success": True}])

    async def _pass_on(self, station_id: str, action: str, payload: Json, callback_url: str) -> None:
        answer = await self.csms.call(station_id, action, payload, uid=f"rest-{next(self._numbers)}")
        body = answer.payload if answer.error is None else {"errorCode": answer.error, "errorDescription": ""}
        self.callbacks.append(body)
        if not self.mute:
            async with httpx.AsyncClient(verify=PLAIN, trust_env=False) as client:
                await client.post(callback_url, json=body)
