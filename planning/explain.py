"""Why a vehicle is short: the one thing that, relaxed by the number given, removes or shrinks the shortfall.

Limits that vehicles share come first, then the connector, then the vehicle and its stay, then the price of a peak: each
is named only where what it takes away is more than rounding. All is computed from the plan's powers, whoever made them.
"""

from datetime import timedelta

import numpy as np

from planning.feasibility import measure
from planning.model import NO_CONNECTOR, SHORT_KWH, BoolArray, FloatArray, IntArray, Plan, Problem, Reason
from planning.optimiser.scope import Scope
from planning.shortfall import ShortVehicles

HEADROOM_KW = 0.05


def explain(problem: Problem, plan: Plan, scope: Scope) -> tuple[Reason | None, ...]:
    """Return a reason for every vehicle that is short by more than rounding, and None for all others."""
    short = ShortVehicles.of(problem, plan, scope)
    reasons: list[Reason | None] = [None] * problem.fleet.size
    if not len(short.rows):
        return tuple(reasons)
    in_scope = short.short_kwh(short.ceiling_kw)
    alone = np.minimum(short.short_kwh(short.stay_kw()), in_scope)
    found: dict[int, Reason] = {}
    for candidates in (
        _by_shared_limits(short, in_scope),
        _by_connector(short, in_scope, alone),
        _by_vehicle(short, alone),
    ):
        for place, reason in candidates.items():
            found.setdefault(place, reason)
    found |= _by_price(short, [place for place in range(len(short.rows)) if place not in found])
    for place, row in enumerate(short.rows):
        reasons[row] = found[place]
    return tuple(reasons)


def _by_shared_limits(short: ShortVehicles, in_scope_kwh: FloatArray) -> dict[int, Reason]:
    """Explain by a limit that leaves the vehicle with less than it could take, its group's first."""
    problem, plan = short.whole, short.plan
    loses = short.missing_kwh > in_scope_kwh + SHORT_KWH
    reasons: dict[int, Reason] = {}
    for row, group in enumerate(problem.groups):
        room = group.limit_kw - plan.power_kw[_members(problem, plan, group.group_id)].sum(axis=0)
        blocked = _blocked(short, room) & (loses & (short.group == row))[:, None]
        reasons |= _limit_reasons(short, blocked, in_scope_kwh, code="group_limit", what=f"group {group.group_id}")
    room = problem.grid_limit_kw - measure(problem, plan.power_kw, plan.battery_kw).import_kw
    loses[list(reasons)] = False
    blocked = _blocked(short, room) & loses[:, None]
    return reasons | _limit_reasons(short, blocked, in_scope_kwh, code="site_limit", what="the site limit")


def _members(problem: Problem, plan: Plan, group_id: str) -> IntArray:
    assert problem.connectors is not None
    indices = [item.index for item in problem.connectors.items if item.group_id == group_id]
    return np.flatnonzero(np.isin(plan.assignment.connector, indices))


def _blocked(short: ShortVehicles, room_kw: FloatArray) -> BoolArray:
    """Say in which slots a vehicle could take more but finds no room, [n, T]."""
    wanted = np.where(short.power_kw > HEADROOM_KW, HEADROOM_KW, np.maximum(short.least_kw, HEADROOM_KW)[:, None])
    blocked: BoolArray = (short.ceiling_kw > short.power_kw + HEADROOM_KW) & (room_kw < wanted)
    return blocked


