"""Pure conversion of power over time into charging profiles that one station can hold.

Unit, rounding, minimum current, phases and the number of periods are settled here, always downwards: a profile never
allows more than the target it was made from. The wire formats of the OCPP versions are in ``protocol_v16`` and
``protocol_v2``; when a profile may be sent is decided in ``conductor``.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.units import MINIMUM_CURRENT_A
from ocpp_bridge.curves import SILENT, Curve, steps
from ocpp_bridge.rotation import DAY_S, GAP_S, Window

Unit = Literal["A", "W"]
START_IN_PAST: Final = timedelta(seconds=60)  # many stations only start a schedule that has begun
ROUNDING_SLACK: Final = 1e-6
FIRST_PROFILE_ID: Final = 71_000_000  # our own range, so that a profile on a station can be told to be ours
IDS_PER_CONNECTOR: Final = 10
NEAR_S: Final = 2 * 3600
FAR_WEIGHT: Final = 0.01
DAYS_COUNTED: Final = 30  # a daily fallback is sent again long before


class Slot(StrEnum):
    """The places in a station's stack that we use. Each holds one profile per connector."""

    MAXIMUM = "maximum"
    BASE = "base"
    DEFAULT = "default"
    TRANSACTION = "transaction"


LASTING: Final = frozenset({Slot.MAXIMUM, Slot.BASE})
"""Slots whose profiles have no end."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a station can do with profiles, as far as it told us."""

    units: frozenset[Unit] = frozenset({"A", "W"})
    max_periods: int = 24
    max_stack_level: int = 1
    max_profiles: int | None = None
    reads_back: bool = True

    @property
    def plan_level(self) -> int:
        """The stack level of plan profiles: above the base, no higher than the station allows."""
        return min(self.max_stack_level, 8)

    def without_read_back(self) -> "Capabilities":
        """Return the same of a station that cannot report a composite schedule."""
        return replace(self, reads_back=False)


@dataclass(frozen=True, slots=True)
class Wiring:
    """How power becomes current at a connector, and the bounds of both.

    ``vehicle_phases`` is what converts the plan; ``phases`` is what counts against the site's limit.
    """

    current_type: Literal["ac", "dc"]
    phases: int
    voltage_v: float
    max_kw: float
    min_kw: float
    vehicle_phases: int | None = None

    @property
    def lines(self) -> int:
        """Conductors that a current per phase flows through at most: one on DC."""
        return self.phases if self.current_type == "ac" else 1

    @property
    def used_lines(self) -> int:
        """Conductors that the vehicle is known, or else assumed, to use."""
        return min(self.vehicle_phases or self.lines, self.lines)

    @property
    def reserve_factor(self) -> float:
        """How much the site must reserve for a planned kW: a vehicle said to use one phase might use all."""
        return self.lines / self.used_lines

    @property
    def least_a(self) -> float:
        """The least current per phase above nothing."""
        configured = self.min_kw * 1000 / (self.voltage_v * self.lines)
        return max(MINIMUM_CURRENT_A, configured) if self.current_type == "ac" else configured


@dataclass(frozen=True, slots=True)
class Period:
    """A limit from ``start_s`` seconds after the schedule's start, in the profile's unit."""

    start_s: int
    limit: float


@dataclass(frozen=True, slots=True)
class ChargingProfile:
    """A charging profile in no particular OCPP version. Without ``duration_s`` it holds for ever."""

    profile_id: int
    connector_id: int
    slot: Slot
    stack_level: int
    unit: Unit
    start_at: datetime
    periods: tuple[Period, ...]
    phases: int | None
    duration_s: int | None = None
    transaction_id: str | None = None
    is_daily: bool = False

    @property
    def valid_to(self) -> datetime | None:
        """When it expires."""
        return None if self.duration_s is None else self.start_at + timedelta(seconds=self.duration_s)

    def reserved_kw(self, wiring: Wiring) -> Curve:
        """Return the power to reserve for the connector while it holds this; the last period never ends here."""
        return self.limits().scaled(kw_per_unit(self.unit, wiring))

    def limits(self) -> Curve:
        """Return its limits over time, in its unit; of a daily one, for as long as we count on it, clocks included."""
        start_s = self.start_at.timestamp()
        if self.is_daily:
            on, off = self.periods[1], self.periods[2]
            days = (start_s + day * DAY_S for day in range(DAYS_COUNTED))
            edges = [((day + on.start_s - GAP_S, on.limit), (day + off.start_s + GAP_S, 0.0)) for day in days]
            return steps([(start_s - DAY_S, 0.0), *(step for pair in edges for step in pair)])
        return steps([(start_s + period.start_s, period.limit) for period in self.periods])


