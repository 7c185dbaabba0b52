"""The short vehicles of a plan, and what each could reach if one thing or another did not bind.

Simulations only; what is said about them is ``planning.explain``'s. Rows [n] are the short vehicles.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from planning.model import SHORT_KWH, BoolArray, FloatArray, IntArray, Plan, Problem
from planning.optimiser.scope import Scope
from planning.taper import ChargingCurve, charging_curve, settle

BISECTIONS = 14
LONGEST_STAY_SLOTS = 400


@dataclass(frozen=True, slots=True)
class ShortVehicles:
    """The vehicles that a plan leaves short: their rows in it, their part of the problem and of the scope."""

    whole: Problem
    plan: Plan
    rows: IntArray
    part: Problem
    ceiling_kw: FloatArray
    group: IntArray
    curve: ChargingCurve

    @classmethod
    def of(cls, problem: Problem, plan: Plan, scope: Scope) -> Self:
        """Return the short vehicles of a plan that was made within a scope."""
        rows = np.flatnonzero(plan.shortfall_kwh > SHORT_KWH)
        part = problem.with_fleet(rows)
        curve = charging_curve(part.fleet, problem.slot_hours)
        return cls(problem, plan, rows, part, scope.ceiling_kw[rows], scope.group[rows], curve)

    @property
    def power_kw(self) -> FloatArray:
        """What the plan gives them, [n, T]."""
        return self.plan.power_kw[self.rows]

    @property
    def missing_kwh(self) -> FloatArray:
        """What the plan leaves them short, [n]."""
        return self.plan.shortfall_kwh[self.rows]

    @property
    def least_kw(self) -> FloatArray:
        """The minimum power that is enforced, [n]."""
        return self.part.least_kw

    def stay_kw(self, curve: ChargingCurve | None = None, *, departure: IntArray | None = None) -> FloatArray:
        """Return the ceilings [n, T] of a vehicle alone, over its stay or until another departure."""
        slot = np.arange(self.part.slots)
        fleet = self.part.fleet
        until = fleet.departure_slot if departure is None else departure
        present = (slot >= fleet.arrival_slot[:, None]) & (slot < until[:, None])
        ceiling = np.where(present, (curve or self.curve).cap_kw[:, None], 0.0)
        reserved = self.part.reserved_kw
        return ceiling if reserved is None else np.maximum(ceiling - reserved, 0.0)

    def short_kwh(
        self, ceiling_kw: FloatArray, *, curve: ChargingCurve | None = None, least_kw: FloatArray | None = None
    ) -> FloatArray:
        """Return what is missing, [n], when each takes all that its battery does under a ceiling [n, T]."""
        floor = self.least_kw if least_kw is None else least_kw
        start = self.part.fleet.start_soc_pct / 100
        takes = curve or self.curve
        taken = takes.useful_kw(settle(takes, start, ceiling_kw, floor_kw=floor))
        missing: FloatArray = np.maximum(self.part.fleet.need_kwh - taken.sum(axis=1) * self.part.slot_hours, 0.0)
        return missing

    def missing_slots(self) -> FloatArray:
        """Return how many slots longer each would have to stay, alone, to reach its target; infinite if never, [n]."""
        fleet = self.part.fleet
        soc, slots = fleet.start_soc_pct / 100, np.zeros(fleet.size)
        target = fleet.required_soc_pct / 100 - SHORT_KWH / 2 * fleet.efficiency / fleet.battery_kwh
        limits = self.curve.limits()
        for _ in range(LONGEST_STAY_SLOTS):
            power = limits.at(soc)
            is_short = soc < target
            slots += is_short
            soc = np.where(
                is_short & (power >= self.least_kw), soc + self.curve.gain * self.curve.useful_kw(power), soc
            )
        here = np.clip(np.minimum(fleet.departure_slot, self.part.slots) - fleet.arrival_slot, 0, None)
        missing: FloatArray = np.where(soc < target, np.inf, slots - here)
        return missing

    def with_more_power(self, more_kw: FloatArray) -> ChargingCurve:
        """Return the charging curve of vehicles that take so much more [n]."""
        return replace(self.curve, cap_kw=self.curve.cap_kw + more_kw, taper_kw=self.curve.taper_kw + more_kw)

    def without_taper(self) -> ChargingCurve:
        """Return the charging curve of vehicles that take their full power up to 100 %."""
        return replace(self.curve, slope=np.zeros_like(self.curve.slope))

    def least_that(self, high: FloatArray, is_enough: Callable[[FloatArray], BoolArray]) -> FloatArray:
        """Return, by bisection between zero and ``high`` [n], the least value that is enough."""
        low = np.zeros_like(high)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            enough = is_enough(middle)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high
