"""Why a vehicle is short: the one thing that, relaxed by the number given, removes or shrinks the shortfall.

Causes are looked for from the inside out: the vehicle and its stay, its connector, its group, the site, the price of
a peak. What is said is computed from the plan's powers alone, whoever made them.
"""

from dataclasses import dataclass, replace

import numpy as np

from core.time_grid import slot_starts
from planning.feasibility import measure
from planning.model import NO_CONNECTOR, SHORT_KWH, BoolArray, FloatArray, IntArray, Plan, Problem, Reason
from planning.optimiser.scope import Scope
from planning.taper import ChargingCurve, charging_curve, settle

HEADROOM_KW = 0.05
BISECTIONS = 14


@dataclass(frozen=True, slots=True)
class _Case:
    """The short vehicles of a plan, their rows in it, and what all of them share."""

    problem: Problem
    whole: Problem
    plan: Plan
    rows: IntArray
    scope: Scope
    curve: ChargingCurve

    def short_kwh(
        self, ceiling_kw: FloatArray, *, curve: ChargingCurve | None = None, floor: bool = True
    ) -> FloatArray:
        """Return what is missing when each vehicle takes all it can under a ceiling [n, T]."""
        fleet = self.problem.fleet
        least = fleet.min_power_kw if floor and self.problem.enforce_min_power else None
        taken = settle(curve or self.curve, fleet.start_soc_pct / 100, ceiling_kw, floor_kw=least)
        missing: FloatArray = np.maximum(fleet.need_kwh - taken.sum(axis=1) * self.problem.slot_hours, 0.0)
        return missing


def explain(problem: Problem, plan: Plan, scope: Scope) -> tuple[Reason | None, ...]:
    """Return a reason for every vehicle that is short by more than rounding, and None for all others."""
    rows = np.flatnonzero(plan.shortfall_kwh > SHORT_KWH)
    reasons: list[Reason | None] = [None] * problem.fleet.size
    if not len(rows):
        return tuple(reasons)
    part = problem.with_fleet(rows)
    inside = Scope(scope.ceiling_kw[rows], scope.group[rows])
    case = _Case(part, problem, plan, rows, inside, charging_curve(part.fleet, problem.slot_hours))
    found: dict[int, Reason] = {}
    for find in (_own_limits, _connector_limits, _shared_limits, _price_of_peak):
        for place, reason in find(case).items():
            found.setdefault(place, reason)
    for place, row in enumerate(rows):
        reasons[row] = found[place]
    return tuple(reasons)


def _own_limits(case: _Case) -> dict[int, Reason]:
    """Explain what the vehicle could not reach even if it were alone."""
    fleet, present = case.problem.fleet, case.problem.present()
    full = case.curve.cap_kw[:, None]
    alone = case.short_kwh(np.where(present, full, 0.0))
    hopeless = np.flatnonzero(alone > SHORT_KWH)
    if not len(hopeless):
        return {}
    no_floor = case.short_kwh(np.where(present, full, 0.0), floor=False)
    stay = _missing_minutes(case)
    untapered = replace(case.curve, slope=np.zeros_like(case.curve.slope))
    flat = case.short_kwh(np.where(present, full, 0.0), curve=untapered)
    reasons = {}
    for place in hopeless:
        kwh = case.plan.shortfall_kwh[case.rows[place]]
        if no_floor[place] < alone[place] - SHORT_KWH:
            least = float(fleet.min_power_kw[place])
            text = (
                f"{kwh:.1f} kWh short: the battery takes less than the minimum of {least:.1f} kW before it is reached"
            )
            reasons[int(place)] = Reason("minimum_power", round(least, 3), "kW", (), text)
        elif np.isfinite(stay[place]):
            text = f"{kwh:.1f} kWh short: the stay is too short; leaving {stay[place]:.0f} min later would do"
            reasons[int(place)] = Reason("short_stay", float(stay[place]), "min", _span(case, place), text)
        elif flat[place] < alone[place] - SHORT_KWH:
            end = 1 - float(fleet.taper_end_fraction[place])
            text = f"{kwh:.1f} kWh short: the battery tapers to {100 * (1 - end):.0f} % of its power near the target"
            reasons[int(place)] = Reason("taper", round(end, 4), "fraction", _span(case, place), text)
        else:
            more = float(alone[place] / max(case.problem.slot_hours, present[place].sum() * case.problem.slot_hours))
            text = f"{kwh:.1f} kWh short: the vehicle takes {case.curve.cap_kw[place]:.1f} kW at most"
            reasons[int(place)] = Reason("vehicle_limit", round(more + 0.05, 2), "kW", _span(case, place), text)
    return reasons


