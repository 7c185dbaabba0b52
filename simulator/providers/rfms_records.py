"""Samples in rFMS v4's words and units (Wh, W, m), with the quirks that manufacturers are known for."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from simulator.scenario import LIVE_DATE, NO_FAULTS, Faults
from simulator.world.chance import share
from simulator.world.fleet import Vehicle
from simulator.world.telemetry import Sample

Json = dict[str, Any]
NOT_AVAILABLE = 65535
RED_HOURS = (11, 12)
TRIGGERS = {
    "timer": "TIMER",
    "ignition_on": "IGNITION_ON",
    "ignition_off": "IGNITION_OFF",
    "plugged": "BATTERY_PACK_CHARGING_CONNECTION_STATUS_CHANGE",
    "unplugged": "BATTERY_PACK_CHARGING_CONNECTION_STATUS_CHANGE",
    "charging_started": "BATTERY_PACK_CHARGING_STATUS_CHANGE",
    "charging_stopped": "BATTERY_PACK_CHARGING_STATUS_CHANGE",
}


def vehicle_record(vehicle: Vehicle) -> Json:
    """Return an element of ``vehicles``."""
    return {
        "vin": vehicle.vin,
        "customerVehicleName": vehicle.vehicle_id,
        "brand": vehicle.model.brand.upper(),
        "productionDate": {"day": 1, "month": 1 + vehicle.index % 12, "year": 2024},
        "type": vehicle.model.vehicle_class.upper(),
        "model": vehicle.model.name,
        "possibleFuelType": ["0x06"],
        "totalBatteryPackCapacity": round(vehicle.model.usable_kwh * 1000 / 0.925),
        "gearboxType": "NO_GEAR",
        "noOfAxles": 2,
        "authorizedPaths": ["/vehiclepositions", "/vehiclestatuses"],
    }


def position_record(received_at: datetime, sample: Sample, *, seed: int = 0, faults: Faults = NO_FAULTS) -> Json:
    """Return an element of ``vehiclePositions``."""
    return {
        **_head(received_at, sample, seed, faults),
        "gnssPosition": _gnss(sample, seed, faults),
        "wheelBasedSpeed": sample.speed_kmh,
    }


def status_record(
    received_at: datetime, sample: Sample, *, contents: Sequence[str], seed: int = 0, faults: Faults = NO_FAULTS
) -> Json:
    """Return an element of ``vehicleStatuses`` with the content blocks asked for."""
    record = {
        **_head(received_at, sample, seed, faults),
        "hrTotalVehicleDistance": round(sample.odometer_km * 1000),
        "totalElectricEnergyUsed": round(sample.energy_used_kwh * 1000),
        "grossCombinationVehicleWeight": 655350 if sample.speed_kmh == 0 else 11_000 + 10 * sample.vehicle.index,
    }
    if "SNAPSHOT" in contents:
        record["snapshotData"] = _snapshot(sample, seed, faults)
    if "UPTIME" in contents:
        record["uptimeData"] = {
            "tellTaleInfo": [{"tellTale": "BATTERY_PACK", "state": _telltale(sample, seed, faults)}],
            "serviceDistance": 18_000_000,
        }
    if "ACCUMULATED" in contents:
        record["accumulatedData"] = {
            "electricEnergyWheelbasedSpeedOverZero": round(sample.energy_used_kwh * 930),
            "electricEnergyWheelbasedSpeedZero": round(sample.energy_used_kwh * 70),
        }
    return record


def _head(received_at: datetime, sample: Sample, seed: int, faults: Faults) -> Json:
    is_unset = share(seed, "epoch", sample.vehicle.vin, sample.at) < faults.epoch_share
    trigger: Json = {"triggerType": TRIGGERS[sample.trigger], "context": "RFMS"}
    if sample.trigger in ("plugged", "unplugged"):
        event = "CONNECTED" if sample.trigger == "plugged" else "DISCONNECTED"
        trigger["chargingConnectionStatusInfo"] = {"event": event}
    elif sample.trigger in ("charging_started", "charging_stopped"):
        event = "CHARGING_STARTED" if sample.trigger == "charging_started" else "CHARGING_INTERRUPTED"
        trigger["chargingStatusInfo"] = {"event": event}
    return {
        "vin": sample.vehicle.vin,
        "triggerType": trigger,
        "createdDateTime": "1970-01-01T00:00:12Z" if is_unset else _milliseconds(sample.at),
        "receivedDateTime": _milliseconds(received_at),
    }


def _telltale(sample: Sample, seed: int, faults: Faults) -> str:
    day = sample.at.date()
    is_bad_day = share(seed, "telltale", sample.vehicle.vin, day) < faults.red_telltale_share
    if is_bad_day and sample.at.hour in RED_HOURS and day != LIVE_DATE:
        return "RED"
    return "YELLOW" if sample.soc_pct < 10 else "OFF"


def _snapshot(sample: Sample, seed: int, faults: Faults) -> Json:
    vin, at = sample.vehicle.vin, sample.at
    is_missing = share(seed, "no soc", vin, at) < faults.missing_soc_share
    is_sentinel = share(seed, "sentinel", vin, at) < faults.sentinel_share
    usable_kwh = sample.vehicle.battery.capacity_kwh * sample.soc_pct / 100
    range_m = round(1000 * usable_kwh / (sample.vehicle.model.kwh_per_km * 1.15))
    snapshot: Json = {
        "gnssPosition": _gnss(sample, seed, faults),
        "wheelBasedSpeed": sample.speed_kmh,
        "ambientAirTemperature": NOT_AVAILABLE if is_sentinel else sample.ambient_c,
        "batteryPackChargingStatus": "CHARGING_DC" if sample.charging_kw > 0 else "NOT_CHARGING",
        "batteryPackChargingConnectionStatus": "CONNECTED" if sample.is_plugged else "DISCONNECTED",
        "batteryPackChargingDevice": "VEHICLE_COUPLER" if sample.is_plugged else "NONE",
        "batteryPackChargingPower": round(1000 * sample.charging_kw),
        "estimatedDistanceToEmpty": {"total": range_m, "batteryPack": range_m},
    }
    if not is_missing:
        snapshot["hybridBatteryPackRemainingCharge"] = round(sample.soc_pct, 1)
    return snapshot


def _gnss(sample: Sample, seed: int, faults: Faults) -> Json:
    is_text = share(seed, "heading", sample.vehicle.vin, sample.at) < faults.string_heading_share
    return {
        "latitude": sample.latitude,
        "longitude": sample.longitude,
        "heading": str(sample.heading_deg) if is_text else sample.heading_deg,
        "altitude": 38,
        "speed": sample.speed_kmh,
        "positionDateTime": _milliseconds(sample.at),
    }


def _milliseconds(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
