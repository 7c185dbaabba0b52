"""What really happens in a battery when a charger offers it power: measured on a bench, or by its data sheet."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from planning.model import FloatArray
from planning.site_state import CurrentType, VehicleSpec
from planning.vehicles import DEFAULT_EFFICIENCY, NO_TAPER

STEP_HOURS = 1 / 60
FULL = 1.0 - 1e-9


class TrueBattery(Protocol):
    """A battery as it is, whatever anybody believes of it."""

    @property
    def capacity_kwh(self) -> float:
        """Usable energy."""

    def charge(self, soc: float, offered_kw: float, hours: float) -> tuple[float, float]:
        """Return mean grid power drawn (kW) and SoC (0 to 1) after ``hours`` with ``offered_kw`` on offer."""


@dataclass(frozen=True, slots=True)
class SheetBattery:
    """A battery that behaves as its data sheet says, minute by minute; ``max_kw`` is grid-side."""

    spec: VehicleSpec
    current_type: CurrentType
    max_kw: float

    @property
    def capacity_kwh(self) -> float:
        """Usable energy, state of health included."""
        return self.spec.battery_kwh

    def charge(self, soc: float, offered_kw: float, hours: float) -> tuple[float, float]:
        """Charge in steps of a minute; the taper binds at the SoC that each begins with."""
        efficiency = self.spec.efficiency or DEFAULT_EFFICIENCY[self.current_type]
        drawn_kwh = 0.0
        for _ in range(round(hours / STEP_HOURS)):
            power_kw = min(offered_kw, self._limit_kw(soc), (1 - soc) * self.capacity_kwh / efficiency / STEP_HOURS)
            soc += power_kw * STEP_HOURS * efficiency / self.capacity_kwh
            drawn_kwh += power_kw * STEP_HOURS
        return drawn_kwh / hours, min(soc, 1.0)

    def _limit_kw(self, soc: float) -> float:
        knee = (NO_TAPER[0] if self.spec.taper_knee_soc_pct is None else self.spec.taper_knee_soc_pct) / 100
        end = NO_TAPER[1] if self.spec.taper_end_fraction is None else self.spec.taper_end_fraction
        taper_kw = self.spec.taper_power_kw or self.max_kw
        fall = 0.0 if soc <= knee else (soc - knee) / (1 - knee) * (1 - end)
        return min(self.max_kw, taper_kw * (1 - fall))


@dataclass(frozen=True, slots=True)
class BenchBattery:
    """A battery as a test bench found it, interpolated between its points.

    ``limit_kw`` [S] is the grid power that it takes at ``soc`` [S] (0 to 1, ascending); ``stored_kw`` [S, P] is what of
    a grid power ``power_kw`` [P] is stored there.
    """

    capacity_kwh: float
    soc: FloatArray
    limit_kw: FloatArray
    power_kw: FloatArray
    stored_kw: FloatArray

    def charge(self, soc: float, offered_kw: float, hours: float) -> tuple[float, float]:
        """Charge in steps of a minute."""
        drawn_kwh = 0.0
        for _ in range(round(hours / STEP_HOURS)):
            if soc >= FULL or offered_kw <= 0:
                break
            power_kw = min(offered_kw, float(np.interp(soc, self.soc, self.limit_kw)))
            stored_kwh = self._stored_kw(soc, power_kw) * STEP_HOURS
            part = min(1.0, (1 - soc) * self.capacity_kwh / stored_kwh) if stored_kwh > 0 else 0.0
            soc += part * stored_kwh / self.capacity_kwh
            drawn_kwh += part * power_kw * STEP_HOURS
        return drawn_kwh / hours, min(soc, 1.0)

    def _stored_kw(self, soc: float, power_kw: float) -> float:
        place = float(np.interp(soc, self.soc, np.arange(len(self.soc))))
        below = min(int(place), len(self.soc) - 2)
        low, high = (float(np.interp(power_kw, self.power_kw, self.stored_kw[below + k])) for k in (0, 1))
        return low + (place - below) * (high - low)
