"""Where a site's vehicles are and what is known of their batteries at an instant, read from landing as of then."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import polars as pl

from core.landing import Landing
from ingestion.registry import Registry
from ingestion.registry.models import Vehicle
from orchestration.steps.soc_evidence import (
    PARKED_WITHIN,
    LastHeard,
    Row,
    evidence_of,
    last_heard,
    samples_of,
    told_while_plugged,
)
from orchestration.steps.transactions import (
    LONGEST_TRANSACTION,
    SETTLING,
    OpenTransaction,
    last_unplugged,
    matched_transactions,
    still_open,
)
from planning.fallback import CHARGER, SocEvidence
from planning.presumption import Standing, Unrecognised, presumed
from planning.site_state import ConnectorKey

LOOKBACK = timedelta(days=14)
SILENT_AFTER = timedelta(minutes=60)
"""A vehicle that has sent nothing for so long, not even old news, is not waited for."""

LATE_DEPARTURE = timedelta(hours=3)
"""A vehicle still plugged in this long after its planned departure is taken to leave any moment, not never."""

DEFAULT_GAIN = 0.9
"""Grid to battery, where the registry tells no efficiency."""

Presence = Literal["plugged", "at_depot", "out"]


@dataclass(frozen=True, slots=True)
class VehicleState:
    """A vehicle at ``as_of``: where it is, its battery's evidence, and the duties it has not left for yet, in order.

    ``back_at`` is the latest of when its last trip ended, when it was last seen elsewhere than now, and when it was
    last unplugged; None where nobody knows. ``tells_after`` is how late its telematics tells of anything, as long as it
    goes on telling; None while it is silent. ``last_heard`` is of one that is plugged in.
    """

    vehicle: Vehicle
    presence: Presence
    transaction: OpenTransaction | None
    evidence: SocEvidence
    has_red_telltale: bool
    upcoming: tuple[Row, ...]
    back_at: datetime | None = None
    tells_after: timedelta | None = None
    last_heard: LastHeard | None = None


@dataclass(frozen=True, slots=True)
class FleetState:
    """All vehicles of a site, and every running transaction, guests included."""

    vehicles: tuple[VehicleState, ...]
    transactions: tuple[OpenTransaction, ...]


def read_fleet_state(landing: Landing, registry: Registry, *, site_id: str, as_of: datetime) -> FleetState:
    """Return what was known at ``as_of`` of the site's vehicles and connectors."""
    matched = matched_transactions(landing, as_of)
    transactions = still_open(matched, landing, registry, site_id=site_id, as_of=as_of)
    seen = _Seen.of(landing, matched, site_id=site_id, as_of=as_of)
    by_vehicle = {entry.vehicle_id: entry for entry in transactions if entry.vehicle_id}
    vehicles = registry.vehicles_of(site_id)
    states = [seen.state(vehicle, by_vehicle.get(vehicle.vehicle_id)) for vehicle in vehicles]
    found = presumed(
        [seen.unrecognised(entry, registry) for entry in transactions if entry.vehicle_id is None],
        [seen.standing(state) for state in states if state.presence == "at_depot"],
    )
    transactions = [_with_presumed(entry, found) for entry in transactions]
    newly = {entry.vehicle_id: entry for entry in transactions if entry.is_presumed}
    states = [
        seen.state(state.vehicle, newly[state.vehicle.vehicle_id]) if state.vehicle.vehicle_id in newly else state
        for state in states
    ]
    return FleetState(tuple(states), tuple(transactions))