def _missing_minutes(case: _Case) -> FloatArray:
    """Return by how many minutes each vehicle would have to leave later to reach its target; infinite if never."""
    fleet, curve = case.problem.fleet, case.curve
    least = fleet.min_power_kw if case.problem.enforce_min_power else np.zeros(fleet.size)
    soc, slots = fleet.start_soc_pct / 100, np.zeros(fleet.size)
    is_short = np.ones(fleet.size, dtype=np.bool_)
    for _ in range(2 * case.problem.slots):
        power = curve.limit_kw(soc)
        soc = np.where(is_short & (power >= least), soc + curve.gain * power, soc)
        slots += is_short
        is_short = soc < fleet.required_soc_pct / 100 - 1e-9
    here = np.clip(np.minimum(fleet.departure_slot, case.problem.slots) - fleet.arrival_slot, 0, None)
    missing: FloatArray = np.where(is_short, np.inf, (slots - here) * case.problem.slot_minutes)
    return missing


def _connector_limits(case: _Case) -> dict[int, Reason]:
    """Explain what the vehicle could not reach on the connector that it has, if it has one."""
    if case.problem.connectors is None:
        return {}
    top = {item.index: item.max_kw for item in case.problem.connectors.items}
    lacking = np.flatnonzero(case.short_kwh(case.scope.ceiling_kw) > SHORT_KWH)
    stronger = case.short_kwh(np.where(case.scope.ceiling_kw > 0, case.curve.cap_kw[:, None], 0.0))
    reasons = {}
    for place in lacking:
        index = int(case.plan.assignment.connector[case.rows[place]])
        kwh = case.plan.shortfall_kwh[case.rows[place]]
        kind = "dc" if case.problem.fleet.is_dc[place] else "ac"
        if index != NO_CONNECTOR and stronger[place] <= SHORT_KWH:
            more = float(case.curve.cap_kw[place] - top[index])
            text = f"{kwh:.1f} kWh short: its connector gives {top[index]:.1f} kW; {more:.1f} kW more would do"
            reasons[int(place)] = Reason("connector_limit", round(more, 3), "kW", _span(case, place), text)
        else:
            how = "no connector was free" if index == NO_CONNECTOR else "its connector is shared"
            text = f"{kwh:.1f} kWh short: {how}; one more {kind} connector would help"
            reasons[int(place)] = Reason("no_connector", 1.0, "connectors", _span(case, place), text)
    return reasons


def _shared_limits(case: _Case) -> dict[int, Reason]:
    """Explain by the limits that vehicles share, first their group's, then the site's."""
    problem, plan = case.whole, case.plan
    imported = measure(problem, plan.power_kw, plan.battery_kw).import_kw
    site_room = problem.grid_limit_kw - imported
    reasons: dict[int, Reason] = {}
    for row, group in enumerate(problem.groups):
        members = np.flatnonzero(case.scope.group == row)
        drawn = plan.power_kw[plan_members(case, row)].sum(axis=0)
        blocked = _blocked(case, group.limit_kw - drawn)
        blocked[case.scope.group != row] = False
        reasons |= _limit_reasons(case, members, blocked, "group_limit", f"group {group.group_id}")
    everyone = np.array([place for place in range(len(case.rows)) if place not in reasons], dtype=np.int64)
    return reasons | _limit_reasons(case, everyone, _blocked(case, site_room), "site_limit", "the site limit")


def plan_members(case: _Case, row: int) -> IntArray:
    """Return the rows of the plan whose connector belongs to a group of the problem."""
    assert case.whole.connectors is not None
    name = case.whole.groups[row].group_id
    indices = [item.index for item in case.whole.connectors.items if item.group_id == name]
    return np.flatnonzero(np.isin(case.plan.assignment.connector, indices))


