"""Minimum power: powers between zero and the minimum become a pattern of slots, within which all is optimised again.

A pattern [N, T] says in which slots a vehicle charges at its minimum or more. Vehicles are taken a chunk at a time, the
others' load standing still meanwhile, so that the time grows with the fleet and no faster; what rounding one chunk
spoils, the next ones mend. Of a large fleet only those that break the rule are taken, less than half. A few hundred
vehicles have so many ways to share a load that next to nothing is lost; most of what they charge at full power can
even stay as it is.
"""

from contextlib import suppress
from dataclasses import replace

import numpy as np

from planning.feasibility import measure
from planning.model import SHORT_KWH, BoolArray, Fleet, FloatArray, IntArray, Problem
from planning.optimiser.monolith import search_switched, solve_monolith
from planning.optimiser.parts import beside, dealt, loads_of
from planning.optimiser.program import SolverError
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import Scope, curve_of
from planning.optimiser.site import cost_without_vehicles
from planning.standby import at_full_power
from planning.taper import charging_curve, full_power_slots, settle

CHUNK = 130
FEW_VEHICLES = 10
# With standby the bound is farther off than a search stops at, so that it is always gone through to its end.
SEARCHED_VEHICLES, SEARCHED_WITH_STANDBY = 20, 5
REOPENINGS = 4
LATER_IS_DEARER = 1e-6
DEAREST_OPEN = 2  # slots at full power of each of many vehicles that may be lowered
SEARCH_GAP = 2e-3
SEARCH_NODES, PATIENT_NODES = 40, 2_000  # not seconds, so that plans are the same everywhere
# Of what vehicles cost: from seven vehicles on a pattern within it can nearly always be found, if only after long.
PATIENT_BEYOND, PATIENT_FROM = 5e-3, 7
PEAK_FACTORS = (1.0, 1.03, 1.08, 1.2)
# Shares of the minimum from which a power is rounded up; the first is usually within 0.1 % of the bound.
THRESHOLDS = (0.4, 0.05, 0.75, 1.0)
GOOD_ENOUGH = 1e-3
EPSILON_KW = 1e-6

Judged = tuple[float, Relaxation]


def repair(
    problem: Problem, scope: Scope, relaxed: Relaxation, *, thorough: bool = True, patient: bool = False
) -> Relaxation:
    """Return powers that are zero or at least the minimum, close to the relaxation's cost.

    A target that the rule puts out of reach is replaced by the best one within it. A ``thorough`` repair
    searches the patterns of a few vehicles, a ``patient`` one those of more, and for longer.
    """
    usable = np.where(scope.ceiling_kw >= problem.least_kw[:, None] - EPSILON_KW, scope.ceiling_kw, 0.0)
    scope = scope.narrowed(usable, None)
    problem = replace(problem, fleet=_with_reachable_targets(problem, scope))
    power = relaxed.power_kw.copy()
    loads = loads_of(problem, scope.group, power)
    broken = _to_mend(problem, power)
    for chunk in dealt(len(broken), CHUNK) if len(broken) else ():
        rows = broken[chunk]
        others = loads - loads_of(problem, scope.group[rows], power[rows])
        part = replace(relaxed, power_kw=power[rows])
        inside = Scope(scope.ceiling_kw[rows], scope.group[rows])
        if problem.fleet.size > CHUNK and len(rows) > SEARCHED_VEHICLES and problem.fleet.standby_kw is None:
            inside = replace(inside, floor_kw=_kept_kw(inside, part))
        relaxed = _repair_chunk(
            beside(problem.with_fleet(rows), others), inside, part, thorough=thorough, patient=patient
        )
        power[rows] = relaxed.power_kw
        loads = others + loads_of(problem, scope.group[rows], power[rows])
    return replace(relaxed, power_kw=power)


def _to_mend(problem: Problem, power_kw: FloatArray) -> IntArray:
    """Return the rows to be planned again: of a large fleet those that break the rule or are short, else all."""
    if problem.fleet.size <= CHUNK or problem.fleet.standby_kw is not None:
        return np.arange(problem.fleet.size)
    breaks = ((power_kw > 0) & (power_kw < problem.least_kw[:, None])).any(axis=1)
    curve = curve_of(problem)
    is_short = problem.fleet.need_kwh - curve.useful_kw(power_kw).sum(axis=1) * problem.slot_hours > SHORT_KWH
    return np.flatnonzero(breaks | is_short)


