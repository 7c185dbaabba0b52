"""The one way in: the best powers when minimum power and connectors are left to the scope.

Which method solves it is decided here and nowhere else.
"""

from planning.model import Problem
from planning.optimiser.monolith import solve_monolith
from planning.optimiser.result import Relaxation
from planning.optimiser.scope import Scope


def relax(problem: Problem, scope: Scope) -> Relaxation:
    """Return the optimum of the linear relaxation within a scope, and its proven lower bound."""
    return solve_monolith(problem, scope)
