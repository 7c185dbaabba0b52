"""What is known of a site's fleet at an instant, gathered once: vehicles, cycles, progress, duties, weather.

Here landing rows become the event tables that questions and features are made of. Vehicles and sites are master data:
they are taken as known at ``as_of``; everything that happens keeps the instant at which it became known.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import polars as pl

from ml.cycles import (
    TRIP_COLUMNS,
    assign_cycles,
    complete_trips,
    duty_cycles,
    outings_from_snapshots,
    settle_soc,
    told_by_states,
)
from ml.dataset import KnownFacts

DEFAULT_TIMEZONE: Final = "UTC"
SNAPSHOT_COLUMNS: Final = (
    "soc_pct", "odometer_km", "energy_used_total_kwh", "speed_kmh", "at_site_id", "is_plugged",
)  # fmt: skip
"""What states of vehicles are read for, besides key and instants."""


class UnknownSiteError(ValueError):
    """No facts name the site."""


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """A site's event tables as known at ``as_of``.

    ``vehicles``: vehicle_id, home_site_id, model, vehicle_class, usable_kwh (SoH included), reference_kwh_per_km.
    ``trips``, ``cycles``: see ``ml.cycles``. ``snapshots``: states in the order in which they became
    known, late backlog left out. ``duties``, ``assignments``, ``weather``: versions, oldest knowledge first.
    """

    site_id: str | None
    timezone: str
    as_of: datetime
    vehicles: pl.DataFrame
    trips: pl.DataFrame
    cycles: pl.DataFrame
    snapshots: pl.DataFrame
    duties: pl.DataFrame
    assignments: pl.DataFrame
    weather: pl.DataFrame

    @property
    def newest_observed_at(self) -> datetime | None:
        """Return when the newest of the facts about vehicles was observed."""
        stamps = (self.snapshots["observed_at"].max(), self.trips["ended_at"].max(), self.trips["started_at"].max())
        known = [stamp for stamp in stamps if isinstance(stamp, datetime)]
        return max(known) if known else None


def fleet_facts(known: KnownFacts, *, site_id: str | None, states_since: datetime | None = None) -> FleetFacts:
    """Gather a site's facts; without a site, those of all vehicles, which then share one time zone.

    Args:
        known: The as-of view of the landing zone.
        site_id: Site, as the configuration names it.
        states_since: States of vehicles whose trips are told with their SoC are read from there on only; of the
            others, states tell what they did or with what they came, and are read as far back as everything else.

    Raises:
        UnknownSiteError: the site is named by no configuration and no vehicle.
    """
    timezone = site_timezone(known, site_id=site_id)
    registered = _registered(known, site_id=site_id)
    # Without a site, vehicles that only events name belong to it as well.
    asked = None if site_id is None else registered["vehicle_id"]
    trips = known.versions("trip", columns=TRIP_COLUMNS, vehicles=asked, ordered=False)
    snapshots = _states(known, trips, asked, states_since)
    vehicles = registered if site_id is not None else _with_others(registered, [trips, snapshots])
    homes = vehicles.select("vehicle_id", "home_site_id")
    trips = assign_cycles(_trips(trips, snapshots, homes), timezone=timezone)
    return FleetFacts(
        site_id=site_id,
        timezone=timezone,
        as_of=known.as_of,
        vehicles=vehicles,
        trips=trips,
        cycles=settle_soc(told_by_states(duty_cycles(trips, homes, timezone=timezone), snapshots), vehicles),
        snapshots=_in_order(snapshots),
        duties=known.versions("duty", vehicles=asked),
        assignments=known.versions("assignment", vehicles=asked),
        weather=_weather(known, site_id=site_id),
    )


def site_timezone(known: KnownFacts, *, site_id: str | None) -> str:
    """Return the site's time zone; without a site, that of the only one, else UTC.

    Raises:
        UnknownSiteError: a site is asked for that the configuration does not name.
    """
    sites = known.latest("site").unique("site_id", keep="last", maintain_order=True)
    if site_id is not None:
        sites = sites.filter(pl.col("site_id") == site_id)
        if sites.is_empty():
            raise UnknownSiteError(
                f"site {site_id!r} was not known at {known.as_of:%Y-%m-%dT%H:%MZ}; land the configuration first"
            )
    zones = sites["timezone"].unique().to_list()
    return str(zones[0]) if len(zones) == 1 else DEFAULT_TIMEZONE


def _states(known: KnownFacts, trips: pl.DataFrame, asked: pl.Series | None, since: datetime | None) -> pl.DataFrame:
    """Return the states of vehicles, oldest knowledge first."""
    if asked is None or since is None:
        return known.versions("vehicle_snapshot", columns=SNAPSHOT_COLUMNS, vehicles=asked)
    with_soc = trips.filter(pl.col("soc_end_pct").is_not_null())
    is_told = asked.is_in(with_soc["vehicle_id"].unique().implode())
    lately = replace(known, since=max(since, known.since or since))
    recent = lately.versions("vehicle_snapshot", columns=SNAPSHOT_COLUMNS, vehicles=asked.filter(is_told))
    if is_told.all():
        return recent
    others = known.versions("vehicle_snapshot", columns=SNAPSHOT_COLUMNS, vehicles=asked.filter(~is_told))
    return pl.concat([recent, others]).sort("available_at", "observed_at", maintain_order=True)


def _registered(known: KnownFacts, *, site_id: str | None) -> pl.DataFrame:
    """Return the vehicles of the configuration, sorted."""
    vehicles = known.latest("vehicle").unique("vehicle_id", keep="last", maintain_order=True)
    if site_id is not None:
        vehicles = vehicles.filter(pl.col("site_id") == site_id)
    vehicles = vehicles.sort("vehicle_id")
    return vehicles.select(
        "vehicle_id" if site_id is None else pl.col("vehicle_id").cast(pl.Enum(vehicles["vehicle_id"])),
        pl.col("site_id").alias("home_site_id"),
        "model",
        pl.col("vehicle_class").fill_null("unknown"),
        (pl.col("usable_kwh") * pl.col("soh_pct").fill_null(100.0) / 100).alias("usable_kwh"),
        "reference_kwh_per_km",
    )


def _with_others(registered: pl.DataFrame, named: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the vehicles of the configuration and those that only events name, sorted."""
    others = pl.concat([frame.select("vehicle_id") for frame in named]).unique()
    others = others.join(registered, on="vehicle_id", how="anti").with_columns(vehicle_class=pl.lit("unknown"))
    return pl.concat([registered, others], how="diagonal").sort("vehicle_id")


