"""A station's socket: OCPP-J frames out and in, one call of its own at a time. It knows no OCPP version."""

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from simulator.personalities.replies import CallError

Json = dict[str, Any]
Handler = Callable[[str, Json], Awaitable[Json | CallError | None]]
CALL, RESULT, ERROR = 2, 3, 4
MAX_FRAME_BYTES: Final = 2**20


class CallFailedError(ConnectionError):
    """The back end answered with an error, or not at all."""


class Link:
    """The connection of one station; it can be opened again and again."""

    def __init__(self, url: str, station_id: str, *, password: str | None, on_call: Handler) -> None:
        self._url, self._station_id, self._on_call = url, station_id, on_call
        self._headers: dict[str, str] = {}
        if password is not None:
            token = base64.b64encode(f"{station_id}:{password}".encode()).decode()
            self._headers = {"Authorization": f"Basic {token}"}
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._forgotten: list[tuple[ClientConnection, asyncio.Task[None] | None]] = []
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._numbers = itertools.count(1)
        self.dies_on_unknown_id = False
        self.has_died = False
        self.close_reason = ""

    @property
    def is_open(self) -> bool:
        """Say whether the present socket stands."""
        return self._reader is not None and not self._reader.done()

    async def open(self, subprotocols: tuple[str, ...]) -> None:
        """Dial."""
        offered = [Subprotocol(name) for name in subprotocols] or None
        self._socket = await connect(
            self._url,
            subprotocols=offered,
            additional_headers=self._headers,
            proxy=None,
            compression=None,
            max_size=MAX_FRAME_BYTES,
            ping_interval=None,
            open_timeout=60,
            close_timeout=1,
        )
        self._reader = asyncio.create_task(self._read(self._socket))

    async def call(self, action: str, payload: Json, *, timeout_s: float) -> Json:
        """Call the back end.

        Raises:
            CallFailedError: an error, no answer in time, or no connection.
        """
        async with self._turn:
            uid = f"{self._station_id}-{next(self._numbers)}"
            waiter: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
            self._waiting[uid] = waiter
            try:
                await self.send(json.dumps([CALL, uid, action, payload], separators=(",", ":")))
                return await asyncio.wait_for(waiter, timeout_s)
            except TimeoutError as error:
                raise CallFailedError(f"no answer to {action}") from error
            finally:
                self._waiting.pop(uid, None)

    async def send(self, data: str | bytes) -> None:
        """Send a frame as it is.

        Raises:
            CallFailedError: there is no connection.
        """
        if self._socket is None:
            raise CallFailedError("not connected")
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise CallFailedError("the connection is gone") from error

    def forget(self) -> None:
        """Leave the socket as it is, and read it no more: the other side believes that it lives."""
        if self._reader is not None:
            self._reader.cancel()
        if self._socket is not None:
            self._forgotten.append((self._socket, self._reader))
        self._socket = self._reader = None

    async def abort(self) -> None:
        """End the connection without a word."""
        if self._socket is not None:
            self._socket.transport.abort()
        if self._reader is not None:
            await asyncio.wait([self._reader])

    async def close(self) -> None:
        """Hang up, and give up what was forgotten."""
        for socket, _ in self._forgotten:
            socket.transport.abort()
        if self._socket is not None:
            await self._socket.close()
        tasks = [task for task in (self._reader, *self._answering, *(task for _, task in self._forgotten)) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for text in socket:
                frame = json.loads(text)
                if frame[0] == CALL:
                    task = asyncio.create_task(self._answer(socket, frame))
                    self._answering.add(task)
                    task.add_done_callback(self._answering.discard)
                else:
                    self._take(socket, frame)
        except ConnectionClosed:
            pass
        finally:
            received = socket.protocol.close_rcvd
            self.close_reason = received.reason if received is not None else ""
            for waiter in self._waiting.values():
                if not waiter.done():
                    waiter.set_exception(CallFailedError("the connection is gone"))

    async def _answer(self, socket: ClientConnection, frame: list[Any]) -> None:
        reply = await self._on_call(frame[2], frame[3])
        if reply is None:
            return
        out = [ERROR, frame[1], reply.code, reply.description, {}] if isinstance(reply, CallError) else None
        with contextlib.suppress(ConnectionClosed):
            await socket.send(json.dumps(out or [RESULT, frame[1], reply], separators=(",", ":")))

    def _take(self, socket: ClientConnection, frame: list[Any]) -> None:
        waiter = self._waiting.get(frame[1])
        if waiter is None:
            if self.dies_on_unknown_id:
                self.has_died = True
                socket.transport.abort()
            return
        if waiter.done():
            return
        if frame[0] == RESULT:
            waiter.set_result(frame[2])
        else:
            waiter.set_exception(CallFailedError(f"{frame[2]}: {frame[3] if len(frame) > 3 else ''}"))
