"""How stations put a meter reading into words, in 1.6 and in 2.x. Pure."""

from dataclasses import dataclass
from typing import Any

from simulator.personalities.book import PHASES, VOLTAGE_V
from simulator.personalities.traits import MeterStyle

Json = dict[str, Any]
ENERGY, POWER = "Energy.Active.Import.Register", "Power.Active.Import"
CURRENT, OFFERED = "Current.Import", "Current.Offered"
UNITS = {ENERGY: "Wh", POWER: "W", CURRENT: "A", OFFERED: "A"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A meter at an instant; ``phases`` carry current."""

    register_kwh: float
    power_kw: float
    offered_a: float
    phases: int


def sampled_values(reading: Reading, *, version: str, style: MeterStyle) -> list[Json]:
    """Return the ``sampledValue`` list of a reading, in a station's own manner."""
    if style == "kWh per phase":
        share = reading.register_kwh / PHASES
        return [_value(share, ENERGY, "kWh", version, phase=f"L{k + 1}") for k in range(PHASES)]
    values = [(reading.register_kwh * 1000, ENERGY)]
    if style != "register only":
        values += [(reading.power_kw * 1000, POWER), (reading.offered_a, OFFERED)]
    divisor = 1000 if style == "kilo without saying so" else 1
    found = [
        _value(value / (divisor if measurand in (ENERGY, POWER) else 1), measurand, UNITS[measurand], version)
        for value, measurand in values
    ]
    if style in ("standard", "no unit"):
        found += _currents(reading, version)
    if style == "numbers":
        found = [{**one, "value": float(one["value"])} for one in found]
    if style == "no unit":
        found = [{key: part for key, part in one.items() if key not in ("unit", "unitOfMeasure")} for one in found]
    return found


def _currents(reading: Reading, version: str) -> list[Json]:
    current_a = 1000 * reading.power_kw / (VOLTAGE_V * reading.phases)
    currents = [current_a if k < reading.phases else 0.0 for k in range(PHASES)]
    return [_value(one, CURRENT, "A", version, phase=f"L{k + 1}") for k, one in enumerate(currents)]


def _value(value: float, measurand: str, unit: str, version: str, *, phase: str | None = None) -> Json:
    common: Json = {"measurand": measurand} if phase is None else {"measurand": measurand, "phase": phase}
    if version == "1.6":
        return {"value": f"{value:.3f}", "unit": unit, **common}
    return {"value": round(value, 3), "unitOfMeasure": {"unit": unit, "multiplier": 0}, **common}
