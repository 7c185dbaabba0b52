"""Where a site's vehicles are and what is known of their batteries at an instant, read from landing as of then."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import polars as pl

from core.landing import Landing
from core.schema import INSTANT
from ingestion.registry import Registry
from ingestion.registry.models import Vehicle
from planning.fallback import CHARGER, Reading, SocEvidence
from planning.model import FloatArray
from planning.presumption import Standing, Unrecognised, presumed

LOOKBACK = timedelta(days=14)
LONGEST_TRANSACTION = timedelta(days=5)
SETTLING = timedelta(minutes=15)
"""Clocks of vehicle and charger may differ by this much."""

ARRIVAL_REPORT = timedelta(minutes=45)
"""A vehicle tells of its battery within this of being plugged in, or not at all."""

SILENT_AFTER = timedelta(minutes=60)
"""A vehicle that has sent nothing for so long, not even old news, is not waited for."""

LATE_DEPARTURE = timedelta(hours=3)
"""A vehicle still plugged in this long after its planned departure is taken to leave any moment, not never."""

DEFAULT_GAIN = 0.9
"""Grid to battery, where the registry tells no efficiency."""

PARKED_WITHIN = timedelta(minutes=2)
"""A reading this long before the end of a trip is of its end."""

Presence = Literal["plugged", "at_depot", "out"]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that runs now, and the vehicle it charges (None: a guest, or nobody knows).

    ``is_presumed``: nobody recognised the vehicle, but it is the likeliest to stand there.
    """

    station_id: str
    connector_id: int
    transaction_id: str
    started_at: datetime
    vehicle_id: str | None
    confidence: float
    is_presumed: bool = False


