"""Carries out what the conductor decides: writes it down, sends it, reads the answer, proves it. Asyncio wiring.

Every step runs as a task of its own, so that a station that says nothing keeps nobody waiting. Waiting for answers is
on wall time; what is due by the plan is on the bridge's clock.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any, Final

from core.publication import Publication
from ocpp_bridge import evidence
from ocpp_bridge.channel import Channel
from ocpp_bridge.conductor import Conductor
from ocpp_bridge.held_store import HeldStore
from ocpp_bridge.lines import Change
from ocpp_bridge.memory import Memory
from ocpp_bridge.outbox import Delivery, Evidence, Outbox
from ocpp_bridge.profiles import Capabilities, Slot
from ocpp_bridge.protocol import Request
from ocpp_bridge.recording import Recording
from ocpp_bridge.station import CallTimeoutError, ConnectionLostError
from ocpp_bridge.stations import Depot
from ocpp_bridge.steps import Install, Outcome, Remove, Step
from ocpp_bridge.upstream import rules
from ocpp_bridge.wire import Answer, schema_error

log = logging.getLogger(__name__)

IDLE_WAIT_S: Final = 0.25
NOT_SUPPORTED: Final = frozenset({"NotImplemented", "NotSupported"})
READ_BACK_MAX_S: Final = 86_400
HELD_UP_S: Final = 0.5


class Dispatcher:
    """Delivers. Owns which connection each station has now."""

    def __init__(
        self,
        conductor: Conductor,
        *,
        depot: Depot,
        outbox: Outbox,
        held_store: HeldStore,
        memory: Memory,
        recording: Recording,
        boot_grace_s: float,
    ) -> None:
        self.conductor = conductor
        self.connections: dict[str, Channel] = {}
        self._depot = depot
        self._outbox = outbox
        self._held_store = held_store
        self._memory = memory
        self._events = recording.events
        self._clock = recording.clock
        self._boot_grace_s = boot_grace_s
        self.problem: str | None = None
        self._unsaved: set[str] = set()
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_quiet(self) -> bool:
        """Say whether nothing is under way, nothing is left to decide, and all that came of it is stored."""
        return not (self._tasks or self.conductor.wants_attention or self.conductor.changes)

    # --- from outside ----------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Take up what stations may hold, the publication in force, and a limit that somebody set."""
        for key, held in self._held_store.load():
            line = self.conductor.lines.get(key)
            of_other = held.profile.slot is Slot.TRANSACTION and line is not None and line.transaction_id is not None
            if line is None or (of_other and held.profile.transaction_id != line.transaction_id):
                continue
            self.conductor.holdings.sent(key, held)
        for station_id in self._memory.revoked():
            if station_id in self.conductor.links:
                self.conductor.revoke(station_id)
        self.conductor.limit(self._memory.override())
        publication = self._outbox.in_force()
        if publication is not None:
            deliveries = {delivery.key: delivery for delivery in self._outbox.deliveries(publication.plan_id)}
            self.conductor.publish(publication, {key: delivery.state for key, delivery in deliveries.items()})
            for key, delivery in deliveries.items():
                if key in self.conductor.lines:
                    self.conductor.lines[key].evidence = delivery.evidence

    def publish(self, publication: Publication) -> None:
        """Deliver a publication that the outbox has stored and put in force."""
        for entry in publication.connectors:
            if self.conductor.links[entry.station_id].is_revoked:
                self._memory.set_revoked(entry.station_id, revoked=False)
                self.conductor.readmit(entry.station_id)
        self.conductor.publish(publication)
        self.wake()
        for connection in self.connections.values():
            connection.hurry()

    def wake(self) -> None:
        """There may be something to do."""
        self._news.set()

    def connected(self, connection: Channel) -> None:
        """A station is connected; find out what it can do and give it what it should hold."""
        if self.connections.get(connection.station_id) is not None:
            self.conductor.station_down(connection.station_id, as_of=self._clock.now())
        self.connections[connection.station_id] = connection
        self._start(self._introduce(connection))

    def disconnected(self, connection: Channel) -> bool:
        """A connection ended; return whether it was the station's present one."""
        if self.connections.get(connection.station_id) is not connection:
            return False
        del self.connections[connection.station_id]
        self.conductor.station_down(connection.station_id, as_of=self._clock.now())
        self.wake()
        return True

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                self._news.clear()
                busy_s = self._round()
                if not self.conductor.wants_attention:
                    await self._wait_for_news()
                # A burst of answers is looked at together, and the rest of the program gets its turn.
                await asyncio.sleep(min(0.5, busy_s))
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- rounds ----------------------------------------------------------------------------------------------------

    def _round(self) -> float:
        """Begin all steps that can begin now; return how long it took to decide, in seconds."""
        begun = time.perf_counter()
        steps = self.conductor.next_steps(as_of=self._clock.now(), wall_s=time.monotonic())
        try:
            self._write_down(steps)
            self.problem = None
        except sqlite3.OperationalError as error:
            # What is not written down is not sent: a bridge that restarts must know what stations may hold.
            if self.problem is None:
                log.exception("deliveries are held up")
            self.problem = f"deliveries are held up, they cannot be stored: {error}"
            for step in steps:
                self.conductor.outcome(step, Outcome.UNANSWERED, detail="not sent", wall_s=time.monotonic())
            return HELD_UP_S
        for step in steps:
            connection = self.connections.get(step.key[0])
            if connection is None:
                self._conclude(step, Outcome.UNANSWERED, "not connected")
            else:
                self._start(self._carry_out(step, connection))
        return time.perf_counter() - begun

    def _write_down(self, steps: list[Step]) -> None:
        installs = [(step.key, step.held) for step in steps if isinstance(step, Install) and step.key[1] != 0]
        if installs:
            self._held_store.save(installs)  # before anything is sent: a station may hold it from then on
        self._unsaved |= {step.key[0] for step in steps if isinstance(step, Remove)}
        if self._unsaved:
            # What was answered is written with the next decision: until then the file counts more, never less.
            of_station = self.conductor.holdings.of_station
            self._held_store.replace_stations({name: of_station(name) for name in sorted(self._unsaved)})
            self._unsaved.clear()
        self._store_changes()

    async def _wait_for_news(self) -> None:
        due_s = self.conductor.due_in_s(as_of=self._clock.now())
        waits = [asyncio.ensure_future(self._news.wait()), asyncio.ensure_future(asyncio.sleep(IDLE_WAIT_S))]
        if due_s is not None and due_s < 3600:
            waits.append(asyncio.ensure_future(self._clock.sleep(timedelta(seconds=due_s))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _store_changes(self) -> None:
        changes = list(self.conductor.changes)
        if not changes:
            return
        publication = self.conductor.publication or self._outbox.in_force()
        if publication is None:
            self.conductor.changes.clear()
            return
        now = self._clock.now()
        latest = {change.key: change for change in changes}
        deliveries = [
            Delivery(*key, change.state, change.evidence, now, change.detail) for key, change in latest.items()
        ]
        self._outbox.update(publication.plan_id, deliveries)
        del self.conductor.changes[: len(changes)]
        for change in changes:
            self._tell(publication.plan_id, change)

    def _tell(self, plan_id: str, change: Change) -> None:
        self._events.add(
            "profile_state",
            at=self._clock.now(),
            station_id=change.key[0],
            connector_id=change.key[1],
            plan_id=plan_id,
            state=change.state.value,
            evidence=change.evidence.value,
            detail=change.detail,
        )

    # --- one station -----------------------------------------------------------------------------------------------

    async def _introduce(self, connection: Channel) -> None:
        """Probe a station's capabilities. A station that boots says so first; one that reconnects need not."""
        station = self._depot.stations[connection.station_id]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(connection.booted.wait(), self._boot_grace_s)
        remembered = self._memory.capabilities(connection.station_id)
        known = remembered or Capabilities()
        try:
            if remembered is None and station.config.publisher is None:
                has_back_end = station.config.upstream is not None
                await _ask(connection, rules.clean_slate(connection.protocol.version, has_back_end=has_back_end))
            answers = await _ask(connection, connection.protocol.probe())
        except ConnectionLostError:
            return
        if self.connections.get(connection.station_id) is not connection:
            return
        station.capabilities = connection.protocol.capabilities(answers, known)
        self._memory.remember_capabilities(connection.station_id, station.capabilities)
        self.conductor.station_up(connection.station_id, station.capabilities)
        self.wake()

    async def _carry_out(self, step: Step, connection: Channel) -> None:
        protocol = connection.protocol
        try:
            if isinstance(step, Install):
                request = protocol.install(step.held.profile)
            else:
                request = protocol.remove(step.profile_id, connector_id=step.key[1], slot=step.slot)
        except ValueError as error:  # a transaction id that this OCPP version cannot express
            self._conclude(step, Outcome.REFUSED, str(error))
            return
        problem = schema_error(protocol.version, *request)
        if problem is not None:
            log.error("%s: a %s that breaks the schema was not sent: %s", step.key, request[0], problem)
            self._conclude(step, Outcome.REFUSED, f"cannot be said in OCPP {protocol.version}: {problem}")
            return
        try:
            answer = await connection.call(request, on_late=lambda late: self._late(step, late))
        except (CallTimeoutError, ConnectionLostError) as error:
            if self.connections.get(connection.station_id) is connection:
                self._conclude(step, Outcome.UNANSWERED, str(error))
            return
        outcome = _outcome(step, answer)
        self._conclude(step, outcome, "" if outcome is Outcome.ACCEPTED else _words(answer))
        if outcome is Outcome.ACCEPTED and isinstance(step, Install) and step.held.plan_id is not None:
            await self._read_back(step, connection)

    def _conclude(self, step: Step, outcome: Outcome, detail: str) -> None:
        self.conductor.outcome(step, outcome, detail=detail, wall_s=time.monotonic())
        self._unsaved.add(step.key[0])
        self.wake()

    def _late(self, step: Step, answer: Answer) -> None:
        self.conductor.late_answer(step, _outcome(step, answer))
        self._unsaved.add(step.key[0])
        self.wake()

    async def _read_back(self, step: Install, connection: Channel) -> None:
        """Ask the station what it makes of its profiles, and compare."""
        station = self._depot.stations[connection.station_id]
        connector = station.connectors[step.key[1]]
        profile, wiring = step.held.profile, connector.config.wiring
        asked = self._clock.now()
        left_s = step.held.expires_s - asked.timestamp()
        if not station.capabilities.reads_back or left_s < 1:
            return
        duration_s = int(min(left_s, READ_BACK_MAX_S))
        try:
            answer = await connection.call(connection.protocol.read_back(step.key[1], duration_s, profile.unit))
        except (CallTimeoutError, ConnectionLostError):
            return
        composite = connection.protocol.composite(answer)
        if composite is None or self.conductor.holdings.newest(step.key, profile.slot) is None:
            if answer.error_code in NOT_SUPPORTED:
                station.capabilities = station.capabilities.without_read_back()
                self._memory.remember_capabilities(connection.station_id, station.capabilities)
            return
        finding = evidence.check_composite(
            composite, step.held, wiring, asked_at_s=asked.timestamp(), duration_s=duration_s
        )
        if finding.agrees:
            self.conductor.proven(step.key, Evidence.COMPOSITE, None, verified=True)
        elif connector.transaction_id is not None:  # without a transaction, stations differ in what they count
            self.conductor.proven(step.key, Evidence.ACCEPTED, finding.detail, verified=False)
        self.wake()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery failed", exc_info=error)
            self.wake()


async def _ask(connection: Channel, requests: Sequence[Request]) -> list[Answer | None]:
    """Ask one thing after the other; None where no answer came."""
    answers: list[Answer | None] = []
    for request in requests:
        try:
            answers.append(await connection.call(request))
        except CallTimeoutError:
            answers.append(None)
    return answers


def _outcome(step: Step, answer: Answer) -> Outcome:
    if answer.status == "Accepted":
        return Outcome.ACCEPTED
    if isinstance(step, Remove) and answer.status == "Unknown":
        return Outcome.ABSENT
    return Outcome.REFUSED


def _words(answer: Answer) -> str:
    if answer.error_code is not None:
        return f"{answer.error_code}: {answer.error_description}".rstrip(": ")
    info = answer.payload.get("statusInfo")
    reason = info.get("reasonCode") if isinstance(info, dict) else None
    return f"{answer.status or 'no status'}" + (f" ({reason})" if reason else "")
