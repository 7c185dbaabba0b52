"""OCPP 1.6J, outgoing: capabilities from configuration keys, profiles, read-back. Payloads only."""

from typing import Final

from core.time_grid import format_instant
from ocpp_bridge.profiles import Capabilities, ChargingProfile, Slot, Unit
from ocpp_bridge.protocol import Composite, Request, purpose_of, read_periods, whole
from ocpp_bridge.wire import Answer, Payload

KEYS: Final = (
    "ChargeProfileMaxStackLevel",
    "ChargingScheduleAllowedChargingRateUnit",
    "ChargingScheduleMaxPeriods",
    "MaxChargingProfilesInstalled",
    "ConnectorSwitch3to1PhaseSupported",
    "SupportedFeatureProfiles",
)


class Ocpp16:
    """OCPP 1.6J."""

    version = "1.6"

    def probe(self) -> list[Request]:
        """Ask for the smart-charging keys."""
        return [("GetConfiguration", {"key": list(KEYS)})]

    def capabilities(self, answers: list[Answer | None], known: Capabilities) -> Capabilities:
        """Read configuration keys tolerantly: letter case, quotes and ``W`` for ``Power`` all occur."""
        answer = answers[0]
        if answer is None or answer.error_code is not None:
            return known
        values: dict[str, str] = {}
        listed = answer.payload.get("configurationKey")
        for item in listed if isinstance(listed, list) else []:
            if isinstance(item, dict) and isinstance(item.get("key"), str) and item.get("value") is not None:
                values[item["key"].casefold()] = str(item["value"]).strip("'\" ")
        return Capabilities(
            units=_units(values.get("chargingscheduleallowedchargingrateunit", "")) or known.units,
            max_periods=max(1, whole(values.get("chargingschedulemaxperiods")) or known.max_periods),
            max_stack_level=_level(values.get("chargeprofilemaxstacklevel"), known.max_stack_level),
            max_profiles=whole(values.get("maxchargingprofilesinstalled")),
            reads_back=known.reads_back,
        )

    def install(self, profile: ChargingProfile) -> Request:
        """Return SetChargingProfile."""
        schedule: Payload = {
            "startSchedule": format_instant(profile.start_at),
            "chargingRateUnit": profile.unit,
            "chargingSchedulePeriod": [
                {
                    "startPeriod": period.start_s,
                    "limit": period.limit,
                    **({} if profile.phases is None else {"numberPhases": profile.phases}),
                }
                for period in profile.periods
            ],
        }
        body: Payload = {
            "chargingProfileId": profile.profile_id,
            "stackLevel": profile.stack_level,
            "chargingProfilePurpose": purpose_of(profile, station_maximum="ChargePointMaxProfile"),
            "chargingProfileKind": "Absolute",
            "chargingSchedule": schedule,
        }
        if profile.is_daily:
            body |= {"chargingProfileKind": "Recurring", "recurrencyKind": "Daily"}
        if profile.valid_to is not None and profile.duration_s is not None:
            schedule["duration"] = profile.duration_s
            body["validFrom"] = format_instant(profile.start_at)
            body["validTo"] = format_instant(profile.valid_to)
        if profile.transaction_id is not None:
            body["transactionId"] = int(profile.transaction_id)
        return "SetChargingProfile", {"connectorId": profile.connector_id, "csChargingProfiles": body}

    def remove(self, profile_id: int, *, connector_id: int, slot: Slot) -> Request:  # noqa: ARG002  2.x needs them
        """Return ClearChargingProfile, by id alone: fields are AND-ed, and some stations compare them strangely."""
        return "ClearChargingProfile", {"id": profile_id}

    def read_back(self, connector_id: int, duration_s: int, unit: Unit) -> Request:
        """Return GetCompositeSchedule."""
        payload = {"connectorId": connector_id, "duration": duration_s, "chargingRateUnit": unit}
        return "GetCompositeSchedule", payload

    def composite(self, answer: Answer) -> Composite | None:
        """Read GetCompositeSchedule's answer."""
        schedule = answer.payload.get("chargingSchedule")
        if answer.status != "Accepted" or not isinstance(schedule, dict):
            return None
        periods = read_periods(schedule.get("chargingSchedulePeriod"))
        unit = schedule.get("chargingRateUnit")
        return Composite(unit, periods) if periods and unit in ("A", "W") else None


def _units(text: str) -> frozenset[Unit]:
    words = {word.strip("'\" ").casefold() for word in text.replace(";", ",").split(",")}
    units: set[Unit] = set()
    if words & {"current", "a"}:
        units.add("A")
    if words & {"power", "w"}:
        units.add("W")
    return frozenset(units)


def _level(text: str | None, known: int) -> int:
    level = whole(text)
    return known if level is None else max(0, level)
