"""Conversions to canonical units: kWh, kW, km, percent. Adapters convert, nothing else does."""

NOMINAL_VOLTAGE_V = 230.0
MINIMUM_CURRENT_A = 6.0  # IEC 61851: a control pilot cannot ask for less, except nothing
KM_PER_MILE = 1.609344
KM_PER_FOOT = 0.0003048


def wh_to_kwh(energy_wh: float) -> float:
    """Return watt-hours as kWh."""
    return energy_wh / 1000


def w_to_kw(power_w: float) -> float:
    """Return watts as kW."""
    return power_w / 1000


def m_to_km(distance_m: float) -> float:
    """Return metres as km."""
    return distance_m / 1000


def amperes_to_kw(current_a: float, *, phases: int, voltage_v: float = NOMINAL_VOLTAGE_V) -> float:
    """Return the total power of a current per phase, at unity power factor."""
    return current_a * voltage_v * phases / 1000


def kw_to_amperes(power_kw: float, *, phases: int, voltage_v: float = NOMINAL_VOLTAGE_V) -> float:
    """Return the current per phase that carries a total power, at unity power factor."""
    return power_kw * 1000 / (voltage_v * phases)
