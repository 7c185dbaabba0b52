"""A peak as a rule ends higher than planned: room under the one that is paid for is used before it is too late.

A plan that needs no more than the peak so far leaves the dearest slots empty and fills all others to that peak. Then
every kWh that turns up unexpected raises it, as no slot that is left has room. So later slots pay for coming near the
peak so far as well, by the chance that it will not do: charging goes on now while the price of energy is worth that.
"""

from dataclasses import replace

import numpy as np

from planning.feasibility import measure
from planning.model import DemandCharge, Plan, Problem

CHANCE, NEAR = 0.5, 0.1
"""The chance that a peak so far will not do, and which share of it below the top counts as near.

What they stand for is all that is not known while a night goes on: other load, who comes back with how much, and what
batteries really take."""


def expecting_creep(problem: Problem) -> Problem:
    """Return the problem with a further charge on the later slots of every demand charge, from near its peak so far."""
    further = [charge for known in problem.demand_charges if (charge := _later(problem, known)) is not None]
    return replace(problem, demand_charges=(*problem.demand_charges, *further))


def at_known_charges(problem: Problem, plan: Plan, *, lower_bound: float | None) -> Plan:
    """Return a plan of the problem that expects creep as one of the problem itself: its cost and bound."""
    cost = measure(problem, plan.power_kw, plan.battery_kw).cost
    bound = None if lower_bound is None else min(lower_bound, cost.total)
    return replace(plan, cost=cost, solver=replace(plan.solver, lower_bound=bound))


def _later(problem: Problem, charge: DemandCharge) -> DemandCharge | None:
    """Return the further charge; None where no peak is paid for yet, or no later slot could raise it.

    Where the limit leaves no more than the peak so far, that will do whatever happens.
    """
    slots = np.arange(problem.slots) if charge.slots is None else charge.slots
    later = slots[(slots > 0) & (problem.grid_limit_kw[slots] > charge.so_far_kw)]
    if charge.so_far_kw <= 0 or not len(later):
        return None
    name = f"{charge.name}, should {charge.so_far_kw:.0f} kW not do"
    return DemandCharge(name, CHANCE * charge.price_per_kw, (1 - NEAR) * charge.so_far_kw, later)
