"""The one way in: the best powers when minimum power and connectors are left to the scope.

Which method solves it is decided here and nowhere else.
"""

import logging

from planning.model import FloatArray, Problem
from planning.optimiser.decomposition import NotConvergedError, solve_decomposed
from planning.optimiser.monolith import solve_monolith
from planning.optimiser.program import SolverError
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import Scope

LARGE_FLEET = 150

logger = logging.getLogger(__name__)


def relax(problem: Problem, scope: Scope, *, start_price: FloatArray | None = None) -> Relaxation:
    """Return the optimum of the linear relaxation within a scope, and its proven lower bound.

    ``start_price`` [T] is where large fleets begin, if a plan of nearly the same problem is known.
    """
    if problem.fleet.size >= LARGE_FLEET and scope.floor_kw is None and problem.discharge is None:
        try:
            return solve_decomposed(problem, scope, start_price=start_price)
        except (NotConvergedError, SolverError) as error:
            logger.warning("the whole programme is solved at once: %s", error)
    return solve_monolith(problem, scope)