def _with_presumed(entry: OpenTransaction, found: Mapping[ConnectorKey, str]) -> OpenTransaction:
    vehicle_id = found.get((entry.station_id, entry.connector_id))
    return entry if vehicle_id is None else replace(entry, vehicle_id=vehicle_id, is_presumed=True)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What landing tells of a site's vehicles at an instant."""

    site_id: str
    as_of: datetime
    snapshots: pl.DataFrame
    meters: pl.DataFrame
    latest: Mapping[str, Row]
    trips: Mapping[str, Row]
    duties: Mapping[str, list[Row]]
    unplugged: Mapping[str, datetime]

    @classmethod
    def of(cls, landing: Landing, matched: pl.DataFrame, *, site_id: str, as_of: datetime) -> "_Seen":
        """Read it."""
        snapshots = landing.read("vehicle_snapshot", as_of=as_of, since=as_of - LOOKBACK)
        return cls(
            site_id=site_id,
            as_of=as_of,
            snapshots=snapshots,
            meters=landing.read("meter_value", as_of=as_of, since=as_of - LONGEST_TRANSACTION),
            latest=_by_vehicle(_last_known(snapshots)),
            trips=_by_vehicle(_last_trip(landing.read("trip", as_of=as_of, since=as_of - LOOKBACK))),
            duties=_duties(landing, as_of),
            unplugged=last_unplugged(matched),
        )

    def state(self, vehicle: Vehicle, transaction: OpenTransaction | None) -> VehicleState:
        """Return a vehicle's state, with the transaction that is its own."""
        seen = self.latest.get(vehicle.vehicle_id, {})
        trip, unplugged_at = self.trips.get(vehicle.vehicle_id), self.unplugged.get(vehicle.vehicle_id)
        told = told_while_plugged(self.snapshots, transaction)
        return VehicleState(
            vehicle=vehicle,
            presence=_presence(transaction, seen, trip, unplugged_at, self.site_id),
            transaction=transaction,
            evidence=evidence_of(seen, trip, transaction, self.meters, told),
            has_red_telltale=bool(seen.get("has_red_battery_telltale")),
            upcoming=_upcoming(self.duties.get(vehicle.vehicle_id, []), self.as_of, trip),
            back_at=_back_at(seen, trip, unplugged_at),
            tells_after=_tells_after(seen, self.as_of),
            last_heard=None if transaction is None else last_heard(self.snapshots, trip, transaction, self.site_id),
        )

    def unrecognised(self, entry: OpenTransaction, registry: Registry) -> Unrecognised:
        """Return a transaction of nobody knows whom, with what its charger counted."""
        connector = registry.connector(entry.station_id, entry.connector_id)
        samples = samples_of(entry, self.meters).filter(pl.col("energy_register_kwh").is_not_null())
        return Unrecognised(
            connector=(entry.station_id, entry.connector_id),
            current_type="ac" if connector is None else connector.current_type,
            plugged_at=entry.started_at,
            counted=tuple(samples.select("observed_at", "energy_register_kwh").iter_rows()),
        )

    def standing(self, state: VehicleState) -> Standing:
        """Return a vehicle that stands at the depot, nobody knows where, with what its battery told since."""
        own = self.snapshots.filter(
            pl.col("vehicle_id") == state.vehicle.vehicle_id,
            pl.col("soc_pct").is_not_null(),
            pl.col("source") != CHARGER,
            pl.col("observed_at") >= (state.back_at or self.as_of - LONGEST_TRANSACTION),
        ).sort("observed_at")
        return standing(state, tuple(own.select("observed_at", "soc_pct").iter_rows()))


def standing(state: VehicleState, told: tuple[tuple[datetime, float], ...]) -> Standing:
    """Return a vehicle that stands at its depot, with the readings of its battery since it is back."""
    vehicle = state.vehicle
    powers = {"ac": vehicle.ac_max_kw, "dc": vehicle.dc_max_kw}
    battery_kwh = vehicle.usable_kwh * (100.0 if vehicle.soh_pct is None else vehicle.soh_pct) / 100
    return Standing(
        vehicle_id=vehicle.vehicle_id,
        back_at=state.back_at,
        bay=None
        if vehicle.home_station_id is None or vehicle.home_connector_id is None
        else (vehicle.home_station_id, vehicle.home_connector_id),
        takes=frozenset(kind for kind, power_kw in powers.items() if power_kw),
        gain_pct_per_kwh=100 * (vehicle.efficiency or DEFAULT_GAIN) / battery_kwh,
        told=told,
    )


