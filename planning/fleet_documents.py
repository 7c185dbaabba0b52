"""The vehicles of ``planning_problem/1``: a list of objects to columns and back, checked column by column.

Written for tens of thousands of vehicles: one pass per field, no loop per vehicle beyond reading the JSON.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from planning.findings import Findings, numbers
from planning.model import NO_CONNECTOR, BoolArray, Discharge, Fleet, FloatArray, IntArray, Preconditioning

CURRENT_TYPES = ("ac", "dc")
# field: (lowest, highest, whether the lowest itself is allowed)
NUMBERS: dict[str, tuple[float, float, bool]] = {
    "arrival_slot": (0, np.inf, True),
    "departure_slot": (0, np.inf, True),
    "battery_kwh": (0, np.inf, False),
    "start_soc_pct": (0, 100, True),
    "required_soc_pct": (0, 100, True),
    "max_power_kw": (0, np.inf, True),
    "min_power_kw": (0, np.inf, True),
    "taper_power_kw": (0, np.inf, False),
    "taper_knee_soc_pct": (0, 100, True),
    "taper_end_fraction": (0, 1, True),
    "efficiency": (0, 1, False),
    "priority": (0, np.inf, False),
}
SLOTS = ("arrival_slot", "departure_slot")
# Optional: what a vehicle can give back, with what is taken where a vehicle that can does not say.
DISCHARGE_NUMBERS: dict[str, tuple[float, float, bool]] = {
    "max_discharge_kw": (0, np.inf, True),
    "discharge_efficiency": (0, 1, False),
    "min_soc_pct": (0, 100, True),
}
# Optional: what charging loses while it is on, and heat before departure; nothing where a vehicle does not say.
STANDBY_NUMBERS: dict[str, tuple[float, float, bool]] = {"standby_kw": (0, np.inf, True)}
PRECONDITIONING_NUMBERS: dict[str, tuple[float, float, bool]] = {
    "precondition_kw": (0, np.inf, True),
    "precondition_min": (0, np.inf, True),
}
_BOUNDS = NUMBERS | DISCHARGE_NUMBERS | STANDBY_NUMBERS | PRECONDITIONING_NUMBERS
DISCHARGE_DEFAULTS = {"max_discharge_kw": 0.0, "discharge_efficiency": 0.9, "min_soc_pct": 30.0}


def parse_fleet(records: Sequence[Mapping[str, Any]], findings: Findings) -> Fleet:
    """Read vehicles to columns, noting what is wrong as ``vehicles[i].field``."""
    columns = {name: _column(records, name, findings) for name in NUMBERS}
    fleet = Fleet(
        vehicle_ids=_vehicle_ids(records, findings),
        is_dc=_current_types(records, findings),
        plugged_connector=_indices(records, "plugged_connector", findings),
        bay_connector=_indices(records, "bay_connector", findings),
        transaction_ids=_transactions(records, findings),
        is_dispatchable=np.array([record.get("dispatchable") is not False for record in records], dtype=np.bool_),
        arrival_slot=columns.pop("arrival_slot").astype(np.int64),
        departure_slot=columns.pop("departure_slot").astype(np.int64),
        discharge=_discharge(records, findings),
        standby_kw=_standby(records, findings),
        preconditioning=_preconditioning(records, findings),
        **columns,
    )
    _check_stays(fleet, findings)
    _check_standby(fleet, findings)
    _check_preconditioning(fleet, findings)
    return fleet


def _discharge(records: Sequence[Mapping[str, Any]], findings: Findings) -> Discharge | None:
    """Read what vehicles can give back; None where none says that it can."""
    if not any(record.get("max_discharge_kw") for record in records):
        return None
    given = [{**DISCHARGE_DEFAULTS, **{k: v for k, v in record.items() if v is not None}} for record in records]
    columns = [_column(given, name, findings) for name in DISCHARGE_NUMBERS]
    return Discharge(*columns)


def _standby(records: Sequence[Mapping[str, Any]], findings: Findings) -> FloatArray | None:
    """Read what charging loses while it is on; None where nobody says that it does."""
    columns = _optional(records, tuple(STANDBY_NUMBERS), findings)
    return columns[0] if columns else None


def _preconditioning(records: Sequence[Mapping[str, Any]], findings: Findings) -> Preconditioning | None:
    """Read the heat that vehicles ask for; None where none does."""
    columns = _optional(records, tuple(PRECONDITIONING_NUMBERS), findings)
    return Preconditioning(*columns) if columns else None


def _optional(records: Sequence[Mapping[str, Any]], names: tuple[str, ...], findings: Findings) -> list[FloatArray]:
    """Return columns that are zero where a vehicle does not say; none where no vehicle says anything but zero."""
    if not any(record.get(name) for record in records for name in names):
        return []
    nothing = dict.fromkeys(names, 0.0)
    given = [
        {**nothing, **{name: record[name] for name in names if record.get(name) is not None}} for record in records
    ]
    return [_column(given, name, findings) for name in names]


def _column(records: Sequence[Mapping[str, Any]], name: str, findings: Findings) -> FloatArray:
    low, high, low_is_allowed = _BOUNDS[name]
    raw = [record.get(name) for record in records]
    values = numbers(raw)
    inside = (values >= low if low_is_allowed else values > low) & (values <= high)
    if name in SLOTS:
        inside &= values == np.floor(values)
    for row in np.flatnonzero(~inside):
        findings.error(f"vehicles[{row}].{name}", f"is {repr(raw[row])[:60]}; {_rule(name)}")
    return np.where(inside, values, max(low, 1.0))


def _rule(name: str) -> str:
    low, high, low_is_allowed = _BOUNDS[name]
    kind = "a whole number" if name in SLOTS else "a finite number"
    above = f"{'at least' if low_is_allowed else 'above'} {low:g}"
    return f"give {kind} {above}" + (f" and at most {high:g}" if np.isfinite(high) else "")


def _vehicle_ids(records: Sequence[Mapping[str, Any]], findings: Findings) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    for row, record in enumerate(records):
        name = record.get("vehicle_id")
        if not isinstance(name, str) or not name:
            findings.error(f"vehicles[{row}].vehicle_id", f"is {name!r}; give a text")
        elif name in seen:
            findings.error(f"vehicles[{row}].vehicle_id", f"{name!r} is already vehicles[{seen[name]}]")
        else:
            seen[name] = row
    return tuple(str(record.get("vehicle_id")) for record in records)


def _current_types(records: Sequence[Mapping[str, Any]], findings: Findings) -> BoolArray:
    for row, record in enumerate(records):
        if record.get("current_type") not in CURRENT_TYPES:
            findings.error(f"vehicles[{row}].current_type", f"is {record.get('current_type')!r}; give 'ac' or 'dc'")
    return np.array([record.get("current_type") == "dc" for record in records], dtype=np.bool_)


def _indices(records: Sequence[Mapping[str, Any]], name: str, findings: Findings) -> IntArray:
    raw = [record.get(name) for record in records]
    for row, value in enumerate(raw):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            findings.error(f"vehicles[{row}].{name}", f"is {value!r}; give a connector's index or null")
    return np.array([value if isinstance(value, int) else NO_CONNECTOR for value in raw], dtype=np.int64)


def _transactions(records: Sequence[Mapping[str, Any]], findings: Findings) -> tuple[str | int | None, ...]:
    raw = tuple(record.get("transaction_id") for record in records)
    for row, value in enumerate(raw):
        if value is not None and not isinstance(value, (str, int)):
            findings.error(f"vehicles[{row}].transaction_id", f"is {value!r}; give a text, a whole number or null")
    return raw


def _check_stays(fleet: Fleet, findings: Findings) -> None:
    for row in np.flatnonzero(fleet.departure_slot < fleet.arrival_slot):
        stay = f"{fleet.departure_slot[row]} is before arrival_slot {fleet.arrival_slot[row]}"
        findings.error(f"vehicles[{row}].departure_slot", f"{stay}; a vehicle cannot leave before it comes")
    for row in np.flatnonzero(fleet.departure_slot == fleet.arrival_slot):
        findings.warn(f"vehicles[{row}].departure_slot", "equals arrival_slot; the vehicle cannot be charged at all")
    for row in np.flatnonzero(fleet.min_power_kw > fleet.max_power_kw):
        low, high = fleet.min_power_kw[row], fleet.max_power_kw[row]
        findings.warn(f"vehicles[{row}].min_power_kw", f"{low:g} is above max_power_kw {high:g}")


def _check_standby(fleet: Fleet, findings: Findings) -> None:
    if fleet.standby_kw is None:
        return
    most_kw = np.minimum(fleet.max_power_kw, fleet.taper_power_kw)
    for row in np.flatnonzero((fleet.standby_kw > 0) & (fleet.standby_kw >= most_kw)):
        lost = f"{fleet.standby_kw[row]:g} is all of the {most_kw[row]:g} kW that the vehicle takes at most"
        findings.error(f"vehicles[{row}].standby_kw", f"{lost}; nothing would reach its battery")


def _check_preconditioning(fleet: Fleet, findings: Findings) -> None:
    asked = fleet.preconditioning
    if asked is None:
        return
    for row in np.flatnonzero((asked.power_kw > 0) & (asked.minutes == 0)):
        findings.error(f"vehicles[{row}].precondition_min", "is missing or 0 beside precondition_kw; say for how long")
    for row in np.flatnonzero((asked.minutes > 0) & (asked.power_kw == 0)):
        findings.error(f"vehicles[{row}].precondition_kw", "is missing or 0 beside precondition_min; say how much")
    for row in np.flatnonzero(asked.power_kw > fleet.max_power_kw):
        top = f"{asked.power_kw[row]:g} is above max_power_kw {fleet.max_power_kw[row]:g}"
        findings.warn(f"vehicles[{row}].precondition_kw", f"{top}, which is all that is planned")


def fleet_records(fleet: Fleet) -> list[dict[str, Any]]:
    """Return the vehicles as ``planning_problem/1`` writes them."""
    columns: dict[str, list[Any]] = {"vehicle_id": list(fleet.vehicle_ids)}
    columns |= {name: getattr(fleet, name).tolist() for name in NUMBERS}
    columns["current_type"] = [CURRENT_TYPES[int(is_dc)] for is_dc in fleet.is_dc]
    for name in ("plugged_connector", "bay_connector"):
        columns[name] = [None if index == NO_CONNECTOR else index for index in getattr(fleet, name).tolist()]
    columns["transaction_id"] = list(fleet.transaction_ids)
    columns["dispatchable"] = fleet.is_dispatchable.tolist()
    if fleet.discharge is not None:
        columns["max_discharge_kw"] = fleet.discharge.max_kw.tolist()
        columns["discharge_efficiency"] = fleet.discharge.efficiency.tolist()
        columns["min_soc_pct"] = fleet.discharge.min_soc_pct.tolist()
    if fleet.standby_kw is not None:
        columns["standby_kw"] = fleet.standby_kw.tolist()
    if fleet.preconditioning is not None:
        columns["precondition_kw"] = fleet.preconditioning.power_kw.tolist()
        columns["precondition_min"] = fleet.preconditioning.minutes.tolist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