def _limit_reasons(
    short: ShortVehicles, blocked: BoolArray, in_scope_kwh: FloatArray, *, code: str, what: str
) -> dict[int, Reason]:
    places = np.flatnonzero(blocked.any(axis=1))
    if not len(places):
        return {}
    own_kw = _extra_power(short, blocked, in_scope_kwh)
    # With the sum of what each needs, wherever anybody is blocked, there is room for all of it at once. Less could go
    # to another vehicle that is short, and help nobody by name.
    needed = np.where(blocked[places], own_kw[places, None], 0.0).sum(axis=0)
    together = _up(float(needed.max()))
    slots = tuple(np.flatnonzero(blocked.any(axis=0)).tolist())
    outranks = _outranked(short, blocked)
    reasons = {}
    for place in places.tolist():
        clock = _clock(short.whole, np.flatnonzero(blocked[place]))
        text = f"{what} binds {clock}; {own_kw[place]:.1f} kW more for this vehicle would do"
        outranked = float(outranks[place])
        if not short.part.fleet.is_dispatchable[place]:
            reasons[place] = _reason(short, place, "not_dispatchable", (1.0, "rank"), f"planned last; {text}", slots)
        elif outranked > 0:
            reasons[place] = _reason(short, place, "priority", (outranked, "priority"), f"outranked; {text}", slots)
        else:
            text += f", {together:.1f} kW for all that are short"
            reasons[place] = _reason(short, place, code, (together, "kW"), text, slots)
    return reasons


def _extra_power(short: ShortVehicles, blocked: BoolArray, in_scope_kwh: FloatArray) -> FloatArray:
    """Return the least constant power on top of the plan, in blocked slots, that leaves only what nothing helps."""
    planned = short.power_kw

    def is_enough(more_kw: FloatArray) -> BoolArray:
        wanted = np.minimum(planned + np.where(blocked, more_kw[:, None], 0.0), short.ceiling_kw)
        enough: BoolArray = short.short_kwh(wanted) <= in_scope_kwh + SHORT_KWH / 2
        return enough

    return short.least_that(short.ceiling_kw.max(axis=1), is_enough)


def _outranked(short: ShortVehicles, blocked: BoolArray) -> FloatArray:
    """Return by how much those that charge while a vehicle waits [n, T] outrank it at most; 0 if none does, [n]."""
    drawing = short.plan.power_kw > HEADROOM_KW
    highest = np.where(drawing, short.whole.fleet.priority[:, None], 0.0).max(axis=0, initial=0.0)
    above = np.where(blocked, highest, 0.0).max(axis=1, initial=0.0) - short.part.fleet.priority
    # A little more than equal, so that the tie is won.
    return np.where(above > 0, above * 1.01, 0.0)


def _by_connector(short: ShortVehicles, in_scope_kwh: FloatArray, alone_kwh: FloatArray) -> dict[int, Reason]:
    """Explain what the vehicle could not reach on the connector that it has, if it has one."""
    if short.whole.connectors is None:
        return {}
    top = {item.index: item.max_kw for item in short.whole.connectors.items}
    stronger = short.short_kwh(np.where(short.ceiling_kw > 0, short.curve.cap_kw[:, None], 0.0))
    reasons = {}
    for place in np.flatnonzero(in_scope_kwh > alone_kwh + SHORT_KWH).tolist():
        index = int(short.plan.assignment.connector[short.rows[place]])
        kind = "dc" if short.part.fleet.is_dc[place] else "ac"
        if index != NO_CONNECTOR and stronger[place] <= alone_kwh[place] + SHORT_KWH:
            more = _up(float(short.curve.cap_kw[place] - top[index]))
            text = f"its connector gives {top[index]:.1f} kW; {more:.1f} kW more would do"
            reasons[place] = _reason(short, place, "connector_limit", (more, "kW"), text)
        else:
            how = "no connector was free" if index == NO_CONNECTOR else "it shares its connector"
            text = f"{how}; one more {kind} connector would help"
            reasons[place] = _reason(short, place, "no_connector", (1.0, "connectors"), text)
    return reasons


