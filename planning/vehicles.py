"""One vehicle's stay as the optimiser needs it, and many of them as a fleet's columns.

What the registry does not know is filled in here, in one place: no taper, full health, typical charging efficiency.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planning.model import NO_CONNECTOR, Fleet, FloatArray, IntArray, Preconditioning
from planning.site_state import CurrentType, VehicleSpec

DEFAULT_EFFICIENCY = {"ac": 0.9, "dc": 0.94}
MOST_STANDBY_SHARE = 0.5  # of the power, where a weak connector meets a charger that loses much
NO_TAPER = (100.0, 1.0)  # knee in percent, fraction of the power that is left at 100 %


@dataclass(frozen=True, slots=True)
class Row:
    """A vehicle with its stay, its target and the power of the connector that it stands at or may find."""

    spec: VehicleSpec
    current_type: CurrentType
    arrival_slot: int
    departure_slot: int
    start_soc_pct: float
    required_soc_pct: float
    max_kw: float
    min_kw: float
    priority: float = 1.0
    plugged: int = NO_CONNECTOR
    bay: int = NO_CONNECTOR
    transaction_id: str | int | None = None
    is_dispatchable: bool = True


def fleet_of(rows: Sequence[Row]) -> Fleet:
    """Return the rows as columns, in their order."""
    specs = [row.spec for row in rows]
    no_knee, no_end = NO_TAPER
    return Fleet(
        vehicle_ids=tuple(spec.vehicle_id for spec in specs),
        arrival_slot=_integers([row.arrival_slot for row in rows]),
        departure_slot=_integers([row.departure_slot for row in rows]),
        battery_kwh=_numbers([spec.battery_kwh for spec in specs]),
        start_soc_pct=np.clip(_numbers([row.start_soc_pct for row in rows]), 0.0, 100.0),
        required_soc_pct=np.clip(_numbers([row.required_soc_pct for row in rows]), 0.0, 100.0),
        is_dc=np.array([row.current_type == "dc" for row in rows], dtype=np.bool_),
        max_power_kw=_numbers([row.max_kw for row in rows]),
        min_power_kw=_numbers([min(row.min_kw, row.max_kw) for row in rows]),
        taper_power_kw=_numbers([row.spec.taper_power_kw or max(row.max_kw, 1e-3) for row in rows]),
        taper_knee_soc_pct=_numbers([_or(spec.taper_knee_soc_pct, no_knee) for spec in specs]),
        taper_end_fraction=_numbers([_or(spec.taper_end_fraction, no_end) for spec in specs]),
        efficiency=_numbers([_or(row.spec.efficiency, DEFAULT_EFFICIENCY[row.current_type]) for row in rows]),
        priority=_numbers([row.priority for row in rows]),
        plugged_connector=_integers([row.plugged for row in rows]),
        bay_connector=_integers([row.bay for row in rows]),
        transaction_ids=tuple(row.transaction_id for row in rows),
        is_dispatchable=np.array([row.is_dispatchable for row in rows], dtype=np.bool_),
        standby_kw=_standby(rows),
        preconditioning=_preconditioning(specs),
    )


def _standby(rows: Sequence[Row]) -> FloatArray | None:
    """Return what charging loses while it is on, [N]; None where no vehicle is known to lose anything."""
    if not any(row.spec.standby_kw for row in rows):
        return None
    return _numbers([min(row.spec.standby_kw or 0.0, MOST_STANDBY_SHARE * row.max_kw) for row in rows])


def _preconditioning(specs: Sequence[VehicleSpec]) -> Preconditioning | None:
    """Return the heat that vehicles ask for; None where none does."""
    if not any(spec.precondition_kw for spec in specs):
        return None
    power, minutes = ([spec.precondition_kw or 0.0 for spec in specs], [spec.precondition_min or 0.0 for spec in specs])
    return Preconditioning(_numbers(power), _numbers(minutes))


def _numbers(values: Sequence[float]) -> FloatArray:
    return np.array(values, dtype=np.float64)


def _integers(values: Sequence[int]) -> IntArray:
    return np.array(values, dtype=np.int64)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
