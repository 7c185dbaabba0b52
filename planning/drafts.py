"""A plan whose next slot is all that counts: whoever plans again in a quarter of an hour needs it good, not polished.

It takes the planner's own steps, less those that people read or that pay off once a plan is carried out to its end:
nothing is smoothed, explained or searched, and connectors are handed out once where that loses nothing.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from planning.assignment import assign
from planning.feasibility import measure
from planning.model import SHORT_KWH, Assignment, Plan, Problem, SolverReport, unassigned
from planning.optimiser.connectors import hand_out
from planning.optimiser.minimum import repair
from planning.optimiser.relaxation import relax
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import Scope, assigned_scope, free_scope
from planning.preconditioning import around_heat, with_heat
from planning.solve import plan_of, powers_of

LOSES_NOTHING = 1e-3
"""Of the cost: a first hand-out within it is not improved upon."""


@dataclass(frozen=True, slots=True)
class _Drafted:
    """A problem's plan, and what it was made of."""

    problem: Problem
    assignment: Assignment
    scope: Scope
    relaxed: Relaxation
    plan: Plan


def draft(problem: Problem) -> Plan:
    """Return a plan of a problem as it comes, without a look at the one before."""
    return with_heat(problem, _drafted(problem).plan)


@dataclass(slots=True)
class Drafter:
    """Drafts one plan after another of the same site, each from its own relaxation or by going on with the last.

    Minimum power makes plans of patterns of slots, and a new pattern may be a little worse than the old one. Whoever
    plans anew every quarter of an hour pays the worst of them, as a peak once reached is paid for; so the rest of the
    last plan's pattern is filled anew as well, and the cheaper plan is taken.
    """

    _last: _Drafted | None = None

    def __call__(self, problem: Problem) -> Plan:
        """Return the cheaper plan."""
        fresh = _drafted(problem)
        going_on = None if self._last is None else _going_on(fresh, self._last)
        is_better = going_on is not None and going_on.plan.cost.total <= fresh.plan.cost.total
        self._last = chosen = going_on if going_on is not None and is_better else fresh
        return with_heat(problem, chosen.plan)


def _drafted(problem: Problem) -> _Drafted:
    room = around_heat(problem)
    scope = free_scope(room)
    relaxed = bound = relax(room, scope)
    assignment = unassigned(problem.fleet.size)
    if problem.connectors is not None:
        assignment, scope, relaxed = _handed_out(room, bound, scope)
        if problem.fleet.preconditioning is not None:
            room = around_heat(problem, assignment)
            scope = assigned_scope(room, assignment)
            relaxed = relax(room, scope)
    return _finished(room, assignment, scope, relaxed)


def _finished(problem: Problem, assignment: Assignment, scope: Scope, relaxed: Relaxation) -> _Drafted:
    if problem.is_switched:
        relaxed = repair(problem, scope, relaxed, thorough=False)
    report = SolverReport(relaxed.name, 0.0, relaxed.lower_bound, relaxed.status)
    plan = plan_of(problem, powers_of(problem, relaxed), assignment, report)
    return _Drafted(problem, assignment, scope, relaxed, plan)


def _going_on(fresh: _Drafted, last: _Drafted) -> _Drafted | None:
    """Return the plan that goes on with the last one's pattern; vehicles that are new to it get the fresh one's."""
    problem, before = fresh.problem, last.problem
    shift = round((problem.start_at - before.start_at) / timedelta(minutes=problem.slot_minutes))
    if problem.slot_minutes != before.slot_minutes or not 0 <= shift < before.slots:
        return None
    power = fresh.relaxed.power_kw.copy()
    rows = {vehicle_id: row for row, vehicle_id in enumerate(last.plan.vehicle_ids)}
    for row, vehicle_id in enumerate(problem.fleet.vehicle_ids):
        if vehicle_id in rows:
            rest = last.plan.power_kw[rows[vehicle_id], shift:][: problem.slots]
            power[row] = np.minimum(np.pad(rest, (0, problem.slots - len(rest))), fresh.scope.ceiling_kw[row])
    return _finished(problem, fresh.assignment, fresh.scope, replace(fresh.relaxed, power_kw=power))


def _handed_out(problem: Problem, bound: Relaxation, free: Scope) -> tuple[Assignment, Scope, Relaxation]:
    """Return the first assignment that comes to mind if it costs next to nothing, else the planner's."""
    assignment = assign(problem)
    scope = assigned_scope(problem, assignment)
    binds_nobody = not problem.groups and bool((scope.ceiling_kw >= free.ceiling_kw).all())
    relaxed = bound if binds_nobody else relax(problem, scope)
    if _loss(problem, bound, relaxed) <= LOSES_NOTHING:
        return assignment, scope, relaxed
    assignment, relaxed = hand_out(problem, bound)
    return assignment, assigned_scope(problem, assignment), relaxed


def _loss(problem: Problem, bound: Relaxation, relaxed: Relaxation) -> float:
    """Return how much dearer one relaxation is than another, as a share; without end where it leaves somebody short."""
    if relaxed is bound:
        return 0.0
    least, found = (measure(problem, one.power_kw, one.battery_kw) for one in (bound, relaxed))
    if found.shortfall_kwh.sum() > least.shortfall_kwh.sum() + SHORT_KWH:
        return np.inf
    return (found.cost.total - least.cost.total) / max(abs(least.cost.total), 1e-9)
