"""The linear relaxation as one programme with a variable per vehicle and slot: exact, and slow for large fleets.

It is the yardstick of the decomposition, and solves what is small. Taper enters as a chain of SoC variables for the
vehicles whose target lies where the taper binds.
"""

from dataclasses import dataclass, replace

import numpy as np

from planning.model import BoolArray, FloatArray, IntArray, Problem
from planning.optimiser.program import Program, Solution
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import Scope, curve_of
from planning.optimiser.site import Site, add_site
from planning.standby import at_full_power

TIE_BREAK = 2e-6


def solve_monolith(problem: Problem, scope: Scope, *, solver: str = "choose") -> Relaxation:
    """Return the optimum of the relaxation within the scope.

    Raises:
        SolverError: floors of the scope cannot be met.
    """
    program = Program()
    site = add_site(program, problem)
    rows, slots = np.nonzero(scope.ceiling_kw > 0)
    power = add_vehicles(program, problem, scope, (rows, slots), site)
    solution = program.solve(solver=solver)
    relaxed = _relaxation(problem, site, solution, _powers(problem, (rows, slots), power.net_kw(solution.values)))
    return replace(relaxed, lower_bound=solution.objective - site.paid if site.is_exact else None)


def search_switched(problem: Problem, scope: Scope, start_kw: FloatArray, *, nodes: int, gap: float) -> Relaxation:
    """Return what a mixed-integer search finds when every power is zero or at least the vehicle's minimum.

    For a few vehicles; what it finds bounds nothing.

    Args:
        problem: The problem.
        scope: Where the vehicles may charge.
        start_kw: Powers [N, T] to improve on.
        nodes: How long to search.
        gap: How much dearer than the best possible is good enough.

    Raises:
        SolverError: nothing was found.
    """
    program = Program()
    site = add_site(program, problem)
    rows, slots = np.nonzero(scope.ceiling_kw > 0)
    on = program.switches(len(rows))
    power = add_vehicles(program, problem, scope, (rows, slots), site, on=on)
    above, below = program.rows(len(rows), low=0.0), program.rows(len(rows), high=0.0)
    program.put(above, power.into, 1.0)
    program.put(above, on, -problem.least_kw[rows])
    program.put(below, power.into, 1.0)
    program.put(below, on, -scope.ceiling_kw[rows, slots])
    if problem.discharge is not None:
        # Nobody charges at the minimum only to give some of it back.
        most = problem.discharge.max_kw[rows[power.gives]]
        either = program.rows(len(most), high=most)
        program.put(either, power.out, 1.0)
        program.put(either, on[power.gives], most)
    search = program.open(nodes=nodes, gap=gap)
    search.start_from(on, (start_kw[rows, slots] > 0).astype(np.float64))
    solution = search.solve()
    return _relaxation(problem, site, solution, _powers(problem, (rows, slots), power.net_kw(solution.values)))


def _powers(problem: Problem, where: tuple[IntArray, IntArray], values: FloatArray) -> FloatArray:
    powers = np.zeros((problem.fleet.size, problem.slots))
    powers[where] = values
    return powers


def _relaxation(problem: Problem, site: Site, solution: Solution, power_kw: FloatArray) -> Relaxation:
    return Relaxation(
        power_kw=power_kw,
        battery_kw=site.battery_kw(solution.values),
        lower_bound=None,
        slot_price=_slot_price(problem, site, solution),
        name="highs",
        status="optimal",
    )


def _slot_price(problem: Problem, site: Site, solution: Solution) -> FloatArray:
    if not len(solution.row_duals):
        return np.zeros(problem.slots)
    return solution.row_duals[site.balance] / problem.slot_hours


@dataclass(frozen=True, slots=True)
class VehicleColumns:
    """Columns of charging power, one for every allowed vehicle and slot, and of discharge at some of these places."""

    into: IntArray
    gives: IntArray
    out: IntArray

    def net_kw(self, values: FloatArray) -> FloatArray:
        """Return the power at every place, negative where more is given back than taken."""
        net = values[self.into]
        net[self.gives] -= values[self.out]
        return net


def add_vehicles(
    program: Program,
    problem: Problem,
    scope: Scope,
    where: tuple[IntArray, IntArray],
    site: Site,
    *,
    on: IntArray | None = None,
) -> VehicleColumns:
    """Add a power per allowed vehicle and slot, its energy rows and its taper; return the power columns.

    Whoever has a standby loses it where its switch is ``on``, or in every slot of a scope with floors; else all charge
    as if at full power.
    """
    if on is None and scope.floor_kw is None:
        problem = at_full_power(problem)
    fleet, hours = problem.fleet, problem.slot_hours
    rows, slots = where
    low = 0.0 if scope.floor_kw is None else scope.floor_kw[where]
    power = program.columns(len(rows), low=low, high=scope.ceiling_kw[where])
    program.put(site.balance[slots], power, -1.0)
    need = fleet.need_kwh
    short = program.columns(fleet.size, cost=shortfall_prices(problem), high=need)
    gives, out = _add_discharge(program, problem, scope, where, site)
    is_tapered = tapered_rows(problem)
    is_tapered[rows[gives]] = True
    most = np.where(is_tapered, fleet.room_kwh, np.maximum(need, _floor_kwh(scope, hours)))
    # Whoever may give back can spare what it has beyond its target.
    spare = np.maximum(fleet.start_soc_pct - fleet.required_soc_pct, 0.0) / 100 * fleet.battery_kwh / fleet.efficiency
    reached = program.rows(fleet.size, low=need - np.where(may_give(problem), spare, 0.0))
    taken = program.rows(fleet.size, high=most)
    program.put(reached[rows], power, hours)
    program.put(reached, short, 1.0)
    program.put(taken[rows], power, hours)
    if problem.discharge is not None:
        # What the grid gets has left the battery with losses both ways.
        both_ways = fleet.efficiency[rows[gives]] * problem.discharge.efficiency[rows[gives]]
        program.put(reached[rows[gives]], out, -hours / both_ways)
        program.put(taken[rows[gives]], out, -hours / both_ways)
    for group, limit in enumerate(site.groups):
        member = scope.group[rows] == group
        program.put(limit[slots[member]], power[member], 1.0)
    columns = VehicleColumns(power, gives, out)
    on = _standby_columns(program, problem, rows, on)
    if len(on) and fleet.standby_kw is not None:
        for energy in (reached, taken):
            program.put(energy[rows], on, -hours * fleet.standby_kw[rows])
    _add_taper(program, problem, np.flatnonzero(is_tapered[rows]), (rows, columns), on)
    return columns


