"""What would make an infeasible night feasible: the sets of changes that people can decide on, the least trouble first.

Three kinds: more power from the grid, leaving later, and another vehicle taking over a duty. Every set is tried on the
problem with the connectors as they are handed out, and kept only if it shrinks what is short; what stays short is said.
Trouble is counted in points, so that unlike things can be compared: see ``POINTS``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from planning.model import NO_CONNECTOR, SHORT_KWH, Assignment, Change, FloatArray, IntArray, Plan, Problem, Remedy

# A minute of delay, a kW above the site's limit, a swap that two drivers have to be told of.
POINTS = {"leave_later": 1.0, "more_power": 2.0, "swap_duties": 10.0}
MOST_SHORT = 12
MOST_PARTNERS = 4
LONGEST_DELAY_MIN = 240
SHRINKS = 0.98

Missing = Callable[[Problem, Assignment], FloatArray]
"""What is short [N], in kWh, when a problem is planned with given holds."""


@dataclass(frozen=True, slots=True)
class _Night:
    """A problem with its holds, what is short in it [N], and what was changed to make it so."""

    problem: Problem
    assignment: Assignment
    missing_kwh: FloatArray
    changes: tuple[Change, ...] = ()

    @property
    def total_kwh(self) -> float:
        return float(self.missing_kwh.sum())

    @property
    def short(self) -> IntArray:
        return np.flatnonzero(self.missing_kwh > SHORT_KWH)


def find_remedies(problem: Problem, plan: Plan, missing: Missing) -> tuple[Remedy, ...]:
    """Return sets of changes that remove or shrink what a plan leaves short; none where nothing is, or too much.

    Args:
        problem: The problem.
        plan: Its plan, with reasons.
        missing: Plans a changed problem with the holds given.
    """
    night = _Night(problem, plan.assignment, plan.shortfall_kwh)
    if not 0 < len(night.short) <= MOST_SHORT:
        return ()
    swapped = _swapped(night, missing)
    tried = [_with_more_power(night, plan, missing), _later(night, missing), swapped]
    if swapped is not None and len(swapped.short):
        tried.append(_later(swapped, missing))
    kept = [_remedy(one) for one in tried if one is not None and one.total_kwh < SHRINKS * night.total_kwh]
    return tuple(sorted(kept, key=lambda remedy: (remedy.shortfall_kwh > SHORT_KWH, remedy.points)))


def in_words(remedy: Remedy) -> str:
    """Say a set of changes for people."""
    text = "; ".join(_change_in_words(change) for change in remedy.changes)
    left = f" ({remedy.shortfall_kwh:.1f} kWh stay short)" if remedy.shortfall_kwh > SHORT_KWH else ""
    return text + left


def _change_in_words(change: Change) -> str:
    if change.kind == "leave_later":
        return f"{change.vehicle_id} leaves {change.value:.0f} min later"
    if change.kind == "swap_duties":
        return f"{change.vehicle_id} and {change.with_vehicle_id} swap duties"
    return f"{change.value:.1f} kW more from the grid in {len(change.slots)} slots"


def _remedy(night: _Night) -> Remedy:
    points = sum(POINTS[change.kind] * change.value for change in night.changes)
    left = night.total_kwh if len(night.short) else 0.0
    return Remedy(night.changes, round(left, 3), round(points, 1))


def _with_more_power(night: _Night, plan: Plan, missing: Missing) -> _Night | None:
    """Raise the site's limit by what the reasons say is enough for all."""
    named = [reason for reason in plan.reasons if reason is not None and reason.code == "site_limit"]
    if not named:
        return None
    most = max(named, key=lambda reason: reason.value)
    limit = night.problem.grid_limit_kw.copy()
    limit[list(most.slots)] += most.value
    change = Change("more_power", None, None, most.value, "kW", most.slots)
    return _changed(night, replace(night.problem, grid_limit_kw=limit), night.assignment, missing, change)


def _later(night: _Night, missing: Missing) -> _Night | None:
    """Let those that are short leave later, each by as little as does; by as much as helps where nothing does."""
    delays = np.zeros(night.problem.fleet.size, dtype=np.int64)
    most = LONGEST_DELAY_MIN // night.problem.slot_minutes
    best = night
    for slots in _doubling(most):
        tried = _delayed(night, np.where(night.missing_kwh > SHORT_KWH, slots, 0), missing)
        if tried.total_kwh < best.total_kwh - SHORT_KWH:
            best, delays = tried, np.where(night.missing_kwh > SHORT_KWH, slots, 0)
        if not len(tried.short):
            break
    for row in night.short.tolist():
        low, high = 0, int(delays[row])
        while low < high:
            fewer = delays.copy()
            fewer[row] = (low + high) // 2
            tried = _delayed(night, fewer, missing)
            if tried.total_kwh <= best.total_kwh + SHORT_KWH / 2:
                best, delays, high = tried, fewer, int(fewer[row])
            else:
                low = int(fewer[row]) + 1
    return best if best.changes != night.changes else None


