"""A tiny OCPP 1.6 back end for tests: validates every frame against the library's schemas and records it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ocpp.messages import Call, CallResult, unpack, validate_payload
from websockets.asyncio.server import Server, ServerConnection, serve

Json = dict[str, Any]


def fixed_answers() -> dict[str, Callable[[Json], Json]]:
    """Return the answers of a back end that accepts everything and numbers transactions from 501."""
    numbers = iter(range(501, 10_000))
    return {
        "BootNotification": lambda _: {"status": "Accepted", "currentTime": "2026-02-09T11:30:00Z", "interval": 300},
        "Authorize": lambda _: {"idTagInfo": {"status": "Accepted"}},
        "StartTransaction": lambda _: {"transactionId": next(numbers), "idTagInfo": {"status": "Accepted"}},
        "StopTransaction": lambda _: {"idTagInfo": {"status": "Accepted"}},
        "Heartbeat": lambda _: {"currentTime": "2026-02-09T11:30:00Z"},
        "StatusNotification": lambda _: {},
        "MeterValues": lambda _: {},
    }


class BackEnd:
    """Takes one station at a time; ``calls`` are (action, payload) in the order they came."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Json]] = []
        self.users: list[str] = []
        self.answers = fixed_answers()
        self.connection: ServerConnection | None = None
        self.results: dict[str, asyncio.Future[Json]] = {}
        self.problems: list[str] = []
        self._changed = asyncio.Event()
        self.url = ""

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        header = connection.request.headers["Authorization"]
        self.users.append(base64.b64decode(header.removeprefix("Basic ")).decode())
        self.connection = connection
        async for text in connection:
            await self._take(connection, str(text))
            self._changed.set()

    async def _take(self, connection: ServerConnection, text: str) -> None:
        message = unpack(text)
        if isinstance(message, Call):
            await self._validate(message)
            self.calls.append((message.action, message.payload))
            answer = self.answers[message.action](message.payload)
            await connection.send(json.dumps([3, message.unique_id, answer]))
        else:
            self.results.pop(message.unique_id).set_result(
                message.payload if isinstance(message, CallResult) else {"error": message.error_code}
            )

    async def _validate(self, message: Call | CallResult) -> None:
        try:
            await validate_payload(message, "1.6")
        except Exception as error:
            self.problems.append(f"{message}: {error}")
            raise

    async def call(self, action: str, payload: Json) -> Json:
        """Call the station and return its validated result; a CALLERROR is ``{"error": code}``."""
        assert self.connection is not None
        uid = f"{action}-{len(self.calls)}"
        self.results[uid] = asyncio.get_running_loop().create_future()
        waiting = self.results[uid]
        await self.connection.send(json.dumps([2, uid, action, payload]))
        result = await asyncio.wait_for(waiting, 5)
        if "error" not in result:
            await self._validate(CallResult(uid, result, action=action))
        return result

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that was received makes the condition true."""
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def payloads(self, action: str) -> list[Json]:
        """Return what came under an action."""
        return [payload for name, payload in self.calls if name == action]


@asynccontextmanager
async def back_end(*, port: int = 0) -> AsyncIterator[BackEnd]:
    """Serve a back end on loopback."""
    end = BackEnd()
    async with serve(end.handle, "127.0.0.1", port, subprotocols=["ocpp1.6"]) as server:  # type: ignore[list-item]
        end.url = f"ws://127.0.0.1:{_port(server)}/ocpp/"
        yield end
    assert end.problems == []


def _port(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])
