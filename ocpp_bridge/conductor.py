"""Decides what to send to which station next, so that plans are delivered and the invariant holds. No I/O, no clock.

It is told what happened (a publication, a station up or down, an answer, a transaction) and asked for the next steps;
whoever carries them out (``dispatch``, or a test) reports each outcome. At most one step is open per station, and only
the newest wish is ever looked at, so nothing queues up behind a silent station.

Order: reductions go out at once; a raise waits until what others may hold leaves room for it. If room stays away, a
connector is given as much of its plan as there is room for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from core.publication import Publication
from ocpp_bridge import desires
from ocpp_bridge.aims import Situation, aim
from ocpp_bridge.clocks import ClockBounds
from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.curves import Curve
from ocpp_bridge.desires import Override, Trial
from ocpp_bridge.holdings import ConnectorKey, Held, Holdings
from ocpp_bridge.lines import REFRESH_S, Change, Line, Link, render, render_base, render_maximum
from ocpp_bridge.outbox import Evidence, State
from ocpp_bridge.outcomes import note_installed, note_removed
from ocpp_bridge.profiles import Capabilities, Place, Slot
from ocpp_bridge.steps import Install, Outcome, Remove, Step

PATIENCE_S: Final = 1.0
RETRY: Final = {"first_s": 1.0, "most_s": 60.0}
UNSEEN_AFTER_S: Final = 120.0
STATIONS_AT_ONCE: Final = 20  # deciding for one takes milliseconds, and others wait to be answered meanwhile


class Conductor:
    """The bridge's decisions.

    Invariants: every step returned by ``next_steps`` is already counted in ``holdings``; the invariant of
    ``holdings`` holds after each of them.
    """

    def __init__(self, config: BridgeConfig, *, last_sequence: int = 0) -> None:
        self.config = config
        self.changes: list[Change] = []
        windows = config.fallback_windows()
        self.lines = {
            key: Line(key, one, self.changes, window=windows[key]) for key, one in config.connector_map.items()
        }
        for station in config.stations:
            if len(station.connectors) == 1:
                self.lines[station.station_id, station.connectors[0].connector_id].is_alone = True
        self.links = {station.station_id: Link() for station in config.stations}
        self.holdings = Holdings({key: line.config.max_kw for key, line in self.lines.items()})
        self.publication: Publication | None = None
        self.override: Override | None = None
        self._limits: dict[str | None, Curve] = {}
        self._sequence, self._stale = last_sequence, True
        self._dirty: set[str] = set(self.links)
        self._later: set[str] = set()
        self._waiting: dict[ConnectorKey, float] = {}
        self._refreshed = 0.0
        self._by_station: dict[str, list[Line]] = {name: [] for name in self.links}
        for key, line in self.lines.items():
            self._by_station[key[0]].append(line)
        self._regroup()

    @property
    def wants_attention(self) -> bool:
        """Say whether ``next_steps`` may have something to do although nothing new happened."""
        return self._stale or bool(self._dirty)

    # --- what happened ---------------------------------------------------------------------------------------------

    def publish(self, publication: Publication | None, states: Mapping[ConnectorKey, State] | None = None) -> None:
        """A publication is in force from now on (None: none any more); ``states`` are those known from before."""
        self.publication = publication
        entries = desires.entries_by_key(publication)
        for key, line in self.lines.items():
            if line.state is State.REJECTED:
                line.attempts.clear()
            line.entry = entries.get(key)
            line.state = (states or {}).get(key, State.PENDING)
        self._regroup()
        self._stale = True

    def limit(self, override: Override | None) -> None:
        """Somebody limited the site, or took the limit back."""
        self.override, self._stale = override, True

    def station_up(self, station_id: str, capabilities: Capabilities) -> None:
        """A station is connected and its capabilities are known."""
        link = self.links[station_id]
        link.capabilities, link.down_s = capabilities, None
        link.is_ready, link.retry_at_s, link.failures = True, 0.0, 0
        for line in self._by_station[station_id]:
            line.start_afresh()
        self._stale = True

    def station_booted(self, station_id: str) -> None:
        """A station started anew: what it holds must be told again, and its transactions must show again."""
        self.links[station_id].maximum_attempted = False
        for line in self._by_station[station_id]:
            line.start_afresh()
            self.holdings.doubt(line.key)
            self.holdings.see_transaction(line.key, sees=False)
        self._stale = True

    def station_down(self, station_id: str, *, as_of: datetime) -> None:
        """A station's connection is gone."""
        link = self.links[station_id]
        link.is_ready, link.is_busy, link.down_s = False, False, as_of.timestamp()
        self._stale = True

    def transaction(self, key: ConnectorKey, transaction_id: str | None, *, seen: bool = True) -> None:
        """A transaction runs on a connector (``seen``: we hear of it now), or none does any more."""
        line = self.lines[key]
        if line.transaction_id != transaction_id:
            line.last_transaction_id, line.transaction_id = line.transaction_id, transaction_id
            line.proven_share = 1.0
            self.holdings.forget_transactions(key, but=transaction_id)
            self._stale = True
        if self.holdings.see_transaction(key, sees=seen and transaction_id is not None):
            self._look_at_all()

    def idle(self, key: ConnectorKey, *, is_idle: bool) -> None:
        """A connector says whether a vehicle is there."""
        if self.lines[key].is_idle != is_idle:
            self.lines[key].is_idle, self._stale = is_idle, True

    def clock_known(self, station_id: str, bounds: ClockBounds) -> None:
        """It was found out how far a station's clock may be off."""
        for line in self._by_station[station_id]:
            if self.holdings.clock(line.key) != bounds:
                self.holdings.set_clock(line.key, bounds)
                self._stale = True

    def try_out(self, key: ConnectorKey, trial: Trial | None) -> None:
        """A connector is commissioned: it gets a limit of its own in place of its plan; None ends that."""
        self.lines[key].trial, self._stale = trial, True

    def phases_proven(self, key: ConnectorKey, share: float) -> None:
        """Metering shows that the running transaction uses this share of the connector's phases."""
        self.lines[key].proven_share, self._stale = share, True
        self.holdings.prove_share(key, share)

    def revoke(self, station_id: str) -> None:
        """Take everything of ours off a station, whether we remember it or not."""
        self.links[station_id].begin_revoking(line.key[1] for line in self._by_station[station_id])
        self._stale = True

    def readmit(self, station_id: str) -> None:
        """Serve a station again that was revoked."""
        link = self.links[station_id]
        if link.is_revoked:
            link.readmit()
            for line in self._by_station[station_id]:
                line.start_afresh()
            self._stale = True

    def outcome(self, step: Step, outcome: Outcome, *, detail: str, wall_s: float) -> None:
        """Take note of how a step ended."""
        link = self.links[step.key[0]]
        link.is_busy = False
        link.note_answer(came=outcome is not Outcome.UNANSWERED, wall_s=wall_s, **RETRY)
        self._dirty |= {step.key[0], *(key[0] for key in self._waiting)}
        if isinstance(step, Remove):
            note_removed(step, outcome, self.lines.get(step.key), link, self.holdings)
        elif step.key[1] != 0:
            self._installed(step, outcome, detail)
        else:
            link.has_maximum |= outcome is Outcome.ACCEPTED

    def late_answer(self, step: Step, outcome: Outcome) -> None:
        """An answer came after we had given up waiting: it still says what the station holds, and that it is there."""
        self.links[step.key[0]].note_answer(came=True, wall_s=0.0, **RETRY)
        if isinstance(step, Install) and step.key[1] != 0 and outcome is Outcome.ACCEPTED:
            self._installed(step, outcome, "answered late")
            self._look_at_all()

    def proven(self, key: ConnectorKey, evidence: Evidence, detail: str | None, *, verified: bool) -> None:
        """Something was found out about what the station really does with the plan's profile."""
        line = self.lines[key]
        if line.is_open and line.state in (State.ACCEPTED, State.VERIFIED):
            line.change(State.VERIFIED if verified else State.ACCEPTED, detail, evidence)

    # --- what to do ------------------------------------------------------------------------------------------------

    def next_steps(self, *, as_of: datetime, wall_s: float) -> list[Step]:
        """Return the steps to carry out now, at most one per station, each already counted as held."""
        now_s = as_of.timestamp()
        self._pass_time(now_s)
        if self._stale:
            self._stale = False
            situation = self._situation()
            self._limits = situation.limits()
            aim(situation, self._limits, now_s=now_s)
            self._dirty |= set(self.links)
        looked_at = self._next_stations(wall_s)
        steps = [step for name in looked_at for step in self._station_step(name, as_of, wall_s)]
        if self._waiting and not self._dirty and self._may_squeeze(wall_s):
            steps += [step for key in sorted(self._waiting) for step in self._squeezed(key, as_of, wall_s)]
        return steps

    def _next_stations(self, wall_s: float) -> list[str]:
        """Return the next few stations to look at; those that we wait for before trying again come later."""
        self._dirty |= {name for name in self._later if wall_s >= self.links[name].retry_at_s}
        self._later |= {name for name in self._dirty if wall_s < self.links[name].retry_at_s}
        self._later -= (now := {name for name in self._dirty if wall_s >= self.links[name].retry_at_s})
        looked_at = sorted(now)[:STATIONS_AT_ONCE]
        self._dirty = now - set(looked_at)
        return looked_at

    def due_in_s(self, *, as_of: datetime) -> float | None:
        """Return after how many seconds of the clock something will be due though nothing happens until then."""
        now_s = as_of.timestamp()
        unseen = (link.down_s + UNSEEN_AFTER_S for link in self.links.values() if link.down_s is not None)
        ends = [one.valid_until.timestamp() for one in (self.publication, self.override) if one is not None]
        ahead = [
            moment - now_s for moment in (self.holdings.next_gone_s, *unseen, *ends) if now_s < moment < float("inf")
        ]
        if self.publication is not None:
            ahead.append((now_s // REFRESH_S + 1) * REFRESH_S - now_s)
        return min(ahead, default=None)

    def limits_at(self, as_of: datetime) -> dict[str | None, float]:
        """Return the limits in force at an instant."""
        return {scope: curve.at(as_of.timestamp()) for scope, curve in self._situation().limits().items()}

    # --- time ------------------------------------------------------------------------------------------------------

    def _pass_time(self, now_s: float) -> None:
        self._stale |= bool(self.holdings.prune(now_s))
        for name, link in self.links.items():
            if link.down_s is not None and now_s >= link.down_s + UNSEEN_AFTER_S:
                link.down_s = None
                for line in self._by_station[name]:
                    self.holdings.see_transaction(line.key, sees=False)
                self._stale = True
        if self.override is not None and now_s >= self.override.valid_until.timestamp():
            self.limit(None)
        if self.publication is not None and now_s >= self.publication.valid_until.timestamp():
            for line in self.lines.values():
                if line.is_open:
                    line.change(State.EXPIRED, "the plan ran out")
            self.publish(None)
        if now_s // REFRESH_S != self._refreshed:
            self._refreshed = now_s // REFRESH_S
            self._look_at_all()

    def _look_at_all(self) -> None:
        self._dirty = set(self.links)

    def _situation(self) -> Situation:
        return Situation(self.config, self.lines, self.links, self.holdings, self.publication, self.override)

    def _regroup(self) -> None:
        for key, line in self.lines.items():
            self.holdings.set_scopes(key, desires.group_names(line.config, line.entry))

    # --- steps -----------------------------------------------------------------------------------------------------

    def _station_step(self, station_id: str, as_of: datetime, wall_s: float) -> Iterator[Step]:
        link = self.links[station_id]
        if not link.is_ready or link.is_busy or wall_s < link.retry_at_s:
            return
        step = next(self._candidates(station_id, link, as_of, wall_s), None)
        if step is not None:
            yield self._begin(step)

    def _candidates(self, station_id: str, link: Link, as_of: datetime, wall_s: float) -> Iterator[Step]:
        if link.is_revoked:
            yield from (self._removal((station_id, number), slot) for number, slot in link.revoking)
            return
        lines = self._by_station[station_id]
        for line in lines:
            yield from self._base_step(line, link, as_of)
        # A fallback that is the station's maximum would be replaced by another one.
        if not link.maximum_attempted and not any(self.holdings.is_by_maximum(line.key) for line in lines):
            link.maximum_attempted = True
            limit_kw = self.config.site.ev_limit_kw
            yield Install((station_id, 0), render_maximum(lines, link.capabilities, limit_kw, as_of=as_of))
        for line in lines:
            yield from self._plan_step(line, link, as_of, wall_s)

    def _base_step(self, line: Line, link: Link, as_of: datetime) -> Iterator[Step]:
        rung = line.base_rung(link.capabilities)
        if rung is None or (line.base_is_current and as_of.timestamp() < line.base_renew_s):
            return
        held = render_base(line, *rung, as_of=as_of)
        if self.holdings.fits(line.key, held, self._limits, now_s=as_of.timestamp()):
            yield Install(line.key, held)

    def _plan_step(self, line: Line, link: Link, as_of: datetime, wall_s: float) -> Iterator[Step]:
        now_s = as_of.timestamp()
        waited_since = self._waiting.pop(line.key, wall_s)
        place = self._place(line, link)
        held = self._wanted(line, link, place, as_of, whole=line.is_squeezed)
        if held is not None:
            if self.holdings.fits(line.key, held, self._limits, now_s=now_s):
                line.is_squeezed = False
                yield Install(line.key, held)
            else:
                self._waiting[line.key] = waited_since
        for slot in (Slot.TRANSACTION, Slot.DEFAULT):
            if place is not None and slot is place.slot:
                continue
            newest = self.holdings.newest(line.key, slot)
            if newest is None or newest.expires_s <= now_s or slot in line.unclearable:
                continue
            if self.holdings.fits_without(line.key, slot, self._limits, now_s=now_s):
                yield self._removal(line.key, slot)

    def _removal(self, key: ConnectorKey, slot: Slot) -> Remove:
        newest = self.holdings.newest(key, slot) if key[1] != 0 else None
        forgotten = newest is None and key[1] != 0 and slot is not Slot.TRANSACTION
        by_maximum = self.holdings.is_by_maximum(key) if forgotten else newest is not None and newest.is_by_maximum
        return Remove(key, slot, by_maximum=by_maximum)

    def _wanted(self, line: Line, link: Link, place: Place | None, as_of: datetime, *, whole: bool) -> Held | None:
        """Return the profile that must be sent to a connector, if any."""
        if line.wish is None or place is None:
            return None
        held = render(line, line.wish, place, link.capabilities, as_of=as_of)
        if held is None:
            return None
        newest = self.holdings.newest(line.key, place.slot)
        # Whoever can have all of its plan gets it to the last tenth, unless it takes too few periods to say it.
        whole = whole or (line.is_full and len(held.profile.periods) < link.capabilities.max_periods)
        return held if line.must_send(newest, held, now_s=as_of.timestamp(), whole=whole) else None

    def _place(self, line: Line, link: Link) -> Place | None:
        """Return the place in the station's stack to try next; close the entry when all were refused."""
        if line.wish is None:
            return None
        by_maximum = self.holdings.is_by_maximum(line.key)
        rungs = desires.ladder(line.wish, line.key[1], link.capabilities, by_maximum=by_maximum)
        attempt = line.attempts.get(line.wish.slot, 0)
        if attempt >= len(rungs):
            if line.wish.plan_id is not None and line.is_open:
                line.change(State.REJECTED, line.last_refusal or "the station has no stack level for a plan")
                self._stale = True
            return None
        return rungs[attempt]

    def _squeezed(self, key: ConnectorKey, as_of: datetime, wall_s: float) -> Iterator[Step]:
        """Give a waiting connector as much of its wish as there is room for, if that is worth a message."""
        line, link = self.lines[key], self.links[key[0]]
        if not link.is_ready or link.is_busy or wall_s < link.retry_at_s or line.wish is None:
            return
        whole, cache = line.wish, line.rendered
        room = self.holdings.room(key, self._limits).map(lambda kw: max(0.0, kw))
        clock, now_s = self.holdings.clock(key), as_of.timestamp()
        line.wish = desires.granted(whole, room, clock, now_s=now_s, proven_share=line.proven_share)
        held = self._wanted(line, link, self._place(line, link), as_of, whole=False)
        line.wish, line.rendered = whole, cache
        if held is not None and self.holdings.fits(key, held, self._limits, now_s=as_of.timestamp()):
            line.is_squeezed = True
            yield self._begin(Install(key, held))

    def _may_squeeze(self, wall_s: float) -> bool:
        """Say whether waiting longer for room is pointless: nothing is under way, or it takes too long."""
        under_way = any(link.is_busy for link in self.links.values())
        return not under_way or wall_s - min(self._waiting.values()) >= PATIENCE_S

    def _begin(self, step: Step) -> Step:
        """Number a step and book it: from here on the station may hold its profile, or may have lost it."""
        self._sequence += 1
        self.links[step.key[0]].is_busy = True
        if isinstance(step, Remove):
            if step.key[1] != 0:
                self.holdings.clearing(step.key, step.slot, begun=True)
            return replace(step, sequence=self._sequence)
        numbered = replace(step, held=replace(step.held, sequence=self._sequence))
        if step.key[1] != 0:
            self.holdings.sent(step.key, numbered.held)
            line = self.lines[step.key]
            if line.is_open and line.state is State.PENDING and self._is_of_plan(step.held):
                line.change(State.SENT, None)
        return numbered

    # --- outcomes --------------------------------------------------------------------------------------------------

    def _installed(self, step: Install, outcome: Outcome, detail: str) -> None:
        line, link = self.lines[step.key], self.links[step.key[0]]
        of_plan = self._is_of_plan(step.held)
        self._stale |= note_installed(step, outcome, detail, line, link, self.holdings, of_plan=of_plan)

    def _is_of_plan(self, held: Held) -> bool:
        return self.publication is not None and held.plan_id == self.publication.plan_id
