"""Proxy mode: one station's conversation with its back end, carried on by the bridge. Asyncio wiring.

The back end sees the station as if it had dialled itself, the station an ordinary back end. Transactions and tokens
stay the back end's. While it is away the station notices nothing: what must reach the back end is kept on disk and
delivered in order when it is back; the rest is answered here.
"""

import asyncio
import contextlib
import logging
import random
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from ocpp_bridge import wire
from ocpp_bridge.audit import Audit
from ocpp_bridge.config import LinkConfig
from ocpp_bridge.happenings import Happenings, Start
from ocpp_bridge.protocol import number, whole
from ocpp_bridge.recording import Recording
from ocpp_bridge.redaction import Hasher
from ocpp_bridge.station import UNDERSTANDING_ERRORS, ConnectionLostError, StationConnection
from ocpp_bridge.stations import Station
from ocpp_bridge.upstream import rules
from ocpp_bridge.upstream.book import UpstreamBook
from ocpp_bridge.upstream.envoy import Envoy
from ocpp_bridge.upstream.queue import Kept, UpstreamQueue
from ocpp_bridge.upstream.settings import UpstreamConfig
from ocpp_bridge.upstream.socket import UpstreamLostError, UpstreamSocket, dial
from ocpp_bridge.wire import Answer, Call, CallRefusedError, Payload

log = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 0.5
STEADY_S: Final = 10.0
WAITING_MAX: Final = 200
FIRST_DIAL_WAIT_S: Final = 3.0
ATTEMPTS: Final = 3
PASSING: Final = frozenset({"InternalError", "GenericError"})
ATTEMPTS_IF_PASSING: Final = 10
REFUSED_RETRY_S: Final = 1.0
REFUSED_RETRY_MAX_S: Final = 60.0
BOOT_RETRY_MAX_S: Final = 60.0


class StationHandlers(Protocol):
    """What the bridge itself makes of a station's calls."""

    def handle(self, station: Station, action: str, payload: Payload) -> Payload:
        """Take note of a call and return the bridge's own answer."""


@dataclass(frozen=True, slots=True)
class RelayDesk:
    """What the relays of all stations share."""

    queue: UpstreamQueue
    book: UpstreamBook
    happenings: Happenings
    audit: Audit
    recording: Recording
    hash_token: Hasher
    link: LinkConfig


@dataclass(slots=True)
class UpstreamState:
    """How a station's back end is doing, for people to see; it outlives connections."""

    connected: bool = False
    since: datetime | None = None
    problem: str | None = None


