"""What goes wrong, as wrappers: of the world where the truth is worse, of a forecaster where only what is seen is.

Which vehicles are hit follows from their names alone, so that every contender meets the same fault.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256

from planning.model import FloatArray
from planning.replay.observation import Forecaster, Observation, PluggedIn
from planning.replay.world import GuestStay, TrueStay, World
from planning.site_state import ConnectorKey, SiteState, VehicleRequest

STALE_BY = timedelta(hours=3)
LATE_BY = timedelta(hours=2)
NOTICED = timedelta(minutes=30)
"""How long before its recorded return the record begins to tell of it."""

OUTAGE_AFTER = timedelta(hours=4)
"""Telematics falls silent this long after the span begins."""

FROZEN_AT_PCT = 85.0
"""What a vehicle that is ready for its duty shows."""

FROZEN_SHARE = LOST_SHARE = 3
"""One vehicle in so many is hit."""


def is_hit(name: str, share: int) -> bool:
    """Say whether a fault that hits one in ``share`` hits this one."""
    return int(sha256(name.encode()).hexdigest(), 16) % share == 0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by name: what it does to the world, and to what is seen of it."""

    name: str
    world: Callable[[World], World] = lambda world: world
    seen: Callable[[World, Observation], Observation] = lambda world, seen: seen  # noqa: ARG005


@dataclass(frozen=True, slots=True)
class Disturbed:
    """A forecaster that sees what a fault leaves of the observations of a world."""

    inner: Forecaster
    fault: Fault
    world: World

    def requests(self, seen: Observation) -> Sequence[VehicleRequest]:
        """Return what the forecaster makes of the disturbed observation."""
        return self.inner.requests(self.fault.seen(self.world, seen))


@dataclass(frozen=True, slots=True)
class Altered:
    """A world with other stays, dead connectors or dark ones among them."""

    inner: World
    stays: tuple[TrueStay, ...]
    dead: frozenset[ConnectorKey] = field(default=frozenset())
    dark: frozenset[ConnectorKey] = field(default=frozenset())

    @property
    def settled(self) -> SiteState:
        """The site as it was."""
        return self.inner.settled

    @property
    def guests(self) -> tuple[GuestStay, ...]:
        """Unknown vehicles."""
        return self.inner.guests

    @property
    def carbon_g_per_kwh(self) -> FloatArray | None:
        """Carbon intensity."""
        return self.inner.carbon_g_per_kwh

    def known(self, slot: int) -> SiteState:
        """Return the site as it was known."""
        return self.inner.known(slot)


def _stale_soc(world: World, seen: Observation) -> Observation:
    """Every vehicle's telematics is hours old: what it said on the road is the latest that is known."""
    until = {stay.vehicle_id: seen.at - STALE_BY for stay in world.stays}
    return replace(seen, plugged=tuple(one.until(seen.at - STALE_BY) for one in seen.plugged), seen_until=until)


def _outage(world: World, seen: Observation) -> Observation:
    """Telematics fell silent at an instant and stays silent."""
    silent_at = world.settled.start_at + OUTAGE_AFTER
    if seen.at <= silent_at:
        return seen
    until = {stay.vehicle_id: silent_at for stay in world.stays}
    return replace(seen, plugged=tuple(one.until(silent_at) for one in seen.plugged), seen_until=until)


def _frozen_soc(world: World, seen: Observation) -> Observation:  # noqa: ARG001
    """One vehicle in three goes on reporting the SoC that it left with in the morning, with a fresh time stamp."""
    return replace(seen, plugged=tuple(_frozen(one) for one in seen.plugged))


def _frozen(one: PluggedIn) -> PluggedIn:
    if one.vehicle_id is None or not is_hit(one.vehicle_id, FROZEN_SHARE):
        return one
    readings = tuple((replace(reading, soc_pct=FROZEN_AT_PCT), counted) for reading, counted in one.readings)
    return replace(one, readings=readings)


def _lost_ids(world: World, seen: Observation) -> Observation:  # noqa: ARG001
    """No charger says which vehicle one transaction in three belongs to; the vehicle's own telematics goes on."""
    lost = {
        one.vehicle_id: one.readings for one in seen.plugged if one.vehicle_id and is_hit(one.vehicle_id, LOST_SHARE)
    }
    plugged = tuple(
        replace(one, vehicle_id=None, readings=()) if one.vehicle_id in lost else one for one in seen.plugged
    )
    return replace(seen, plugged=plugged, unplaced={**seen.unplaced, **lost})


def _dead_charger(world: World) -> World:
    """One charger that a vehicle needs is without power from the beginning: it is not heard of, and gives nothing."""
    hit = _needed_connector(world)
    return Altered(world, world.stays, world.dead | hit, world.dark | hit)


def _faulty_charger(world: World) -> World:
    """One connector that a vehicle needs takes the plug and gives nothing, which only shows then."""
    return Altered(world, world.stays, world.dead | _needed_connector(world), world.dark)


def _needed_connector(world: World) -> frozenset[ConnectorKey]:
    """Return the connector in the middle of those that vehicles need within the span."""
    used = sorted({stay.connector for stay in world.stays if stay.required is not None})
    return frozenset(used[len(used) // 2 : len(used) // 2 + 1])


def _late_return(world: World) -> World:
    """One vehicle comes back two hours later than it did, and says nothing of it."""
    late = _late_vehicle(world)
    stays = (_later(stay) if stay.vehicle_id == late else stay for stay in world.stays)
    return Altered(world, tuple(stay for stay in stays if stay.plugged_at < stay.unplugged_at), world.dead, world.dark)


def _late_vehicle(world: World) -> str | None:
    """Return the vehicle in the middle of those that come back within the span."""
    coming = [stay.vehicle_id for stay in world.stays if stay.plugged_at > world.settled.start_at and stay.required]
    return sorted(coming)[len(coming) // 2] if coming else None


def _later(stay: TrueStay) -> TrueStay:
    return replace(stay, plugged_at=stay.plugged_at + LATE_BY)


def _not_back_yet(world: World, seen: Observation) -> Observation:
    """Hide from the forecaster that the late vehicle was back: the record, which it reads, says it was on time."""
    late = _late_vehicle(world)
    stay = next((stay for stay in world.stays if stay.vehicle_id == late), None)
    if stay is None or seen.at >= stay.plugged_at:
        return seen
    back_at = stay.plugged_at - LATE_BY
    return replace(seen, seen_until={stay.vehicle_id: min(seen.at, back_at - NOTICED)})


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("none"),
        Fault("stale_soc", seen=_stale_soc),
        Fault("frozen_soc", seen=_frozen_soc),
        Fault("lost_ids", seen=_lost_ids),
        Fault("telematics_outage", seen=_outage),
        Fault("dead_charger", world=_dead_charger),
        Fault("faulty_charger", world=_faulty_charger),
        Fault("late_return", world=_late_return, seen=_not_back_yet),
    )
}
"""Every fault by its name; ``none`` is the world as it was."""