def _last_known(snapshots: pl.DataFrame) -> pl.DataFrame:
    """Return each vehicle's latest value of each field, and when its SoC was observed.

    Only a report with a fix says where it was: fix and speed come together, and without both nobody knows; unless the
    vehicle never tells its speed.
    """
    tells_no_speed = pl.col("speed_kmh").is_null().all()
    located = pl.col("at_site_id").is_not_null() | pl.col("speed_kmh").is_not_null() | tells_no_speed
    at_site_id = pl.col("at_site_id").filter(located)
    return (
        snapshots.sort("vehicle_id", "observed_at")
        .group_by("vehicle_id", maintain_order=True)
        .agg(
            pl.col("soc_pct").drop_nulls().last(),
            pl.col("observed_at").filter(pl.col("soc_pct").is_not_null()).last().alias("soc_at"),
            pl.col("source").filter(pl.col("soc_pct").is_not_null()).last().alias("soc_source"),
            at_site_id.last(),
            pl.col("observed_at")
            .filter(located)
            .filter(at_site_id.ne_missing(at_site_id.last()))
            .last()
            .alias("away_at"),
            pl.col("observed_at").filter(located).last().alias("located_at"),
            pl.col("observed_at").last().alias("seen_at"),
            pl.col("available_at").last().alias("told_at"),
            pl.col("has_red_battery_telltale").drop_nulls().last(),
        )
    )


def _last_trip(trips: pl.DataFrame) -> pl.DataFrame:
    return (
        trips.filter(~pl.col("is_deleted").fill_null(value=False))
        .sort("vehicle_id", "started_at")
        .unique("vehicle_id", keep="last", maintain_order=True)
    )


def _by_vehicle(frame: pl.DataFrame) -> dict[str, Row]:
    return {row["vehicle_id"]: row for row in frame.iter_rows(named=True)}


def _presence(
    transaction: OpenTransaction | None, seen: Row, trip: Row | None, unplugged_at: datetime | None, site_id: str
) -> Presence:
    """Return where a vehicle is; one that has not been heard of since it was unplugged is taken to have left."""
    if transaction is not None:
        return "plugged"
    if trip is not None and trip["ended_at"] is None:
        return "out"
    heard_at = max((at for at in (seen.get("seen_at"), trip and trip["ended_at"]) if at), default=None)
    if unplugged_at is not None and (heard_at is None or heard_at < unplugged_at - SETTLING):
        return "out"
    parked_at = seen.get("at_site_id")
    located_at = seen.get("located_at")
    if trip is not None and (located_at is None or trip["ended_at"] > located_at + PARKED_WITHIN):
        parked_at = trip["end_site_id"]
    return "at_depot" if parked_at == site_id else "out"


def _back_at(seen: Row, trip: Row | None, unplugged_at: datetime | None) -> datetime | None:
    known = [at for at in (seen.get("away_at"), trip and trip["ended_at"], unplugged_at) if at]
    return max(known, default=None)


def _tells_after(seen: Row, as_of: datetime) -> timedelta | None:
    if not seen or as_of - seen["told_at"] > SILENT_AFTER:
        return None
    lag: timedelta = seen["told_at"] - seen["seen_at"]
    return lag


def _duties(landing: Landing, as_of: datetime) -> dict[str, list[Row]]:
    known = landing.read("duty", as_of=as_of).filter(
        pl.col("planned_departure_at").is_between(as_of - timedelta(days=2), as_of + timedelta(days=5)),
        ~pl.col("is_deleted").fill_null(value=False),
    )
    by_vehicle: dict[str, list[Row]] = {}
    for row in known.sort("planned_departure_at", "vehicle_id", "block_id").iter_rows(named=True):
        by_vehicle.setdefault(row["vehicle_id"], []).append(row)
    return by_vehicle


def _upcoming(duties: list[Row], as_of: datetime, trip: Row | None) -> tuple[Row, ...]:
    def is_ahead(duty: Row) -> bool:
        departure = duty["planned_departure_at"]
        has_left = trip is not None and trip["started_at"] >= departure - timedelta(hours=1)
        return bool(departure > as_of or (departure > as_of - LATE_DEPARTURE and not has_left))

    return tuple(duty for duty in duties if is_ahead(duty))
