"""A battery as the cells see it: open-circuit voltage, resistance, constant current and then constant voltage.

Power falls because the voltage limit is reached, not by a formula over the state of charge. Charging equipment loses
a fixed part and a proportional part. Energy is conserved: grid energy = stored energy + losses.
"""

from dataclasses import dataclass
from math import sqrt

CELL_VOLTAGES = (3.30, 3.46, 3.55, 3.61, 3.65, 3.70, 3.78, 3.87, 3.97, 4.08, 4.19)  # NMC at 0, 10, … 100 % gross
NOMINAL_VOLTAGE = 3.68
VOLTAGE_LIMIT = 4.20
DISPLAYED_FROM, DISPLAYED_TO = 0.04, 0.965  # the gross window that the display calls 0 to 100 %
OHMIC_V_PER_C = 0.08  # voltage drop at 1 C that turns into heat
POLARISED_V_PER_C = 0.50  # drop at 1 C that the voltage limit sees in winter, diffusion included


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses between grid and battery terminals: a fixed part and a share of grid power."""

    fixed_kw: float
    proportional: float

    def to_terminal_kw(self, grid_kw: float) -> float:
        """Return what reaches the battery's terminals."""
        return max(0.0, grid_kw * (1 - self.proportional) - self.fixed_kw)

    def to_grid_kw(self, terminal_kw: float) -> float:
        """Return what the grid must give for a terminal power above zero."""
        return (terminal_kw + self.fixed_kw) / (1 - self.proportional)


ON_BOARD_CHARGER = Losses(fixed_kw=0.20, proportional=0.065)
DC_CABINET = Losses(fixed_kw=0.50, proportional=0.050)


@dataclass(frozen=True, slots=True)
class Charge:
    """What a stretch of charging did: mean grid power, stored energy, state of charge at its end (0 to 1)."""

    grid_kw: float
    stored_kwh: float
    soc: float


@dataclass(frozen=True, slots=True)
class Battery:
    """A pack of ``capacity_kwh`` usable energy (state of health included) that takes at most ``max_terminal_kw``."""

    capacity_kwh: float
    max_terminal_kw: float
    losses: Losses

    def open_circuit_voltage(self, soc: float) -> float:
        """Return the cell voltage at rest for a displayed state of charge (0 to 1)."""
        gross = (DISPLAYED_FROM + min(1.0, max(0.0, soc)) * (DISPLAYED_TO - DISPLAYED_FROM)) * 10
        lower = int(gross)
        return CELL_VOLTAGES[lower] + (gross - lower) * (CELL_VOLTAGES[lower + 1] - CELL_VOLTAGES[lower])

    def terminal_limit_kw(self, soc: float) -> float:
        """Return the highest terminal power that keeps the cells below their voltage limit."""
        rest_voltage = self.open_circuit_voltage(soc)
        rate = (VOLTAGE_LIMIT - rest_voltage) / POLARISED_V_PER_C
        return min(self.max_terminal_kw, rate * self.capacity_kwh * VOLTAGE_LIMIT / NOMINAL_VOLTAGE)

    def grid_limit_kw(self, soc: float) -> float:
        """Return the highest useful grid power at a state of charge; 0 when the battery is full."""
        return self.losses.to_grid_kw(self.terminal_limit_kw(soc)) if soc < 1 else 0.0

    def stored_kw(self, soc: float, terminal_kw: float) -> float:
        """Return what of a terminal power is stored; the rest heats the cells."""
        rest_voltage = self.open_circuit_voltage(soc)
        resistance = OHMIC_V_PER_C * NOMINAL_VOLTAGE / self.capacity_kwh  # V per kW of stored power, cell scale
        # terminal = stored · (1 + resistance · stored / voltage²), solved for stored
        slope = resistance / rest_voltage**2
        return (sqrt(1 + 4 * slope * terminal_kw) - 1) / (2 * slope) if terminal_kw > 0 else 0.0

    def charge(self, soc: float, offered_kw: float, hours: float) -> Charge:
        """Charge from the grid for a short stretch (minutes), with what is offered or what the cells allow.

        Args:
            soc: Displayed state of charge, 0 to 1.
            offered_kw: Grid-side power on offer.
            hours: Length of the stretch.
        """
        if offered_kw <= 0:
            return Charge(0.0, 0.0, soc)
        grid_kw = min(offered_kw, self.grid_limit_kw(soc))
        stored_kw = self.stored_kw(soc, self.losses.to_terminal_kw(grid_kw))
        if stored_kw <= 0:
            return Charge(0.0, 0.0, soc)
        room_kwh = (1 - soc) * self.capacity_kwh
        part = min(1.0, room_kwh / (stored_kw * hours))
        stored_kwh = stored_kw * hours * part
        after = soc + stored_kwh / self.capacity_kwh
        return Charge(grid_kw * part, stored_kwh, 1.0 if after > 1 - 1e-9 else after)
