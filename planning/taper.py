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

    def limit_kw(self, soc: FloatArray) -> FloatArray:
        """Return the largest constant power of a slot that starts at ``soc`` [N]."""
        # A full battery leaves no room, whatever the taper says.
        room_kw = np.maximum(1.0 - soc, 0.0) / self.gain + self.standby_kw
        begin = soc - self.gain * self.standby_kw
        tapered_kw = (
            self.taper_kw * (1 + self.slope * (self.knee - begin)) / (1 + self.taper_kw * self.slope * self.gain)
        )
        limit: FloatArray = np.maximum(np.minimum(np.minimum(self.cap_kw, tapered_kw), room_kw), 0.0)
        # What standby takes whole is not worth drawing.
        return np.where(limit <= self.standby_kw, 0.0, limit)

    @property
    def switch_soc(self) -> FloatArray:
        """SoC at the end of a slot up to which the taper leaves the cap alone, [N]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            above = np.where(self.slope > 0, (1 - self.cap_kw / self.taper_kw) / self.slope, np.inf)
        return self.knee + above


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
    soc, taken = start_soc.copy(), np.zeros_like(wanted_kw)
    for slot in range(wanted_kw.shape[1]):
        power = np.minimum(wanted_kw[:, slot], curve.limit_kw(soc))
        if floor_kw is not None:
            power = np.where((power < floor_kw - 1e-9) & (power >= 0), 0.0, power)
        taken[:, slot] = power
        soc = soc + (
            curve.gain * curve.useful_kw(power) if loss is None else np.where(power < 0, loss, curve.gain) * power
        )
    return taken


def full_power_slots(curve: ChargingCurve, start_soc: FloatArray, target_soc: FloatArray, most: int) -> IntArray:
    """Return in how many slots at full power each target is reached, [N]; ``most`` + 1 where it is not by then."""
    soc, slots = start_soc, np.zeros(len(start_soc), dtype=np.int64)
    for _ in range(most + 1):
        is_short = soc < target_soc - 1e-9
        if not is_short.any():
            break
        slots += is_short
        soc = np.where(is_short, soc + curve.gain * curve.useful_kw(curve.limit_kw(soc)), soc)
    return slots
