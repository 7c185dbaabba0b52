"""What a station's meter says, in OCPP 1.6's words: values are strings, registers in Wh, per-phase currents in A.

DC cabinets have their calibrated meter on the AC side (location Inlet), so their energy is grid-side like the posts'.
"""

from simulator.world.fleet import Connector

Sampled = list[dict[str, str]]
PHASE_VOLTAGE_V = 230.0


def sampled_values(
    connector: Connector,
    *,
    register_kwh: float,
    power_kw: float,
    phases: int,
    soc: float | None,
    offered_kw: float | None,
) -> Sampled:
    """Return the sampled values of an instant.

    Args:
        connector: Whose meter it is.
        register_kwh: Energy register.
        power_kw: Mean power drawn.
        phases: Phases that carry current (AC).
        soc: State of charge, 0 to 1; only DC cabinets know it, while a vehicle is there.
        offered_kw: What the station allows the vehicle at most; left out where None.
    """
    location = "Outlet" if connector.current_type == "ac" else "Inlet"
    values = [
        _value(f"{1000 * register_kwh:.0f}", "Energy.Active.Import.Register", "Wh", location),
        _value(f"{1000 * power_kw:.0f}", "Power.Active.Import", "W", location),
    ]
    if connector.current_type == "ac":
        if offered_kw is not None:
            current_a = 1000 * offered_kw / (PHASE_VOLTAGE_V * phases)
            values.append(_value(f"{current_a:.1f}", "Current.Offered", "A", location))
    else:
        if offered_kw is not None:
            values.append(_value(f"{1000 * offered_kw:.0f}", "Power.Offered", "W", location))
        if soc is not None:
            values.append(_value(f"{100 * soc:.0f}", "SoC", "Percent", "EV"))
    return values


def _value(value: str, measurand: str, unit: str, location: str) -> dict[str, str]:
    return {
        "value": value,
        "context": "Sample.Periodic",
        "format": "Raw",
        "measurand": measurand,
        "location": location,
        "unit": unit,
    }