def _trips(trip_versions: pl.DataFrame, snapshots: pl.DataFrame, homes: pl.DataFrame) -> pl.DataFrame:
    """Return the providers' trips, and outings from snapshots of the vehicles whose provider sends no trips."""
    trips = complete_trips(trip_versions)
    silent = snapshots.join(trips.select("vehicle_id").unique(), on="vehicle_id", how="anti", maintain_order="left")
    outings = outings_from_snapshots(silent, homes)
    if outings.is_empty():
        return trips
    return pl.concat([trips, outings.select(trips.columns)], how="vertical_relaxed").sort("vehicle_id", "started_at")


def _in_order(snapshots: pl.DataFrame) -> pl.DataFrame:
    """Leave out snapshots that arrived after a newer one of their vehicle: the newer state stands."""
    is_newest = pl.col("observed_at") >= pl.col("observed_at").cum_max().over("vehicle_id")
    return snapshots.filter(is_newest).select(
        "vehicle_id", "available_at", "observed_at", "soc_pct", "odometer_km", "speed_kmh", "at_site_id", "is_plugged"
    )


def _weather(known: KnownFacts, *, site_id: str | None) -> pl.DataFrame:
    """Return the temperatures of the site's place; without a site, or where it has none, of the only place."""
    weather = known.versions("weather")
    if site_id is not None and (weather["place_id"] == site_id).any():
        return weather.filter(pl.col("place_id") == site_id)
    return weather if weather["place_id"].n_unique() == 1 else weather.clear()
