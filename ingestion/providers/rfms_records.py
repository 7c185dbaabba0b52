"""Records of rFMS 4.0 as canonical rows: which fields we read, their units, and what means "not available".

rFMS counts in metres, watt-hours and watts. No paging, no bytes and no clock here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from ingestion.columns import as_rejected, check, missing
from ingestion.providers.base import RECORD, Rejected
from ingestion.providers.fleet_columns import REF, after_latency, at_site, record_table, utc_instant, with_vehicle
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry

# Not-available values of the CAN bus that makers pass on.
SENTINELS: Final = (65535.0, 655350.0, 4294967295.0)
CHARGING_STATES: Final = {
    "NOT_CHARGING": "not_charging",
    "CHARGING": "charging",
    "CHARGING_AC": "charging_ac",
    "CHARGING_DC": "charging_dc",
    "ERROR": "error",
}
CHARGING_EVENTS: Final = {
    "CHARGING_STARTED": "charging",
    "CHARGING_COMPLETED": "not_charging",
    "CHARGING_INTERRUPTED": "not_charging",
}
PLUGGED: Final = {"CONNECTED": True, "DISCONNECTED": False}
BATTERY_TELLTALES: Final = (
    "BATTERY_PACK",
    "BATTERY_PACK_TEMPERATURE",
    "BATTERY_PACK_COOLING",
    "HIGH_VOLTAGE_SYSTEM_CAUTION",
)
SPEEDS: Final[Mapping[str, Any]] = {"wheelBasedSpeed": pl.Float64, "tachographSpeed": pl.Float64}
GNSS: Final = pl.Struct(
    {"latitude": pl.Float64, "longitude": pl.Float64, "speed": pl.Float64, "positionDateTime": pl.String}
)
EVENT: Final = pl.Struct({"event": pl.String})
COMMON: Final[Mapping[str, Any]] = {
    "vin": pl.String,
    "triggerType": pl.Struct(
        {"triggerType": pl.String, "chargingStatusInfo": EVENT, "chargingConnectionStatusInfo": EVENT}
    ),
    "createdDateTime": pl.String,
    "receivedDateTime": pl.String,
}
SNAPSHOT: Final[Mapping[str, Any]] = {
    "gnssPosition": GNSS,
    **SPEEDS,
    "ambientAirTemperature": pl.Float64,
    "hybridBatteryPackRemainingCharge": pl.Float64,
    "batteryPackChargingStatus": pl.String,
    "batteryPackChargingConnectionStatus": pl.String,
    "batteryPackChargingPower": pl.Float64,
    "estimatedDistanceToEmpty": pl.Struct({"total": pl.Float64, "batteryPack": pl.Float64}),
}
TELLTALES: Final = pl.List(pl.Struct({"tellTale": pl.String, "state": pl.String}))
SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "vehicles": {"vin": pl.String},
    "vehiclestatuses": {
        **COMMON,
        "hrTotalVehicleDistance": pl.Float64,
        "totalElectricEnergyUsed": pl.Float64,
        "snapshotData": pl.Struct(SNAPSHOT),
        "uptimeData": pl.Struct({"tellTaleInfo": TELLTALES}),
    },
    "vehiclepositions": {**COMMON, "gnssPosition": GNSS, **SPEEDS},
}


def parse_records(
    records: Sequence[object], name: str, *, source: Source, registry: Registry
) -> tuple[dict[str, pl.DataFrame], list[Rejected]]:
    """Return rows by entity, and what cannot become one; records of ``vehicles`` only tell strangers."""
    entity = "vehicle" if name == "vehicles" else "vehicle_snapshot"
    table, strangers = record_table(records, SCHEMAS[name])
    rejected = [Rejected(entity, k, "not_an_object", "the record is no JSON object") for k in strangers]
    table, unknown = with_vehicle(table.rename({"vin": REF}), source=source, registry=registry, entity=entity)
    rejected += as_rejected(unknown)
    if name == "vehicles":
        return {}, rejected
    flat = _status_fields(table) if name == "vehiclestatuses" else _position_fields(table)
    timed, untimed = _timed(flat, source)
    rows = {
        "vehicle_snapshot": timed.with_columns(at_site_id=at_site(registry.sites)).drop(
            "latitude", "longitude", "position_at"
        ),
        "vehicle_position": _positions(timed),
    }
    return rows, [*rejected, *as_rejected(untimed)]


def _status_fields(table: pl.DataFrame) -> pl.DataFrame:
    snapshot = pl.col("snapshotData").struct.unnest()
    telltales = pl.col("uptimeData").struct.field("tellTaleInfo")
    fields = table.select(pl.exclude("snapshotData", "uptimeData"), snapshot, telltales)
    plugged = pl.col("batteryPackChargingConnectionStatus").replace_strict(
        PLUGGED, default=None, return_dtype=pl.Boolean
    )
    charging = pl.col("batteryPackChargingStatus").replace_strict(CHARGING_STATES, default=None, return_dtype=pl.String)
    reach = pl.col("estimatedDistanceToEmpty").struct
    return fields.select(
        *_common_fields(plugged, charging),
        soc_pct=pl.col("hybridBatteryPackRemainingCharge"),
        soc_basis=pl.when(pl.col("hybridBatteryPackRemainingCharge").is_not_null()).then(pl.lit("unknown")),
        odometer_km=_counter("hrTotalVehicleDistance") / 1000,
        energy_used_total_kwh=_counter("totalElectricEnergyUsed") / 1000,
        charging_power_kw=_known(pl.col("batteryPackChargingPower")) / 1000,
        ambient_temperature_c=_known(pl.col("ambientAirTemperature")),
        range_km=pl.coalesce(_known(reach.field("batteryPack")), _known(reach.field("total"))) / 1000,
        has_red_battery_telltale=_has_red_telltale(),
    )


def _position_fields(table: pl.DataFrame) -> pl.DataFrame:
    return table.select(*_common_fields(pl.lit(None, pl.Boolean), pl.lit(None, pl.String)))


def _common_fields(plugged: pl.Expr, charging: pl.Expr) -> list[pl.Expr]:
    """Return what statuses and positions share; a charging event in the trigger speaks where the snapshot is silent."""
    trigger, gnss = pl.col("triggerType").struct, pl.col("gnssPosition").struct
    plug_event = _plugged(trigger.field("chargingConnectionStatusInfo").struct.field("event"))
    event = trigger.field("chargingStatusInfo").struct.field("event")
    charging_event = event.replace_strict(CHARGING_EVENTS, default=None, return_dtype=pl.String)
    state = pl.coalesce(charging, charging_event)
    # Current flows only through a cable.
    is_charging = pl.when(state.str.starts_with("charging")).then(pl.lit(value=True))
    speeds = (pl.col("wheelBasedSpeed"), pl.col("tachographSpeed"), gnss.field("speed"))
    return [
        pl.col(RECORD),
        pl.col("vehicle_id"),
        pl.col("createdDateTime"),
        pl.col("receivedDateTime"),
        gnss.field("latitude").alias("latitude"),
        gnss.field("longitude").alias("longitude"),
        utc_instant(gnss.field("positionDateTime")).alias("position_at"),
        pl.coalesce(*map(_known, speeds)).alias("speed_kmh"),
        pl.coalesce(plugged, plug_event, is_charging).alias("is_plugged"),
        state.alias("charging_state"),
        trigger.field("triggerType").alias("trigger"),
    ]


def _timed(flat: pl.DataFrame, source: Source) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give rows their times; a record without a readable time of creation is rejected."""
    timed = flat.with_columns(observed_at=utc_instant(pl.col("createdDateTime"))).with_columns(
        available_at=pl.coalesce(utc_instant(pl.col("receivedDateTime")), after_latency(source))
    )
    kept, rejected = check(timed, [missing("observed_at", "createdDateTime")], entity="vehicle_snapshot")
    return kept.drop("createdDateTime", "receivedDateTime"), rejected


