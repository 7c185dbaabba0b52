"""Few power changes: of plans that cost nearly the same, one that people can read and chargers can hold.

Every kW by which a vehicle's power rises is given a price, so small that what it can add to the cost of charging is
bounded beforehand: with the price of a rise at ``COST_SHARE`` of what the vehicles cost, divided by all rises of the
plan before, the new plan cannot be dearer by more than that share. Falls need no price: what rises falls again.
"""

from dataclasses import replace

import numpy as np

from planning.feasibility import measure
from planning.model import FloatArray, IntArray, Problem
from planning.optimiser.monolith import add_vehicles
from planning.optimiser.parts import beside, dealt, loads_of
from planning.optimiser.program import Program, SolverError
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import Scope
from planning.optimiser.site import add_site, cost_without_vehicles

COST_SHARE = 3e-4
CHUNK = 30
EPSILON_KW = 1e-6


def smooth(problem: Problem, scope: Scope, relaxed: Relaxation) -> Relaxation:
    """Return powers with smaller and fewer rises, at most ``COST_SHARE`` of what the vehicles cost dearer.

    Some vehicles at a time: that is as good, and takes time in proportion to their number.
    """
    risen_kw = float(np.maximum(np.diff(relaxed.power_kw, axis=1, prepend=0.0), 0.0).sum())
    cost = measure(problem, relaxed.power_kw, relaxed.battery_kw).cost
    # A smooth plan is worth some money, and no readiness: what is short does not count.
    caused = cost.total - cost.shortfall - cost_without_vehicles(problem)
    if risen_kw <= EPSILON_KW or caused <= 0:
        return relaxed
    power = relaxed.power_kw.copy()
    loads = loads_of(problem, scope.group, power)
    for rows in dealt(problem.fleet.size, CHUNK):
        others = loads - loads_of(problem, scope.group[rows], power[rows])
        floor = None if scope.floor_kw is None else scope.floor_kw[rows]
        inside = Scope(scope.ceiling_kw[rows], scope.group[rows], floor)
        part = beside(problem.with_fleet(rows), others)
        found = _smoothed(part, inside, replace(relaxed, power_kw=power[rows]), COST_SHARE * caused / risen_kw)
        power[rows] = found.power_kw
        relaxed = replace(relaxed, battery_kw=found.battery_kw)
        loads = others + loads_of(problem, scope.group[rows], power[rows])
    return replace(relaxed, power_kw=power)


def _smoothed(problem: Problem, scope: Scope, relaxed: Relaxation, price_per_kw: float) -> Relaxation:
    """Return the powers of some vehicles at a price of rises; those before where the programme finds none."""
    program = Program()
    site = add_site(program, problem)
    rows, slots = np.nonzero(scope.ceiling_kw > 0)
    power = add_vehicles(program, problem, scope, (rows, slots), site)
    _add_rises(program, (rows, slots), power, price_per_kw)
    try:
        solution = program.solve()
    except SolverError:
        return relaxed
    powers = np.zeros_like(relaxed.power_kw)
    powers[rows, slots] = solution.values[power]
    return replace(relaxed, power_kw=powers, battery_kw=site.battery_kw(solution.values))


def pattern_scope(problem: Problem, scope: Scope, power_kw: FloatArray) -> Scope:
    """Return the scope in which powers stay on, at the minimum or more, exactly where they are on."""
    is_on = power_kw > EPSILON_KW
    floor = np.where(is_on, np.minimum(problem.fleet.min_power_kw[:, None], power_kw), 0.0)
    return scope.narrowed(np.where(is_on, scope.ceiling_kw, 0.0), floor)


def _add_rises(program: Program, where: tuple[IntArray, IntArray], power: IntArray, price_per_kw: float) -> None:
    rows, slots = where
    follows = np.flatnonzero((np.diff(rows, prepend=-1) == 0) & (np.diff(slots, prepend=-2) == 1))
    rise = program.columns(len(power), cost=price_per_kw)
    above = program.rows(len(power), low=0.0)
    program.put(above, rise, 1.0)
    program.put(above, power, -1.0)
    program.put(above[follows], power[follows - 1], 1.0)