def profile_id(connector_id: int, slot: Slot) -> int:
    """Return the id of our profile in a slot of a connector (0 is the whole station)."""
    return FIRST_PROFILE_ID + connector_id * IDS_PER_CONNECTOR + list(Slot).index(slot)


def is_ours(profile_id: int) -> bool:
    """Say whether a profile id is of our range."""
    return FIRST_PROFILE_ID <= profile_id < FIRST_PROFILE_ID + 1_000_000


def choose_unit(capabilities: Capabilities, wiring: Wiring) -> Unit:
    """Return the unit to speak: amperes on AC and watts on DC, unless the station only takes the other."""
    preferred: Unit = "A" if wiring.current_type == "ac" else "W"
    other: Unit = "W" if preferred == "A" else "A"
    return preferred if preferred in capabilities.units or not capabilities.units else other


def kw_per_unit(unit: Unit, wiring: Wiring) -> float:
    """Return the power to reserve for one unit of a limit.

    A watt limit for a vehicle on fewer phases becomes, in a station, a current that all phases may carry.
    """
    if unit == "A":
        return wiring.voltage_v * wiring.lines / 1000
    return wiring.reserve_factor / 1000


def to_limit(reserved_kw: float, *, unit: Unit, wiring: Wiring) -> float:
    """Return a limit, rounded down to 0.1, under which the connector never draws more than ``reserved_kw``.

    What lies between nothing and the least current is nothing: stations differ in what they make of it.
    """
    amperes = max(0.0, reserved_kw) * 1000 / (wiring.voltage_v * wiring.lines)
    if amperes + ROUNDING_SLACK < wiring.least_a:
        return 0.0
    return _floor_tenth(max(0.0, reserved_kw) / kw_per_unit(unit, wiring))


def plan_steps(target_kw: Curve, *, end_s: float, now_s: float, unit: Unit, wiring: Wiring) -> Curve:
    """Return the target in the unit of the station, in whole seconds, from now until its end; never above it.

    Args:
        target_kw: Reserved power over time.
        end_s: Where the target ends, in whole seconds; the steps are silent from there on.
        now_s: The present; what was before is left out.
        unit: Unit of the limits.
        wiring: Wiring of the connector.
    """
    edges = [edge for edge in target_kw.edges(now_s) if edge < end_s]
    within: dict[float, list[float]] = {}
    for edge in edges:
        within.setdefault(float(math.floor(edge)), []).append(edge)
    # What holds in a second is the lowest of it: a reduction comes early, a raise late.
    moments = sorted({float(whole(edge)) for edge in edges for whole in (math.floor, math.ceil)})
    pairs = []
    for moment in moments:
        instants = (max(moment, now_s), *within.get(moment, ()))
        pairs.append((moment, min(to_limit(target_kw.at(at), unit=unit, wiring=wiring) for at in instants)))
    return steps(pairs).until(end_s, SILENT)


def compress(curve: Curve, *, end_s: float, now_s: float, max_periods: int) -> Curve:
    """Return at most ``max_periods`` steps that lose the least energy and are never above the curve.

    The energy of the next two hours counts a hundred times as much as what comes later, because a plan is re-made, and
    this profile re-sent, long before the far end is reached: what is near must not pay for what is far.
    """
    edges = [edge for edge in curve.edges(now_s) if edge < end_s]
    if len(edges) <= max_periods:
        return curve
    values = [curve.at(edge) for edge in edges]
    firsts = _best_partition(np.array([*edges, end_s]), np.array(values), max_periods, near_s=now_s + NEAR_S)
    lasts = [*firsts[1:], len(edges)]
    pairs = [(edges[first], min(values[first:last])) for first, last in zip(firsts, lasts, strict=True)]
    return steps(pairs).until(end_s, SILENT)


