"""Heat for cabin and battery before a vehicle leaves: load that comes first, around which batteries are charged.

The problem around the heat is one without any: heat is other load of the site and of the groups, and so much less of
the connector's power is left in these slots. What heats and what charges is added up again in the plan.
"""

from dataclasses import replace

import numpy as np

from planning.model import NO_CONNECTOR, Assignment, BoolArray, FloatArray, IntArray, Plan, Problem

EPSILON_KW = 1e-3
MISSING_KWH = 0.05


def around_heat(problem: Problem, assignment: Assignment | None = None) -> Problem:
    """Return the problem of charging alone, with the heat as other load; the same problem where nobody preconditions.

    Without an assignment everybody is taken to have a connector when it leaves.
    """
    if problem.fleet.preconditioning is None:
        return problem
    heat = heat_kw(problem, assignment)
    of_group = _groups(problem, assignment)
    groups = tuple(
        replace(group, limit_kw=np.maximum(group.limit_kw - heat[of_group == row].sum(axis=0), 0.0))
        for row, group in enumerate(problem.groups)
    )
    return replace(
        problem,
        base_load_kw=problem.base_load_kw + heat.sum(axis=0),
        groups=groups,
        fleet=replace(problem.fleet, preconditioning=None),
        # Heat comes first: where it does not fit, the vehicle does not charge either.
        reserved_kw=np.where(heat < _wanted_kw(problem), problem.fleet.max_power_kw[:, None], heat),
    )


def with_heat(problem: Problem, plan: Plan) -> Plan:
    """Return a plan of the problem around the heat as one of the problem itself, with a warning for heat left out."""
    if problem.fleet.preconditioning is None:
        return plan
    heat = heat_kw(problem, plan.assignment)
    missing_kwh = (_wanted_kw(problem) - heat).sum(axis=1) * problem.slot_hours
    left_out = [
        f"vehicles[{row}].precondition_kw: {missing_kwh[row]:.1f} kWh find no room or no connector before it leaves"
        for row in np.flatnonzero(missing_kwh > MISSING_KWH)
    ]
    return replace(plan, power_kw=plan.power_kw + heat, warnings=(*plan.warnings, *left_out))


def heat_kw(problem: Problem, assignment: Assignment | None = None) -> FloatArray:
    """Return what vehicles heat with, [N, T]: in each slot all that they ask for, or nothing where it does not fit."""
    heat, of_group = _wanted_kw(problem), _groups(problem, assignment)
    if problem.connectors is not None and assignment is not None:
        top = {item.index: item.max_kw for item in problem.connectors.items}
        most = np.array([top.get(index, 0.0) for index in assignment.connector.tolist()])
        heat = np.where(_is_plugged(problem, assignment), np.minimum(heat, most[:, None]), 0.0)
    for row, group in enumerate(problem.groups):
        _fit(problem, heat, np.flatnonzero(of_group == row), group.limit_kw)
    _fit(problem, heat, np.arange(problem.fleet.size), problem.grid_limit_kw - problem.other_load_kw)
    return heat


def _wanted_kw(problem: Problem) -> FloatArray:
    """Return what vehicles would heat with, [N, T]: the mean of a slot that is heated in part.

    A station that gives anything gives its minimum.
    """
    fleet, asked = problem.fleet, problem.fleet.preconditioning
    assert asked is not None
    slots_left = fleet.departure_slot[:, None] - 1 - np.arange(problem.slots)
    share = np.clip(asked.minutes[:, None] / problem.slot_minutes - slots_left, 0.0, 1.0) * problem.present()
    power = asked.power_kw[:, None] * share
    if problem.enforce_min_power:
        power = np.where(power > 0, np.maximum(power, fleet.min_power_kw[:, None]), 0.0)
    wanted: FloatArray = np.minimum(power, fleet.max_power_kw[:, None])
    return wanted


def _is_plugged(problem: Problem, assignment: Assignment) -> BoolArray:
    slot = np.arange(problem.slots)
    plugged: BoolArray = (slot >= assignment.plug_slot[:, None]) & (slot < assignment.unplug_slot[:, None])
    return plugged


def _groups(problem: Problem, assignment: Assignment | None) -> IntArray:
    """Return the row of each vehicle's group, [N]; -1 where it has none, or nobody knows it yet."""
    rows = {group.group_id: row for row, group in enumerate(problem.groups)}
    items = () if problem.connectors is None else problem.connectors.items
    of_connector = {item.index: rows.get(item.group_id or "", -1) for item in items}
    fleet = problem.fleet
    given = np.where(fleet.plugged_connector != NO_CONNECTOR, fleet.plugged_connector, fleet.bay_connector)
    held = given if assignment is None else assignment.connector
    return np.array([of_connector.get(index, -1) for index in held.tolist()], dtype=np.int64)


def _fit(problem: Problem, heat: FloatArray, rows: IntArray, room_kw: FloatArray) -> None:
    """Leave out, in place, the heat that finds no room [T], of those that come last in priority."""
    for slot in np.flatnonzero(heat[rows].sum(axis=0) > room_kw + EPSILON_KW):
        left = room_kw[slot]
        for row in rows[np.argsort(-problem.fleet.priority[rows], kind="stable")]:
            if heat[row, slot] > left + EPSILON_KW:
                heat[row, slot] = 0.0
            left -= heat[row, slot]
