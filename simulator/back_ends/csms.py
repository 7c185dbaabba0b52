"""A small charging back end (CSMS) of somebody else: OCPP 1.6 and 2.0.1 over websockets, with transactions and tokens.

It numbers transactions, knows tokens, calls stations, and can be away, deaf or slow. Frames are read with the
simulator's own codec.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from core.time_grid import format_instant
from simulator.charge_point.wire import (
    Answer,
    Call,
    CallError,
    WireError,
    decode,
    encode_call,
    encode_error,
    encode_result,
)

SUBPROTOCOLS = (Subprotocol("ocpp2.1"), Subprotocol("ocpp2.0.1"), Subprotocol("ocpp1.6"))
HOST = "127.0.0.1"
CALL_TIMEOUT_S = 10.0
SILENTLY_TAKEN = frozenset(
    {
        "FirmwareStatusNotification",
        "MeterValues",
        "NotifyEvent",
        "SecurityEventNotification",
        "StatusNotification",
        "StopTransaction",
        "TransactionEvent",
    }
)
Json = dict[str, Any]


@dataclass
class Heard:
    """A station's call as it came: under which message id, on which connection (counted from 1)."""

    station_id: str
    uid: str
    action: str
    payload: Json
    connection: int


@dataclass
class Csms:
    """The back end.

    ``tokens`` are those that may charge; ``deaf`` names actions that it never answers, ``refuses`` those that it
    answers with an error code.
    """

    tokens: set[str] = field(default_factory=set)
    first_transaction: int = 501
    passwords: dict[str, str] = field(default_factory=dict)
    deaf: set[str] = field(default_factory=set)
    refuses: dict[str, str] = field(default_factory=dict)
    boot_status: str = "Accepted"
    boot_interval_s: int = 300
    subprotocols: tuple[Subprotocol, ...] = SUBPROTOCOLS
    heard: list[Heard] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    sockets: dict[str, ServerConnection] = field(default_factory=dict)
    answers: dict[str, asyncio.Future[Answer]] = field(default_factory=dict)
    strays: list[Answer] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    port: int = 0
    _connections: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where stations dial; their identity is appended."""
        return f"{'ws' if self.tls is None else 'wss'}://{HOST}:{self.port}/csms"

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["Csms"]:
        """Be there while the block runs; a port that is given can be come back to."""
        server = await self._listen(port)
        try:
            yield self
        finally:
            server.close(close_connections=True)
            await server.wait_closed()
            self.sockets.clear()

    def actions(self, station_id: str | None = None) -> list[str]:
        """Return the actions heard, oldest first."""
        return [one.action for one in self.heard if station_id in (None, one.station_id)]

    def payloads(self, action: str) -> list[Json]:
        """Return the payloads heard under an action."""
        return [one.payload for one in self.heard if one.action == action]

    async def call(self, station_id: str, action: str, payload: Json, *, uid: str) -> Answer:
        """Call a station and return its answer.

        Raises:
            TimeoutError: it did not answer.
        """
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.answers[uid] = waiting
        await self.sockets[station_id].send(encode_call(uid, action, payload))
        async with asyncio.timeout(CALL_TIMEOUT_S):
            return await waiting

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something that happened makes the condition true.

        Raises:
            TimeoutError: it never did.
        """
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def _listen(self, port: int) -> Server:
        server = await serve(
            self._serve, HOST, port, subprotocols=self.subprotocols, process_request=self._admit, ssl=self.tls
        )
        self.port = int(next(iter(server.sockets)).getsockname()[1])
        return server

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        header = request.headers.get("Authorization", "")
        user = base64.b64decode(header.removeprefix("Basic ")).decode() if header.startswith("Basic ") else ""
        self.users.append(user)
        station_id = _station_id(request.path)
        expected = self.passwords.get(station_id)
        if expected is not None and user != f"{station_id}:{expected}":
            return connection.respond(401, "who are you?\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        station_id = _station_id(socket.request.path)
        self._connections += 1
        number = self._connections
        self.sockets[station_id] = socket
        self._changed.set()
        try:
            async for text in socket:
                await self._take(socket, station_id, text, number)
                self._changed.set()
        except ConnectionClosed:
            pass
        finally:
            if self.sockets.get(station_id) is socket:
                del self.sockets[station_id]
            self._changed.set()

    async def _take(self, socket: ServerConnection, station_id: str, text: str | bytes, number: int) -> None:
        try:
            frame = decode(text)
        except WireError:
            return
        if isinstance(frame, Answer):
            waiting = self.answers.pop(frame.uid, None)
            if waiting is None or waiting.done():
                self.strays.append(frame)
            else:
                waiting.set_result(frame)
            return
        self.heard.append(Heard(station_id, frame.uid, frame.action, frame.payload, number))
        if frame.action in self.deaf:
            return
        try:
            reply = encode_result(frame.uid, self._answer(frame))
        except CallError as error:
            reply = encode_error(frame.uid, error)
        await socket.send(reply)

    def _answer(self, call: Call) -> Json:
        if call.action in self.refuses:
            raise CallError(self.refuses[call.action], "not today")
        now = format_instant(datetime.now(UTC))
        match call.action:
            case "BootNotification":
                return {"status": self.boot_status, "currentTime": now, "interval": self.boot_interval_s}
            case "Heartbeat":
                return {"currentTime": now}
            case "DataTransfer":
                return {"status": "Accepted", "data": json.dumps({"echo": call.payload.get("data")})}
        return self._judge_token(call)

    def _judge_token(self, call: Call) -> Json:
        tag, token = call.payload.get("idTag"), call.payload.get("idToken")
        if call.action == "StartTransaction":
            self.first_transaction += 1
            return {"transactionId": self.first_transaction - 1, "idTagInfo": self._verdict(tag)}
        if call.action in ("Authorize", "TransactionEvent") and isinstance(token, dict):
            return {"idTokenInfo": self._verdict(token["idToken"])}
        if call.action == "Authorize":
            return {"idTagInfo": self._verdict(tag)}
        if call.action in SILENTLY_TAKEN:
            return {}
        raise CallError("NotImplemented")

    def _verdict(self, token: object) -> Json:
        return {"status": "Accepted" if token in self.tokens else "Invalid"}


def _station_id(path: str) -> str:
    return unquote(path.rpartition("/")[2])
