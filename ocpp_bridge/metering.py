"""Meter samples as stations really send them, in kW, kWh, A and percent. Pure; OCPP 1.6 and 2.x alike."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ocpp_bridge.protocol import number, whole

TO_KILO: Final = {"w": 0.001, "kw": 1.0, "wh": 0.001, "kwh": 1.0, "va": 0.001, "kva": 1.0}
PHASES: Final = ("L1", "L2", "L3")


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading; what the station did not say is None. ``current_a`` is per phase."""

    power_kw: float | None = None
    offered_kw: float | None = None
    offered_a: float | None = None
    energy_register_kwh: float | None = None
    soc_pct: float | None = None
    current_a: dict[str, float] = field(default_factory=dict)


def read_samples(meter_value: object) -> Iterator[tuple[str | None, Sample]]:
    """Yield each reading of a ``meterValue`` list with its time stamp, oldest first as sent."""
    for entry in meter_value if isinstance(meter_value, list) else []:
        if isinstance(entry, dict):
            stamp = entry.get("timestamp")
            yield (stamp if isinstance(stamp, str) else None), read_sample(entry.get("sampledValue"))


def read_sample(sampled: object) -> Sample:
    """Read one list of sampled values: phases are summed where no total is given."""
    totals: dict[str, float] = {}
    by_phase: dict[str, dict[str, float]] = {}
    for item in sampled if isinstance(sampled, list) else []:
        if not isinstance(item, dict) or (value := _value(item)) is None:
            continue
        measurand = str(item.get("measurand") or "Energy.Active.Import.Register")
        phase = str(item.get("phase") or "").removesuffix("-N")
        if phase in PHASES:
            by_phase.setdefault(measurand, {})[phase] = value
        elif not phase:
            totals[measurand] = value
    for measurand, phases in by_phase.items():
        # A current is per phase: its highest phase is what a limit per phase is compared with.
        totals.setdefault(measurand, max(phases.values()) if measurand.startswith("Current") else sum(phases.values()))
    return Sample(
        power_kw=totals.get("Power.Active.Import"),
        offered_kw=totals.get("Power.Offered"),
        offered_a=totals.get("Current.Offered"),
        energy_register_kwh=totals.get("Energy.Active.Import.Register"),
        soc_pct=totals.get("SoC"),
        current_a=by_phase.get("Current.Import", {}),
    )


def mean_power_kw(earlier_kwh: float, later_kwh: float, seconds: float) -> float | None:
    """Return the mean power between two readings of a register; None where it was reset or no time passed."""
    if seconds <= 0 or later_kwh < earlier_kwh:
        return None
    return (later_kwh - earlier_kwh) * 3600 / seconds


def _value(item: dict[str, Any]) -> float | None:
    value = number(item.get("value"))
    if value is None:
        return None
    unit = item.get("unit")
    of_measure = item.get("unitOfMeasure")
    if isinstance(of_measure, dict):
        unit = of_measure.get("unit", unit)
        value *= 10.0 ** max(-12, min(12, whole(of_measure.get("multiplier")) or 0))
    measurand = str(item.get("measurand") or "Energy")
    default = "Wh" if measurand.startswith("Energy") else "W" if measurand.startswith("Power") else ""
    return value * TO_KILO.get(str(unit or default).casefold(), 1.0)
