"""From a problem to a plan, always: relax, hand out connectors, repair, judge, explain.

This is the planner's front door. It knows the order of the steps, and no step.
"""

from dataclasses import replace
from datetime import datetime
from time import perf_counter
from typing import Any

import numpy as np

from core.files import sha256_hex
from planning.documents import parse_problem, plan_record
from planning.explain import explain
from planning.feasibility import measure
from planning.model import Assignment, FloatArray, Plan, Problem, SolverReport, unassigned
from planning.optimiser.concentrate import concentrate
from planning.optimiser.connectors import hand_out, relax_both
from planning.optimiser.minimum import repair, search_pattern
from planning.optimiser.relaxation import relax
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import Scope, assigned_scope, curve_of, free_scope, scope_of
from planning.optimiser.smoothing import pattern_scope, smooth
from planning.preconditioning import around_heat, with_heat
from planning.remedies import find_remedies
from planning.standby import at_full_power
from planning.taper import settle

POWER_DECIMALS = 5
SMOOTHED_UP_TO = 150  # vehicles; beyond, nobody reads the plan name by name, and speed matters more
HEAT_KW = 1e-3  # heat that differs by less is the same
REMEDIES_UP_TO = 150  # vehicles; each remedy is tried by planning anew


def plan_document(problem_bytes: bytes, *, as_of: datetime | None = None) -> dict[str, Any]:
    """Return the ``plan/1`` of a ``planning_problem/1``.

    Raises:
        ProblemError: the problem contradicts itself.
    """
    plan = solve(parse_problem(problem_bytes), as_of=as_of, with_remedies=True)
    return plan_record(plan, sha256_hex(problem_bytes))


def solve(
    problem: Problem,
    *,
    as_of: datetime | None = None,
    with_remedies: bool = False,
    start_price: FloatArray | None = None,
) -> Plan:
    """Return a plan, whatever the problem: an unreachable target gives the best reachable SoC and its reason.

    Args:
        problem: The problem.
        as_of: Instant of what is known; the start of the problem where none is given.
        with_remedies: Search patiently, and look for changes that would make an infeasible night feasible; that takes
            dozens of plans.
        start_price: ``slot_price`` [T] of an earlier plan over the same slots: large fleets are planned sooner from it.
    """
    charging = _charging_plan(problem, as_of=as_of, start_price=start_price, patient=with_remedies)
    plan = with_heat(problem, charging)
    if not with_remedies or problem.fleet.size > REMEDIES_UP_TO:
        return plan
    return replace(plan, remedies=find_remedies(problem, plan, _missing_kwh))


def _charging_plan(problem: Problem, *, as_of: datetime | None, start_price: FloatArray | None, patient: bool) -> Plan:
    """Return a plan of what batteries are charged with, around what vehicles precondition with."""
    begin = perf_counter()
    room = around_heat(problem)
    assignment = unassigned(problem.fleet.size)
    if problem.connectors is None:
        bound = relaxed = relax(room, free_scope(room), start_price=start_price)
    else:
        bound, first = relax_both(room, start_price=start_price)
        assignment, relaxed = hand_out(room, bound, first)
    lower_bound = bound.lower_bound
    if problem.connectors is not None and problem.fleet.preconditioning is not None:
        room, bounded = around_heat(problem, assignment), room
        relaxed = relax(room, assigned_scope(room, assignment))
        # Heat that no connector gives costs nothing, so a bound that counts it proves nothing.
        lower_bound = lower_bound if (room.base_load_kw >= bounded.base_load_kw - HEAT_KW).all() else None
    scope = scope_of(room, assignment)
    finish = _finished if problem.discharge is None else _two_way
    relaxed = finish(room, scope, relaxed, patient=patient)
    report = SolverReport(relaxed.name, perf_counter() - begin, lower_bound, relaxed.status)
    plan = plan_of(room, powers_of(room, relaxed), assignment, report, as_of=as_of)
    return replace(plan, reasons=explain(room, plan, scope), slot_price=bound.slot_price)


def _finished(problem: Problem, scope: Scope, relaxed: Relaxation, *, patient: bool) -> Relaxation:
    """Return powers that obey minimum power, leave the fewest vehicles short and change seldom."""
    if problem.fleet.size > SMOOTHED_UP_TO:
        return repair(problem, scope, relaxed) if problem.is_switched else relaxed
    priced, relaxed = concentrate(problem, scope, relaxed)
    relaxed = smooth(at_full_power(priced), scope, relaxed)
    if not problem.is_switched:
        return relaxed
    relaxed = repair(priced, scope, relaxed, patient=patient)
    return smooth(priced, pattern_scope(problem, scope, relaxed.power_kw), relaxed)


def _two_way(problem: Problem, scope: Scope, relaxed: Relaxation, *, patient: bool) -> Relaxation:
    """Return powers that obey minimum power where vehicles may give back: searched, or at least those of one way."""
    if not problem.is_switched:
        return relaxed
    one_way = replace(problem, allow_discharge=False)
    plain = _finished(one_way, scope, relax(one_way, scope), patient=patient)
    cost = measure(problem, plain.power_kw, plain.battery_kw).cost.total
    return search_pattern(problem, scope, (cost, plain))[1]


def _missing_kwh(problem: Problem, assignment: Assignment) -> FloatArray:
    """Return what is short [N] when a problem is planned with given holds."""
    room = around_heat(problem, assignment)
    scope = scope_of(room, assignment)
    relaxed = relax(room, scope)
    if problem.is_switched:
        relaxed = repair(room, scope, relaxed, thorough=False)
    return measure(room, *powers_of(room, relaxed)).shortfall_kwh


def powers_of(problem: Problem, relaxed: Relaxation) -> tuple[FloatArray, FloatArray | None]:
    """Return powers that batteries really take, rounded for writing."""
    floor = problem.least_kw if problem.is_switched else None
    able, start = problem.discharge, problem.fleet.start_soc_pct / 100
    wanted = np.maximum(relaxed.power_kw, 0.0) if able is None else relaxed.power_kw
    loss = None if able is None else problem.slot_hours / (able.efficiency * problem.fleet.battery_kwh)
    taken = settle(curve_of(problem), start, wanted, floor_kw=floor, loss=loss)
    battery = None if relaxed.battery_kw is None else np.round(relaxed.battery_kw, POWER_DECIMALS)
    return np.round(taken, POWER_DECIMALS), battery


def plan_of(
    problem: Problem,
    powers: tuple[FloatArray, FloatArray | None],
    assignment: Assignment,
    report: SolverReport,
    *,
    as_of: datetime | None = None,
) -> Plan:
    """Return the plan of given powers [N, T] and battery [T], with its figures."""
    figures = measure(problem, *powers)
    bound = report.lower_bound
    return Plan(
        site_id=problem.site_id,
        as_of=problem.start_at if as_of is None else as_of,
        vehicle_ids=problem.fleet.vehicle_ids,
        power_kw=powers[0],
        assignment=assignment,
        battery_kw=powers[1],
        end_soc_pct=figures.end_soc_pct,
        shortfall_kwh=figures.shortfall_kwh,
        cost=figures.cost,
        peak_kw=figures.peak_kw,
        solver=replace(report, lower_bound=None if bound is None else min(bound, figures.cost.total)),
        reasons=(None,) * problem.fleet.size,
        warnings=problem.warnings,
    )
