"""Connectors of a small depot by a mixed-integer search: who holds which kind of connector, from when until when.

Connectors that are alike need no names: holds fit on them exactly when no slot sees more holds than there are
connectors. So the search decides only when each vehicle is plugged in and unplugged; names are dealt out afterwards.
Hands change on the hour, and in the first and last slot in which somebody is there, which keeps the search small.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planning.model import NO_CONNECTOR, Assignment, BoolArray, Connector, FloatArray, IntArray, Problem
from planning.optimiser.monolith import add_vehicles
from planning.optimiser.program import OpenProgram, Program
from planning.optimiser.scope import NO_GROUP, Scope, assigned_scope, free_scope
from planning.optimiser.site import add_site

HAND_OVER_MINUTES = 60
NODES = 20
HALF = 0.5  # a switch is a whole number up to the solver's tolerance


@dataclass(frozen=True, slots=True)
class Pool:
    """Connectors that are alike, and the rows of the vehicles that may hold one."""

    items: tuple[Connector, ...]
    rows: IntArray


@dataclass(frozen=True, slots=True)
class _Hold:
    """A vehicle in a pool: the slots in which it may be plugged in and unplugged, and a switch for each."""

    row: int
    pool: int
    begin_slots: IntArray
    end_slots: IntArray
    begins: IntArray
    ends: IntArray


def search_holds(
    problem: Problem, rows: IntArray, items: Sequence[Connector], start: Assignment, *, gap: float
) -> Assignment:
    """Return the holds of the cheapest plan that is found, without minimum power.

    Args:
        problem: A problem with connectors.
        rows: Vehicles whose holds are searched; all others keep theirs.
        items: The connectors that these vehicles, and no others, hold.
        start: What the search is to improve on; its hand-overs are open to all.
        gap: How much dearer than the best possible is good enough.

    Raises:
        SolverError: nothing was found in the nodes allowed.
    """
    assert problem.connectors is not None
    pools = pools_of(problem, rows, items)
    if not pools:
        return start
    program = Program()
    site = add_site(program, problem)
    scope = _scope(problem, pools, rows, start)
    vehicle, slot = np.nonzero(scope.ceiling_kw > 0)
    column = np.full(scope.ceiling_kw.shape, NO_CONNECTOR)
    column[vehicle, slot] = add_vehicles(program, problem, scope, (vehicle, slot), site).into
    used = np.concatenate([start.plug_slot[rows], start.unplug_slot[rows]])
    is_open = np.isin(np.arange(problem.slots), used) & problem.connectors.attended
    holds = _add_holds(program, problem, (pools, column), np.union1d(hand_over_slots(problem), np.flatnonzero(is_open)))
    search = program.open(nodes=NODES, gap=gap)
    _begin_from(search, problem, pools, holds, start)
    values = search.solve().values
    chosen = [hold for hold in (_chosen(hold, values) for hold in holds) if hold is not None]
    found = _named(problem, pools, chosen)
    is_searched = np.isin(np.arange(problem.fleet.size), rows)
    return Assignment(
        np.where(is_searched, found.connector, start.connector),
        np.where(is_searched, found.plug_slot, start.plug_slot),
        np.where(is_searched, found.unplug_slot, start.unplug_slot),
    )


def pools_of(problem: Problem, rows: IntArray, items: Sequence[Connector]) -> list[Pool]:
    """Return the pools of connectors that are alike; a bay, and who may stand in it, is a pool of its own."""
    fleet = problem.fleet
    bays = set(fleet.bay_connector[fleet.bay_connector != NO_CONNECTOR].tolist())
    alike: dict[tuple[object, ...], list[Connector]] = {}
    for item in items:
        key = ("bay", item.index) if item.index in bays else (item.is_dc, item.max_kw, item.group_id)
        alike.setdefault(key, []).append(item)
    pools = []
    for same in alike.values():
        indices = [item.index for item in same]
        given = np.where(fleet.plugged_connector != NO_CONNECTOR, fleet.plugged_connector, fleet.bay_connector)
        is_free = (given == NO_CONNECTOR) & (fleet.is_dc == same[0].is_dc) & (same[0].index not in bays)
        may = np.isin(given, indices) | is_free
        pools.append(Pool(tuple(same), rows[may[rows]]))
    return [pool for pool in pools if len(pool.rows)]


def _scope(problem: Problem, pools: Sequence[Pool], rows: IntArray, start: Assignment) -> Scope:
    """Return what vehicles may take on the best connector open to them; a group counts where it is the only one.

    Vehicles that are not searched keep what their holds allow.
    """
    kept = assigned_scope(problem, start)
    top = np.zeros(problem.fleet.size)
    groups: list[set[str | None]] = [set() for _ in range(problem.fleet.size)]
    for pool in pools:
        top[pool.rows] = np.maximum(top[pool.rows], pool.items[0].max_kw)
        for row in pool.rows:
            groups[row].add(pool.items[0].group_id)
    place: dict[str | None, int] = {group.group_id: row for row, group in enumerate(problem.groups)}
    only = [place.get(next(iter(names)), NO_GROUP) if len(names) == 1 else NO_GROUP for names in groups]
    ceiling, group = kept.ceiling_kw.copy(), kept.group.copy()
    ceiling[rows] = np.minimum(free_scope(problem).ceiling_kw[rows], top[rows, None])
    group[rows] = np.array(only, dtype=np.int64)[rows]
    return Scope(ceiling, group)


def _begin_from(
    search: OpenProgram, problem: Problem, pools: Sequence[Pool], holds: Sequence[_Hold], start: Assignment
) -> None:
    """Let the search begin with an assignment."""
    members = [{item.index for item in pool.items} for pool in pools]
    columns, values = [], []
    for hold in holds:
        is_held = int(start.connector[hold.row]) in members[hold.pool]
        end = min(int(start.unplug_slot[hold.row]), problem.slots)
        columns += [hold.begins, hold.ends]
        values += [is_held & (hold.begin_slots == start.plug_slot[hold.row]), is_held & (hold.end_slots == end)]
    search.start_from(np.concatenate(columns), np.concatenate(values).astype(np.float64))


def _add_holds(
    program: Program, problem: Problem, where: tuple[Sequence[Pool], IntArray], hand_overs: IntArray
) -> list[_Hold]:
    """Add the switches of all holds, and the rows that bind power and connectors to them."""
    fleet, (pools, column) = problem.fleet, where
    taken = [program.rows(problem.slots, high=float(len(pool.items))) for pool in pools]
    one = program.rows(fleet.size, high=1.0)
    use = program.rows(column.size, high=0.0).reshape(column.shape)
    is_searched = np.isin(np.arange(fleet.size), np.concatenate([pool.rows for pool in pools]))
    has_power = (column >= 0) & is_searched[:, None]
    program.put(use[has_power], column[has_power], 1.0)
    holds = []
    for number, pool in enumerate(pools):
        for row in pool.rows.tolist():
            hold = _add_hold(program, problem, (row, number), hand_overs)
            program.put(one[np.full(len(hold.begins), row)], hold.begins, 1.0)
            cap = min(float(fleet.max_power_kw[row]), float(fleet.taper_power_kw[row]), pool.items[0].max_kw)
            stay = np.arange(fleet.arrival_slot[row], min(fleet.departure_slot[row], problem.slots))
            for switches, slots, sign in ((hold.begins, hold.begin_slots, 1.0), (hold.ends, hold.end_slots, -1.0)):
                time, place = np.nonzero(slots[None, :] <= stay[:, None])
                program.put(taken[number][stay[time]], switches[place], sign)
                powered = has_power[row, stay[time]]
                program.put(use[row, stay[time[powered]]], switches[place[powered]], -sign * cap)
            holds.append(hold)
    return holds


def _add_hold(program: Program, problem: Problem, who: tuple[int, int], hand_overs: IntArray) -> _Hold:
    """Add the switches of one vehicle in one pool; whoever is plugged in is unplugged, and not before."""
    row, number = who
    fleet = problem.fleet
    arrival, departure = int(fleet.arrival_slot[row]), int(min(fleet.departure_slot[row], problem.slots))
    between = hand_overs[(hand_overs > arrival) & (hand_overs < departure)]
    is_plugged = fleet.plugged_connector[row] != NO_CONNECTOR
    begin_slots = np.array([arrival]) if is_plugged else np.concatenate([[arrival], between])
    end_slots = np.concatenate([between, [departure]])
    begins, ends = program.switches(len(begin_slots)), program.switches(len(end_slots))
    balance = program.rows(1, low=0.0, high=0.0)
    program.put(balance, begins, 1.0)
    program.put(balance, ends, -1.0)
    held = program.rows(len(between) + 1, low=0.0)
    at = np.concatenate([[arrival], between])
    for switches, slots, sign in ((begins, begin_slots, 1.0), (ends, end_slots, -1.0)):
        time, place = np.nonzero(slots[None, :] <= at[:, None])
        program.put(held[time], switches[place], sign)
    return _Hold(row, number, begin_slots, end_slots, begins, ends)


def hand_over_slots(problem: Problem) -> IntArray:
    """Return the slots in which hands may change: hourly, and at both ends of every time that somebody is there."""
    assert problem.connectors is not None
    attended: BoolArray = problem.connectors.attended
    every = max(1, HAND_OVER_MINUTES // problem.slot_minutes)
    is_edge = attended & ~(np.append(attended[1:], False) & np.append(False, attended[:-1]))
    slots: IntArray = np.flatnonzero(attended & ((np.arange(problem.slots) % every == 0) | is_edge))
    return slots


def _chosen(hold: _Hold, values: FloatArray) -> tuple[int, int, int, int] | None:
    """Return the pool, the slots and the row of a hold that the search has chosen."""
    begin, end = hold.begin_slots[values[hold.begins] > HALF], hold.end_slots[values[hold.ends] > HALF]
    if not len(begin) or not len(end) or begin[0] >= end[0]:
        return None
    return hold.pool, int(begin[0]), int(end[0]), hold.row


def _named(problem: Problem, pools: Sequence[Pool], holds: list[tuple[int, int, int, int]]) -> Assignment:
    """Give each hold the connector of its pool that has been free for longest; whoever is plugged in keeps its own."""
    fleet = problem.fleet
    connector, plug, unplug = (np.full(fleet.size, NO_CONNECTOR, dtype=np.int64) for _ in range(3))
    plugged = fleet.plugged_connector
    free_from = {item.index: 0 for pool in pools for item in pool.items}
    order = sorted(holds, key=lambda hold: (plugged[hold[3]] == NO_CONNECTOR, hold[1], hold[3]))
    for pool, begin, end, row in order:
        own = int(plugged[row])
        free = [item.index for item in pools[pool].items if free_from[item.index] <= begin]
        index = own if own != NO_CONNECTOR else min(free, key=lambda index: (free_from[index], index))
        connector[row], plug[row], unplug[row] = index, begin, end
        free_from[index] = end
    return Assignment(connector, plug, unplug)
