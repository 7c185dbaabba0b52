"""The station's connection: dials, keeps one call in flight, answers the back end, reconnects with back-off.

Everything here runs on wall time but the time stamps, which are the simulated world's.
"""

import asyncio
import base64
import itertools
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException
from websockets.typing import Subprotocol

from simulator.charge_point.commands import answer
from simulator.charge_point.station import Station
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

log = logging.getLogger(__name__)

SUBPROTOCOL = Subprotocol("ocpp1.6")
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.2, 5.0
CALL_TIMEOUT_S = 15.0
Json = dict[str, Any]


class BackEndSilentError(ConnectionError):
    """The back end did not answer a call in time."""


class Link:
    """Keeps one station connected; ``now`` is the simulated present."""

    def __init__(self, station: Station, *, url: str, password: str, now: Callable[[], datetime]) -> None:
        self._station, self._url, self._now = station, url, now
        token = base64.b64encode(f"{station.station_id}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._work = asyncio.Event()
        self._is_booted = False
        self._sent_s = 0.0
        self._heartbeat_s = 300.0
        station.wake = self._work.set

    async def run(self) -> None:
        """Dial until cancelled: a refused or lost connection is tried again, ever more patiently."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            begin_s = time.monotonic()
            try:
                await self._connected()
            except (OSError, WebSocketException, InvalidHandshake, InvalidURI, TimeoutError) as error:
                log.info("%s: %s", self._station.station_id, error)
            finally:
                self._station.is_online = False
            lasted = time.monotonic() - begin_s > LONGEST_BACKOFF_S
            backoff_s = FIRST_BACKOFF_S if lasted else min(LONGEST_BACKOFF_S, 2 * backoff_s)
            await asyncio.sleep(backoff_s)

    async def _connected(self) -> None:
        async with connect(
            self._url, subprotocols=[SUBPROTOCOL], additional_headers=self._headers, open_timeout=10, max_size=2**20
        ) as socket:
            reader = asyncio.create_task(self._read(socket))
            writer = asyncio.create_task(self._write(socket))
            try:
                done, _ = await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (reader, writer):
                    task.cancel()
                await asyncio.gather(reader, writer, return_exceptions=True)
                self._waiting.clear()

    async def _read(self, socket: ClientConnection) -> None:
        """Answer calls and hand answers to whoever waits, until the connection ends."""
        async for text in socket:
            try:
                frame = decode(text)
            except WireError as error:
                log.warning("%s: a frame that cannot be read: %s", self._station.station_id, error)
                continue
            if isinstance(frame, Call):
                await socket.send(self._reply(frame))
            else:
                waiter = self._waiting.pop(frame.uid, None)
                if waiter is not None and not waiter.done():
                    waiter.set_result(frame)

    def _reply(self, call: Call) -> str:
        try:
            return encode_result(call.uid, answer(self._station, call.action, call.payload, self._now()))
        except CallError as error:
            return encode_error(call.uid, error)

    async def _write(self, socket: ClientConnection) -> None:
        """Boot if need be, report statuses, then send the queue, one call at a time."""
        while not self._is_booted:
            await self._boot(socket)
        station = self._station
        station.come_online(self._now())
        while True:
            if station.wants_restart:
                station.wants_restart = self._is_booted = False
                return
            if station.queue:
                await self._send_first(socket)
                continue
            self._work.clear()
            try:
                async with asyncio.timeout(self._heartbeat_in_s()):
                    await self._work.wait()
            except TimeoutError:
                await self._call(socket, "Heartbeat", {})

    async def _boot(self, socket: ClientConnection) -> None:
        reply = await self._call(socket, "BootNotification", self._station.boot_info())
        status = (reply.payload.get("status") if reply.error is None else None) or "Rejected"
        self._heartbeat_s = max(1.0, float(reply.payload.get("interval") or self._heartbeat_s))
        self._is_booted = status == "Accepted"
        if not self._is_booted:
            await asyncio.sleep(min(self._heartbeat_s, LONGEST_BACKOFF_S))

    async def _send_first(self, socket: ClientConnection) -> None:
        """Send the first of the queue; it leaves the queue when it is answered, or at once if it need not be kept."""
        station = self._station
        request = station.queue[0]
        if not request.is_kept:
            station.queue.popleft()
        reply = await self._call(socket, request.action, request.payload())
        if request.is_kept and station.queue and station.queue[0] is request:
            station.queue.popleft()
        if reply.error is not None:
            log.warning("%s: %s was answered with %s", station.station_id, request.action, reply.error)
        if request.on_answer is not None:
            request.on_answer(None if reply.error is not None else reply.payload)

    async def _call(self, socket: ClientConnection, action: str, payload: Json) -> Answer:
        uid = f"{self._station.station_id}-{next(self._numbers)}"
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[uid] = waiter
        self._sent_s = time.monotonic()
        await socket.send(encode_call(uid, action, payload))
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await waiter
        except TimeoutError as error:
            raise BackEndSilentError(f"no answer to {action} in {CALL_TIMEOUT_S:.0f} s") from error

    def _heartbeat_in_s(self) -> float:
        return max(0.05, self._sent_s + self._heartbeat_s - time.monotonic())
