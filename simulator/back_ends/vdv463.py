"""A presystem (depot or fleet system) that speaks VDV 463: asks for charging, and hears how it goes."""

import asyncio
import base64
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from core.time_grid import format_instant

SUBPROTOCOL = Subprotocol("v1.463.vdv.de")
ANSWER_WAIT_S = 5.0
Json = dict[str, Any]


@dataclass
class Presystem:
    """One presystem; ``told`` holds what ProvideChargingInformation brought, newest last."""

    presystem_id: str
    password: str
    told: list[Json] = field(default_factory=list)
    _answers: dict[str, "asyncio.Future[Any]"] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _socket: ClientConnection | None = None

    @asynccontextmanager
    async def connected(self, url: str) -> AsyncIterator["Presystem"]:
        """Be connected while the block runs."""
        login = base64.b64encode(f"{self.presystem_id}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}"}
        async with connect(url, subprotocols=[SUBPROTOCOL], additional_headers=headers, proxy=None) as socket:
            self._socket = socket
            reading = asyncio.create_task(self._read(socket))
            try:
                yield self
            finally:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading

    async def boot(self) -> Json:
        """Announce ourselves; return the answer."""
        answer: Json = (await self.ask("BootNotification", {"presystem": "BMS"}))[6]
        return answer

    async def request(self, *requests: Json) -> list[Any]:
        """Send the whole list of charging requests; return the answering message."""
        return await self.ask("ProvideChargingRequests", {"chargingRequestList": list(requests)})

    async def ask(self, action: str, payload: Json, *, presystem_id: str | None = None) -> list[Any]:
        """Send a request and return the answering message."""
        assert self._socket is not None
        message_id = str(uuid.uuid4())
        self._answers[message_id] = waiting = asyncio.get_running_loop().create_future()
        now = format_instant(datetime.now(UTC))
        message = [1, "BMS", presystem_id or self.presystem_id, now, message_id, action, payload]
        await self._socket.send(json.dumps(message))
        async with asyncio.timeout(ANSWER_WAIT_S):
            answer: list[Any] = await waiting
            return answer

    async def until(self, condition: Callable[[Json], bool], seconds: float = 30.0) -> Json:
        """Wait until what we are told makes the condition true; return it."""
        async with asyncio.timeout(seconds):
            while not self.told or not condition(self.told[-1]):
                self._changed.clear()
                await self._changed.wait()
        return self.told[-1]

    async def _read(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                message = json.loads(text)
                kind, _, presystem_id, _, message_id, action, payload = message
                if kind != 1:
                    self._answers.pop(message_id).set_result(message)
                    continue
                self.told.append(payload)
                self._changed.set()
                now = format_instant(datetime.now(UTC))
                await socket.send(json.dumps([2, "BMS", presystem_id, now, message_id, action, {}]))
