"""Records of MyGeotab's feeds as canonical rows: which diagnostics we read, their units, and what stands for "never".

Odometers come in metres and trip distances in km; battery power is negative while charging; speeds may be NaN; dates
of 2050 or 9999 mean "still going on", and year 1 means "never". No session, no bytes and no clock here.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from ingestion.columns import as_rejected, check, missing
from ingestion.providers.base import RECORD, Rejected
from ingestion.providers.fleet_columns import REF, after_latency, at_site, record_table, utc_instant, with_vehicle
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry

EVER_SINCE: Final = datetime(1900, 1, 1, tzinfo=UTC)  # Geotab's dates begin in year 1, which means never
STILL: Final = datetime(2050, 1, 1, tzinfo=UTC)  # 2050-01-01 and 9999-12-31 mean that it has not ended
CHARGING_STATES: Final = {0.0: "not_charging", 1.0: "charging_ac", 2.0: "charging_dc"}

DRIVING_KMH: Final = 5.0
SOC: Final = "DiagnosticStateOfChargeId"
ODOMETER: Final = "DiagnosticOdometerId"  # calibrated; the raw one differs by an offset and would run backwards
CHARGING: Final = "DiagnosticElectricVehicleChargingStateId"
BATTERY_POWER: Final = "DiagnosticElectricVehicleBatteryPowerId"
OUTSIDE: Final = "DiagnosticOutsideTemperatureId"
ENERGY_OUT: Final = "DiagnosticElectricEnergyOutId"  # lifetime kWh out of the battery for driving
ENERGY_IN: Final = "DiagnosticElectricEnergyInId"  # what recuperation gave back, where the vehicle tells it
USED_DIAGNOSTICS: Final = (SOC, ODOMETER, CHARGING, BATTERY_POWER, OUTSIDE, ENERGY_OUT, ENERGY_IN)

POINT: Final = pl.Struct({"x": pl.Float64, "y": pl.Float64})
FEEDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "StatusData": {REF: pl.String, "diagnostic": pl.String, "dateTime": pl.String, "data": pl.Float64},
    "LogRecord": {
        REF: pl.String,
        "dateTime": pl.String,
        "latitude": pl.Float64,
        "longitude": pl.Float64,
        "speed": pl.Float64,
    },
    "Trip": {
        REF: pl.String,
        "id": pl.String,
        "start": pl.String,
        "stop": pl.String,
        "distance": pl.Float64,
        "stopPoint": POINT,
        "deletedDateTime": pl.String,
    },
}
ENTITY_OF: Final = {"StatusData": "vehicle_snapshot", "LogRecord": "vehicle_position", "Trip": "trip"}


def parse_records(
    records: Sequence[object], feed: str, *, source: Source, registry: Registry
) -> tuple[dict[str, pl.DataFrame], list[Rejected]]:
    """Return rows by entity, and what cannot become one; diagnostics that we do not use give no row."""
    entity = ENTITY_OF[feed]
    table, strangers = record_table([_plain(record) for record in records], FEEDS[feed])
    rejected = [Rejected(entity, k, "not_an_object", "the record is no JSON object") for k in strangers]
    if feed == "StatusData":
        table = table.filter(pl.col("diagnostic").is_in(USED_DIAGNOSTICS))
    table, unknown = with_vehicle(table, source=source, registry=registry, entity=entity)
    rejected += as_rejected(unknown)
    if feed == "Trip":
        return _trips(table, source, registry, rejected)
    observed = table.with_columns(observed_at=utc_instant(pl.col("dateTime")))
    timed, untimed = check(observed, [missing("observed_at", "dateTime")], entity=entity)
    timed = timed.with_columns(available_at=after_latency(source))
    rows = _log_rows(timed, registry) if feed == "LogRecord" else {"vehicle_snapshot": _samples(timed)}
    return rows, [*rejected, *as_rejected(untimed)]


def record_instant(record: object, feed: str) -> datetime | None:
    """Return when a record's event happened, or None where it does not say; a trip that goes on: its start."""
    if not isinstance(record, dict):
        return None
    names = ("deletedDateTime", "stop", "start") if feed == "Trip" else ("dateTime",)
    instants = (_instant(record.get(name)) for name in names)
    return next((instant for instant in instants if instant is not None and EVER_SINCE <= instant < STILL), None)


