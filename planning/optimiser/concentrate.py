"""Where not all can be ready: what is missing is put on the fewest vehicles, instead of a little on each of many.

Missing kWh cost the same wherever they are missing, so the relaxation does not care whether two vehicles miss their
target or one. Here kWh of vehicles that could be ready get a slightly higher price. Which those are is found by
solving a few times: what is nearly ready becomes dearer to leave short, what is far from it cheaper; then vehicles are
taken from those that are left short, one at a time, as long as the others can bear it. The prices stay in the problem,
so that minimum power and smoothing, which come after, keep to them.
"""

from dataclasses import dataclass, replace

import numpy as np

from planning.feasibility import measure
from planning.model import SHORT_KWH, BoolArray, FloatArray, IntArray, Problem
from planning.optimiser.monolith import solve_monolith
from planning.optimiser.program import SolverError
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import Scope
from planning.optimiser.site import cost_without_vehicles
from planning.standby import at_full_power

PREFERENCE = 0.01  # more than prices of energy differ, as a share of the price of a missing kWh
DEARER = 5e-4  # of what the vehicles cost: half of what a plan may be above the optimum
NEARLY_READY = 0.2  # of what is missing on average
ROUNDS = 3
TRIES = 8


@dataclass(frozen=True, slots=True)
class _Tried:
    """An optimum at some prices, what it leaves missing [N] and what it costs at the problem's own prices."""

    relaxed: Relaxation
    missing_kwh: FloatArray
    cost: float

    @property
    def short(self) -> BoolArray:
        return self.missing_kwh > SHORT_KWH

    @property
    def count(self) -> int:
        return int(self.short.sum())


def concentrate(problem: Problem, scope: Scope, relaxed: Relaxation) -> tuple[Problem, Relaxation]:
    """Return the problem at whose prices the fewest vehicles are short, and powers that leave no more short.

    The powers are at most ``DEARER`` of what the vehicles cost above those given; where nothing is gained, they are
    those given.
    """
    given, problem = problem, at_full_power(problem)
    figures = measure(problem, relaxed.power_kw, relaxed.battery_kw)
    best = _Tried(relaxed, figures.shortfall_kwh, figures.cost.total)
    if not best.count:
        return given, relaxed
    most = best.cost + DEARER * max(best.cost - cost_without_vehicles(problem), 0.0)
    best = _taken_away(problem, scope, _reweighted(problem, scope, best, most), most)
    return _priced(given, np.where(best.short, 0.0, 1.0)), best.relaxed


def _reweighted(problem: Problem, scope: Scope, best: _Tried, most: float) -> _Tried:
    """Return the best of some rounds in which the price follows what the round before left missing."""
    if best.count <= 1:
        return best
    last = best
    # To begin with, those that need most are the ones to leave: they can bear what others miss.
    preferred = 1 - _rank(problem.fleet.need_kwh) / problem.fleet.size
    for _ in range(ROUNDS):
        found = _solved(problem, scope, preferred)
        if found is None:
            break
        best = found if found.cost <= most and found.count < best.count else best
        if best.count <= 1 or (found.missing_kwh == last.missing_kwh).all():
            break
        last = found
        little = NEARLY_READY * found.missing_kwh[found.short].mean() if found.count else SHORT_KWH
        preferred = little / (found.missing_kwh + little)
    return best


def _taken_away(problem: Problem, scope: Scope, best: _Tried, most: float) -> _Tried:
    """Return what is left when vehicles are made ready, one after another, at the cost of those that stay short."""
    tries, passed = TRIES, np.zeros(problem.fleet.size, dtype=np.bool_)
    while best.count > 1 and tries > 0:
        waiting = np.flatnonzero(best.short & ~passed)
        if not len(waiting):
            break
        row = waiting[np.argmin(best.missing_kwh[waiting])]
        passed[row] = True
        left = best.short.copy()
        left[row] = False
        found = _solved(problem, scope, np.where(left, 0.0, 1.0))
        tries -= 1
        if found is not None and found.count < best.count and found.cost <= most:
            best, passed = found, np.zeros_like(passed)
    return best


def _priced(problem: Problem, preferred: FloatArray) -> Problem:
    """Return the problem with kWh dearer the more it is preferred [N], from 0 to 1, that a vehicle be ready."""
    priority = problem.fleet.priority * (1 + PREFERENCE * preferred)
    return replace(problem, fleet=replace(problem.fleet, priority=priority))


def _solved(problem: Problem, scope: Scope, preferred: FloatArray) -> _Tried | None:
    """Return the optimum at the prices of a preference [N]; None where the solver finds none."""
    try:
        relaxed = solve_monolith(_priced(problem, preferred), scope)
    except SolverError:
        return None
    figures = measure(problem, relaxed.power_kw, relaxed.battery_kw)
    return _Tried(relaxed, figures.shortfall_kwh, figures.cost.total)


def _rank(values: FloatArray) -> IntArray:
    ranks: IntArray = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return ranks