def _best_partition(edges: NDArray[np.float64], values: NDArray[np.float64], parts: int, *, near_s: float) -> list[int]:
    """Return the first index of each part of the cheapest partition (dynamic programme over part ends)."""
    count = len(values)
    near = np.clip(np.minimum(edges[1:], near_s) - edges[:-1], 0, None)
    weight = near + FAR_WEIGHT * (edges[1:] - edges[:-1] - near)
    energy = np.concatenate([[0.0], np.cumsum(values * weight)])
    span = np.concatenate([[0.0], np.cumsum(weight)])
    loss = np.full((count, count + 1), np.inf)
    for first in range(count):
        lowest = np.minimum.accumulate(values[first:])
        ends = np.arange(first + 1, count + 1)
        loss[first, ends] = energy[ends] - energy[first] - lowest * (span[ends] - span[first])
    best = loss[0].copy()
    origins: list[NDArray[np.int64]] = []
    for _ in range(parts - 1):
        candidates = best[:count, None] + loss
        origin = np.argmin(candidates, axis=0)
        split = candidates[origin, np.arange(count + 1)]
        keep = best <= split
        origins.append(np.where(keep, -1, origin))
        best = np.where(keep, best, split)
    firsts: list[int] = []
    end = count
    for origin in reversed(origins):
        if origin[end] >= 0:
            firsts.insert(0, int(origin[end]))
            end = int(origin[end])
    return [0, *firsts]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a profile goes: connector, slot, level, and the transaction it is for."""

    connector_id: int
    slot: Slot
    stack_level: int
    transaction_id: str | None = None


def plan_profile(
    limits: Curve, *, place: Place, end_s: float, as_of: datetime, unit: Unit, wiring: Wiring
) -> ChargingProfile:
    """Return the profile of a plan from now until its end; it always expires.

    Args:
        limits: What ``plan_steps`` and ``compress`` made: limits in ``unit``.
        place: Where it goes.
        end_s: When it expires.
        as_of: The present; the schedule starts a little before it.
        unit: Unit of the limits.
        wiring: Wiring of the connector.
    """
    start_at = _whole_second(as_of) - START_IN_PAST
    start_s = start_at.timestamp()
    now_s = as_of.timestamp()
    edges = [edge for edge in limits.edges(now_s) if edge < end_s]
    periods = [Period(0 if k == 0 else int(edge - start_s), limits.at(edge)) for k, edge in enumerate(edges)]
    return ChargingProfile(
        profile_id=profile_id(place.connector_id, place.slot),
        connector_id=place.connector_id,
        slot=place.slot,
        stack_level=place.stack_level,
        unit=unit,
        start_at=start_at,
        periods=tuple(periods),
        phases=_number_phases(wiring),
        duration_s=math.floor(end_s) - int(start_s),
        transaction_id=place.transaction_id,
    )


def base_profile(
    connector_id: int, fallback_kw: float, *, unit: Unit, wiring: Wiring, as_of: datetime
) -> ChargingProfile:
    """Return the safe default of a connector: the fallback, at the lowest level, for ever."""
    limit = to_limit(fallback_kw, unit=unit, wiring=replace(wiring, vehicle_phases=None))
    return _lasting(Place(connector_id, Slot.BASE, 0), limit, unit=unit, wiring=wiring, as_of=as_of)


def rotating_base_profile(
    connector_id: int, fallback_kw: float, window: Window, *, unit: Unit, wiring: Wiring, as_of: datetime
) -> ChargingProfile:
    """Return the safe default of a connector whose fallback holds in a daily window only, and 0 outside it."""
    limit = to_limit(fallback_kw, unit=unit, wiring=replace(wiring, vehicle_phases=None))
    base = _lasting(Place(connector_id, Slot.BASE, 0), limit, unit=unit, wiring=wiring, as_of=as_of)
    midnight = as_of.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    periods = (Period(0, 0.0), Period(window.start_s, limit), Period(window.end_s, 0.0))
    return replace(base, start_at=midnight, periods=periods, is_daily=True)


def maximum_profile(limit_kw: float, *, unit: Unit, wiring: Wiring, as_of: datetime) -> ChargingProfile:
    """Return the maximum of a whole station (all connectors together), for ever."""
    limit = _floor_tenth(limit_kw / kw_per_unit(unit, replace(wiring, vehicle_phases=None)))
    return _lasting(Place(0, Slot.MAXIMUM, 0), limit, unit=unit, wiring=wiring, as_of=as_of)


def _lasting(place: Place, limit: float, *, unit: Unit, wiring: Wiring, as_of: datetime) -> ChargingProfile:
    return ChargingProfile(
        profile_id=profile_id(place.connector_id, place.slot),
        connector_id=place.connector_id,
        slot=place.slot,
        stack_level=place.stack_level,
        unit=unit,
        start_at=_whole_second(as_of) - START_IN_PAST,
        periods=(Period(0, limit),),
        phases=_number_phases(replace(wiring, vehicle_phases=None)),
    )


def _number_phases(wiring: Wiring) -> int | None:
    return wiring.used_lines if wiring.current_type == "ac" else None


def _floor_tenth(value: float) -> float:
    return math.floor(value * 10 + ROUNDING_SLACK) / 10


def _whole_second(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(microsecond=0)
