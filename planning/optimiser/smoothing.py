"""Few power changes: of plans that cost nearly the same, one that people can read and chargers can hold.

Every kW by which a vehicle's power rises is given a price, so small that what it can add to the cost of charging is
bounded beforehand: with the price of a rise at ``COST_SHARE`` of what the vehicles cost, divided by all rises of the
plan before, the new plan cannot be dearer by more than that share. Falls need no price: what rises falls again.

Batteries are cared for in the same way: every hour that a kWh above ``FULL_SOC_PCT`` waits for the departure has a
price, so that of plans that cost nearly the same one is taken that finishes late instead of standing full.
"""

from dataclasses import replace

import numpy as np

from planning.feasibility import measure
from planning.model import Fleet, FloatArray, IntArray, Problem
from planning.optimiser.monolith import add_vehicles
from planning.optimiser.parts import beside, dealt, loads_of
from planning.optimiser.program import Program, SolverError
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import Scope
from planning.optimiser.site import add_site, cost_without_vehicles

COST_SHARE = 3e-4
CARE_SHARE = 2e-4
FULL_SOC_PCT = 90.0  # calendar ageing rises steeply from about here
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
    waiting = _waiting_kwh_h(problem, relaxed.power_kw)
    care_price = CARE_SHARE * caused / waiting if waiting > EPSILON_KW else 0.0
    prices = COST_SHARE * caused / risen_kw, care_price
    power = relaxed.power_kw.copy()
    loads = loads_of(problem, scope.group, power)
    for rows in dealt(problem.fleet.size, CHUNK):
        others = loads - loads_of(problem, scope.group[rows], power[rows])
        floor = None if scope.floor_kw is None else scope.floor_kw[rows]
        inside = Scope(scope.ceiling_kw[rows], scope.group[rows], floor)
        part = beside(problem.with_fleet(rows), others)
        found = _smoothed(part, inside, replace(relaxed, power_kw=power[rows]), prices)
        power[rows] = found.power_kw
        relaxed = replace(relaxed, battery_kw=found.battery_kw)
        loads = others + loads_of(problem, scope.group[rows], power[rows])
    return replace(relaxed, power_kw=power)


def _waiting_kwh_h(problem: Problem, power_kw: FloatArray) -> float:
    """Return the kWh times hours for which energy above ``FULL_SOC_PCT`` waits in the batteries of powers [N, T]."""
    fleet, hours = problem.fleet, problem.slot_hours
    stored = np.cumsum(power_kw, axis=1) * (fleet.efficiency * hours)[:, None] - _kwh_below_full(fleet)[:, None]
    return float(np.where(problem.present(), np.maximum(stored, 0.0), 0.0).sum()) * hours


def _kwh_below_full(fleet: Fleet) -> FloatArray:
    """Return what fits into each battery before ``FULL_SOC_PCT``, [N]; nothing where it comes with more."""
    below: FloatArray = np.maximum(FULL_SOC_PCT - fleet.start_soc_pct, 0.0) / 100 * fleet.battery_kwh
    return below


def _smoothed(problem: Problem, scope: Scope, relaxed: Relaxation, prices: tuple[float, float]) -> Relaxation:
    """Return the powers of some vehicles at prices of rises and of waiting full; those before where there are none."""
    program = Program()
    site = add_site(program, problem)
    rows, slots = np.nonzero(scope.ceiling_kw > 0)
    power = add_vehicles(program, problem, scope, (rows, slots), site)
    _add_rises(program, (rows, slots), power.into, prices[0])
    if prices[1] > 0:
        _add_waiting(program, problem, (rows, power.into), prices[1])
    try:
        solution = program.solve()
    except SolverError:
        return relaxed
    powers = np.zeros_like(relaxed.power_kw)
    powers[rows, slots] = power.net_kw(solution.values)
    return replace(relaxed, power_kw=powers, battery_kw=site.battery_kw(solution.values))


def pattern_scope(problem: Problem, scope: Scope, power_kw: FloatArray) -> Scope:
    """Return the scope in which powers stay on, at the minimum or more, exactly where they are on."""
    is_on = power_kw > EPSILON_KW
    floor = np.where(is_on, np.minimum(problem.least_kw[:, None], power_kw), 0.0)
    return scope.narrowed(np.where(is_on, scope.ceiling_kw, 0.0), floor)


def _add_waiting(program: Program, problem: Problem, where: tuple[IntArray, IntArray], price_per_kwh_h: float) -> None:
    """Add the energy above ``FULL_SOC_PCT`` at the end of every slot of the vehicles whose target lies above."""
    fleet, hours = problem.fleet, problem.slot_hours
    chosen = np.flatnonzero((fleet.required_soc_pct > FULL_SOC_PCT)[where[0]])
    rows, power = where[0][chosen], where[1][chosen]
    if not len(chosen):
        return
    follows = np.flatnonzero(np.diff(rows, prepend=-1) == 0)
    stored = program.columns(len(chosen))
    step = program.rows(len(chosen), low=0.0, high=0.0)
    program.put(step, stored, 1.0)
    program.put(step, power, -fleet.efficiency[rows] * hours)
    program.put(step[follows], stored[follows - 1], -1.0)
    waiting = program.columns(len(chosen), cost=price_per_kwh_h * hours)
    above = program.rows(len(chosen), low=-_kwh_below_full(fleet)[rows])
    program.put(above, waiting, 1.0)
    program.put(above, stored, -1.0)


def _add_rises(program: Program, where: tuple[IntArray, IntArray], power: IntArray, price_per_kw: float) -> None:
    rows, slots = where
    follows = np.flatnonzero((np.diff(rows, prepend=-1) == 0) & (np.diff(slots, prepend=-2) == 1))
    rise = program.columns(len(power), cost=price_per_kw)
    above = program.rows(len(power), low=0.0)
    program.put(above, rise, 1.0)
    program.put(above, power, -1.0)
    program.put(above[follows], power[follows - 1], 1.0)
