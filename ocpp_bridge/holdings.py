"""What stations may hold, and the safety invariant that rests on it. Pure: no clock, no socket, no storage.

The invariant: at no instant may what all connectors together may draw exceed the limit for vehicles (nor a group's
connectors the group's limit). A connector counts at the highest limit that any profile it may hold allows at that
instant, whether it acknowledged the profile or has not answered yet, until that profile's expiry plus a margin for
clocks; then at its fallback; and at its hardware maximum if it never accepted a fallback.

Three things are stricter than that sentence. The fallback joins the count one margin before a profile expires, because
a station's clock may also be ahead. For the same reason a higher period counts from as much earlier, and a lower one
from as much later, as the station's clock may be off (``clocks``). And a profile for a transaction stands for the
connector only while we can see that transaction running: when it ends, or when the station has been out of sight, the
connector's defaults count too.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ocpp_bridge.clocks import UNKNOWN, ClockBounds
from ocpp_bridge.curves import SILENT, Curve, RunningTotal, constant, exceeds, lower, minus, upper
from ocpp_bridge.profiles import ChargingProfile, Slot

ConnectorKey = tuple[str, int]
_Test = Callable[["Held"], bool]
CLOCK_MARGIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Held:
    """A profile that a connector may hold. ``sequence`` orders what was sent to one connector."""

    sequence: int
    profile: ChargingProfile
    reserved_kw: Curve
    plan_id: str | None = None
    accepted: bool = False
    is_current: bool = True
    is_clearing: bool = False

    @property
    def is_by_maximum(self) -> bool:
        """Say whether it was set as a maximum of the whole station, for want of another way."""
        return self.profile.connector_id == 0 and self.profile.slot is not Slot.MAXIMUM

    @property
    def expires_s(self) -> float:
        """When the station drops it, by its own clock."""
        valid_to = self.profile.valid_to
        return math.inf if valid_to is None else valid_to.timestamp()


@dataclass(slots=True)
class _Connector:
    maximum_kw: float
    scopes: tuple[str | None, ...]
    slots: dict[Slot, list[Held]] = field(default_factory=dict)
    sees_transaction: bool = False
    proven_share: float = 1.0
    clock: ClockBounds = UNKNOWN
    bound: Curve | None = None

    def gone_s(self, held: Held) -> float:
        """When a profile is surely gone, however far the station's clock is behind."""
        return held.expires_s + max(CLOCK_MARGIN_S, self.clock.late_s)


