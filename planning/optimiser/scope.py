"""What the relaxation may give each vehicle: ceilings and floors per slot, and the group that it draws from.

Connectors and minimum power reach the optimiser only through a scope, so that it never knows either.
"""

from dataclasses import dataclass, replace

import numpy as np

from planning.model import Assignment, FloatArray, IntArray, Problem
from planning.taper import ChargingCurve, charging_curve

NO_GROUP = -1


@dataclass(frozen=True, slots=True)
class Scope:
    """Bounds of every vehicle's power [N, T] and the row of its group in the problem [N].

    ``floor_kw`` is None where nothing must flow; ``slots_kw`` of a vehicle that may not charge are zero.
    """

    ceiling_kw: FloatArray
    group: IntArray
    floor_kw: FloatArray | None = None

    def narrowed(self, ceiling_kw: FloatArray, floor_kw: FloatArray | None) -> "Scope":
        """Return a scope with other bounds."""
        return replace(self, ceiling_kw=ceiling_kw, floor_kw=floor_kw)


def free_scope(problem: Problem) -> Scope:
    """Return the scope that knows no connectors: each vehicle may charge whenever it is there."""
    curve = charging_curve(problem.fleet, problem.slot_hours)
    ceiling = np.where(problem.present(), curve.cap_kw[:, None], 0.0)
    return Scope(_unreserved(problem, ceiling), np.full(problem.fleet.size, NO_GROUP))


def assigned_scope(problem: Problem, assignment: Assignment) -> Scope:
    """Return the scope of an assignment: within the plugged interval, under the connector's limit and group."""
    assert problem.connectors is not None
    slot = np.arange(problem.slots)
    plugged = (slot >= assignment.plug_slot[:, None]) & (slot < assignment.unplug_slot[:, None])
    rows = {group.group_id: row for row, group in enumerate(problem.groups)}
    top = {item.index: item.max_kw for item in problem.connectors.items}
    group_of = {item.index: rows.get(item.group_id or "", NO_GROUP) for item in problem.connectors.items}
    held = assignment.connector.tolist()
    limit = np.array([top.get(index, 0.0) for index in held], dtype=np.float64)
    group = np.array([group_of.get(index, NO_GROUP) for index in held], dtype=np.int64)
    cap = np.minimum(curve_of(problem).cap_kw, limit)
    return Scope(_unreserved(problem, np.where(plugged & problem.present(), cap[:, None], 0.0)), group)


def scope_of(problem: Problem, assignment: Assignment) -> Scope:
    """Return the scope of an assignment, or the free one where there are no connectors."""
    return free_scope(problem) if problem.connectors is None else assigned_scope(problem, assignment)


def _unreserved(problem: Problem, ceiling_kw: FloatArray) -> FloatArray:
    """Return what is left of ceilings [N, T] beside what their connectors give already."""
    return ceiling_kw if problem.reserved_kw is None else np.maximum(ceiling_kw - problem.reserved_kw, 0.0)


def curve_of(problem: Problem) -> ChargingCurve:
    """Return the fleet's charging curve."""
    return charging_curve(problem.fleet, problem.slot_hours)
