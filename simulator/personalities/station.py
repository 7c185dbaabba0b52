"""A charging station of some personality on a socket: it dials, answers, starts transactions, reads its meter.

Whoever drives it (a test, or ``fleet``) says what happens; what the station allows is computed here from the profiles
that it really holds.
"""

import asyncio
import itertools
import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from simulator.personalities import dialect
from simulator.personalities.book import Book
from simulator.personalities.dialect import Request, Session
from simulator.personalities.link import Link
from simulator.personalities.meters import Reading, sampled_values
from simulator.personalities.replies import CallError, answer
from simulator.personalities.traits import Personality

Json = dict[str, Any]
VEHICLE_KW: Final = 22.0
LEAST_KW: Final = 4.14
KEPT_CALLS: Final = 200


@dataclass(frozen=True, slots=True)
class Fate:
    """What the network does to a call and its answer: it may lose or delay either."""

    before_s: float = 0.0
    is_heard: bool = True
    after_s: float = 0.0
    is_answered: bool = True


class Station:
    """One station. ``now_s`` gives true time in epoch seconds; its own clock may differ.

    Attributes:
        heard: Actions that the back end called, with their payloads, newest last.
        calls: How often each action was called.
        ends: The ``validTo`` of every profile that it took, in that order.
        on_change: Told by how many kW a profile that came in changed what it allows.
        network: Asked what becomes of a call of the back end, by its action.
    """

    def __init__(
        self,
        url: str,
        station_id: str,
        personality: Personality,
        *,
        now_s: Callable[[], float] = time.time,
        password: str | None = None,
        connectors: int = 1,
        vehicle_kw: float = VEHICLE_KW,
    ) -> None:
        self.station_id = station_id
        self.personality = personality
        self.book = Book(personality)
        self.connector_ids = tuple(range(1, connectors + 1))
        self.sessions: dict[int, Session] = {}
        self.heard: deque[tuple[str, Json]] = deque(maxlen=KEPT_CALLS)
        self.calls: Counter[str] = Counter()
        self.ends: list[str] = []
        self.on_change: Callable[[float], None] = lambda _: None
        self.network: Callable[[str], Fate] = lambda _: Fate()
        self.version = personality.versions[0]
        self.on_restart: Callable[[], None] = lambda: None
        self._registers_kwh = dict.fromkeys(self.connector_ids, 100.0)
        self._turn = asyncio.Lock()
        self._stuck: set[int] = set()
        self._now_s = now_s
        self._vehicle_kw = vehicle_kw
        self._ids = itertools.count(1)
        self._turns = itertools.cycle(personality.versions)
        self._link = Link(f"{url}/ocpp/{station_id}", station_id, password=password, on_call=self._on_call)
        self._link.dies_on_unknown_id = personality.dies_on_unknown_id

    # --- connection ------------------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Say whether its socket stands."""
        return self._link.is_open

    @property
    def close_reason(self) -> str:
        """Return what the back end said when it closed the connection."""
        return self._link.close_reason

    async def connect(self, version: str | None = None, *, boots: bool = True) -> None:
        """Dial and, if it starts or is of that kind, boot; then report statuses.

        Raises:
            OSError, websockets.exceptions.WebSocketException: the back end did not let it in.
        """
        if self.personality.hops:
            self.version = next(self._turns)
        elif version is not None:
            self.version = version
        await self._link.open(self.personality.subprotocols(self.version))
        if boots or self.personality.boots_on_reconnect:
            await self.call(dialect.boot(self.personality, self.version))
        for connector_id in self.connector_ids:
            await self.report_status(connector_id)

    async def drop(self) -> None:
        """Lose the network: without a word, or, of one that keeps its old socket, without even closing it."""
        if self.personality.keeps_old_socket:
            self._link.forget()
        else:
            await self._link.abort()

    async def reboot(self, version: str | None = None) -> None:
        """Restart: profiles and transactions survive, as the standard wants."""
        await self._link.abort()
        await self.connect(version or self.version)

    async def close(self) -> None:
        """Hang up."""
        await self._link.close()

    async def call(self, request: Request, *, timeout_s: float = 10.0) -> Json:
        """Call the back end and return its answer.

        Raises:
            simulator.personalities.link.CallFailedError: it answered with an error, not in time, or is gone.
        """
        return await self._link.call(*request, timeout_s=timeout_s)

    async def send_raw(self, data: str | bytes) -> None:
        """Send anything at all."""
        await self._link.send(data)

    # --- what happens at it ----------------------------------------------------------------------------------------

    async def report_status(self, connector_id: int) -> None:
        """Report a connector's status."""
        is_charging = connector_id in self.sessions
        await self.call(dialect.status(self.version, connector_id, is_charging=is_charging, at_s=self.own_now_s()))

    async def plug_in(self, connector_id: int = 1, *, id_tag: str = "TAG-1") -> str:
        """Begin a transaction; return its id."""
        own_id = None if self.version == "1.6" else f"{self.station_id}-{next(self._ids)}-{random.getrandbits(32):08x}"
        session = Session(connector_id, id_tag, own_id)
        meter_wh = self._registers_kwh[connector_id] * 1000
        reply = await self.call(dialect.started(self.version, session, meter_wh=meter_wh, at_s=self.own_now_s()))
        known = own_id if own_id is not None else str(reply["transactionId"])
        self.sessions[connector_id] = replace(session, transaction_id=known)
        await self.report_status(connector_id)
        return known

    async def unplug(self, connector_id: int = 1) -> None:
        """End the transaction."""
        session = self.sessions.pop(connector_id)
        self.book.end_transaction(connector_id)
        meter_wh = self._registers_kwh[connector_id] * 1000
        under_minus_one = self.personality.ends_under_minus_one
        at_s = self.own_now_s()
        request = dialect.ended(self.version, session, meter_wh=meter_wh, at_s=at_s, under_minus_one=under_minus_one)
        await self.call(request)
        await self.report_status(connector_id)

    async def report_meter(self, connector_id: int = 1) -> None:
        """Send meter values."""
        session = self.sessions.get(connector_id)
        if session is not None:
            session = self.sessions[connector_id] = replace(session, sequence=session.sequence + 1)
        entries = self.meter_entries(connector_id)
        await self.call(dialect.metered(self.version, connector_id, session, entries, at_s=self.own_now_s()))

    def meter_entries(self, connector_id: int) -> list[Json]:
        """Return the ``meterValue`` list of the present."""
        limit = self.book.limit(connector_id, self.own_now_s(), self.running(connector_id))
        power_kw = self.power_kw(connector_id)
        reading = Reading(self._registers_kwh[connector_id], power_kw, limit.current_a, limit.phases)
        values = sampled_values(reading, version=self.version, style=self.personality.meter)
        at = dialect.stamp(self.own_now_s())
        empty = [{"timestamp": at, "sampledValue": []}] if self.personality.meter == "empty first" else []
        return [*empty, {"timestamp": at, "sampledValue": values}]

    def pass_time(self, seconds: float) -> None:
        """Let energy flow for a while."""
        for connector_id in self.connector_ids:
            self._registers_kwh[connector_id] += self.power_kw(connector_id) * seconds / 3600

    # --- what it allows --------------------------------------------------------------------------------------------

    def own_now_s(self) -> float:
        """Return what its own clock shows."""
        return self._now_s() + self.personality.clock_skew_s

    def running(self, connector_id: int) -> str | None:
        """Return the id of a connector's transaction."""
        session = self.sessions.get(connector_id)
        return None if session is None else session.transaction_id

    def own_limit_kw(self, connector_id: int) -> float:
        """Return what profiles allow now."""
        return self.book.limit(connector_id, self.own_now_s(), self.running(connector_id)).power_kw

    def allowed_kw(self, connector_id: int = 1, at_s: float | None = None) -> float:
        """Return what it would let a vehicle draw at a true instant (None: now)."""
        if connector_id in self._stuck:
            return 0.0
        own_s = self.own_now_s() if at_s is None else at_s + self.personality.clock_skew_s
        return self.book.limit(connector_id, own_s, self.running(connector_id)).power_kw

    def edges(self, connector_id: int = 1) -> set[float]:
        """Return the true instants at which what it allows may change."""
        return {edge - self.personality.clock_skew_s for edge in self.book.edges(connector_id)}

    def power_kw(self, connector_id: int = 1) -> float:
        """Return what its vehicle draws now; below 6 A nothing can be drawn."""
        if connector_id not in self.sessions:
            return 0.0
        allowed_kw = self.allowed_kw(connector_id) if self.personality.follows else self._vehicle_kw
        drawn_kw = min(allowed_kw, self._vehicle_kw)
        return drawn_kw if drawn_kw >= LEAST_KW / 3 - 1e-9 else 0.0

    def took(self, connector_id: int, before_kw: float) -> None:
        """Take note that a profile came in: one that sticks at zero needs a second one to come off it."""
        end_s = self.book.profiles[-1].valid_to_s if self.book.profiles else math.inf
        if end_s < math.inf:
            self.ends.append(dialect.stamp(end_s))
        self.on_change(self.own_limit_kw(connector_id) - before_kw)
        if not self.personality.sticks_at_zero:
            return
        if before_kw <= 0 < self.own_limit_kw(connector_id):
            self._stuck.add(connector_id)
        else:
            self._stuck.discard(connector_id)

    def restart(self) -> None:
        """Boot again, because the back end says so."""
        self.on_restart()

    async def _on_call(self, action: str, payload: Json) -> Json | CallError | None:
        """Answer a call; None: no answer is sent."""
        self.heard.append((action, payload))
        self.calls[action] += 1
        fate = self.network(action)
        reply: Json | CallError
        # What came first is taken in first, also where the connection is another by then; answers may overtake.
        async with self._turn:
            if fate.before_s:
                await asyncio.sleep(fate.before_s)
            if not fate.is_heard:
                return None
            try:
                reply = answer(self, self.version, action, payload)
            except CallError as error:
                reply = error
        delay_s = fate.after_s + (self.personality.answer_delay_s if action == "SetChargingProfile" else 0.0)
        if delay_s:
            await asyncio.sleep(delay_s)
        return reply if fate.is_answered else None
