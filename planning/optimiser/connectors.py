"""The connectors' share of a plan: several assignments, each judged by what the relaxation makes of it.

How an assignment comes about is the business of ``planning.assignment`` and ``handover``; here the cheapest is found.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np

from planning.assignment import PREFERENCES, Preference, assign, core_slots
from planning.feasibility import measure
from planning.model import NO_CONNECTOR, SHORT_KWH, Assignment, FloatArray, Problem
from planning.optimiser.handover import search_holds
from planning.optimiser.program import SolverError
from planning.optimiser.relaxation import relax
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import assigned_scope, free_scope
from planning.optimiser.site import cost_without_vehicles
from planning.standby import at_full_power

# Small fleets can afford to try everything, and gain most by it; for large ones the first is good if nobody is short.
TRY_ALL_BELOW = 120
# A search by shaking the order: tries shrink as relaxations get dearer, so that it takes about a second at most.
SHAKES_TIMES_VEHICLES = 800
MAX_SHAKES = 40
SHAKE_SLOTS = 25.0
SHAKEN_SHARE = 0.3
# The mixed-integer search finds what shaking does not, a depot in small at a time; that takes seconds, so that many
# vehicles are searched only where matching did badly.
SEARCHED_TOGETHER = 24
GOOD_ENOUGH = 0.02  # of what the vehicles cost, above the bound
GOOD_ENOUGH_OF_MANY = 0.045
SEARCH_GAP = 0.005
SEED = 20261122

logger = logging.getLogger(__name__)


class Held(NamedTuple):
    """An assignment, and the relaxed powers within it."""

    assignment: Assignment
    relaxed: Relaxation


@dataclass(frozen=True, slots=True)
class _Judged:
    """An assignment, what the relaxation makes of it, and its figures."""

    assignment: Assignment
    relaxed: Relaxation
    cost: float
    shortfall_kwh: float


@dataclass(frozen=True, slots=True)
class _Yardstick:
    """What no assignment can beat: the relaxation that knows no connectors; and the cost without any vehicle."""

    problem: Problem
    least_cost: float
    least_shortfall_kwh: float
    without_vehicles: float
    slot_price: FloatArray

    @classmethod
    def of(cls, problem: Problem, bound: Relaxation) -> "_Yardstick":
        figures = measure(problem, bound.power_kw, bound.battery_kw)
        short_kwh = float(figures.shortfall_kwh.sum())
        return cls(problem, figures.cost.total, short_kwh, cost_without_vehicles(problem), bound.slot_price)

    def judge(self, assignment: Assignment) -> _Judged:
        return self.judge_held(_held(self.problem, assignment, start_price=self.slot_price))

    def judge_held(self, held: Held) -> _Judged:
        figures = measure(self.problem, held.relaxed.power_kw, held.relaxed.battery_kw)
        return _Judged(*held, figures.cost.total, float(figures.shortfall_kwh.sum()))

    @property
    def vehicles_cost(self) -> float:
        return max(self.least_cost - self.without_vehicles, 0.0)

    def avoids_shortfall(self, judged: _Judged) -> bool:
        return judged.shortfall_kwh <= self.least_shortfall_kwh + SHORT_KWH

    def is_good(self, judged: _Judged) -> bool:
        """Say whether an assignment costs hardly more than if there were connectors for all."""
        share = GOOD_ENOUGH if self.problem.fleet.size <= SEARCHED_TOGETHER else GOOD_ENOUGH_OF_MANY
        allowed = share * self.vehicles_cost
        return judged.cost - self.least_cost <= allowed and self.avoids_shortfall(judged)


def relax_both(problem: Problem, *, start_price: FloatArray | None = None) -> tuple[Relaxation, Held]:
    """Return the relaxation that knows no connectors, and that of the first assignment.

    Neither needs the other, and both take long for a large fleet, so that two cores share them.
    """
    with ThreadPoolExecutor(max_workers=1) as beside:
        held = beside.submit(_first_held, problem, start_price=start_price)
        return relax(problem, free_scope(problem), start_price=start_price), held.result()


def hand_out(problem: Problem, bound: Relaxation, first: Held | None = None) -> Held:
    """Return the cheapest assignment that is found.

    Args:
        problem: A problem with connectors.
        bound: The relaxation that knows no connectors, which no assignment can beat.
        first: The first assignment, where ``relax_both`` has found it with the bound.
    """
    first = first or _first_held(problem, start_price=bound.slot_price)
    problem = at_full_power(problem)
    yardstick = _Yardstick.of(problem, bound)
    best = _shaken(yardstick, *_by_preference(yardstick, first))
    fleet = problem.fleet
    is_plugged = fleet.plugged_connector != NO_CONNECTOR
    if not (fleet.arrival_slot[is_plugged] > 0).any():
        best = _searched(yardstick, best)
    return Held(best.assignment, best.relaxed)


def _first_held(problem: Problem, *, start_price: FloatArray | None) -> Held:
    problem = at_full_power(problem)
    return _held(problem, assign(problem, PREFERENCES[0]), start_price=start_price)


def _held(problem: Problem, assignment: Assignment, *, start_price: FloatArray | None) -> Held:
    return Held(assignment, relax(problem, assigned_scope(problem, assignment), start_price=start_price))


def _by_preference(yardstick: _Yardstick, first: Held) -> tuple[_Judged, Preference]:
    """Return the best assignment of the preferences, and the preference."""
    problem = yardstick.problem
    best, chosen = yardstick.judge_held(first), PREFERENCES[0]
    for preference in PREFERENCES[1:]:
        if problem.fleet.size >= TRY_ALL_BELOW and yardstick.avoids_shortfall(best):
            break
        assignment = assign(problem, preference)
        if not _equal(assignment, best.assignment) and (tried := yardstick.judge(assignment)).cost < best.cost:
            best, chosen = tried, preference
    return best, chosen


def _shaken(yardstick: _Yardstick, best: _Judged, preference: Preference) -> _Judged:
    """Return the best of other orders in which vehicles come, or what was the best before."""
    problem = yardstick.problem
    order = np.zeros(problem.fleet.size)
    for shake in _shakes(problem.fleet.size):
        if yardstick.is_good(best):
            break
        assignment = assign(problem, preference, shake=order + shake)
        if not _equal(assignment, best.assignment) and (tried := yardstick.judge(assignment)).cost < best.cost:
            best, order = tried, order + shake
    return best


def _searched(yardstick: _Yardstick, best: _Judged) -> _Judged:
    """Return what a mixed-integer search, some connectors with their vehicles at a time, makes of an assignment."""
    problem = yardstick.problem
    for connectors in _shares(problem, best.assignment):
        if yardstick.is_good(best):
            break
        try:
            assignment = _searched_part(yardstick, best, connectors)
        except SolverError as error:
            logger.warning("some connectors are as the simple matching gives them: %s", error)
            continue
        if not _equal(assignment, best.assignment) and (tried := yardstick.judge(assignment)).cost < best.cost:
            best = tried
    return best


def _shares(problem: Problem, assignment: Assignment) -> Iterator[set[int]]:
    """Deal the connectors out like cards, so that each share is a depot in small."""
    assert problem.connectors is not None
    count = ceil(problem.fleet.size / SEARCHED_TOGETHER)
    holders = np.bincount(assignment.connector[assignment.connector >= 0], minlength=1)
    by_holders = sorted(
        (item for item in problem.connectors.items),
        key=lambda item: (item.is_dc, -int(holders[item.index]) if item.index < len(holders) else 0, item.index),
    )
    for first in range(count):
        yield {item.index for item in by_holders[first::count]}


def _searched_part(yardstick: _Yardstick, best: _Judged, connectors: set[int]) -> Assignment:
    """Search the holds of some connectors by the vehicles that hold them or none; all others stay as they are."""
    problem, held, fleet = yardstick.problem, best.assignment, yardstick.problem.fleet
    assert problem.connectors is not None
    wanting = (core_slots(problem) > 0) | (fleet.plugged_connector != NO_CONNECTOR)
    mine = wanting & (np.isin(held.connector, list(connectors)) | (held.connector == NO_CONNECTOR))
    items = [item for item in problem.connectors.items if item.index in connectors]
    return search_holds(problem, np.flatnonzero(mine), items, held, gap=SEARCH_GAP * yardstick.vehicles_cost)


def _shakes(size: int) -> Iterator[FloatArray]:
    """Return changes [N] of the order in which vehicles come, the same ones every time."""
    chance = np.random.default_rng(SEED)
    tries = min(MAX_SHAKES, SHAKES_TIMES_VEHICLES // max(1, size)) if size < TRY_ALL_BELOW else 0
    for _ in range(tries):
        yield chance.normal(0.0, SHAKE_SLOTS, size) * (chance.random(size) < SHAKEN_SHARE)


def _equal(one: Assignment, two: Assignment) -> bool:
    same = (one.connector == two.connector).all() and (one.plug_slot == two.plug_slot).all()
    return bool(same and (one.unplug_slot == two.unplug_slot).all())