class Holdings:
    """Every connector's possible profiles and the curve of what it may draw.

    Invariants: ``total(scope)`` is always the sum of ``bound(key)`` over the scope's connectors; nothing expires before
    ``_earliest_s``.
    """

    def __init__(self, maxima_kw: Mapping[ConnectorKey, float]) -> None:
        self._connectors = {key: _Connector(maximum, (None,)) for key, maximum in maxima_kw.items()}
        self._totals: dict[str | None, RunningTotal] = {None: RunningTotal()}
        self._by_station: dict[str, list[ConnectorKey]] = {}
        self._earliest_s = math.inf
        for key in self._connectors:
            self._by_station.setdefault(key[0], []).append(key)
        for key in self._connectors:
            self._refresh(key)

    def bound(self, key: ConnectorKey) -> Curve:
        """Return what the connector may draw, in kW, at every instant."""
        bound = self._connectors[key].bound
        assert bound is not None
        return bound

    def set_scopes(self, key: ConnectorKey, groups: Iterable[str]) -> None:
        """Count the connector against the site and these groups."""
        connector = self._connectors[key]
        scopes = (None, *sorted(set(groups)))
        if scopes == connector.scopes:
            return
        for scope in connector.scopes:
            self._totals[scope].replace(connector.bound, None)
        connector.scopes, connector.bound = scopes, None
        for scope in scopes:
            self._totals.setdefault(scope, RunningTotal())
        self._refresh(key)

    def rest(self, key: ConnectorKey) -> Curve:
        """Return what the connector may draw while no plan's profile is alive, in kW over time."""
        return _rest(self._connectors[key])

    def has_base(self, key: ConnectorKey) -> bool:
        """Say whether the connector ever accepted a fallback."""
        return any(held.accepted for held in self._connectors[key].slots.get(Slot.BASE, ()))

    def is_by_maximum(self, key: ConnectorKey) -> bool:
        """Say whether the connector may hold a fallback that was set as a maximum of the whole station."""
        return any(held.is_by_maximum for held in self._connectors[key].slots.get(Slot.BASE, ()))

    def total(self, scope: str | None = None) -> Curve:
        """Return what all connectors of a group (None: of the site) may draw together."""
        return self._totals[scope].curve()

    def total_at(self, scope: str | None, instant_s: float) -> float:
        """Return what all connectors of a group may draw together at an instant."""
        return self._totals[scope].curve().at(instant_s) if scope in self._totals else 0.0

    def scopes(self, key: ConnectorKey) -> tuple[str | None, ...]:
        """Return the site (None) and the group whose limits the connector counts against."""
        return self._connectors[key].scopes

    def is_empty(self, key: ConnectorKey, slot: Slot) -> bool:
        """Say whether the connector surely holds nothing of ours in a slot."""
        return not self._connectors[key].slots.get(slot)

    def newest(self, key: ConnectorKey, slot: Slot) -> Held | None:
        """Return the profile that was last sent to a slot and is not known to have been refused."""
        held = self._connectors[key].slots.get(slot)
        return held[-1] if held else None

    def newest_accepted(self, key: ConnectorKey, slot: Slot) -> Held | None:
        """Return the profile in a slot that the station acknowledged last."""
        return next((held for held in reversed(self._connectors[key].slots.get(slot, [])) if held.accepted), None)

    def everything(self, station_id: str | None = None) -> Iterator[tuple[ConnectorKey, Held]]:
        """Yield all profiles that may be held, by one station or by all."""
        keys = list(self._connectors) if station_id is None else self._by_station.get(station_id, [])
        for key in keys:
            for held in self._connectors[key].slots.values():
                yield from ((key, one) for one in held)

    def of_station(self, station_id: str) -> list[tuple[ConnectorKey, Held]]:
        """Return all profiles that one station may hold; those being cleared count as unanswered."""
        return [
            (key, replace(held, accepted=held.accepted and not held.is_clearing))
            for key, held in self.everything(station_id)
        ]

    # --- what happened ---------------------------------------------------------------------------------------------

    def sent(self, key: ConnectorKey, held: Held) -> None:
        """A profile is about to be sent: from now on the connector may hold it."""
        before = self._connectors[key].slots.get(held.profile.slot, [])
        kept = [one for one in before if one.accepted or not _same_limits(one, held)]
        self._connectors[key].slots[held.profile.slot] = [*kept, held]
        self._earliest_s = min(self._earliest_s, held.expires_s)
        self._refresh(key)

    def accepted(self, key: ConnectorKey, sequence: int) -> None:
        """The station acknowledged a profile: it replaced all that was sent to that slot before it."""
        for held in self._connectors[key].slots.values():
            for one in held:
                if one.sequence == sequence:
                    held[:] = [replace(one, accepted=True), *(later for later in held if later.sequence > sequence)]
                    self._refresh(key)
                    return

    def refused(self, key: ConnectorKey, sequence: int) -> None:
        """The station refused a profile: it holds what it held before."""
        self._drop(key, lambda one: one.sequence == sequence)

    def cleared(self, key: ConnectorKey, slot: Slot, *, before: int) -> None:
        """The station holds nothing any more of what was sent to a slot before a sequence number."""
        self._drop(key, lambda one: one.profile.slot is slot and one.sequence < before)

    def clearing(self, key: ConnectorKey, slot: Slot, *, begun: bool) -> None:
        """A clear is about to be sent (until it is answered the station may hold it or not), or it was refused."""
        held = self._connectors[key].slots.get(slot, [])
        held[:] = [replace(one, is_clearing=begun) for one in held]
        self._refresh(key)

    def forget_transactions(self, key: ConnectorKey, *, but: str | None) -> None:
        """Transactions are over (all but one, perhaps), and their profiles died with them."""
        self._connectors[key].proven_share = 1.0
        self._connectors[key].sees_transaction = False
        self._drop(key, lambda one: one.profile.slot is Slot.TRANSACTION and one.profile.transaction_id != but)

    def see_transaction(self, key: ConnectorKey, *, sees: bool) -> bool:
        """Take note of whether we can see the connector's transaction running; return whether that is news."""
        if self._connectors[key].sees_transaction == sees:
            return False
        self._connectors[key].sees_transaction = sees
        self._refresh(key)
        return True

    def prove_share(self, key: ConnectorKey, share: float) -> None:
        """Metering proved that the running transaction uses only this share of the connector's phases."""
        self._connectors[key].proven_share = share
        self._refresh(key)

    def clock(self, key: ConnectorKey) -> ClockBounds:
        """Return how far the station's clock may be off."""
        return self._connectors[key].clock

    def set_clock(self, key: ConnectorKey, bounds: ClockBounds) -> None:
        """It was found out how far the station's clock may be off."""
        self._connectors[key].clock = bounds
        self._refresh(key)

    def doubt(self, key: ConnectorKey) -> None:
        """The station booted: it may hold what it held, but nothing may be taken for delivered."""
        for held in self._connectors[key].slots.values():
            held[:] = [replace(one, is_current=False) for one in held]

    @property
    def next_gone_s(self) -> float:
        """Return an instant before which no profile is surely gone."""
        return self._earliest_s + CLOCK_MARGIN_S

    def prune(self, now_s: float) -> list[int]:
        """Forget profiles that expired longer ago than the margin; return their sequence numbers."""
        if now_s < self.next_gone_s:
            return []
        gone: list[int] = []
        for key, connector in self._connectors.items():
            everything = (one for held in connector.slots.values() for one in held)
            dead = {one.sequence for one in everything if connector.gone_s(one) <= now_s}
            if dead:
                self._drop(key, _any_of(dead))
                gone += dead
        self._earliest_s = min((held.expires_s for _, held in self.everything()), default=math.inf)
        return gone

    # --- what may be sent ------------------------------------------------------------------------------------------

    def fits(self, key: ConnectorKey, held: Held, limits_kw: Mapping[str | None, Curve], *, now_s: float) -> bool:
        """Say whether the invariant still holds, from now on for ever, if the profile is sent at this moment.

        A profile that raises nothing always fits, even where the limit is already exceeded.
        """
        before = self._connectors[key].slots.get(held.profile.slot, [])
        return self._fits(key, held.profile.slot, [*before, held], limits_kw, now_s)

    def fits_without(
        self, key: ConnectorKey, slot: Slot, limits_kw: Mapping[str | None, Curve], *, now_s: float
    ) -> bool:
        """Say whether the invariant still holds if a slot is cleared: what it hides must fit."""
        kept = [replace(one, is_clearing=True) for one in self._connectors[key].slots.get(slot, ())]
        return self._fits(key, slot, kept, limits_kw, now_s)

    def _fits(
        self,
        key: ConnectorKey,
        slot: Slot,
        after: list[Held],
        limits_kw: Mapping[str | None, Curve],
        now_s: float,
    ) -> bool:
        connector = self._connectors[key]
        new = _surely(replace(connector, slots={**connector.slots, slot: after}))
        if exceeds(new, _surely(connector), since_s=now_s) is None:
            return True
        return exceeds(new, self.room(key, limits_kw), since_s=now_s) is None

    def room(self, key: ConnectorKey, limits_kw: Mapping[str | None, Curve]) -> Curve:
        """Return the most that the connector may be allowed: what it has, or what the limits leave to it."""
        return upper(_surely(self._connectors[key]), self.free(key, limits_kw))

    def free(self, key: ConnectorKey, limits_kw: Mapping[str | None, Curve]) -> Curve:
        """Return what the limits leave to the connector beside what all others may draw; may be negative."""
        own = self.bound(key)
        left = [
            minus(limits_kw[scope], minus(self.total(scope), own)) for scope in self.scopes(key) if scope in limits_kw
        ]
        return lower(*left) if left else constant(math.inf)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _drop(self, key: ConnectorKey, gone: _Test) -> None:
        for held in self._connectors[key].slots.values():
            held[:] = [one for one in held if not gone(one)]
        self._refresh(key)

    def _refresh(self, key: ConnectorKey) -> None:
        connector = self._connectors[key]
        new = _bound(connector)
        for scope in connector.scopes:
            self._totals[scope].replace(connector.bound, new)
        connector.bound = new


