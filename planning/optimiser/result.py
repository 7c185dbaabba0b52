"""What a relaxation gives: powers, the stationary battery, a proven bound, and the price of load per slot."""

from dataclasses import dataclass

from planning.model import FloatArray


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Powers [N, T] and battery [T] of the relaxed problem.

    ``lower_bound`` is proven, in the problem's own cost, or None. ``slot_price`` [T] is what one more kWh of load in a
    slot costs at the optimum, limits and demand charges included.
    """

    power_kw: FloatArray
    battery_kw: FloatArray | None
    lower_bound: float | None
    slot_price: FloatArray
    name: str
    status: str