def _kept_kw(scope: Scope, relaxed: Relaxation) -> FloatArray:
    """Return what stays [N, T] while many are mended: full power, but for the dearest slots in which one has it.

    Of slots that are equally dear the last stay open: of the orders tried, that one left the cost as it was.
    """
    is_full = (relaxed.power_kw > 0) & (relaxed.power_kw >= scope.ceiling_kw - EPSILON_KW)
    price = np.where(is_full, relaxed.slot_price + LATER_IS_DEARER * np.arange(is_full.shape[1]), -np.inf)
    rank = np.argsort(np.argsort(-price, axis=1), axis=1)
    return np.where(is_full & (rank >= DEAREST_OPEN), relaxed.power_kw, 0.0)


def _repair_chunk(problem: Problem, scope: Scope, relaxed: Relaxation, *, thorough: bool, patient: bool) -> Relaxation:
    """Return the cheapest result of the thresholds, or the first that is as good as the relaxed powers."""
    target = measure(at_full_power(problem), relaxed.power_kw, relaxed.battery_kw).cost
    best: Judged | None = None
    for threshold in THRESHOLDS:
        pattern = _within_limits(problem, scope, relaxed, _pattern(problem, scope, relaxed, threshold))
        candidate = _optimise(problem, scope, relaxed, pattern)
        cost = measure(problem, candidate.power_kw, candidate.battery_kw).cost.total
        if best is None or cost < best[0]:
            best = cost, candidate
        if _is_good(best, target.total):
            break
    assert best is not None
    if problem.fleet.standby_kw is not None:
        best = _reopened(problem, scope, best)
    few = problem.fleet.size <= FEW_VEHICLES
    if few and not _is_good(best, target.total):
        best = _taking_turns(problem, scope, relaxed, best, target.total)
    if thorough and problem.fleet.size <= _most_searched(problem, patient=patient) and not _is_good(best, target.total):
        best = search_pattern(problem, scope, best)
        caused = target.total - cost_without_vehicles(problem)
        if patient and problem.fleet.size >= PATIENT_FROM and best[0] - target.total > PATIENT_BEYOND * caused:
            best = search_pattern(problem, scope, best, nodes=PATIENT_NODES)
    return best[1]


def _most_searched(problem: Problem, *, patient: bool) -> int:
    """Return how many vehicles' patterns are searched at most."""
    if problem.fleet.standby_kw is not None:
        return SEARCHED_WITH_STANDBY
    return SEARCHED_VEHICLES if patient else FEW_VEHICLES


def _reopened(problem: Problem, scope: Scope, best: Judged) -> Judged:
    """Return what comes of closing slots that standby takes whole and opening those of whoever is short, if better."""
    for _ in range(REOPENINGS):
        found = best[1]
        short = measure(problem, found.power_kw, found.battery_kw).shortfall_kwh > SHORT_KWH
        is_on = found.power_kw > curve_of(problem).standby_kw[:, None] + EPSILON_KW
        is_on = (is_on | short[:, None]) & (scope.ceiling_kw > 0)
        candidate = _optimise(problem, scope, found, _within_limits(problem, scope, found, is_on))
        cost = measure(problem, candidate.power_kw, candidate.battery_kw).cost.total
        if cost >= best[0] - EPSILON_KW:
            break
        best = cost, candidate
    return best


def _is_good(best: Judged, target: float) -> bool:
    return best[0] - target <= GOOD_ENOUGH * abs(target)


def _taking_turns(problem: Problem, scope: Scope, relaxed: Relaxation, best: Judged, target: float) -> Judged:
    """Return what comes of patterns in which a few vehicles take turns under a peak, if that is better.

    Where the peak binds in nearly every slot, two that charge in the same one drive it up; so slots are dealt out under
    a peak that is a little higher than the relaxed one, and the higher the easier.
    """
    for factor in PEAK_FACTORS:
        room_kw = _room_under_peaks(problem, relaxed, factor)
        candidate = _optimise(problem, scope, relaxed, _dealt_out(problem, scope, relaxed, room_kw))
        cost = measure(problem, candidate.power_kw, candidate.battery_kw).cost.total
        best = (cost, candidate) if cost < best[0] else best
        if _is_good(best, target):
            break
    return best


