"""A back end's calls, brought to its station as far as the rules allow. Asyncio wiring."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from ocpp_bridge import wire
from ocpp_bridge.audit import Audit
from ocpp_bridge.recording import Recording
from ocpp_bridge.station import UNDERSTANDING_ERRORS, CallTimeoutError, ConnectionLostError, StationConnection
from ocpp_bridge.upstream import rules
from ocpp_bridge.upstream.book import UpstreamBook
from ocpp_bridge.upstream.socket import UpstreamLostError
from ocpp_bridge.wire import Answer, Call

log = logging.getLogger(__name__)

WAITING_MAX: Final = 200
SendUpstream = Callable[[list[Any]], Awaitable[None]]


class Envoy:
    """Serves one back end's calls, one after the other; ``send`` brings frames back to it."""

    def __init__(
        self,
        connection: StationConnection,
        *,
        book: UpstreamBook,
        audit: Audit,
        recording: Recording,
        send: SendUpstream,
    ) -> None:
        self._connection = connection
        self._name = connection.station_id
        self._book = book
        self._audit = audit
        self._recording = recording
        self._reply_upstream = send
        self._calls: asyncio.Queue[Call] = asyncio.Queue(WAITING_MAX)
        self._late: set[asyncio.Task[None]] = set()

    async def take(self, call: Call) -> None:
        """Take a call; a back end that sends too many is made to wait."""
        await self._calls.put(call)

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            while True:
                await self._serve_next()
        finally:
            for task in self._late:
                task.cancel()
            await asyncio.gather(*self._late, return_exceptions=True)

    async def _serve_next(self) -> None:
        call = await self._calls.get()
        try:
            await self._serve(call)
        except (UpstreamLostError, ConnectionLostError):
            pass
        except UNDERSTANDING_ERRORS:
            log.exception("%s: a %s of its back end could not be served", self._name, call.action[:50])
            with contextlib.suppress(UpstreamLostError):
                await self._reply_upstream(wire.error_frame(call.message_id, "InternalError", ""))

    async def _serve(self, call: Call) -> None:
        verdict = rules.judge(
            call,
            self._connection.version,
            profiles=self._book.profiles(self._name),
            local_id=lambda upstream: self._book.local_id(self._name, upstream),
        )
        if isinstance(verdict, rules.Reply):
            self._report(verdict.note, concerns_credentials=verdict.concerns_credentials)
            await self._reply_upstream(wire.result_frame(call.message_id, verdict.payload))
        elif isinstance(verdict, rules.ClearEach):
            status = await self._clear_each(verdict.profile_ids)
            await self._reply_upstream(wire.result_frame(call.message_id, {"status": status}))
        else:
            await self._forward(call, verdict)

    async def _forward(self, call: Call, verdict: rules.Forward) -> None:
        if verdict.note is not None:
            self._report(verdict.note, concerns_credentials=False)
        if verdict.profile is not None:
            self._book.profile_set(self._name, verdict.profile)  # unanswered, it may be held all the same
        if not call.wants_answer:
            await self._connection.reply([wire.SEND, call.message_id, call.action, verdict.payload])
            return
        try:
            answer = await self._connection.call(
                (call.action, verdict.payload),
                message_id=call.message_id,
                on_late=lambda late: self._pass_late(call, verdict, late),
            )
        except CallTimeoutError:
            return  # as if the station had said nothing; a late answer is still passed on
        await self._pass_answer(call, verdict, answer)

    def _pass_late(self, call: Call, verdict: rules.Forward, answer: Answer) -> None:
        self._spawn(self._pass_answer(call, verdict, answer))

    async def _pass_answer(self, call: Call, verdict: rules.Forward, answer: Answer) -> None:
        if answer.status in ("Accepted", "Unknown") and verdict.clears is not None:
            self._book.profile_cleared(self._name, verdict.clears)
        with contextlib.suppress(UpstreamLostError):
            await self._reply_upstream([answer.frame[0], call.message_id, *answer.frame[2:]])

    async def _clear_each(self, profile_ids: tuple[int, ...]) -> str:
        found = False
        for profile_id in profile_ids:
            name = "id" if self._connection.version == "1.6" else "chargingProfileId"
            try:
                answer = await self._connection.call(("ClearChargingProfile", {name: profile_id}))
            except CallTimeoutError:
                continue
            if answer.status in ("Accepted", "Unknown"):
                self._book.profile_cleared(self._name, profile_id)
            found |= answer.status == "Accepted"
        return "Accepted" if found else "Unknown"

    def _report(self, note: str, *, concerns_credentials: bool) -> None:
        log.info("%s: %s", self._name, note, extra={"station_id": self._name})
        self._recording.meters.count("upstream_call_changed")
        if concerns_credentials:
            by = f"the back end of {self._name}"
            self._audit.write("credentials", at=self._recording.clock.now(), by=by, change=f"refused: {note}")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)
