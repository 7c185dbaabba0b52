"""Who probably stands where: connectors on which nobody knows who charges, and vehicles that stand nobody knows where.

A record of sessions names nobody on a guess. A plan cannot wait: a vehicle that is charged as a guest takes power when
it is dear, and is perhaps not ready. Of all ways to place the vehicles that came home, the most likely is presumed, by
when they came, whose bay it is, and whether their batteries rose by what the charger counted; which tells two who came
together apart as soon as one of them is charged. Pure; it is asked again with every plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from planning.model import FloatArray
from planning.site_state import ConnectorKey

SOONEST, LATEST = timedelta(minutes=-15), timedelta(hours=3)
"""A vehicle is plugged in between these after it is back; clocks differ."""

USUAL_DELAY = timedelta(minutes=20)
UNKNOWN_DELAY_COST = 3.0
OTHER_BAY_COST, NO_BAY_COST = 1.5, 0.5
LEAST_LIKELY = 9.0
"""Negative log likelihood from which on a guest is the better guess."""

READING_ERROR_PP, GAIN_ERROR = 1.2, 0.1
"""Standard errors of a difference of two readings, and of what a counted kWh adds, as a share."""

IMPOSSIBLE = 1e6


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """A running transaction of nobody knows whom.

    ``counted`` is the course of its meter: instants and grid-side kWh, from any zero, both ascending.
    """

    connector: ConnectorKey
    current_type: Literal["ac", "dc"]
    plugged_at: datetime
    counted: tuple[tuple[datetime, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """A vehicle at its depot that is plugged in nowhere as far as anybody knows.

    ``back_at`` None: nobody knows since when. ``told`` are its SoC readings since then, oldest first.
    ``gain_pct_per_kwh`` is what a counted kWh adds to its SoC.
    """

    vehicle_id: str
    back_at: datetime | None
    bay: ConnectorKey | None
    takes: frozenset[str]
    gain_pct_per_kwh: float
    told: tuple[tuple[datetime, float], ...] = ()


def presumed(transactions: Sequence[Unrecognised], vehicles: Sequence[Standing]) -> dict[ConnectorKey, str]:
    """Return the vehicle that is presumed on each connector; where a guest is more likely, nobody is."""
    if not transactions or not vehicles:
        return {}
    costs = np.array([[_cost(one, vehicle) for vehicle in vehicles] for one in transactions])
    # Each transaction may be a guest's instead.
    rows, columns = linear_sum_assignment(np.hstack([costs, np.full((len(transactions),) * 2, LEAST_LIKELY)]))
    return {
        transactions[row].connector: vehicles[column].vehicle_id
        for row, column in zip(rows, columns, strict=True)
        if column < len(vehicles)
    }


def _cost(one: Unrecognised, vehicle: Standing) -> float:
    """Return the negative log likelihood that a transaction is a vehicle's, up to a constant."""
    if one.current_type not in vehicle.takes:
        return IMPOSSIBLE
    return _by_time(one, vehicle) + _by_bay(one, vehicle) + _by_energy(one, vehicle)


def _by_time(one: Unrecognised, vehicle: Standing) -> float:
    if vehicle.back_at is None:
        return UNKNOWN_DELAY_COST
    delay = one.plugged_at - vehicle.back_at
    if not SOONEST <= delay <= LATEST:
        return IMPOSSIBLE
    return max(delay, timedelta(0)) / USUAL_DELAY


def _by_bay(one: Unrecognised, vehicle: Standing) -> float:
    if vehicle.bay is None:
        return NO_BAY_COST
    return 0.0 if vehicle.bay == one.connector else OTHER_BAY_COST


def _by_energy(one: Unrecognised, vehicle: Standing) -> float:
    """Return how badly the rise of a battery fits what the charger counted between its first and its last reading."""
    told = [(at, soc_pct) for at, soc_pct in vehicle.told if at >= one.plugged_at]
    if len(told) < 2 or not one.counted:
        return 0.0
    (first_at, first_pct), (last_at, last_pct) = told[0], told[-1]
    gained_pp = vehicle.gain_pct_per_kwh * (counted_by(one.counted, last_at) - counted_by(one.counted, first_at))
    error_pp = READING_ERROR_PP + GAIN_ERROR * gained_pp
    return 0.5 * ((last_pct - first_pct - gained_pp) / error_pp) ** 2


def counted_by(course: Sequence[tuple[datetime, float]], at: datetime) -> float:
    """Return the energy that a meter had counted by an instant, in between samples in proportion."""
    seconds: FloatArray = np.array([(when - at).total_seconds() for when, _ in course])
    return float(np.interp(0.0, seconds, [kwh for _, kwh in course]))
