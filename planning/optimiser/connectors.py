"""The connectors' share of a plan: several assignments, each judged by what the relaxation makes of it.

How an assignment comes about is ``planning.assignment``'s business; here the cheapest of a few is found.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from planning.assignment import PREFERENCES, Preference, assign
from planning.feasibility import measure
from planning.model import SHORT_KWH, Assignment, FloatArray, Problem
from planning.optimiser.relaxation import relax
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import assigned_scope

# Small fleets can afford to try everything, and gain most by it; for large ones the first is good if nobody is short.
TRY_ALL_BELOW = 120
# A search by shaking the order: tries shrink as relaxations get dearer, so that it takes about a second at most.
SHAKES_TIMES_VEHICLES = 800
MAX_SHAKES = 40
SHAKE_SLOTS = 25.0
SHAKEN_SHARE = 0.3
GOOD_ENOUGH = 0.01
SEED = 20261122


@dataclass(slots=True)
class _Search:
    """The cheapest assignment so far, with its relaxed powers and the order that it came from."""

    problem: Problem
    assignment: Assignment
    relaxed: Relaxation
    cost: float
    shortfall_kwh: float

    @classmethod
    def of(cls, problem: Problem, assignment: Assignment) -> "_Search":
        """Judge an assignment."""
        relaxed = relax(problem, assigned_scope(problem, assignment))
        figures = measure(problem, relaxed.power_kw, relaxed.battery_kw)
        return cls(problem, assignment, relaxed, figures.cost.total, float(figures.shortfall_kwh.sum()))


def hand_out(problem: Problem, bound: Relaxation) -> tuple[Assignment, Relaxation]:
    """Return an assignment and the relaxed powers within it.

    Args:
        problem: A problem with connectors.
        bound: The relaxation that knows no connectors, which no assignment can beat.
    """
    best, preference = _by_preference(problem, bound)
    least = measure(problem, bound.power_kw, bound.battery_kw).cost.total
    order = np.zeros(problem.fleet.size)
    for shake in _shakes(problem.fleet.size):
        if best.cost - least <= GOOD_ENOUGH * abs(least):
            break
        assignment = assign(problem, preference, shake=order + shake)
        if not _equal(assignment, best.assignment) and (tried := _Search.of(problem, assignment)).cost < best.cost:
            best, order = tried, order + shake
    return best.assignment, best.relaxed


def _by_preference(problem: Problem, bound: Relaxation) -> tuple[_Search, Preference]:
    """Return the best assignment of the preferences, and the preference."""
    unavoidable_kwh = float(measure(problem, bound.power_kw, bound.battery_kw).shortfall_kwh.sum())
    best, chosen = _Search.of(problem, assign(problem, PREFERENCES[0])), PREFERENCES[0]
    for preference in PREFERENCES[1:]:
        if problem.fleet.size >= TRY_ALL_BELOW and best.shortfall_kwh <= unavoidable_kwh + SHORT_KWH:
            break
        assignment = assign(problem, preference)
        if not _equal(assignment, best.assignment) and (tried := _Search.of(problem, assignment)).cost < best.cost:
            best, chosen = tried, preference
    return best, chosen


def _shakes(size: int) -> Iterator[FloatArray]:
    """Return changes [N] of the order in which vehicles come, the same ones every time."""
    chance = np.random.default_rng(SEED)
    tries = min(MAX_SHAKES, SHAKES_TIMES_VEHICLES // max(1, size)) if size < TRY_ALL_BELOW else 0
    for _ in range(tries):
        yield chance.normal(0.0, SHAKE_SLOTS, size) * (chance.random(size) < SHAKEN_SHARE)


def _equal(one: Assignment, two: Assignment) -> bool:
    same = (one.connector == two.connector).all() and (one.plug_slot == two.plug_slot).all()
    return bool(same and (one.unplug_slot == two.unplug_slot).all())
