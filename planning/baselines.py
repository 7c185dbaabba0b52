"""The simple rules that the optimiser is compared with, under the same physics, limits and oracle.

Each looks at one slot at a time, or at one vehicle at a time; none optimises. All give a vehicle its required SoC and
no more, leave a stationary battery idle, and are handed the planner's own connector assignment.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from time import perf_counter
from typing import Protocol

import numpy as np

from planning.assignment import assign
from planning.explain import explain
from planning.model import Assignment, FloatArray, IntArray, Plan, Problem, SolverReport, unassigned
from planning.optimiser.scope import Scope, assigned_scope, curve_of, free_scope, scope_of
from planning.preconditioning import around_heat, with_heat
from planning.solve import plan_of
from planning.taper import ChargingCurve, settle

PEAK_BISECTIONS = 16
EPSILON_KWH = 1e-7


class Order(Protocol):
    """Ranks vehicles in a slot: the smallest value is served first, [N]."""

    def __call__(self, depot: "Depot", slot: int, missing_kwh: FloatArray) -> FloatArray:
        """Return the ranks, given what each vehicle still needs [N]."""


@dataclass(frozen=True, slots=True)
class Depot:
    """A problem with its scope and charging curve, prepared once for all slots."""

    problem: Problem
    scope: Scope
    curve: ChargingCurve

    def powers(self, order: Order, import_limit_kw: FloatArray) -> FloatArray:
        """Return powers [N, T] of serving vehicles in an order, under an import limit [T]."""
        problem, fleet = self.problem, self.problem.fleet
        soc, missing = fleet.start_soc_pct / 100, fleet.need_kwh
        powers = np.zeros((fleet.size, problem.slots))
        room, limits = np.maximum(import_limit_kw - problem.other_load_kw, 0.0), self.curve.limits()
        for slot in range(problem.slots):
            wanted = self._wanted(np.minimum(self.scope.ceiling_kw[:, slot], limits.at(soc)), missing)
            given = self._share(wanted, np.argsort(order(self, slot, missing), kind="stable"), slot, room[slot])
            powers[:, slot] = given
            useful = self.curve.useful_kw(given)
            soc = soc + self.curve.gain * useful
            missing = np.maximum(missing - useful * problem.slot_hours, 0.0)
        return powers

    def _wanted(self, most: FloatArray, missing_kwh: FloatArray) -> FloatArray:
        standby = np.where(missing_kwh > EPSILON_KWH, self.curve.standby_kw, 0.0)
        wanted = np.minimum(most, missing_kwh / self.problem.slot_hours + standby)
        if not self.problem.is_switched:
            return wanted
        least = self.problem.least_kw
        # The last bit is charged at the minimum if the battery takes it, and left out otherwise.
        raised = np.where((missing_kwh > EPSILON_KWH) & (wanted < least), least, wanted)
        return np.where(raised <= most + 1e-9, raised, 0.0)

    def _share(self, wanted: FloatArray, order: IntArray, slot: int, room_kw: float) -> FloatArray:
        """Give power in order until a group's limit or the site's room is used up."""
        given = wanted
        for row, group in enumerate(self.problem.groups):
            members = order[self.scope.group[order] == row]
            given = self._serve(given, members, float(group.limit_kw[slot]))
        return self._serve(given, order, room_kw)

    def _serve(self, wanted: FloatArray, order: IntArray, room_kw: float) -> FloatArray:
        queue = wanted[order]
        left = np.maximum(room_kw - (np.cumsum(queue) - queue), 0.0)
        served = np.minimum(queue, left)
        if self.problem.is_switched:
            served = np.where(served < self.problem.least_kw[order] - 1e-9, 0.0, served)
        given = wanted.copy()
        given[order] = served
        return given

    def missing_kwh(self, powers: FloatArray) -> float:
        """Return what all vehicles together lack after these powers."""
        missing = self.problem.fleet.need_kwh - self.curve.useful_kw(powers).sum(axis=1) * self.problem.slot_hours
        return float(np.maximum(missing, 0.0).sum())


def by_arrival(depot: Depot, slot: int, missing_kwh: FloatArray) -> FloatArray:  # noqa: ARG001  (an Order)
    """First come, first served."""
    return depot.problem.fleet.arrival_slot.astype(np.float64)


def by_departure(depot: Depot, slot: int, missing_kwh: FloatArray) -> FloatArray:  # noqa: ARG001  (an Order)
    """Earliest deadline first."""
    return depot.problem.fleet.departure_slot.astype(np.float64)


def by_laxity(depot: Depot, slot: int, missing_kwh: FloatArray) -> FloatArray:
    """Least laxity first: time left less the time needed at full power."""
    full = np.maximum(depot.curve.cap_kw - depot.curve.standby_kw, 1e-9) * depot.problem.slot_hours
    laxity: FloatArray = depot.problem.fleet.departure_slot - slot - missing_kwh / full
    return laxity


def uncontrolled(depot: Depot) -> FloatArray:
    """Everybody charges at full power from plug-in on; the site's limit is ignored."""
    return depot.powers(by_arrival, np.full(depot.problem.slots, np.inf))


