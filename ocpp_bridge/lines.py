"""What the conductor remembers of one connector and one station, and how a wish becomes a profile to send. No I/O."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Final

from core.publication import ConnectorPlan
from ocpp_bridge import profiles
from ocpp_bridge.config import ConnectorConfig
from ocpp_bridge.curves import Curve
from ocpp_bridge.desires import Trial, Wish
from ocpp_bridge.holdings import ConnectorKey, Held
from ocpp_bridge.outbox import FINAL, Evidence, State
from ocpp_bridge.profiles import Capabilities, ChargingProfile, Place, Slot, Unit
from ocpp_bridge.rotation import DAY_S, Window

LOOK_AHEAD_S: Final = 1800.0
WORTH_SENDING: Final = 0.02
REFRESH_S: Final = 900.0
RENEW_DAYS: Final = 7
GOES_ON_S: Final = 6 * 3600.0
"""A profile of an earlier plan may stay that lasts at least this much longer."""


@dataclass(frozen=True, slots=True)
class Change:
    """A delivery's new state, to be stored and told."""

    key: ConnectorKey
    state: State
    detail: str | None
    evidence: Evidence


@dataclass(slots=True)
class Link:
    """A station's connection, as far as sending goes.

    ``revoking`` lists what is still to be cleared, ``stuck`` what it accepted and then would not clear.
    """

    capabilities: Capabilities = field(default_factory=Capabilities)
    is_ready: bool = False
    is_busy: bool = False
    is_revoked: bool = False
    revoking: list[tuple[int, Slot]] = field(default_factory=list)
    stuck: list[tuple[int, Slot]] = field(default_factory=list)
    maximum_attempted: bool = False
    has_maximum: bool = False
    retry_at_s: float = 0.0
    failures: int = 0
    down_s: float | None = None

    def begin_revoking(self, connector_ids: Iterable[int]) -> None:
        """Everything of ours is to be cleared, whether we remember it or not; what has no end comes last."""
        self.is_revoked, self.stuck = True, []
        slots = (Slot.TRANSACTION, Slot.DEFAULT, Slot.BASE)
        self.revoking = [(number, slot) for number in connector_ids for slot in slots]
        self.revoking.append((0, Slot.MAXIMUM))

    def readmit(self) -> None:
        """It is to be served again."""
        self.is_revoked, self.revoking, self.stuck, self.maximum_attempted = False, [], [], False

    def note_clear(self, place: tuple[int, Slot], *, is_gone: bool, was_held: bool) -> None:
        """A clear was answered."""
        if place in self.revoking:
            self.revoking.remove(place)
            if was_held and not is_gone:
                self.stuck.append(place)

    def note_answer(self, *, came: bool, wall_s: float, first_s: float, most_s: float) -> None:
        """Wait longer after each call in a row that got no answer."""
        self.failures = 0 if came else self.failures + 1
        self.retry_at_s = 0.0 if came else wall_s + min(most_s, first_s * 2 ** min(self.failures - 1, 10))