def _doubling(most: int) -> Iterator[int]:
    slots = 1
    while slots < most:
        yield slots
        slots *= 2
    yield most


def _delayed(night: _Night, delays: IntArray, missing: Missing) -> _Night:
    problem, fleet, held = night.problem, night.problem.fleet, night.assignment
    departure = fleet.departure_slot + delays
    unplug = held.unplug_slot.copy()
    for row in np.flatnonzero((delays > 0) & (held.unplug_slot == fleet.departure_slot)):
        next_plugs = held.plug_slot[(held.connector == held.connector[row]) & (held.plug_slot >= unplug[row])]
        unplug[row] = min(departure[row], next_plugs.min(initial=departure[row]))
    changes = [
        Change("leave_later", fleet.vehicle_ids[row], None, float(delays[row] * problem.slot_minutes), "min", ())
        for row in np.flatnonzero(delays)
    ]
    later = replace(problem, fleet=replace(fleet, departure_slot=departure))
    return _changed(night, later, replace(held, unplug_slot=unplug), missing, *changes)


def _swapped(night: _Night, missing: Missing) -> _Night | None:
    """Let vehicles that are full enough take over the duties of those that are short, one after another."""
    best = night
    for row in night.short[np.argsort(-night.missing_kwh[night.short])].tolist():
        tried = [_exchanged(best, row, partner, missing) for partner in _partners(best, row)]
        better = min(tried, key=lambda one: one.total_kwh, default=best)
        if better.total_kwh < best.total_kwh - SHORT_KWH:
            best = better
        if not len(best.short):
            break
    return best if best is not night else None


def _partners(night: _Night, row: int) -> list[int]:
    """Return vehicles that leave later, hold a connector when the duty begins and have most to give, best first."""
    fleet, held = night.problem.fleet, night.assignment
    has_connector = (held.connector != NO_CONNECTOR) | (night.problem.connectors is None)
    able = (fleet.is_dc == fleet.is_dc[row]) & fleet.is_dispatchable & has_connector
    able &= (fleet.departure_slot > fleet.departure_slot[row]) & (fleet.arrival_slot < fleet.departure_slot[row])
    able &= _duty_kwh(night.problem)[row] <= fleet.battery_kwh
    able[[row, *night.short.tolist()]] = False
    start_kwh = fleet.start_soc_pct / 100 * fleet.battery_kwh
    rows = np.flatnonzero(able)
    fullest = rows[np.argsort(-start_kwh[rows], kind="stable")][:MOST_PARTNERS]
    return [int(partner) for partner in fullest]


def _duty_kwh(problem: Problem) -> FloatArray:
    """Return what each duty must be begun with, [N], in the battery."""
    return problem.fleet.required_soc_pct / 100 * problem.fleet.battery_kwh


def _exchanged(night: _Night, row: int, partner: int, missing: Missing) -> _Night:
    fleet, held = night.problem.fleet, night.assignment
    pair, other = [row, partner], [partner, row]
    departure, required, unplug = fleet.departure_slot.copy(), fleet.required_soc_pct.copy(), held.unplug_slot.copy()
    departure[pair] = fleet.departure_slot[other]
    required[pair] = np.minimum(100.0, 100 * _duty_kwh(night.problem)[other] / fleet.battery_kwh[pair])
    # On shared connectors nobody gains time that somebody else has been promised.
    unplug[pair] = np.minimum(held.unplug_slot[pair], departure[pair])
    if held.unplug_slot[row] == fleet.departure_slot[row] and (held.connector == held.connector[row]).sum() == 1:
        unplug[row] = departure[row]
    changed = replace(night.problem, fleet=replace(fleet, departure_slot=departure, required_soc_pct=required))
    change = Change("swap_duties", fleet.vehicle_ids[row], fleet.vehicle_ids[partner], 1.0, "swaps", ())
    return _changed(night, changed, replace(held, unplug_slot=unplug), missing, change)


def _changed(night: _Night, problem: Problem, held: Assignment, missing: Missing, *changes: Change) -> _Night:
    return _Night(problem, held, missing(problem, held), (*night.changes, *changes))