def fcfs(depot: Depot) -> FloatArray:
    """First come, first served, at the limit."""
    return depot.powers(by_arrival, depot.problem.grid_limit_kw)


def edf(depot: Depot) -> FloatArray:
    """Earliest deadline first, at the limit."""
    return depot.powers(by_departure, depot.problem.grid_limit_kw)


def llf(depot: Depot) -> FloatArray:
    """Least laxity first, at the limit."""
    return depot.powers(by_laxity, depot.problem.grid_limit_kw)


def llf_min_peak(depot: Depot) -> FloatArray:
    """Least laxity first under the smallest constant peak that still delivers what the limit would."""
    limit = depot.problem.grid_limit_kw
    best = llf(depot)
    tolerated = depot.missing_kwh(best) + 1e-3
    low, high = float(np.maximum(depot.problem.other_load_kw, 0.0).max()), float(limit.max())
    for _ in range(PEAK_BISECTIONS):
        peak = (low + high) / 2
        powers = depot.powers(by_laxity, np.minimum(limit, peak))
        if depot.missing_kwh(powers) <= tolerated:
            best, high = powers, peak
        else:
            low = peak
    return best


def cheapest_slot(depot: Depot) -> FloatArray:
    """Each vehicle alone takes the cheapest slots of its stay; then the limit clamps whoever came last.

    This is what a charging controller without a view of the others does: energy that is clamped away stays missing.
    """
    problem, fleet = depot.problem, depot.problem.fleet
    price = np.where(depot.scope.ceiling_kw > 0, problem.import_price_per_kwh, np.inf)
    rank = np.argsort(np.argsort(price, axis=1, kind="stable"), axis=1, kind="stable")
    count = np.zeros(fleet.size, dtype=np.int64)
    rows = np.flatnonzero(fleet.need_kwh > EPSILON_KWH)
    for _ in range(problem.slots):
        count[rows] += 1
        part = problem.with_fleet(rows)
        ceiling = np.where(rank[rows] < count[rows, None], depot.scope.ceiling_kw[rows], 0.0)
        curve = curve_of(part)
        taken = curve.useful_kw(settle(curve, part.fleet.start_soc_pct / 100, ceiling)).sum(axis=1)
        rows = rows[taken * problem.slot_hours < part.fleet.need_kwh - EPSILON_KWH]
        if not len(rows):
            break
    chosen = replace(depot.scope, ceiling_kw=np.where(rank < count[:, None], depot.scope.ceiling_kw, 0.0))
    return replace(depot, scope=chosen).powers(by_arrival, problem.grid_limit_kw)


RULES: dict[str, Callable[[Depot], FloatArray]] = {
    "uncontrolled": uncontrolled,
    "fcfs": fcfs,
    "edf": edf,
    "llf": llf,
    "cheapest_slot": cheapest_slot,
    "llf_min_peak": llf_min_peak,
}


def baseline(problem: Problem, rule: str, *, as_of: datetime | None = None) -> Plan:
    """Return the plan of a rule of ``RULES``; ``uncontrolled`` alone may exceed the site's limit."""
    begin = perf_counter()
    assignment, _ = assignment_and_scope(around_heat(problem))
    room = around_heat(problem, assignment)
    scope = scope_of(room, assignment)
    powers = np.round(RULES[rule](Depot(room, scope, curve_of(room))), 5)
    battery = None if problem.battery is None else np.zeros(problem.slots)
    report = SolverReport(rule, perf_counter() - begin, None, "rule")
    plan = plan_of(room, (powers, battery), assignment, report, as_of=as_of)
    return with_heat(problem, replace(plan, reasons=explain(room, plan, scope)))


def assignment_and_scope(problem: Problem) -> tuple[Assignment, Scope]:
    """Return the connectors that everybody is handed, and what may be charged on them."""
    if problem.connectors is None:
        return unassigned(problem.fleet.size), free_scope(problem)
    assignment = assign(problem)
    return assignment, assigned_scope(problem, assignment)