def _room_under_peaks(problem: Problem, relaxed: Relaxation, factor: float) -> FloatArray:
    """Return what vehicles may draw [T] if no charged peak rises above the relaxed one by more than a factor."""
    imported = measure(problem, relaxed.power_kw, relaxed.battery_kw).import_kw
    cap = problem.grid_limit_kw.copy()
    for charge in problem.demand_charges:
        slots = np.arange(problem.slots) if charge.slots is None else charge.slots
        peak = max(charge.so_far_kw, float(imported[slots].max(initial=0.0)))
        cap[slots] = np.minimum(cap[slots], factor * peak)
    others = problem.other_load_kw + (0.0 if relaxed.battery_kw is None else relaxed.battery_kw)
    room: FloatArray = np.maximum(cap - others, 0.0)
    return room


def _dealt_out(problem: Problem, scope: Scope, relaxed: Relaxation, room_kw: FloatArray) -> BoolArray:
    """Deal slots out, one a turn to everybody who lacks some, so that the floors fit into the room [T]."""
    least = problem.least_kw
    ceiling = np.minimum(scope.ceiling_kw, room_kw)
    can = (scope.ceiling_kw > 0) & (room_kw + EPSILON_KW >= least[:, None])
    inside = scope.narrowed(np.where(can, ceiling, 0.0), None)
    is_on = np.zeros_like(can)
    worth = relaxed.power_kw - 1e-3 * relaxed.slot_price
    waiting = _lacking(problem, inside, is_on, np.arange(problem.fleet.size)).tolist()
    while waiting:
        for row in list(waiting):
            free_kw = room_kw - np.where(is_on, least[:, None], 0.0).sum(axis=0)
            fits = can[row] & ~is_on[row] & (free_kw + EPSILON_KW >= least[row])
            if not fits.any():
                waiting.remove(row)
                continue
            is_on[row, np.argmax(np.where(fits, worth[row], -np.inf))] = True
        waiting = _lacking(problem, inside, is_on, np.array(waiting, dtype=np.int64)).tolist()
    return is_on


def search_pattern(problem: Problem, scope: Scope, best: Judged, *, nodes: int = SEARCH_NODES) -> Judged:
    """Return what a mixed-integer search over the patterns of a few vehicles finds, if it is better."""
    gap = SEARCH_GAP * max(best[0] - cost_without_vehicles(problem), 0.0)
    try:
        found = search_switched(problem, scope, best[1].power_kw, nodes=nodes, gap=gap)
    except SolverError:
        return best
    cost = measure(problem, found.power_kw, found.battery_kw).cost.total
    return (cost, found) if cost < best[0] else best


def _with_reachable_targets(problem: Problem, scope: Scope) -> Fleet:
    """Return the fleet with its targets lowered to what powers at or above the minimum can reach."""
    fleet, curve = problem.fleet, curve_of(problem)
    start, least = fleet.start_soc_pct / 100, problem.least_kw
    in_full = start + curve.gain * curve.useful_kw(settle(curve, start, scope.ceiling_kw)).sum(axis=1)
    greedy = start + curve.gain * curve.useful_kw(settle(curve, start, scope.ceiling_kw, floor_kw=least)).sum(axis=1)
    # Above this SoC the battery takes less than the minimum; slowing down before it lets a vehicle come to it exactly.
    falls = curve.slope > 0
    ceiling = curve.knee + np.where(falls, (1 - least / curve.taper_kw) / np.where(falls, curve.slope, 1.0), 1.0)
    reach = np.maximum(greedy, np.minimum(in_full, np.minimum(ceiling, 1.0)))
    return replace(fleet, required_soc_pct=np.minimum(fleet.required_soc_pct, 100 * np.maximum(reach, start)))


def _pattern(problem: Problem, scope: Scope, relaxed: Relaxation, threshold: float) -> BoolArray:
    """Read the pattern off the relaxed powers, and open further slots where it cannot reach a target."""
    least = np.maximum(threshold * _rounded_kw(problem), EPSILON_KW)[:, None]
    is_on = (relaxed.power_kw >= least) & (scope.ceiling_kw > 0)
    # Closed slots that the relaxation used a little come first, then the cheapest.
    is_closed = (scope.ceiling_kw > 0) & ~is_on
    worth = np.where(is_closed, relaxed.power_kw - 1e-3 * relaxed.slot_price, -np.inf)
    order = np.argsort(-worth, axis=1, kind="stable")
    rows = _lacking(problem, scope, is_on, np.arange(problem.fleet.size))
    for place in range(problem.slots):
        if not len(rows):
            break
        slots = order[rows, place]
        is_on[rows, slots] |= is_closed[rows, slots]
        rows = _lacking(problem, scope, is_on, rows)
    return _without_surplus(problem, scope, relaxed, is_on)


