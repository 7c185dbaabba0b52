"""The configuration, validated and frozen, and the questions that other rooms ask of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar
from zoneinfo import ZoneInfo

from core.time_grid import to_utc
from ingestion.registry.models import Assignment, Connector, Duty, Site, Source, Token, Vehicle

T = TypeVar("T")


class UnknownEntryError(KeyError):
    """The configuration holds no entry of this name."""


@dataclass(frozen=True)
class Registry:
    """All that the configuration says, in the order of its files; entries are frozen."""

    sites: tuple[Site, ...] = ()
    sources: tuple[Source, ...] = ()
    connectors: tuple[Connector, ...] = ()
    vehicles: tuple[Vehicle, ...] = ()
    tokens: tuple[Token, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    duties: tuple[Duty, ...] = ()

    def site(self, site_id: str) -> Site:
        """Return a site.

        Raises:
            UnknownEntryError: there is none of this name.
        """
        return _entry(self._sites, site_id, "site")

    def source(self, source_id: str) -> Source:
        """Return a source.

        Raises:
            UnknownEntryError: there is none of this name.
        """
        return _entry(self._sources, source_id, "source")

    def vehicle(self, vehicle_id: str) -> Vehicle:
        """Return a vehicle.

        Raises:
            UnknownEntryError: there is none of this name.
        """
        return _entry(self._vehicles, vehicle_id, "vehicle")

    def vehicles_of(self, site_id: str) -> tuple[Vehicle, ...]:
        """Return the vehicles whose home is the site."""
        return tuple(vehicle for vehicle in self.vehicles if vehicle.site_id == site_id)

    def connectors_of(self, site_id: str) -> tuple[Connector, ...]:
        """Return the connectors of the site."""
        return tuple(connector for connector in self.connectors if connector.site_id == site_id)

    def connector(self, station_id: str, connector_id: int) -> Connector | None:
        """Return a connector, or None where the configuration does not know it."""
        return self._connectors.get((station_id, connector_id))

    def vehicle_by_source_ref(self, source_id: str, ref: str) -> Vehicle | None:
        """Return the vehicle that a source calls by this name (VIN, device id), or None."""
        return self._vehicles_by_ref.get((source_id, ref))

    def import_limit_kw(self, site_id: str, instants: Sequence[datetime]) -> list[float]:
        """Return the site's import limit at each instant, by the site's local time of day."""
        site = self.site(site_id)
        zone = ZoneInfo(site.timezone)
        clock_times = [to_utc(instant).astimezone(zone).time() for instant in instants]
        return [
            [limit.limit_kw for limit in site.import_limit if limit.from_time <= clock_time][-1]
            for clock_time in clock_times
        ]

    @cached_property
    def _sites(self) -> Mapping[str, Site]:
        return {site.site_id: site for site in self.sites}

    @cached_property
    def _sources(self) -> Mapping[str, Source]:
        return {source.source_id: source for source in self.sources}

    @cached_property
    def _vehicles(self) -> Mapping[str, Vehicle]:
        return {vehicle.vehicle_id: vehicle for vehicle in self.vehicles}

    @cached_property
    def _connectors(self) -> Mapping[tuple[str, int], Connector]:
        return {(entry.station_id, entry.connector_id): entry for entry in self.connectors}

    @cached_property
    def _vehicles_by_ref(self) -> Mapping[tuple[str, str], Vehicle]:
        return {
            (vehicle.source_id, vehicle.source_ref): vehicle
            for vehicle in self.vehicles
            if vehicle.source_id is not None and vehicle.source_ref is not None
        }


def _entry(entries: Mapping[str, T], name: str, what: str) -> T:
    """Look an entry up; a miss names those there are."""
    if name not in entries:
        raise UnknownEntryError(f"no {what} {name!r} in the configuration; there are: {', '.join(sorted(entries))}")
    return entries[name]
