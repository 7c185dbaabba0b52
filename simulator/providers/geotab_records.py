"""Telematics records in Geotab's words and units: trips in km, odometers in metres, battery power negative charging."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from simulator.providers.telematics import ChargeRecord, StatusDatum, TripVersion
from simulator.scenario import Faults
from simulator.world.chance import share
from simulator.world.fleet import Vehicle
from simulator.world.telemetry import Sample

Json = dict[str, Any]
NEVER = "2050-01-01T00:00:00.000Z"
NOT_A_NUMBER = "NaN"  # JSON has no such number; the server writes the word


def device(vehicle: Vehicle) -> Json:
    """Return a ``Device``."""
    return {
        "id": vehicle.device_id,
        "name": vehicle.vehicle_id,
        "serialNumber": f"G9{vehicle.index:010X}",
        "vehicleIdentificationNumber": vehicle.vin,
        "timeZoneId": "Europe/Berlin",
        "activeFrom": "2024-06-01T00:00:00.000Z",
        "activeTo": NEVER,
        "groups": [{"id": "GroupCompanyId"}],
    }


def status_datum(datum: StatusDatum, number: int) -> Json:
    """Return a ``StatusData``."""
    return {
        "id": f"aS{number:08X}",
        "device": {"id": datum.vehicle.device_id},
        "diagnostic": {"id": datum.diagnostic},
        "dateTime": _stamp(datum.at),
        "data": datum.value,
        "version": f"{number + 1:016x}",
    }


def log_record(sample: Sample, number: int, seed: int, faults: Faults) -> Json:
    """Return a ``LogRecord``."""
    is_unset = share(seed, "epoch", sample.vehicle.vin, sample.at) < faults.epoch_share
    is_unknown = share(seed, "speed", sample.vehicle.vin, sample.at) < faults.nan_speed_share
    return {
        "id": f"bL{number:08X}",
        "device": {"id": sample.vehicle.device_id},
        "dateTime": "1970-01-01T00:00:07.000Z" if is_unset else _stamp(sample.at),
        "latitude": sample.latitude,
        "longitude": sample.longitude,
        "speed": NOT_A_NUMBER if is_unknown else sample.speed_kmh,
    }


def trip(version: TripVersion) -> Json:
    """Return a ``Trip``."""
    driving = version.ended_at - version.started_at
    hours = driving / timedelta(hours=1)
    stop = version.next_start_at - version.ended_at if version.next_start_at else timedelta()
    record: Json = {
        "id": version.trip_id,
        "device": {"id": version.vehicle.device_id},
        "driver": {"id": version.driver_id} if version.driver_id else "UnknownDriverId",
        "start": _stamp(version.started_at),
        "stop": _stamp(version.ended_at),
        "nextTripStart": _stamp(version.next_start_at) if version.next_start_at else NEVER,
        "distance": round(version.distance_km, 3),
        "drivingDuration": _timespan(driving),
        "stopDuration": _timespan(stop),
        "idlingDuration": _timespan(driving * 0.04),
        "averageSpeed": round(version.distance_km / hours, 2) if hours > 0 else 0.0,
        "maximumSpeed": 84.0,
        "stopPoint": {"x": version.stop[1], "y": version.stop[0]},
        "odometer": round(version.odometer_km * 1000),
        "engineHours": round(3600 * version.odometer_km / 31),
    }
    if version.deleted_at is not None:
        record["deletedDateTime"] = _stamp(version.deleted_at)
    return record


def charge_event(record: ChargeRecord, number: int) -> Json:
    """Return a ``ChargeEvent``."""
    duration = record.ended_at - record.started_at
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{record.vehicle.vin} {record.started_at.isoformat()}")),
        "device": {"id": record.vehicle.device_id},
        "startTime": _stamp(record.started_at),
        "duration": _timespan(duration),
        "chargeType": "AC",
        "startStateOfCharge": round(record.soc_start_pct, 1),
        "endStateOfCharge": round(record.soc_end_pct, 1),
        "energyConsumedKwh": round(record.stored_kwh, 3),
        "measuredBatteryEnergyInKwh": round(record.stored_kwh, 3),
        "measuredBatteryEnergyOutKwh": 0.0,
        "measuredOnBoardChargerEnergyInKwh": round(record.grid_kwh, 3),
        "measuredOnBoardChargerEnergyOutKwh": round(record.stored_kwh * 1.01, 3),
        "peakPowerKw": round(record.peak_kw, 2),
        "maxACVoltage": 231.0,
        "chargeIsEstimated": False,
        "version": f"{number + 1:016x}",
    }


def _stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _timespan(duration: timedelta) -> str:
    """Write a duration as .NET does: ``d.hh:mm:ss.fffffff``, days only where there are any."""
    seconds, micros = divmod(round(duration / timedelta(microseconds=1)), 1_000_000)
    days, rest = divmod(seconds, 86_400)
    text = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}.{micros * 10:07d}"
    return f"{days}.{text}" if days else text
