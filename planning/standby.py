"""What charging loses while it is on, whatever the power: so efficiency falls at low power.

SoC as a function of power is then convex and no linear programme can hold it. The best that can be said linearly is
the line from nothing to full power: nobody charges more efficiently than that, so what is optimal on it is a bound.
Whether a vehicle charges in a slot is decided as for a minimum power, and then the loss is a constant.
"""

from dataclasses import replace

import numpy as np

from planning.model import Problem
from planning.taper import charging_curve

LEAST_SHARE = 1e-3


def at_full_power(problem: Problem) -> Problem:
    """Return the problem in which every kWh is charged as efficiently as at full power; the same without standby.

    Its optimum costs at most what the problem's does, unless drawing power is paid for. A kWh that is short is priced
    so that the same missing SoC costs the same.
    """
    fleet = problem.fleet
    if fleet.standby_kw is None:
        return problem
    cap_kw = np.maximum(charging_curve(fleet, problem.slot_hours).cap_kw, 1e-9)
    share = np.clip(1 - fleet.standby_kw / cap_kw, LEAST_SHARE, 1.0)
    ideal = replace(fleet, efficiency=fleet.efficiency * share, priority=fleet.priority * share, standby_kw=None)
    return replace(problem, fleet=ideal)