class Relay:
    """Stands between one connection of a station and its back end, for as long as that connection lasts."""

    def __init__(
        self,
        connection: StationConnection,
        station: Station,
        *,
        desk: RelayDesk,
        handlers: StationHandlers,
        state: UpstreamState,
        shown: str | None,
    ) -> None:
        assert station.config.upstream is not None
        self._connection = connection
        self._station = station
        self._name = station.station_id
        self._config: UpstreamConfig = station.config.upstream
        self._desk = desk
        self._handlers = handlers
        self._state = state
        self._shown = shown
        self._socket: UpstreamSocket | None = None
        self._from_station: asyncio.Queue[Call] = asyncio.Queue(WAITING_MAX)
        self._kept_more = asyncio.Event()
        self._has_dialled = asyncio.Event()
        self._is_admitted = True
        self._envoy = Envoy(
            connection, book=desk.book, audit=desk.audit, recording=desk.recording, send=self._send_upstream
        )

    def take(self, call: Call) -> None:
        """Take a call of the station; it is answered later.

        Raises:
            CallRefusedError: far too many wait.
        """
        try:
            self._from_station.put_nowait(call)
        except asyncio.QueueFull:
            raise CallRefusedError("GenericError", "too many calls wait for the back end") from None
        if call.action == "BootNotification":
            self._connection.hold()

    async def run(self, older: "asyncio.Task[None] | None" = None) -> None:
        """Carry the conversation on until cancelled; then the back end is let go, too.

        ``older`` is the relay of a connection that this one replaces: two must never deliver the same messages.
        """
        if older is not None:
            older.cancel()
            await asyncio.wait([older])
        workers = [
            asyncio.ensure_future(work)
            for work in (self._keep_connected(), self._serve_station(), self._envoy.run(), self._deliver_kept())
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for task in workers:
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    # --- the connection ----------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        wait_s = RETRY_FIRST_S
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                subprotocol = f"ocpp{self._connection.version}"
                socket = await dial(self._config, self._name, subprotocol, shown=self._shown, link=self._desk.link)
                ended = await self._stay(socket)
            except UpstreamLostError as error:
                ended = str(error)
            except (OSError, RuntimeError, ValueError) as error:  # no such file, no variable, a certificate unread
                ended = f"{type(error).__name__}: {error}"
            self._has_dialled.set()
            self._note(connected=False, problem=ended)
            wait_s = RETRY_FIRST_S if loop.time() - begun > STEADY_S else min(self._config.retry_max_s, 2 * wait_s)
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # a fleet must not return in one moment

    async def _stay(self, socket: UpstreamSocket) -> str:
        self._socket = socket
        self._note(connected=True, problem=None)
        self._has_dialled.set()
        self._kept_more.set()
        try:
            return await socket.run(self._envoy.take)
        finally:
            self._socket = None
            await socket.close("the station is gone")

    def _note(self, *, connected: bool, problem: str | None) -> None:
        if connected != self._state.connected or self._state.since is None:
            self._state.connected, self._state.since = connected, self._desk.recording.clock.now()
            self._desk.recording.meters.count("upstream_connected" if connected else "upstream_lost")
            extra = {"station_id": self._name}
            if connected:
                log.info("%s: its back end is reached", self._name, extra=extra)
            else:
                log.warning("%s: its back end is away: %s", self._name, problem, extra=extra)
        self._state.problem = problem

    async def _send_upstream(self, frame: list[Any]) -> None:
        if self._socket is not None:
            await self._socket.send(frame)

    # --- the station speaks ------------------------------------------------------------------------------------------

    async def _serve_station(self) -> None:
        # What a station says first, often that it booted, is for its back end: it is about to be reached, or not.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._has_dialled.wait(), FIRST_DIAL_WAIT_S)
        while True:
            call = await self._from_station.get()
            try:
                await self._serve_call(call)
            except ConnectionLostError:
                pass
            except UNDERSTANDING_ERRORS as error:
                log.error("%s: a %s could not be served (%s)", self._name, call.action[:50], type(error).__name__)
                frame = wire.error_frame(call.message_id, "InternalError", "cannot be served now; try again later")
                with contextlib.suppress(ConnectionLostError):
                    await self._connection.reply(frame)
            finally:
                if call.action == "BootNotification":
                    self._connection.release()
                    self._connection.booted.set()

    async def _serve_call(self, call: Call) -> None:
        is_start = call.action == "StartTransaction"
        own = None if is_start else self._observe(call)  # a start is booked under the id that it is given
        answer = await self._ask(call) if self._goes_live(call) else None
        if answer is not None:
            frame = self._learn(call, answer)
        else:
            frame = self._answer_meanwhile(call, self._observe(call) if is_start else own)
        if call.wants_answer:
            await self._connection.reply(frame)

    def _observe(self, call: Call) -> Payload | CallRefusedError:
        """Have the bridge take note of a call; return what it would answer by itself."""
        try:
            return self._handlers.handle(self._station, call.action, call.payload)
        except CallRefusedError as refusal:
            return refusal
        except UNDERSTANDING_ERRORS as error:
            log.warning("%s: %s was not understood (%s)", self._name, call.action[:50], type(error).__name__)
            return CallRefusedError("InternalError", "the message could not be handled")

    def _goes_live(self, call: Call) -> bool:
        """Say whether a call may be passed on now: the back end is there, and nothing older must go before it."""
        if self._socket is None:
            return False
        if call.action == "BootNotification" or not rules.is_kept(call):
            return True
        return self._desk.queue.waiting(self._name) == 0

    async def _ask(self, call: Call) -> Answer | None:
        socket = self._socket
        if socket is None:
            return None
        call = self._for_upstream(call)
        try:
            if not call.wants_answer:
                await socket.send([wire.SEND, call.message_id, call.action, call.payload])
                return Answer(call.message_id)
            return await socket.call(call)
        except UpstreamLostError:
            return None

    def _for_upstream(self, call: Call) -> Call:
        return rules.with_transaction(call, lambda local: self._desk.book.upstream_id(self._name, local))

    def _learn(self, call: Call, answer: Answer) -> list[Any]:
        """Take note of a back end's answer, and return the frame that the station gets."""
        frame = list(answer.frame)
        self._learn_token(call, answer)
        if call.action == "BootNotification" and answer.error_code is None:
            self._desk.queue.drop(self._name, rules.latest_name(call) or "")  # an older one is pointless now
            self._admit(answer)
        if call.action == "StartTransaction" and answer.error_code is None:
            upstream_id = whole(answer.payload.get("transactionId"))
            if upstream_id is not None:
                local_id = self._begin(call, upstream_id)
                if local_id != upstream_id:
                    frame[2] = {**answer.payload, "transactionId": local_id}
        return frame

    def _begin(self, call: Call, upstream_id: int) -> int:
        """Book a transaction under the back end's id; return the id for the station.

        They differ only where the back end uses an id that we gave out ourselves while it was away.
        """
        connector_id = whole(call.payload.get("connectorId"))
        at = self._desk.happenings.instant(call.payload.get("timestamp"))
        clash = self._desk.book.knows_local(self._name, upstream_id)
        external_id = None if clash else str(upstream_id)
        start = Start(rules.token_of(call), at, number(call.payload.get("meterStart")), external_id)
        try:
            booked = None if connector_id is None else self._desk.happenings.begin(self._station, connector_id, start)
        except UNDERSTANDING_ERRORS as error:  # a full disk, say: the station gets the back end's id all the same
            log.warning("%s: a transaction could not be booked (%s)", self._name, type(error).__name__)
            return upstream_id
        if booked is None or not clash:
            return upstream_id
        self._desk.book.pair(self._name, local_id=int(booked.external_id), upstream_id=upstream_id)
        return int(booked.external_id)

    def _learn_token(self, call: Call, answer: Answer) -> None:
        token, info = rules.token_of(call), rules.token_info(answer.payload)
        if token is None or info is None:
            return
        expiry = info.get("expiryDate", info.get("cacheExpiryDateTime"))
        expires_at = self._desk.happenings.instant(expiry) if isinstance(expiry, str) else None
        with contextlib.suppress(*UNDERSTANDING_ERRORS):
            accepted = info.get("status") == "Accepted"
            hashed = self._desk.hash_token(token)
            self._desk.book.remember_token(self._name, hashed, accepted=accepted, expires_at=expires_at)

    def _answer_meanwhile(self, call: Call, own: Payload | CallRefusedError | None) -> list[Any]:
        """Answer in the back end's place, once what it must hear of is on the disk."""
        if isinstance(own, CallRefusedError):
            return wire.error_frame(call.message_id, own.code, own.description)
        if rules.is_kept(call):
            try:
                self._keep(call, whole((own or {}).get("transactionId")))
            except sqlite3.Error:
                log.exception("%s: a message for its back end cannot be kept", self._name)
                return wire.error_frame(call.message_id, "InternalError", "cannot be stored now; try again later")
        return wire.result_frame(call.message_id, rules.answer_meanwhile(call, own or {}, accepts=self._accepts(call)))

    def _keep(self, call: Call, local_id: int | None) -> None:
        self._desk.queue.put(
            self._name,
            call,
            most=self._config.queue_max,
            replaces=rules.latest_name(call),
            is_first=call.action == "BootNotification",
            local_id=local_id,
        )
        self._desk.recording.meters.count("upstream_kept")
        self._kept_more.set()

    def _accepts(self, call: Call) -> bool:
        token = rules.token_of(call)
        if token is None or self._config.offline_tokens == "any":
            return True
        now = self._desk.recording.clock.now()
        return self._desk.book.accepts(self._name, self._desk.hash_token(token), as_of=now)

    # --- what waited -------------------------------------------------------------------------------------------------

    async def _deliver_kept(self) -> None:
        while True:
            await self._kept_more.wait()
            self._kept_more.clear()
            while self._may_deliver() and (kept := self._desk.queue.first(self._name)) is not None:
                try:
                    wait_s = await self._deliver(kept)
                except sqlite3.Error:
                    log.exception("%s: what its back end confirmed cannot be stored", self._name)
                    wait_s = REFUSED_RETRY_S
                except UNDERSTANDING_ERRORS as error:  # one that cannot be sent must not hold up all others
                    self._desk.queue.refused(kept, f"cannot be sent: {type(error).__name__}", is_final=True)
                    wait_s = 0.0
                if wait_s is None:
                    break  # the back end is lost; being connected again wakes us
                if wait_s > 0:
                    await asyncio.sleep(wait_s)

    def _may_deliver(self) -> bool:
        return self._socket is not None and self._is_admitted

    def _admit(self, answer: Answer) -> None:
        """Take note of whether the back end admits the station: until then it takes nothing else."""
        self._is_admitted = answer.status not in ("Pending", "Rejected")
        self._kept_more.set()

    async def _deliver(self, kept: Kept) -> float | None:
        """Deliver one message; return how long to wait before the next attempt, None if the back end is lost."""
        answer = await self._ask(kept.call)
        if answer is None:
            return None
        if answer.error_code is not None:
            attempts = ATTEMPTS_IF_PASSING if answer.error_code in PASSING else ATTEMPTS
            is_final = kept.attempts + 1 >= attempts
            reason = f"{answer.error_code}: {answer.error_description}".rstrip(": ")
            self._desk.queue.refused(kept, reason, is_final=is_final)
            if is_final:
                log.error("%s: its back end refuses a %s: %s", self._name, kept.call.action, reason)
            return min(REFUSED_RETRY_MAX_S, REFUSED_RETRY_S * 2.0**kept.attempts)
        if kept.call.action == "BootNotification" and answer.status in ("Pending", "Rejected"):
            interval_s = number(answer.payload.get("interval")) or BOOT_RETRY_MAX_S
            return min(BOOT_RETRY_MAX_S, max(1.0, interval_s))
        self._learn_late(kept, answer)
        self._desk.queue.done(kept)
        self._desk.recording.meters.count("upstream_delivered")
        return 0.0

    def _learn_late(self, kept: Kept, answer: Answer) -> None:
        """Take note of the answer to a message that the station had answered by us."""
        call = kept.call
        self._learn_token(call, answer)
        info = rules.token_info(answer.payload)
        if info is not None and info.get("status") != "Accepted" and call.action != "Authorize":
            log.warning("%s: its back end does not accept a token that charged while it was away", self._name)
            self._desk.recording.meters.count("upstream_late_refusal")
        upstream_id = whole(answer.payload.get("transactionId")) if call.action == "StartTransaction" else None
        if upstream_id is not None and kept.local_id is not None and kept.local_id != upstream_id:
            self._desk.book.pair(self._name, local_id=kept.local_id, upstream_id=upstream_id)