def _standby_columns(program: Program, problem: Problem, rows: IntArray, on: IntArray | None) -> IntArray:
    """Return a column per power that is 1 where charging is on; none where nothing is lost to standby."""
    if problem.fleet.standby_kw is None:
        return np.zeros(0, dtype=np.int64)
    return program.columns(len(rows), low=1.0, high=1.0) if on is None else on


def _add_discharge(
    program: Program, problem: Problem, scope: Scope, where: tuple[IntArray, IntArray], site: Site
) -> tuple[IntArray, IntArray]:
    """Add the discharge of the vehicles that may give; return their places among all powers, and the columns."""
    rows, slots = where
    able = problem.discharge
    if able is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    most = np.minimum(np.where(may_give(problem), able.max_kw, 0.0)[rows], scope.ceiling_kw[where])
    gives = np.flatnonzero(most > 0)
    out = program.columns(len(gives), high=most[gives])
    program.put(site.balance[slots[gives]], out, 1.0)
    for group, limit in enumerate(site.groups):
        member = scope.group[rows[gives]] == group
        program.put(limit[slots[gives[member]]], out[member], -1.0)
    return gives, out


def may_give(problem: Problem) -> BoolArray:
    """Say which vehicles may be discharged, [N]: those that come with the SoC that they keep, or more."""
    able = problem.discharge
    if able is None:
        return np.zeros(problem.fleet.size, dtype=np.bool_)
    gives: BoolArray = (able.max_kw > 0) & (problem.fleet.start_soc_pct >= able.min_soc_pct)
    return gives


def _floor_kwh(scope: Scope, hours: float) -> FloatArray | float:
    return 0.0 if scope.floor_kw is None else scope.floor_kw.sum(axis=1) * hours


def shortfall_prices(problem: Problem) -> FloatArray:
    """Return what a missing kWh costs per vehicle, [N]: the problem's price, a hair less for those that need most.

    Where vehicles are equal, energy so goes where it makes most of them ready, and the same way in every solve. Prices
    are never above the problem's, so that bounds stay bounds.
    """
    fleet = problem.fleet
    rank = np.argsort(np.argsort(fleet.need_kwh, kind="stable"), kind="stable")
    return problem.shortfall_price_per_kwh * fleet.priority * (1 - TIE_BREAK * rank / max(1, fleet.size))


def tapered_rows(problem: Problem) -> BoolArray:
    """Say which vehicles can meet their taper on the way to their target, [N].

    Energy that is paid for taking it may fill any battery beyond its target, so then all can.
    """
    curve = curve_of(problem)
    if may_overfill(problem):
        return np.ones(problem.fleet.size, dtype=np.bool_)
    return problem.fleet.required_soc_pct / 100 > curve.switch_soc + 1e-9


def may_overfill(problem: Problem) -> bool:
    """Say whether energy beyond a target can be worth taking, because somebody pays for it."""
    return problem.feed_in_per_kwh < 0 or bool((problem.import_price_per_kwh < 0).any())


def _add_taper(
    program: Program, problem: Problem, chosen: IntArray, powers: tuple[IntArray, VehicleColumns], on: IntArray
) -> None:
    """Add the SoC at the end of every chosen vehicle and slot, and the taper that it brings."""
    columns = powers[1]
    rows, power = powers[0][chosen], columns.into[chosen]
    if not len(chosen):
        return
    curve = curve_of(problem)
    is_first = np.diff(rows, prepend=-1) != 0
    begin = np.where(is_first, problem.fleet.start_soc_pct[rows] / 100, 0.0)
    able = problem.discharge
    least = 0.0 if able is None else np.where(may_give(problem), able.min_soc_pct / 100, 0.0)[rows]
    soc = program.columns(len(chosen), low=least, high=1.0)
    step = program.rows(len(chosen), low=begin, high=begin)
    program.put(step, soc, 1.0)
    program.put(step, power, -curve.gain[rows])
    if len(on):
        program.put(step, on[chosen], (curve.gain * curve.standby_kw)[rows])
    if able is not None:
        giver = powers[0][columns.gives]
        loss = problem.slot_hours / (able.efficiency * problem.fleet.battery_kwh)
        program.put(step[np.searchsorted(chosen, columns.gives)], columns.out, loss[giver])
    later = np.flatnonzero(~is_first)
    program.put(step[later], soc[later - 1], -1.0)
    taper = program.rows(len(chosen), high=1 + (curve.slope * curve.knee)[rows])
    program.put(taper, power, 1 / curve.taper_kw[rows])
    program.put(taper, soc, curve.slope[rows])
