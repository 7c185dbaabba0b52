"""How much of each vehicle's caution a plan needs when the errors of many vehicles do not all go the wrong way at once.

A limit is shared, so what counts is the fleet's energy and not each vehicle's worst case: twenty vehicles that all come
late and low are planned for only if that is what the confidence asks. Pure functions over margins.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.99
"""The fleet's need is planned for at this confidence."""

COMMON_SHARE = 0.05
"""Share of the errors' variance that hits all vehicles at once: weather, traffic, a model that is off."""


def pooled_share(
    margins: Sequence[float], *, level: float, confidence: float = CONFIDENCE, common: float = COMMON_SHARE
) -> float:
    """Return the share of every vehicle's own margin that covers the fleet at the stated confidence, in 0 to 1.

    Margins are taken as quantiles of errors that are normal, with equal correlation ``common`` between any two
    vehicles: the sum's quantile over the sum of the quantiles. A single vehicle keeps all of its margin, and no vehicle
    gets more than it: its own real arrival is known long before the sum matters to it alone.

    Args:
        margins: How far each vehicle's careful side lies from its median, in one unit (kWh); none is negative.
        level: Probability that a vehicle's error stays within its margin.
        confidence: Probability that the fleet's error stays within the sum of what is returned.
        common: Correlation of the errors of any two vehicles.
    """
    size = np.asarray(margins, dtype=np.float64)
    total = float(size.sum())
    if total <= 0:
        return 1.0
    normal = NormalDist()
    widened = normal.inv_cdf(confidence) / normal.inv_cdf(level)
    spread = sqrt((1 - common) * float((size**2).sum()) + common * total**2)
    return min(1.0, widened * spread / total)