def _instant(value: object) -> datetime | None:
    try:
        stamp = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return stamp.replace(tzinfo=stamp.tzinfo or UTC)


def _plain(record: object) -> object:
    """Return a record whose references are names: ``{"id": "b1"}`` or, for what it does not know, a bare string."""
    if not isinstance(record, dict):
        return record
    return {**record, REF: _name(record.get("device")), "diagnostic": _name(record.get("diagnostic"))}


def _name(reference: object) -> object:
    return reference.get("id") if isinstance(reference, dict) else reference


def _samples(timed: pl.DataFrame) -> pl.DataFrame:
    """Return one part of a snapshot per sample; parts of one instant are merged when they land."""
    state = _sample(CHARGING).replace_strict(CHARGING_STATES, default=None, return_dtype=pl.String)
    recuperated_kwh = _sample(ENERGY_IN).max().over("vehicle_id", "observed_at").fill_null(0.0)
    return timed.select(
        RECORD,
        "vehicle_id",
        "observed_at",
        "available_at",
        soc_pct=_sample(SOC),
        soc_basis=pl.when(_sample(SOC).is_not_null()).then(pl.lit("unknown")),
        odometer_km=_sample(ODOMETER) / 1000,
        energy_used_total_kwh=_sample(ENERGY_OUT) - recuperated_kwh,
        charging_state=state,
        is_plugged=pl.when(state.str.starts_with("charging")).then(pl.lit(value=True)),
        charging_power_kw=-_sample(BATTERY_POWER) / 1000,
        ambient_temperature_c=_sample(OUTSIDE),
    )


def _sample(diagnostic: str) -> pl.Expr:
    return pl.when(pl.col("diagnostic") == diagnostic).then(pl.col("data").fill_nan(None))


def _log_rows(timed: pl.DataFrame, registry: Registry) -> dict[str, pl.DataFrame]:
    keys = (RECORD, "vehicle_id", "observed_at", "available_at")
    speed = pl.col("speed").fill_nan(None)
    unplugged = pl.when(speed > DRIVING_KMH).then(pl.lit(value=False))  # nobody drives with the cable in
    return {
        "vehicle_snapshot": timed.select(
            *keys, speed_kmh=speed, is_plugged=unplugged, at_site_id=at_site(registry.sites)
        ),
        "vehicle_position": timed.select(*keys, "latitude", "longitude"),
    }


def _trips(
    table: pl.DataFrame, source: Source, registry: Registry, rejected: list[Rejected]
) -> tuple[dict[str, pl.DataFrame], list[Rejected]]:
    """Return trips by (vehicle, start): their ids change whenever they are calculated again, and so are no key."""
    where = table.with_columns(
        started_at=utc_instant(pl.col("start")),
        ended_at=_ended(utc_instant(pl.col("stop"))),
        deleted_at=_ended(utc_instant(pl.col("deletedDateTime"))),
        longitude=pl.col("stopPoint").struct.field("x"),
        latitude=pl.col("stopPoint").struct.field("y"),
    )
    timed, untimed = check(where, [missing("started_at", "start")], entity="trip")
    trips = timed.with_columns(observed_at=pl.coalesce("deleted_at", "ended_at", "started_at")).select(
        RECORD,
        "vehicle_id",
        "started_at",
        "ended_at",
        "observed_at",
        distance_km=pl.col("distance").fill_nan(None),
        end_site_id=pl.when(pl.col("ended_at").is_not_null()).then(at_site(registry.sites)),
        is_deleted=pl.col("deleted_at").is_not_null(),
        provider_ref=pl.col("id"),
        available_at=after_latency(source),
    )
    return {"trip": trips}, [*rejected, *as_rejected(untimed)]


def _ended(instant: pl.Expr) -> pl.Expr:
    """Return an instant, NULL where it stands for "never" or "not yet"."""
    return pl.when((instant >= EVER_SINCE) & (instant < STILL)).then(instant)
