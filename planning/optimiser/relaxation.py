"""The one way in: the best powers when minimum power and connectors are left to the scope.

Which method solves it is decided here and nowhere else.
"""

import logging
from dataclasses import replace

from planning.model import FloatArray, Problem
from planning.optimiser.decomposition import NotConvergedError, solve_decomposed
from planning.optimiser.monolith import may_overfill, solve_monolith, tapered_rows
from planning.optimiser.program import SolverError
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import Scope
from planning.standby import at_full_power

LARGE_FLEET = 150

logger = logging.getLogger(__name__)


def relax(problem: Problem, scope: Scope, *, start_price: FloatArray | None = None) -> Relaxation:
    """Return the optimum of the linear relaxation within a scope, and its proven lower bound.

    Without floors every kWh is charged as efficiently as at full power.
    ``start_price`` [T] is where large fleets begin, if a plan of nearly the same problem is known.
    """
    if scope.floor_kw is None and problem.fleet.standby_kw is not None:
        relaxed = relax(at_full_power(problem), scope, start_price=start_price)
        # Where drawing power is paid for, its waste can be worth something, and nothing is proven.
        return replace(relaxed, lower_bound=None) if may_overfill(problem) else relaxed
    if _can_be_decomposed(problem, scope):
        try:
            return solve_decomposed(problem, scope, start_price=start_price)
        except (NotConvergedError, SolverError) as error:
            logger.warning("the whole programme is solved at once: %s", error)
    return solve_monolith(problem, scope)


def _can_be_decomposed(problem: Problem, scope: Scope) -> bool:
    """Say whether vehicles can answer prices: one that tapers only where its ceiling is the same in every slot."""
    if problem.fleet.size < LARGE_FLEET or scope.floor_kw is not None or problem.discharge is not None:
        return False
    return problem.reserved_kw is None or not (problem.reserved_kw[tapered_rows(problem)] > 0).any()
