"""The connectors' share of a plan: several assignments, each judged by what the relaxation makes of it.

How an assignment comes about is ``planning.assignment``'s business; here the cheapest of a few is found.
"""

from planning.assignment import PREFERENCES, assign
from planning.feasibility import measure
from planning.model import SHORT_KWH, Assignment, Problem
from planning.optimiser.relaxation import relax
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import assigned_scope

# Small fleets can afford to try everything, and gain most by it; for large ones the first is good if nobody is short.
TRY_ALL_BELOW = 120


def hand_out(problem: Problem, bound: Relaxation) -> tuple[Assignment, Relaxation]:
    """Return an assignment and the relaxed powers within it.

    Args:
        problem: A problem with connectors.
        bound: The relaxation that knows no connectors, which no assignment can beat.
    """
    unavoidable_kwh = float(measure(problem, bound.power_kw, bound.battery_kw).shortfall_kwh.sum())
    best: tuple[float, Assignment, Relaxation] | None = None
    for preference in PREFERENCES:
        assignment = assign(problem, preference)
        if best is not None and _equal(assignment, best[1]):
            continue
        relaxed = relax(problem, assigned_scope(problem, assignment))
        figures = measure(problem, relaxed.power_kw, relaxed.battery_kw)
        if best is None or figures.cost.total < best[0]:
            best = figures.cost.total, assignment, relaxed
        is_enough = figures.shortfall_kwh.sum() <= unavoidable_kwh + SHORT_KWH
        if is_enough and problem.fleet.size >= TRY_ALL_BELOW:
            break
    assert best is not None
    return best[1], best[2]


def _equal(one: Assignment, two: Assignment) -> bool:
    same = (one.connector == two.connector).all() and (one.plug_slot == two.plug_slot).all()
    return bool(same and (one.unplug_slot == two.unplug_slot).all())
