"""What a battery takes: the largest constant power of a slot, given the SoC at its start.

The rule is that of ``planning_problem/1``: the taper binds at the SoC that the slot ends with. Shared by the rules and
the optimiser; the oracle states the rule again in its own way. SoC is a fraction here, power is grid-side kW.
"""

from dataclasses import dataclass

import numpy as np

from planning.model import Fleet, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class ChargingCurve:
    """Columns [N]: power ≤ min(``cap_kw``, ``taper_kw`` · (1 - ``slope`` · (SoC at the end - ``knee``))).

    ``gain`` is the SoC that 1 kW beyond ``standby_kw`` adds in one slot.
    """

    cap_kw: FloatArray
    taper_kw: FloatArray
    knee: FloatArray
    slope: FloatArray
    gain: FloatArray
    standby_kw: FloatArray

    def useful_kw(self, power_kw: FloatArray) -> FloatArray:
        """Return what is left of powers [N] or [N, T] after standby."""
        standby_kw = self.standby_kw if power_kw.ndim == 1 else self.standby_kw[:, None]
        useful: FloatArray = np.maximum(power_kw - standby_kw, 0.0)
        return useful

    def limits(self) -> "Limits":
        """Return the largest constant power of a slot as lines over the SoC at its start."""
        bend = self.taper_kw * self.slope
        level = 1 + self.slope * (self.knee + self.gain * self.standby_kw)
        return Limits(
            cap_kw=self.cap_kw,
            tapered_kw=self.taper_kw * level / (1 + bend * self.gain),
            fall_kw=bend / (1 + bend * self.gain),
            # A full battery leaves no room, whatever the taper says.
            room_kw=1 / self.gain + self.standby_kw,
            filled_kw=1 / self.gain,
            standby_kw=self.standby_kw if self.standby_kw.any() else None,
        )

    @property
    def switch_soc(self) -> FloatArray:
        """SoC at the end of a slot up to which the taper leaves the cap alone, [N]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            above = np.where(self.slope > 0, (1 - self.cap_kw / self.taper_kw) / self.slope, np.inf)
        return self.knee + above


@dataclass(frozen=True, slots=True)
class Limits:
    """Columns [N]: power ≤ min(``cap_kw``, ``tapered_kw`` - ``fall_kw`` · SoC, ``room_kw`` - ``filled_kw`` · SoC)."""

    cap_kw: FloatArray
    tapered_kw: FloatArray
    fall_kw: FloatArray
    room_kw: FloatArray
    filled_kw: FloatArray
    standby_kw: FloatArray | None

    def at(self, soc: FloatArray) -> FloatArray:
        """Return the largest constant power of a slot that starts at ``soc`` [N]."""
        sloping = np.minimum(self.tapered_kw - self.fall_kw * soc, self.room_kw - self.filled_kw * soc)
        limit: FloatArray = np.maximum(np.minimum(sloping, self.cap_kw), 0.0)
        # What standby takes whole is not worth drawing.
        return limit if self.standby_kw is None else np.where(limit <= self.standby_kw, 0.0, limit)


def charging_curve(fleet: Fleet, slot_hours: float, *, max_power_kw: FloatArray | None = None) -> ChargingCurve:
    """Return the fleet's charging curve; ``max_power_kw`` [N] replaces the vehicles' own (a weaker connector)."""
    knee = fleet.taper_knee_soc_pct / 100
    top = fleet.max_power_kw if max_power_kw is None else np.minimum(fleet.max_power_kw, max_power_kw)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(knee < 1, (1 - fleet.taper_end_fraction) / (1 - knee), 0.0)
    return ChargingCurve(
        cap_kw=np.minimum(top, fleet.taper_power_kw),
        taper_kw=fleet.taper_power_kw,
        knee=knee,
        slope=slope,
        gain=fleet.efficiency * slot_hours / fleet.battery_kwh,
        standby_kw=np.zeros(fleet.size) if fleet.standby_kw is None else fleet.standby_kw,
    )


def settle(
    curve: ChargingCurve,
    start_soc: FloatArray,
    wanted_kw: FloatArray,
    *,
    floor_kw: FloatArray | None = None,
    loss: FloatArray | None = None,
) -> FloatArray:
    """Return the powers [N, T] that the batteries really take of those wanted.

    With ``floor_kw`` [N] a power that falls below the floor becomes zero. ``loss`` [N] is the SoC that a kW given back
    takes in a slot, for powers below zero.
    """
    soc, limits = start_soc, curve.limits()
    wanted = np.ascontiguousarray(wanted_kw.T)
    taken = np.zeros_like(wanted)
    for slot in np.flatnonzero(wanted.any(axis=1)).tolist():
        power = np.minimum(wanted[slot], limits.at(soc))
        if floor_kw is not None:
            power = np.where((power < floor_kw - 1e-9) & (power >= 0), 0.0, power)
        taken[slot] = power
        soc = soc + (
            curve.gain * curve.useful_kw(power) if loss is None else np.where(power < 0, loss, curve.gain) * power
        )
    return np.ascontiguousarray(taken.T)


def full_power_slots(curve: ChargingCurve, start_soc: FloatArray, target_soc: FloatArray, most: int) -> IntArray:
    """Return in how many slots at full power each target is reached, [N]; ``most`` + 1 where it is not by then."""
    soc, slots, limits = start_soc, np.zeros(len(start_soc), dtype=np.int64), curve.limits()
    for _ in range(most + 1):
        is_short = soc < target_soc - 1e-9
        if not is_short.any():
            break
        slots += is_short
        soc = np.where(is_short, soc + curve.gain * curve.useful_kw(limits.at(soc)), soc)
    return slots