def _positions(timed: pl.DataFrame) -> pl.DataFrame:
    """Return precise positions at the receiver's own time, or the record's where it gives none."""
    known = timed.filter(pl.col("latitude").is_not_null() & pl.col("longitude").is_not_null())
    at = pl.coalesce("position_at", "observed_at")
    return known.select(RECORD, "vehicle_id", "latitude", "longitude", "available_at", observed_at=at)


def _has_red_telltale() -> pl.Expr:
    telltale = pl.element().struct
    is_red = telltale.field("tellTale").is_in(BATTERY_TELLTALES) & (telltale.field("state") == "RED")
    return pl.col("tellTaleInfo").list.eval(is_red).list.any()


def _plugged(word: pl.Expr) -> pl.Expr:
    """Return whether a cable is connected; NULL while that changes."""
    return word.replace_strict(PLUGGED, default=None, return_dtype=pl.Boolean)


def _charging_state(word: pl.Expr) -> pl.Expr:
    return word.replace_strict(CHARGING_STATES, default=None, return_dtype=pl.String)


def _known(value: pl.Expr) -> pl.Expr:
    """Return a value, NULL where it stands for "not available"."""
    return pl.when(~value.is_in(SENTINELS)).then(value)


def _counter(name: str) -> pl.Expr:
    """Return a lifetime counter; 0 is one that was never read."""
    return pl.when(pl.col(name) != 0).then(_known(pl.col(name)))