def _same_limits(left: Held, right: Held) -> bool:
    """Say whether one of two unanswered profiles is enough to remember: a repetition of the other."""
    return left.reserved_kw == right.reserved_kw and left.expires_s == right.expires_s


def _any_of(sequences: set[int]) -> _Test:
    return lambda one: one.sequence in sequences


def _rest(connector: _Connector) -> Curve:
    bases = connector.slots.get(Slot.BASE, ())
    if not any(held.accepted for held in bases):
        return constant(connector.maximum_kw)
    return upper(*(held.reserved_kw for held in bases))


def _surely(connector: _Connector) -> Curve:
    """Return the bound as it is if its transaction runs on: only what is surely allowed may be called no raise."""
    return _bound(replace(connector, sees_transaction=True))


def _bound(connector: _Connector) -> Curve:
    """Return the highest of all that may apply: profiles until they are surely gone, the rest where none surely is."""
    rest_from_s, clock = -math.inf, connector.clock
    alive: list[Curve] = []
    for slot in (Slot.TRANSACTION, Slot.DEFAULT):
        slot_held = connector.slots.get(slot, ())
        share = connector.proven_share if slot is Slot.TRANSACTION else 1.0
        for one in slot_held:
            course = one.reserved_kw.scaled(share).widened(clock.early_s, clock.late_s)
            alive.append(course.until(connector.gone_s(one), SILENT))
        applies = slot is Slot.DEFAULT or connector.sees_transaction
        if applies and any(one.accepted and not one.is_clearing for one in slot_held):
            # One of them is surely there, but we may not know which: the first expiry is what can be relied on.
            rest_from_s = max(rest_from_s, min(one.expires_s for one in slot_held) - max(CLOCK_MARGIN_S, clock.early_s))
    rest = _rest(connector)
    return upper(*alive, rest if rest_from_s == -math.inf else rest.since(rest_from_s, SILENT))