def _rounded_kw(problem: Problem) -> FloatArray:
    """Return what powers are rounded to, [N]: the least, or, where standby makes low power dear, the most."""
    standby_kw = problem.fleet.standby_kw
    return (
        problem.least_kw if standby_kw is None else np.where(standby_kw > 0, curve_of(problem).cap_kw, problem.least_kw)
    )


def _lacking(problem: Problem, scope: Scope, is_on: BoolArray, rows: IntArray) -> IntArray:
    """Return those of the rows that cannot reach their target in the slots that are on."""
    part = problem.with_fleet(rows)
    ceiling = np.where(is_on[rows], scope.ceiling_kw[rows], 0.0)
    curve = curve_of(part)
    taken_kw = curve.useful_kw(settle(curve, part.fleet.start_soc_pct / 100, ceiling))
    reach_kwh = taken_kw.sum(axis=1) * problem.slot_hours
    lacking: IntArray = rows[reach_kwh < part.fleet.need_kwh - 1e-6]
    return lacking


def _without_surplus(problem: Problem, scope: Scope, relaxed: Relaxation, is_on: BoolArray) -> BoolArray:
    """Close the least used slots of vehicles whose floors alone would give more than they need."""
    fleet, hours = problem.fleet, problem.slot_hours
    curve = charging_curve(fleet, hours, max_power_kw=scope.ceiling_kw.max(axis=1, initial=0.0))
    least = problem.least_kw - curve.standby_kw
    at_floor = np.floor(fleet.need_kwh / (hours * np.maximum(least, EPSILON_KW)) + 1e-9)
    at_full = full_power_slots(curve, fleet.start_soc_pct / 100, fleet.required_soc_pct / 100, problem.slots)
    most = np.maximum(at_floor, at_full)
    worth = np.where(is_on, relaxed.power_kw - 1e-3 * relaxed.slot_price, -np.inf)
    rank = np.argsort(np.argsort(-worth, axis=1, kind="stable"), axis=1, kind="stable")
    kept: BoolArray = is_on & (rank < most[:, None])
    return kept


def _within_limits(problem: Problem, scope: Scope, relaxed: Relaxation, is_on: BoolArray) -> BoolArray:
    """Close slots until the floors alone fit under the site's and the groups' limits."""
    everyone = np.arange(problem.fleet.size)
    is_on = _fit(problem, is_on, relaxed, everyone, problem.grid_limit_kw - problem.other_load_kw)
    for row, group in enumerate(problem.groups):
        is_on = _fit(problem, is_on, relaxed, np.flatnonzero(scope.group == row), group.limit_kw)
    return is_on


def _fit(problem: Problem, is_on: BoolArray, relaxed: Relaxation, rows: IntArray, room_kw: FloatArray) -> BoolArray:
    floors = np.where(is_on[rows], problem.least_kw[rows, None], 0.0)
    for slot in np.flatnonzero(floors.sum(axis=0) > np.maximum(room_kw, 0.0) + EPSILON_KW):
        order = np.argsort(-relaxed.power_kw[rows, slot], kind="stable")
        fits = np.cumsum(floors[order, slot]) <= room_kw[slot] + EPSILON_KW
        is_on[rows[order[~fits]], slot] = False
    return is_on


def _optimise(problem: Problem, scope: Scope, relaxed: Relaxation, is_on: BoolArray) -> Relaxation:
    """Return the best powers of a pattern; the scope's floors hold where nobody is short for that."""
    ceiling, least = np.where(is_on, scope.ceiling_kw, 0.0), np.where(is_on, problem.least_kw[:, None], 0.0)
    if scope.floor_kw is not None:
        kept = np.where(is_on, np.maximum(least, scope.floor_kw), 0.0)
        with suppress(SolverError):
            found = solve_monolith(problem, scope.narrowed(ceiling, kept))
            if measure(problem, found.power_kw, found.battery_kw).shortfall_kwh.max() <= SHORT_KWH:
                return found
    with suppress(SolverError):
        return solve_monolith(problem, scope.narrowed(ceiling, least))
    # Floors and limits contradict each other somewhere: keep what the batteries take of the relaxed powers.
    curve, start = curve_of(problem), problem.fleet.start_soc_pct / 100
    taken = settle(curve, start, relaxed.power_kw, floor_kw=problem.least_kw)
    return replace(relaxed, power_kw=taken)