def _by_vehicle(short: ShortVehicles, alone_kwh: FloatArray) -> dict[int, Reason]:
    """Explain what the vehicle could not reach even if it were alone, by the first thing that would help."""
    fleet = short.part.fleet
    places = np.flatnonzero(alone_kwh > SHORT_KWH).tolist()
    if not places:
        return {}
    no_floor = short.short_kwh(short.stay_kw(), least_kw=np.zeros(fleet.size))
    slots = short.missing_slots()
    later = fleet.departure_slot + np.where(np.isfinite(slots), slots, 0).astype(np.int64)
    longer = short.short_kwh(short.stay_kw(departure=later))
    most_kw = 16 * short.curve.cap_kw
    more_kw = short.least_that(most_kw, lambda more: _reaches(short, more))
    faster = short.short_kwh(short.stay_kw(short.with_more_power(more_kw)), curve=short.with_more_power(more_kw))
    untapered = short.short_kwh(short.stay_kw(), curve=short.without_taper())
    reasons = {}
    for place in places:
        helps = alone_kwh[place] - SHORT_KWH / 2
        least, end = float(fleet.min_power_kw[place]), float(fleet.taper_end_fraction[place])
        if no_floor[place] < helps:
            text = f"near its target the battery takes less than the minimum of {least:.2f} kW"
            reasons[place] = _reason(short, place, "minimum_power", (least, "kW"), text)
        elif longer[place] < helps or not fleet.departure_slot[place] > fleet.arrival_slot[place]:
            minutes = float(slots[place] * short.whole.slot_minutes)
            text = f"the stay is too short; leaving {minutes:.0f} min later would do"
            reasons[place] = _reason(short, place, "short_stay", (minutes, "min"), text)
        elif untapered[place] <= SHORT_KWH or not np.isfinite(slots[place]):
            text = f"the battery tapers to {100 * end:.0f} % of its power near the target"
            reasons[place] = _reason(short, place, "taper", (1 - end, "fraction"), text)
        else:
            text = f"the vehicle takes {short.curve.cap_kw[place]:.1f} kW at most; {more_kw[place]:.1f} kW more would "
            text += "do" if faster[place] <= SHORT_KWH else "help"
            reasons[place] = _reason(short, place, "vehicle_limit", (_up(float(more_kw[place])), "kW"), text)
    return reasons


def _reaches(short: ShortVehicles, more_kw: FloatArray) -> BoolArray:
    curve = short.with_more_power(more_kw)
    reached: BoolArray = short.short_kwh(short.stay_kw(curve), curve=curve) <= SHORT_KWH / 2
    return reached


def _by_price(short: ShortVehicles, places: list[int]) -> dict[int, Reason]:
    """Explain where there was room: a peak dearer than the shortfall, or room too small for the minimum power."""
    reasons = {}
    missing_kwh = short.missing_kwh
    for place in places:
        least = float(short.least_kw[place])
        if least > 0 and not short.whole.demand_charges:
            text = f"no slot was left in which {least:.2f} kW or more fit"
            reasons[place] = _reason(short, place, "minimum_power", (least, "kW"), text)
            continue
        slots = max(1, int((short.ceiling_kw[place] > 0).sum()))
        more = _up(float(missing_kwh[place]) / (slots * short.whole.slot_hours))
        text = f"a higher peak would cost more than the shortfall; {more:.2f} kW of it would do"
        reasons[place] = _reason(short, place, "demand_charge", (more, "kW"), text)
    return reasons


def _reason(
    short: ShortVehicles,
    place: int,
    code: str,
    amount: tuple[float, str],
    text: str,
    slots: tuple[int, ...] | None = None,
) -> Reason:
    value, unit = amount
    fleet, end = short.part.fleet, short.part.slots
    stay = range(int(fleet.arrival_slot[place]), int(min(fleet.departure_slot[place], end))) if slots is None else slots
    return Reason(code, round(value, 4), unit, tuple(stay), f"{short.missing_kwh[place]:.1f} kWh short: {text}")


def _up(value: float) -> float:
    """Round up to a hundredth, so that what is said to be enough is."""
    return float(np.ceil(value * 100 + 1e-6) / 100)


def _clock(problem: Problem, slots: IntArray) -> str:
    slot = timedelta(minutes=problem.slot_minutes)
    begin, end = problem.start_at + int(slots[0]) * slot, problem.start_at + (int(slots[-1]) + 1) * slot
    return f"between {begin:%H:%M} and {end:%H:%M} UTC"
