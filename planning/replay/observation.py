"""What a depot's instruments show at an instant, and who turns that into requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from planning.fallback import Reading
from planning.site_state import ConnectorKey, VehicleRequest

Readings = tuple[tuple[Reading, float], ...]
"""Readings of a battery, oldest first, each with the grid-side energy that had been counted when it was taken."""


@dataclass(frozen=True, slots=True)
class PluggedIn:
    """A connector with a vehicle on it, as the charger and the vehicle report it.

    ``vehicle_id`` None: a guest, or nobody knows. ``counted_kwh`` is grid-side energy since plug-in; ``readings`` are
    the vehicle's own since then, oldest first, each with what had been counted when it was taken, ``station_readings``
    those of a station that talks to the battery (DC). ``takes_nothing``: it was offered power in the last slot and drew
    none, so its battery is full.
    """

    connector: ConnectorKey
    transaction_id: str
    plugged_at: datetime
    vehicle_id: str | None
    counted_kwh: float
    readings: Readings = ()
    takes_nothing: bool = False
    station_readings: Readings = ()

    @property
    def told(self) -> Readings:
        """The readings that count: the station's, which come by the cable, else the vehicle's own."""
        return self.station_readings or self.readings

    @property
    def reading(self) -> Reading | None:
        """The newest reading."""
        return self.told[-1][0] if self.told else None

    @property
    def charged_kwh(self) -> float:
        """Energy counted since the newest reading; without one, since plug-in."""
        return self.counted_kwh - (self.told[-1][1] if self.told else 0.0)

    def until(self, at: datetime) -> "PluggedIn":
        """Return it without telematics newer than an instant; what the charger counted and read stays known."""
        return replace(self, readings=tuple(pair for pair in self.readings if pair[0].observed_at <= at))


@dataclass(frozen=True, slots=True)
class Observation:
    """All that is seen at ``at``. ``gone`` have left for their duty.

    ``seen_until`` holds the vehicles whose telematics tells nothing newer than an instant before ``at``. ``unplaced``
    are the readings of vehicles that are plugged in somewhere, nobody knows where.
    """

    at: datetime
    plugged: tuple[PluggedIn, ...]
    gone: frozenset[str] = frozenset()
    seen_until: Mapping[str, datetime] = field(default_factory=dict)
    unplaced: Mapping[str, Readings] = field(default_factory=dict)

    def of_vehicles(self) -> dict[str, PluggedIn]:
        """Return the plugged vehicles that somebody knows, by id."""
        return {one.vehicle_id: one for one in self.plugged if one.vehicle_id is not None}


class Forecaster(Protocol):
    """Says what each vehicle needs, from what is seen and whatever else was known by then; never from the future."""

    def requests(self, seen: Observation) -> Sequence[VehicleRequest]:
        """Return a request for each vehicle that it expects to charge."""