def _blocked(case: _Case, room_kw: FloatArray) -> BoolArray:
    """Say in which slots a vehicle could take more but finds no room, [n, T]."""
    power = case.plan.power_kw[case.rows]
    wanted = np.full(len(case.rows), HEADROOM_KW)
    if case.problem.enforce_min_power:
        wanted = np.maximum(case.problem.fleet.min_power_kw, HEADROOM_KW)
    least = np.where(power > HEADROOM_KW, HEADROOM_KW, wanted[:, None])
    blocked: BoolArray = (case.scope.ceiling_kw > power + HEADROOM_KW) & (room_kw < least)
    return blocked


def _limit_reasons(case: _Case, places: IntArray, blocked: BoolArray, code: str, what: str) -> dict[int, Reason]:
    places = places[blocked[places].any(axis=1)] if len(places) else places
    if not len(places):
        return {}
    own_kw = _extra_power(case, blocked)
    # Raising the limit by the sum of what each needs leaves nobody short: there is room for all of it at once.
    needed = np.where(blocked[places], own_kw[places, None], 0.0).sum(axis=0)
    together = float(np.ceil(needed.max() * 100) / 100)
    reasons = {}
    for place in places:
        kwh = case.plan.shortfall_kwh[case.rows[place]]
        slots = tuple(np.flatnonzero(blocked[place]).tolist())
        outranked = _outranked(case, place, blocked[place])
        text = f"{kwh:.1f} kWh short: {what} binds {_clock(case, slots)}; {own_kw[place]:.1f} kW more for it would do"
        if not case.problem.fleet.is_dispatchable[place]:
            reasons[int(place)] = Reason(
                "not_dispatchable", 1.0, "rank", slots, f"{text}; planned last, not dispatchable"
            )
        elif outranked > 0:
            reasons[int(place)] = Reason("priority", outranked, "priority", slots, f"{text}; others have priority")
        else:
            reasons[int(place)] = Reason(
                code, together, "kW", slots, f"{text}, {together:.1f} kW for all that are short"
            )
    return reasons


def _outranked(case: _Case, place: int, blocked: BoolArray) -> float:
    """Return by how much a vehicle that charges while this one waits outranks it; 0 if none does."""
    drawing = (case.plan.power_kw[:, blocked] > HEADROOM_KW).any(axis=1)
    above = case.whole.fleet.priority[drawing] - case.problem.fleet.priority[place]
    most = float(above.max(initial=0.0))
    return most * 1.01 if most > 0 else 0.0


def _extra_power(case: _Case, blocked: BoolArray) -> FloatArray:
    """Return the least constant power on top of the plan, in the blocked slots, that meets each target, [n]."""
    planned = case.plan.power_kw[case.rows]
    low: FloatArray = np.zeros(len(case.rows))
    high: FloatArray = case.scope.ceiling_kw.max(axis=1)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        wanted = np.minimum(planned + np.where(blocked, middle[:, None], 0.0), case.scope.ceiling_kw)
        is_enough = case.short_kwh(wanted) <= SHORT_KWH / 2
        low, high = np.where(is_enough, low, middle), np.where(is_enough, middle, high)
    return high


def _price_of_peak(case: _Case) -> dict[int, Reason]:
    """Explain by the demand charge where there was room, but at a price above that of the shortfall."""
    reasons = {}
    for place in range(len(case.rows)):
        kwh = float(case.plan.shortfall_kwh[case.rows[place]])
        hours = max(1, int((case.scope.ceiling_kw[place] > 0).sum())) * case.problem.slot_hours
        more = round(kwh / hours + 0.05, 2)
        if case.problem.enforce_min_power and not case.problem.demand_charges:
            least = float(case.problem.fleet.min_power_kw[place])
            text = f"{kwh:.1f} kWh short: no slot was left in which {least:.1f} kW or more fit"
            reasons[place] = Reason("minimum_power", round(least, 3), "kW", (), text)
        else:
            text = f"{kwh:.1f} kWh short: a higher peak would cost more than the shortfall; {more:.1f} kW would do"
            reasons[place] = Reason("demand_charge", more, "kW", _span(case, place), text)
    return reasons


def _span(case: _Case, place: int | np.integer) -> tuple[int, ...]:
    return tuple(np.flatnonzero(case.problem.present()[place]).tolist())


def _clock(case: _Case, slots: tuple[int, ...]) -> str:
    starts = slot_starts(case.problem.start_at, case.problem.slots + 1, slot_minutes=case.problem.slot_minutes)
    return f"between {starts[slots[0]]:%H:%M} and {starts[slots[-1] + 1]:%H:%M} UTC"
