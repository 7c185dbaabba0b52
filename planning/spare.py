"""Margin where it costs no peak: what vehicles may lack is charged in the room that a plan leaves under its own peaks.

A plan is paid for by its peaks. Margin that is asked for like any need drives them up, though as a rule nobody needs
it; charged afterwards, into what a plan leaves free, it costs the energy alone. Nothing is taken from anybody for it.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from planning.feasibility import measure
from planning.model import SHORT_KWH, FloatArray, Plan, Problem
from planning.optimiser.scope import NO_GROUP, curve_of, scope_of
from planning.preconditioning import around_heat, heat_kw
from planning.taper import settle

EPSILON_KW = 1e-6
POWER_DECIMALS = 5


def with_spare(problem: Problem, plan: Plan, spare_pp: Mapping[str, float]) -> Plan:
    """Return a plan that charges vehicles further where that raises no peak; who leaves first comes first.

    Limits, groups, holds and minimum powers are kept as the plan keeps them. A vehicle that is short gets nothing here:
    what could be done for it has been done. Where vehicles may give energy back the plan stays as it is.

    Args:
        problem: What the plan answers.
        plan: A valid plan.
        spare_pp: By how much each vehicle's SoC should exceed its plan's at departure, by vehicle, in points.
    """
    wanted_kwh = _wanted_kwh(problem, plan, spare_pp)
    if problem.discharge is not None or (wanted_kwh <= SHORT_KWH).all():
        return plan
    heat = 0.0 if problem.fleet.preconditioning is None else heat_kw(problem, plan.assignment)
    given_kw = plan.power_kw - heat
    power_kw = heat + _settled(problem, given_kw, _filled(problem, plan, given_kw, wanted_kwh))
    figures = measure(problem, power_kw, plan.battery_kw)
    return replace(
        plan,
        power_kw=power_kw,
        end_soc_pct=figures.end_soc_pct,
        shortfall_kwh=figures.shortfall_kwh,
        cost=figures.cost,
        peak_kw=figures.peak_kw,
    )


def _wanted_kwh(problem: Problem, plan: Plan, spare_pp: Mapping[str, float]) -> FloatArray:
    """Return the grid-side energy [N] that is wanted beyond the plan."""
    fleet = problem.fleet
    wanted_pp = np.array([spare_pp.get(vehicle_id, 0.0) for vehicle_id in fleet.vehicle_ids])
    free_pp = np.where(plan.is_ready, 100 - plan.end_soc_pct, 0.0)
    wanted: FloatArray = np.clip(wanted_pp, 0.0, np.maximum(free_pp, 0.0)) / 100 * fleet.battery_kwh / fleet.efficiency
    return wanted


def _filled(problem: Problem, plan: Plan, given_kw: FloatArray, wanted_kwh: FloatArray) -> FloatArray:
    """Return charging powers [N, T] with what is wanted put into the room, as soon as possible, vehicle by vehicle."""
    around = around_heat(problem, plan.assignment)
    scope, least_kw, hours = scope_of(around, plan.assignment), problem.least_kw, problem.slot_hours
    site_kw = _room_kw(problem, plan)
    groups_kw = [group.limit_kw - given_kw[scope.group == row].sum(axis=0) for row, group in enumerate(around.groups)]
    power_kw = given_kw.copy()
    for row in np.argsort(problem.fleet.departure_slot, kind="stable"):
        rooms_kw = [site_kw] if scope.group[row] == NO_GROUP else [site_kw, groups_kw[scope.group[row]]]
        free_kw = np.minimum(np.min(rooms_kw, axis=0), scope.ceiling_kw[row] - power_kw[row])
        free_kw = np.where(power_kw[row] + free_kw >= least_kw[row], np.maximum(free_kw, 0.0), 0.0)
        before_kwh = np.cumsum(free_kw) * hours - free_kw * hours
        added_kw = np.minimum(free_kw, np.maximum(wanted_kwh[row] - before_kwh, 0.0) / hours)
        # The last slot may want less than the least that can flow.
        added_kw = np.where(added_kw > EPSILON_KW, np.maximum(added_kw, least_kw[row] - power_kw[row]), 0.0)
        power_kw[row] += added_kw
        for room_kw in rooms_kw:
            np.subtract(room_kw, added_kw, out=room_kw)
    return power_kw


def _room_kw(problem: Problem, plan: Plan) -> FloatArray:
    """Return what may be drawn beside a plan, [T], without a higher peak, a broken limit or a soft one overrun."""
    import_kw = problem.other_load_kw + plan.power_kw.sum(axis=0)
    if plan.battery_kw is not None:
        import_kw = import_kw + plan.battery_kw
    most_kw = problem.grid_limit_kw.copy()
    for charge in problem.demand_charges:
        slots = np.arange(problem.slots) if charge.slots is None else charge.slots
        most_kw[slots] = np.minimum(most_kw[slots], max(charge.so_far_kw, import_kw[slots].max(initial=0.0)))
    for soft in problem.soft_limits:
        most_kw = np.minimum(most_kw, soft.limit_kw)
    room: FloatArray = np.maximum(most_kw - import_kw, 0.0)
    return room


def _settled(problem: Problem, given_kw: FloatArray, wanted_kw: FloatArray) -> FloatArray:
    """Return what batteries take of wanted powers [N, T]; those given for a vehicle that would end with less."""
    curve, start = curve_of(problem), problem.fleet.start_soc_pct / 100
    floor_kw = problem.least_kw if problem.is_switched else None
    taken_kw = np.round(settle(curve, start, wanted_kw, floor_kw=floor_kw), POWER_DECIMALS)
    gained, before = (curve.useful_kw(power).sum(axis=1) for power in (taken_kw, given_kw))
    is_better = (wanted_kw > given_kw).any(axis=1) & (gained > before)
    settled: FloatArray = np.where(is_better[:, None], taken_kw, given_kw)
    return settled