@dataclass(slots=True)
class Line:
    """A connector: what the plan says of it, what it should hold, and how trying went."""

    key: ConnectorKey
    config: ConnectorConfig
    changes: list[Change]
    is_alone: bool = False
    entry: ConnectorPlan | None = None
    state: State = State.PENDING
    wish: Wish | None = None
    transaction_id: str | None = None
    last_transaction_id: str | None = None
    is_idle: bool = False
    proven_share: float = 1.0
    base_is_current: bool = False
    base_renew_s: float = math.inf
    window: Window | None = None
    base_attempt: int = 0
    attempts: dict[Slot, int] = field(default_factory=dict)
    last_refusal: str = ""
    last_base_refusal: str = ""
    evidence: Evidence = Evidence.NONE
    last_contradiction: str | None = None
    is_squeezed: bool = False
    is_full: bool = False
    trial: Trial | None = None
    unclearable: set[Slot] = field(default_factory=set)
    rendered: tuple[object, Curve] | None = None

    @property
    def is_open(self) -> bool:
        """Say whether the entry can still be delivered."""
        return self.entry is not None and self.state not in FINAL and self.state is not State.REJECTED

    @property
    def base_is_refused(self) -> bool:
        """Say whether the station refused the fallback in every unit, and as its maximum."""
        return self.base_attempt >= (4 if self.is_alone else 2)

    def change(self, state: State, detail: str | None, evidence: Evidence | None = None) -> None:
        """Give the entry a new state, and have it told."""
        self.state = state
        self.evidence = self.evidence if evidence is None else evidence
        self.changes.append(Change(self.key, state, detail, self.evidence))

    def refuse(self, detail: str) -> None:
        """The station refused the profile of the present wish: the next rung of its ladder is to be tried."""
        self.last_refusal = detail
        if self.wish is not None:
            self.attempts[self.wish.slot] = self.attempts.get(self.wish.slot, 0) + 1

    def must_send(self, newest: Held | None, wanted: Held, *, now_s: float, whole: bool) -> bool:
        """Say whether a profile must be sent; what an earlier plan gave goes on where the course is the same."""
        if newest is not None and goes_on(newest, wanted, now_s=now_s):
            if self.is_open and self.state is State.PENDING and wanted.plan_id is not None:
                self.change(State.ACCEPTED, f"goes on as plan {newest.plan_id} had it", Evidence.ACCEPTED)
            return False
        return needs_sending(newest, wanted, now_s=now_s, whole=whole)

    def forget_findings(self) -> None:
        """A new publication begins: what was found out about the last one no longer counts."""
        self.last_refusal, self.last_contradiction, self.evidence = "", None, Evidence.NONE

    def start_afresh(self) -> None:
        """The station booted or connected: what it refused before may be tried again."""
        self.base_is_current = False
        self.base_attempt = 0
        self.attempts.clear()
        self.last_refusal = ""
        self.unclearable.clear()

    def base_rung(self, capabilities: Capabilities) -> tuple[Unit, int] | None:
        """Return the unit and connector to try the fallback with; None when all were refused.

        The preferred unit comes before the other. A station's only connector can also be limited by the station's
        maximum (connector 0): some stations take nothing else.
        """
        if self.base_is_refused:
            return None
        preferred = profiles.choose_unit(capabilities, self.config.wiring)
        other: Unit = "W" if preferred == "A" else "A"
        return (preferred, other)[self.base_attempt % 2], self.key[1] if self.base_attempt < 2 else 0


def render_base(line: Line, unit: Unit, connector_id: int, *, as_of: datetime) -> Held:
    """Return the fallback as it would be held (not yet numbered): for ever, or in its daily window."""
    wiring, fallback_kw = line.config.wiring, line.config.fallback_kw
    profile: ChargingProfile
    if line.window is None:
        profile = profiles.base_profile(connector_id, fallback_kw, unit=unit, wiring=wiring, as_of=as_of)
    else:
        profile = profiles.rotating_base_profile(
            connector_id, fallback_kw, line.window, unit=unit, wiring=wiring, as_of=as_of
        )
    line.base_renew_s = math.inf if line.window is None else as_of.timestamp() + RENEW_DAYS * DAY_S
    return Held(0, profile, profile.reserved_kw(wiring))


def render_maximum(lines: Sequence[Line], capabilities: Capabilities, limit_kw: float, *, as_of: datetime) -> Held:
    """Return the maximum of a whole station: what its connectors can do together, within the site's limit."""
    together_kw = min(sum(line.config.max_kw for line in lines), limit_kw)
    wiring = lines[0].config.wiring
    unit = profiles.choose_unit(capabilities, wiring)
    profile = profiles.maximum_profile(together_kw, unit=unit, wiring=wiring, as_of=as_of)
    return Held(0, profile, profile.reserved_kw(wiring))


