"""One connection of one charging station: frames in and out, calls and their answers. Asyncio wiring only.

One call is in flight at a time, as OCPP-J wants. A call ends with its answer, with its time-out or with the
connection, whichever comes first; an answer that comes after the time-out is still handed to whoever asked. The ids of
our own calls begin with ``dw-``; a call that is passed on for somebody else keeps the id that it came with.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from ocpp_bridge import wire
from ocpp_bridge.channel import OnLate
from ocpp_bridge.config import LinkConfig
from ocpp_bridge.protocol import OcppProtocol, Request
from ocpp_bridge.recording import Recording
from ocpp_bridge.security import TokenBucket
from ocpp_bridge.wire import Answer, Call, CallRefusedError, MalformedFrameError, Payload

log = logging.getLogger(__name__)

LATE_KEPT: Final = 50
MALFORMED_IN_A_ROW_MAX: Final = 1000
OWN_ID_PREFIX: Final = "dw-"
OnCall = Callable[["StationConnection", Call], Payload | None]  # None: somebody replies later
UNDERSTANDING_ERRORS: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, sqlite3.Error)


class CallTimeoutError(TimeoutError):
    """The station did not answer in time; it may or may not have done what it was asked."""


class ConnectionLostError(ConnectionError):
    """The connection ended before an answer came."""


class StationConnection:
    """A websocket with OCPP on it."""

    def __init__(
        self,
        websocket: ServerConnection,
        station_id: str,
        protocol: OcppProtocol,
        *,
        settings: LinkConfig,
        recording: Recording,
    ) -> None:
        self.station_id = station_id
        self.protocol = protocol
        self.connection_id = uuid.uuid4().hex[:12]
        self.booted = asyncio.Event()
        self.last_seen_at: datetime = recording.clock.now()
        self._websocket = websocket
        self._settings = settings
        self._recording = recording
        self._turn = asyncio.Lock()
        self._may_call = asyncio.Event()
        self._may_call.set()
        self._open: tuple[str, asyncio.Future[Answer]] | None = None
        self._sent_at = 0.0
        self._give_up: asyncio.TimerHandle | None = None
        self._late: OrderedDict[str, OnLate] = OrderedDict()
        self._malformed = 0

    @property
    def version(self) -> str:
        """The OCPP version of this connection."""
        return self.protocol.version

    async def run(self, on_call: OnCall) -> None:
        """Read frames until the connection ends; then end the open call, too."""
        bucket = TokenBucket(self._settings.messages_per_s, self._settings.message_burst)
        try:
            async for text in self._websocket:
                await self._receive(text, on_call)
                # Not reading is what slows a flood down: TCP holds it back. And after every frame it is others' turn.
                await asyncio.sleep(bucket.take())
        except ConnectionClosed:
            pass
        finally:
            self._fail_open_call(ConnectionLostError(f"{self.station_id} disconnected"))
            self.release()  # whoever waits to call learns that the connection is gone

    async def call(self, request: Request, *, on_late: OnLate | None = None, message_id: str | None = None) -> Answer:
        """Send a request and wait for its answer; ``message_id`` is that of a call which is only passed on.

        Raises:
            CallTimeoutError: no answer in time (shorter if ``hurry`` is called meanwhile).
            ConnectionLostError: the connection ended first.
        """
        action, payload = request
        async with self._turn:
            await self._may_call.wait()
            message_id = self._usable_id(message_id)
            loop = asyncio.get_running_loop()
            future: asyncio.Future[Answer] = loop.create_future()
            self._open, self._sent_at = (message_id, future), time.monotonic()
            self._give_up = loop.call_later(self._settings.call_timeout_s, self._time_out, message_id, action)
            try:
                await self._send(wire.call_frame(message_id, action, payload))
                return await future
            except CallTimeoutError:
                if on_late is not None:
                    self._late[message_id] = on_late
                    while len(self._late) > LATE_KEPT:
                        self._late.popitem(last=False)
                raise
            finally:
                self._give_up.cancel()
                self._open = None
                if not future.cancel() and not future.cancelled():
                    future.exception()  # sending may have failed first; nobody else will look at it

    def hurry(self) -> None:
        """Something newer is to be sent: wait for the open call only the shorter time from when it was sent."""
        if self._open is None or self._give_up is None:
            return
        left_s = self._sent_at + self._settings.superseded_timeout_s - time.monotonic()
        loop = asyncio.get_running_loop()
        if loop.time() + max(0.0, left_s) < self._give_up.when():
            self._give_up.cancel()
            self._give_up = loop.call_later(max(0.0, left_s), self._time_out, self._open[0], "a superseded call")

    def hold(self) -> None:
        """Let calls wait: the station has asked to be admitted, and must hear the answer first."""
        self._may_call.clear()

    def release(self) -> None:
        """Let calls go out again."""
        self._may_call.set()

    async def reply(self, frame: list[Any]) -> None:
        """Send the answer to a call that was left open, or a message that wants none.

        Raises:
            ConnectionLostError: the connection has ended.
        """
        await self._send(frame)

    async def close(self, code: int, reason: str) -> None:
        """End the connection."""
        await self._websocket.close(code, reason)

    def abort(self) -> None:
        """End the connection without waiting for the other side, which may be long gone."""
        self._websocket.transport.abort()

    # --- inside ----------------------------------------------------------------------------------------------------

    async def _receive(self, text: str | bytes, on_call: OnCall) -> None:
        self.last_seen_at = self._recording.clock.now()
        try:
            frame, message = wire.parse(text)
        except MalformedFrameError as error:
            await self._refuse_malformed(error)
            return
        self._malformed = 0
        self._log("in", frame)
        if isinstance(message, Call):
            await self._answer(message, on_call)
        elif isinstance(message, Answer):
            self._take_answer(message)

    def _usable_id(self, message_id: str | None) -> str:
        """Return the id to call with: the given one, unless it could be taken for one of ours or is still awaited."""
        if message_id is None or message_id.startswith(OWN_ID_PREFIX) or message_id in self._late:
            return f"{OWN_ID_PREFIX}{uuid.uuid4().hex}"
        return message_id

    async def _answer(self, call: Call, on_call: OnCall) -> None:
        try:
            payload = on_call(self, call)
            if payload is None:
                return
            frame = wire.result_frame(call.message_id, payload)
        except CallRefusedError as refusal:
            frame = wire.error_frame(call.message_id, refusal.code, refusal.description)
        except UNDERSTANDING_ERRORS as error:
            # Neither a payload that our handlers did not expect nor a full disk may end a vehicle's connection. The
            # error's text may hold a token, and a flood of them must not fill the log.
            log.warning("%s: %s could not be handled (%s)", self.station_id, call.action[:50], type(error).__name__)
            log.debug("what could not be handled", exc_info=error)
            frame = wire.error_frame(call.message_id, "InternalError", "the message could not be handled")
        if call.wants_answer:
            with contextlib.suppress(ConnectionLostError):
                await self._send(frame)

    def _take_answer(self, answer: Answer) -> None:
        if self._open is not None and answer.message_id == self._open[0]:
            if not self._open[1].done():
                self._open[1].set_result(answer)
        elif (on_late := self._late.pop(answer.message_id, None)) is not None:
            on_late(answer)

    async def _refuse_malformed(self, error: MalformedFrameError) -> None:
        self._malformed += 1
        self._log("in", [], malformed=str(error)[:200])
        if error.message_id is not None:
            code = "FormationViolation" if self.version == "1.6" else "FormatViolation"
            with contextlib.suppress(ConnectionLostError):
                await self._send(wire.error_frame(error.message_id, code, str(error)))
        if self._malformed == MALFORMED_IN_A_ROW_MAX:
            await self.close(1002, "nothing but malformed frames")

    async def _send(self, frame: list[Any]) -> None:
        try:
            await self._websocket.send(wire.dump(frame))
        except ConnectionClosed as error:
            raise ConnectionLostError(f"{self.station_id} disconnected") from error
        self._log("out", frame)

    def _log(self, direction: str, frame: list[Any], malformed: str | None = None) -> None:
        self._recording.meters.heard(direction, malformed=malformed is not None)
        self._recording.frames.write(
            frame,
            at=self._recording.clock.now(),
            station_id=self.station_id,
            connection_id=self.connection_id,
            direction=direction,
            malformed=malformed,
        )

    def _time_out(self, message_id: str, what: str) -> None:
        if self._open is not None and self._open[0] == message_id:
            self._fail_open_call(CallTimeoutError(f"{self.station_id} did not answer {what}"))

    def _fail_open_call(self, error: Exception) -> None:
        if self._open is not None and not self._open[1].done():
            self._open[1].set_exception(error)