@dataclass(frozen=True, slots=True)
class LastHeard:
    """What a vehicle told of its battery last before it was plugged in, and for how long it drove on at most."""

    reading: Reading
    drove_on_h: float

    @classmethod
    def of(cls, reading: Reading, plugged_at: datetime, *, was_back: bool) -> "LastHeard":
        """Return a reading from before a plug-in; who was back by then drove no further."""
        return cls(reading, 0.0 if was_back else (plugged_at - reading.observed_at).total_seconds() / 3600)


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
    matched = _matched_transactions(landing, as_of)
    transactions = _still_open(matched, landing, registry, site_id=site_id, as_of=as_of)
    seen = _Seen.of(landing, matched, site_id=site_id, as_of=as_of)
    by_vehicle = {entry.vehicle_id: entry for entry in transactions if entry.vehicle_id}
    vehicles = registry.vehicles_of(site_id)
    states = [seen.state(vehicle, by_vehicle.get(vehicle.vehicle_id)) for vehicle in vehicles]
    found = presumed(
        [seen.unrecognised(entry, registry) for entry in transactions if entry.vehicle_id is None],
        [seen.standing(state) for state in states if state.presence == "at_depot"],
    )
    if found:
        transactions = [
            replace(entry, vehicle_id=found[entry.transaction_id], is_presumed=True)
            if entry.vehicle_id is None and entry.transaction_id in found
            else entry
            for entry in transactions
        ]
        by_vehicle = {entry.vehicle_id: entry for entry in transactions if entry.is_presumed and entry.vehicle_id}
        states = [
            seen.state(state.vehicle, by_vehicle[state.vehicle.vehicle_id])
            if state.vehicle.vehicle_id in by_vehicle
            else state
            for state in states
        ]
    return FleetState(tuple(states), tuple(transactions))


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
            unplugged=_last_unplugged(matched),
        )

    def state(self, vehicle: Vehicle, transaction: OpenTransaction | None) -> VehicleState:
        """Return a vehicle's state, with the transaction that is its own."""
        seen = self.latest.get(vehicle.vehicle_id, {})
        trip, unplugged_at = self.trips.get(vehicle.vehicle_id), self.unplugged.get(vehicle.vehicle_id)
        told = _told_while_plugged(self.snapshots, transaction)
        return VehicleState(
            vehicle=vehicle,
            presence=_presence(transaction, seen, trip, unplugged_at, self.site_id),
            transaction=transaction,
            evidence=_evidence(seen, trip, transaction, self.meters, told),
            has_red_telltale=bool(seen.get("has_red_battery_telltale")),
            upcoming=_upcoming(self.duties.get(vehicle.vehicle_id, []), self.as_of, trip),
            back_at=_back_at(seen, trip, unplugged_at),
            tells_after=_tells_after(seen, self.as_of),
            last_heard=None if transaction is None else _last_heard(self.snapshots, trip, transaction, self.site_id),
        )

    def unrecognised(self, entry: OpenTransaction, registry: Registry) -> Unrecognised:
        """Return a transaction of nobody knows whom, with what its charger counted."""
        connector = registry.connector(entry.station_id, entry.connector_id)
        samples = _samples_of(entry, self.meters).filter(pl.col("energy_register_kwh").is_not_null())
        return Unrecognised(
            connector=(entry.station_id, entry.connector_id),
            transaction_id=entry.transaction_id,
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


def open_transactions(landing: Landing, registry: Registry, *, site_id: str, as_of: datetime) -> list[OpenTransaction]:
    """Return the running transactions of a site, the latest of each connector, with the vehicle each is matched to.

    A transaction whose stop was lost is over when its connector has been available since, or its vehicle has driven.
    """
    return _still_open(_matched_transactions(landing, as_of), landing, registry, site_id=site_id, as_of=as_of)


def _matched_transactions(landing: Landing, as_of: datetime) -> pl.DataFrame:
    """Return the transactions of the last days with the vehicle each is matched to (null: nobody knows)."""
    key = ["station_id", "connector_id", "transaction_id", "started_at"]
    started = landing.read("charging_transaction", as_of=as_of, since=as_of - LONGEST_TRANSACTION)
    matches = landing.read("session_match", as_of=as_of, since=as_of - LONGEST_TRANSACTION)
    return started.join(
        matches.select(*key, pl.col("vehicle_id").alias("matched_id"), "confidence"), on=key, how="left"
    ).with_columns(vehicle_id=pl.coalesce("matched_id", "vehicle_id"))


def _last_unplugged(matched: pl.DataFrame) -> dict[str, datetime]:
    """Return when each vehicle's last transaction ended."""
    ended = matched.filter(pl.col("ended_at").is_not_null(), pl.col("vehicle_id").is_not_null())
    return dict(ended.group_by("vehicle_id").agg(pl.col("ended_at").max()).iter_rows())


def _still_open(
    matched: pl.DataFrame, landing: Landing, registry: Registry, *, site_id: str, as_of: datetime
) -> list[OpenTransaction]:
    connectors = pl.DataFrame(
        [(entry.station_id, entry.connector_id) for entry in registry.connectors_of(site_id)],
        schema={"station_id": pl.String, "connector_id": pl.Int64},
        orient="row",
    )
    running = (
        matched.join(connectors, on=["station_id", "connector_id"], how="semi")
        .sort("started_at", "transaction_id")
        .unique(["station_id", "connector_id"], keep="last", maintain_order=True)
        .filter(pl.col("ended_at").is_null())
        .join(_freed_since(landing, as_of), on=["station_id", "connector_id"], how="left")
        .join(_driven_since(landing, as_of), on="vehicle_id", how="left")
        .filter(
            (pl.col("freed_at") <= pl.col("started_at")).fill_null(value=True),
            (pl.col("driven_at") <= pl.col("started_at") + SETTLING).fill_null(value=True),
        )
        .sort("station_id", "connector_id")
    )
    return [
        OpenTransaction(
            station_id=row["station_id"],
            connector_id=row["connector_id"],
            transaction_id=row["transaction_id"],
            started_at=row["started_at"],
            vehicle_id=row["vehicle_id"],
            confidence=row["confidence"] or 0.0,
        )
        for row in running.iter_rows(named=True)
    ]


def _freed_since(landing: Landing, as_of: datetime) -> pl.DataFrame:
    """Return when each connector was last seen free."""
    statuses = landing.read("connector_status", as_of=as_of, since=as_of - LONGEST_TRANSACTION)
    free = statuses.filter(pl.col("status") == "available")
    return free.group_by("station_id", "connector_id").agg(pl.col("observed_at").max().alias("freed_at"))


def _driven_since(landing: Landing, as_of: datetime) -> pl.DataFrame:
    """Return when each vehicle last set off."""
    trips = landing.read("trip", as_of=as_of, since=as_of - LONGEST_TRANSACTION)
    real = trips.filter(~pl.col("is_deleted").fill_null(value=False))
    return real.group_by("vehicle_id").agg(pl.col("started_at").max().alias("driven_at"))


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


def _evidence(
    seen: Row,
    trip: Row | None,
    transaction: OpenTransaction | None,
    meters: pl.DataFrame,
    told: pl.DataFrame,
) -> SocEvidence:
    samples = _samples_of(transaction, meters)
    register = _register(samples)
    counted_kwh = None if transaction is None else register.since(transaction.started_at)
    reading = _reading(seen, samples)
    if reading is None:
        return SocEvidence(counted_kwh=counted_kwh)
    last_move_at = None if trip is None else trip["ended_at"] or trip["observed_at"]
    moved_since = last_move_at is not None and reading.observed_at < last_move_at - timedelta(minutes=2)
    return SocEvidence(
        reading,
        register.since(reading.observed_at),
        moved_since,
        arrival_soc_pct=_arrival_soc_pct(told, transaction),
        counted_kwh=counted_kwh,
        earlier=_earlier(reading, told, samples, register),
    )


def _told_while_plugged(snapshots: pl.DataFrame, transaction: OpenTransaction | None) -> pl.DataFrame:
    """Return what a plugged vehicle told of its battery since shortly before it was plugged in, oldest first."""
    if transaction is None or transaction.vehicle_id is None:
        return snapshots.clear()
    return snapshots.filter(
        pl.col("vehicle_id") == transaction.vehicle_id,
        pl.col("observed_at") >= transaction.started_at - SETTLING,
        pl.col("soc_pct").is_not_null(),
    ).sort("observed_at")


def _last_heard(
    snapshots: pl.DataFrame, trip: Row | None, transaction: OpenTransaction, site_id: str
) -> LastHeard | None:
    """Return what a plugged vehicle told last before; one that had come to the site by then drove no further."""
    before = snapshots.filter(
        pl.col("vehicle_id") == transaction.vehicle_id,
        pl.col("soc_pct").is_not_null(),
        pl.col("source") != CHARGER,
        pl.col("observed_at") <= transaction.started_at,
    ).sort("observed_at")
    if before.is_empty():
        return None
    reading = Reading(before["soc_pct"][-1], before["observed_at"][-1], before["source"][-1])
    was_back = (
        trip is not None
        and trip["end_site_id"] == site_id
        and trip["ended_at"] is not None
        and trip["ended_at"] <= reading.observed_at + PARKED_WITHIN
    )
    return LastHeard.of(reading, transaction.started_at, was_back=was_back)


def _arrival_soc_pct(told: pl.DataFrame, transaction: OpenTransaction | None) -> float | None:
    """Return what a plugged vehicle first told of its battery around plug-in; None where it told nothing."""
    if transaction is None or told.is_empty() or told["observed_at"][0] > transaction.started_at + ARRIVAL_REPORT:
        return None
    return float(told["soc_pct"][0])


def _earlier(
    newest: Reading, told: pl.DataFrame, samples: pl.DataFrame, register: "_Register"
) -> tuple[tuple[float, float], ...]:
    """Return the readings before the newest, by whoever told that, with the energy counted since each.

    None from before the meter began: the vehicle may have driven since.
    """
    own = samples.filter(pl.col("soc_pct").is_not_null()) if newest.source == CHARGER else told
    if register.is_empty:
        return ()
    before = own.filter(pl.col("observed_at") < newest.observed_at).filter(
        pl.col("observed_at").dt.epoch("us") >= register.at_us[0]
    )
    charged_kwh = register.each_since(before["observed_at"])
    return tuple(zip(before["soc_pct"].to_list(), charged_kwh.tolist(), strict=True))


def _samples_of(transaction: OpenTransaction | None, meters: pl.DataFrame) -> pl.DataFrame:
    if transaction is None:
        return meters.clear()
    return meters.filter(
        pl.col("station_id") == transaction.station_id,
        pl.col("connector_id") == transaction.connector_id,
        pl.col("observed_at") >= transaction.started_at,
    ).sort("observed_at")


def _reading(seen: Row, samples: pl.DataFrame) -> Reading | None:
    """Return the newest reading of the station, which has it by the cable (DC), else the vehicle's own."""
    known = samples.filter(pl.col("soc_pct").is_not_null())
    if known.height:
        return Reading(known["soc_pct"][-1], known["observed_at"][-1], CHARGER)
    return None if seen.get("soc_pct") is None else Reading(seen["soc_pct"], seen["soc_at"], seen["soc_source"])


@dataclass(frozen=True, slots=True)
class _Register:
    """An energy register's course over a transaction: microseconds since the epoch, and kWh, both ascending in time."""

    at_us: FloatArray
    energy_kwh: FloatArray

    @property
    def is_empty(self) -> bool:
        """Say whether the meter said nothing."""
        return not len(self.at_us)

    def since(self, instant: datetime) -> float | None:
        """Return grid-side energy counted since an instant; None where the meter said nothing."""
        return None if self.is_empty else float(self.each_since(pl.Series([instant], dtype=INSTANT))[0])

    def each_since(self, instants: pl.Series) -> FloatArray:
        """Return grid-side energy counted since each instant, in between samples in proportion."""
        counted: FloatArray = np.maximum(
            self.energy_kwh[-1] - np.interp(_us(instants), self.at_us, self.energy_kwh), 0.0
        )
        return counted


def _register(samples: pl.DataFrame) -> _Register:
    known = samples.filter(pl.col("energy_register_kwh").is_not_null())
    return _Register(_us(known["observed_at"]), known["energy_register_kwh"].to_numpy().astype(float))


def _us(instants: pl.Series) -> FloatArray:
    return instants.dt.epoch("us").to_numpy().astype(float)


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