def render(line: Line, wish: Wish, place: Place, capabilities: Capabilities, *, as_of: datetime) -> Held | None:
    """Return the profile that grants a wish, as it would be held (not yet numbered); None if the wish is over."""
    now_s = as_of.timestamp()
    end_s = float(math.floor(wish.end_s))
    if end_s <= now_s:
        return None
    unit = profiles.choose_unit(capabilities, wish.wiring)
    # Compressing is the expensive part; what lies further ahead is looked at more finely every quarter of an hour.
    key = (wish, unit, capabilities.max_periods, now_s // REFRESH_S)
    if line.rendered is None or line.rendered[0] != key:
        limits = profiles.plan_steps(wish.reserved_kw, end_s=end_s, now_s=now_s, unit=unit, wiring=wish.wiring)
        limits = profiles.compress(limits, end_s=end_s, now_s=now_s, max_periods=capabilities.max_periods)
        line.rendered = (key, limits)
    profile = profiles.plan_profile(
        line.rendered[1], place=place, end_s=end_s, as_of=as_of, unit=unit, wiring=wish.wiring
    )
    return Held(0, profile, profile.reserved_kw(wish.wiring), plan_id=wish.plan_id)


def needs_sending(newest: Held | None, wanted: Held, *, now_s: float, whole: bool = False) -> bool:
    """Say whether a profile must be sent, given the newest one that its slot may hold.

    What the station holds may stay if it acknowledged it, it is of the same plan, ends with it, is nowhere above
    what is wanted, and loses next to nothing of the energy of the next half hour against it (a long plan is
    compressed more coarsely far ahead than it will be when that time comes). With ``whole`` it may lose nothing, up
    to its end: the station must be able to go on with it alone.
    """
    if newest is None or not newest.accepted or not newest.is_current or newest.is_clearing:
        return True
    if newest.plan_id != wanted.plan_id or newest.expires_s != wanted.expires_s:
        return True
    if newest.profile.unit != wanted.profile.unit or newest.profile.transaction_id != wanted.profile.transaction_id:
        return True
    edges = {edge for curve in (newest.reserved_kw, wanted.reserved_kw) for edge in curve.edges(now_s)}
    if any(newest.reserved_kw.at(e) > wanted.reserved_kw.at(e) + 1e-6 for e in edges if e < wanted.expires_s):
        return True
    worth, ahead_s = (0.0, math.inf) if whole else (WORTH_SENDING, LOOK_AHEAD_S)
    until_s = min(now_s + ahead_s, wanted.expires_s)
    wanted_energy = _energy(wanted.reserved_kw, now_s, until_s)
    return _energy(newest.reserved_kw, now_s, until_s) < wanted_energy * (1 - worth) - 1e-6


def goes_on(newest: Held, wanted: Held, *, now_s: float) -> bool:
    """Say whether what a station acknowledged for an earlier plan is what a new plan wants, for long enough ahead.

    It may end before the new plan does, but not soon: then it would be sent anyway, plan after plan.
    """
    if not newest.accepted or not newest.is_current or newest.is_clearing or newest.plan_id in (None, wanted.plan_id):
        return False
    profile, other = newest.profile, wanted.profile
    if (profile.slot, profile.unit, profile.transaction_id) != (other.slot, other.unit, other.transaction_id):
        return False
    if newest.expires_s > wanted.expires_s or newest.expires_s - now_s < GOES_ON_S:
        return False
    edges = {now_s} | {edge for held in (newest, wanted) for edge in held.reserved_kw.edges(now_s)}
    return all(
        abs(newest.reserved_kw.at(edge) - wanted.reserved_kw.at(edge)) <= 1e-6
        for edge in edges
        if edge < newest.expires_s
    )


def _energy(curve: Curve, since_s: float, until_s: float) -> float:
    edges = [*(edge for edge in curve.edges(since_s) if edge < until_s), until_s]
    return sum(curve.at(start) * (end - start) for start, end in pairwise(edges))
