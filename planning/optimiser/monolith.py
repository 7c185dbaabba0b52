"""The linear relaxation as one programme with a variable per vehicle and slot: exact, and slow for large fleets.

It is the yardstick of the decomposition, and solves what is small. Taper enters as a chain of SoC variables for the
vehicles whose target lies where the taper binds.
"""

from dataclasses import replace

import numpy as np

from planning.model import BoolArray, FloatArray, IntArray, Problem
from planning.optimiser.program import Program, Solution
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import Scope, curve_of
from planning.optimiser.site import Site, add_site

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
    relaxed = _relaxation(problem, site, solution, _powers(problem, (rows, slots), solution.values[power]))
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
    power = add_vehicles(program, problem, scope, (rows, slots), site)
    on = program.switches(len(rows))
    above, below = program.rows(len(rows), low=0.0), program.rows(len(rows), high=0.0)
    program.put(above, power, 1.0)
    program.put(above, on, -problem.fleet.min_power_kw[rows])
    program.put(below, power, 1.0)
    program.put(below, on, -scope.ceiling_kw[rows, slots])
    search = program.open(nodes=nodes, gap=gap)
    search.start_from(on, (start_kw[rows, slots] > 0).astype(np.float64))
    solution = search.solve()
    return _relaxation(problem, site, solution, _powers(problem, (rows, slots), solution.values[power]))


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


def add_vehicles(
    program: Program, problem: Problem, scope: Scope, where: tuple[IntArray, IntArray], site: Site
) -> IntArray:
    """Add a power per allowed vehicle and slot, its energy rows and its taper; return the power columns."""
    fleet, hours = problem.fleet, problem.slot_hours
    rows, slots = where
    low = 0.0 if scope.floor_kw is None else scope.floor_kw[where]
    power = program.columns(len(rows), low=low, high=scope.ceiling_kw[where])
    program.put(site.balance[slots], power, -1.0)
    need = fleet.need_kwh
    short = program.columns(fleet.size, cost=shortfall_prices(problem), high=need)
    is_tapered = tapered_rows(problem)
    most = np.where(is_tapered, fleet.room_kwh, np.maximum(need, _floor_kwh(scope, hours)))
    reached = program.rows(fleet.size, low=need)
    taken = program.rows(fleet.size, high=most)
    program.put(reached[rows], power, hours)
    program.put(reached, short, 1.0)
    program.put(taken[rows], power, hours)
    for group, limit in enumerate(site.groups):
        member = scope.group[rows] == group
        program.put(limit[slots[member]], power[member], 1.0)
    _add_taper(program, problem, np.flatnonzero(is_tapered[rows]), (rows, power))
    return power


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


def _add_taper(program: Program, problem: Problem, chosen: IntArray, powers: tuple[IntArray, IntArray]) -> None:
    """Add the SoC at the end of every chosen vehicle and slot, and the taper that it brings."""
    rows, power = powers[0][chosen], powers[1][chosen]
    if not len(chosen):
        return
    curve = curve_of(problem)
    is_first = np.diff(rows, prepend=-1) != 0
    begin = np.where(is_first, problem.fleet.start_soc_pct[rows] / 100, 0.0)
    soc = program.columns(len(chosen), high=1.0)
    step = program.rows(len(chosen), low=begin, high=begin)
    program.put(step, soc, 1.0)
    program.put(step, power, -curve.gain[rows])
    later = np.flatnonzero(~is_first)
    program.put(step[later], soc[later - 1], -1.0)
    taper = program.rows(len(chosen), high=1 + (curve.slope * curve.knee)[rows])
    program.put(taper, power, 1 / curve.taper_kw[rows])
    program.put(taper, soc, curve.slope[rows])
