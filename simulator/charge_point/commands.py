"""What a station answers when the back end calls: one function per action, the table of all of them at the end."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from simulator.charge_point.limits import composite
from simulator.charge_point.profiles import ProfileError, read_profile
from simulator.charge_point.station import Station
from simulator.charge_point.wire import CallError

Json = dict[str, Any]
TRIGGERED: Final = ("BootNotification", "Heartbeat", "MeterValues", "StatusNotification")


def answer(station: Station, action: str, payload: Json, at: datetime) -> Json:
    """Carry out a call and return the result's payload.

    Raises:
        CallError: the action is unknown to this station, or the payload is not what the action needs.
    """
    command = COMMANDS.get(action)
    if command is None:
        raise CallError("NotImplemented", f"{action} is not implemented")
    try:
        return command(station, payload, at)
    except (KeyError, TypeError, ValueError) as error:
        raise CallError("FormationViolation", f"{action}: {error!r}") from error


def _set_charging_profile(station: Station, payload: Json, at: datetime) -> Json:
    connector_id = int(payload["connectorId"])
    if connector_id != 0 and connector_id not in station.outlets:
        return {"status": "Rejected"}
    units = ("A", "W") if "Current" in station.settings.text("ChargingScheduleAllowedChargingRateUnit") else ("W",)
    outlet = station.outlets.get(connector_id)
    try:
        profile = read_profile(connector_id, payload["csChargingProfiles"], units=units, received_at=at)
        station.profiles.install(profile, outlet.transaction if outlet else None)
    except ProfileError:
        return {"status": "Rejected"}
    return {"status": "Accepted"}


def _clear_charging_profile(station: Station, payload: Json, at: datetime) -> Json:  # noqa: ARG001 - as all commands
    found = station.profiles.clear(
        payload.get("id"), payload.get("connectorId"), payload.get("chargingProfilePurpose"), payload.get("stackLevel")
    )
    return {"status": "Accepted" if found else "Unknown"}


def _get_composite_schedule(station: Station, payload: Json, at: datetime) -> Json:
    connector_id, duration_s = int(payload["connectorId"]), int(payload["duration"])
    outlet = station.outlets.get(connector_id)
    if outlet is None:
        return {"status": "Rejected"}
    is_dc = outlet.connector.current_type == "dc"
    unit = "W" if is_dc else payload.get("chargingRateUnit", "A")
    steps = composite(station.profiles, outlet.connector, outlet.transaction, at=at, duration_s=duration_s, unit=unit)
    periods = [{"startPeriod": step.start_s, "limit": step.value} for step in steps]
    schedule = {"duration": duration_s, "chargingRateUnit": unit, "chargingSchedulePeriod": periods}
    return {
        "status": "Accepted",
        "connectorId": connector_id,
        "scheduleStart": at.replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "chargingSchedule": schedule,
    }


def _get_configuration(station: Station, payload: Json, at: datetime) -> Json:  # noqa: ARG001 - as all commands
    return station.settings.read(list(payload.get("key") or []))


def _change_configuration(station: Station, payload: Json, at: datetime) -> Json:  # noqa: ARG001 - as all commands
    return {"status": station.settings.change(str(payload["key"]), str(payload["value"]))}


def _trigger_message(station: Station, payload: Json, at: datetime) -> Json:
    wanted, connector_id = payload["requestedMessage"], payload.get("connectorId")
    if wanted not in TRIGGERED:
        return {"status": "NotImplemented"}
    if connector_id is not None and connector_id != 0 and connector_id not in station.outlets:
        return {"status": "Rejected"}
    if wanted == "StatusNotification":
        station.report_statuses(at, connector_id=connector_id)
    elif wanted == "MeterValues":
        for number in [connector_id] if connector_id else sorted(station.outlets):
            station.report_meter(number, at)
    else:
        station.report(wanted)
    return {"status": "Accepted"}


def _remote_stop(station: Station, payload: Json, at: datetime) -> Json:
    for connector_id, outlet in station.outlets.items():
        if outlet.running is not None and outlet.running.transaction_id == payload["transactionId"]:
            station.stop(connector_id, at, reason="Remote")
            return {"status": "Accepted"}
    return {"status": "Rejected"}


def _reset(station: Station, payload: Json, at: datetime) -> Json:  # noqa: ARG001 - as all commands
    station.restart()
    return {"status": "Accepted"}


def _fixed(**reply: str) -> Callable[[Station, Json, datetime], Json]:
    """Return a command that always answers the same."""
    return lambda station, payload, at: dict(reply)  # noqa: ARG005 - as all commands


COMMANDS: Final[Mapping[str, Callable[[Station, Json, datetime], Json]]] = {
    "SetChargingProfile": _set_charging_profile,
    "ClearChargingProfile": _clear_charging_profile,
    "GetCompositeSchedule": _get_composite_schedule,
    "GetConfiguration": _get_configuration,
    "ChangeConfiguration": _change_configuration,
    "TriggerMessage": _trigger_message,
    "RemoteStopTransaction": _remote_stop,
    "Reset": _reset,
    "RemoteStartTransaction": _fixed(status="Rejected"),
    "ChangeAvailability": _fixed(status="Accepted"),
    "ClearCache": _fixed(status="Accepted"),
    "UnlockConnector": _fixed(status="NotSupported"),
    "DataTransfer": _fixed(status="UnknownVendorId"),
}
