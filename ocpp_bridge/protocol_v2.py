"""OCPP 2.0.1 and 2.1, outgoing: capabilities from device-model variables, profiles, read-back. Payloads only.

The bridge uses what both versions share; what 2.1 adds to profiles (dynamic kinds, setpoints) is not needed for limits.
"""

from typing import Any, Final

from core.time_grid import format_instant
from ocpp_bridge.profiles import Capabilities, ChargingProfile, Slot, Unit
from ocpp_bridge.protocol import Composite, Request, purpose_of, read_periods, whole
from ocpp_bridge.wire import Answer, Payload

COMPONENT: Final = "SmartChargingCtrlr"
VARIABLES: Final = ("ProfileStackLevel", "RateUnit", "PeriodsPerSchedule")


class Ocpp2:
    """OCPP 2.0.1 or 2.1."""

    def __init__(self, version: str) -> None:
        self.version = version

    def probe(self) -> list[Request]:
        """Ask for the smart-charging variables."""
        wanted = [{"component": {"name": COMPONENT}, "variable": {"name": name}} for name in VARIABLES]
        return [("GetVariables", {"getVariableData": wanted})]

    def capabilities(self, answers: list[Answer | None], known: Capabilities) -> Capabilities:
        """Read the variables; several stations lack some, or all."""
        answer = answers[0]
        if answer is None or answer.error_code is not None:
            return known
        values = _values(answer.payload.get("getVariableResult"))
        level = whole(values.get("profilestacklevel"))
        return Capabilities(
            units=_units(values.get("rateunit", "")) or known.units,
            max_periods=max(1, whole(values.get("periodsperschedule")) or known.max_periods),
            max_stack_level=known.max_stack_level if level is None else max(0, level),
            max_profiles=known.max_profiles,
            reads_back=known.reads_back,
        )

    def install(self, profile: ChargingProfile) -> Request:
        """Return SetChargingProfile."""
        schedule: Payload = {
            "id": profile.profile_id,
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
            "id": profile.profile_id,
            "stackLevel": profile.stack_level,
            "chargingProfilePurpose": purpose_of(profile, station_maximum="ChargingStationMaxProfile"),
            "chargingProfileKind": "Absolute",
            "chargingSchedule": [schedule],
        }
        if profile.is_daily:
            body |= {"chargingProfileKind": "Recurring", "recurrencyKind": "Daily"}
        if profile.valid_to is not None and profile.duration_s is not None:
            schedule["duration"] = profile.duration_s
            body["validFrom"] = format_instant(profile.start_at)
            body["validTo"] = format_instant(profile.valid_to)
        if profile.transaction_id is not None:
            body["transactionId"] = profile.transaction_id
        return "SetChargingProfile", {"evseId": profile.connector_id, "chargingProfile": body}

    def remove(self, profile_id: int, *, connector_id: int, slot: Slot) -> Request:  # noqa: ARG002  the id is enough
        """Return ClearChargingProfile."""
        return "ClearChargingProfile", {"chargingProfileId": profile_id}

    def read_back(self, connector_id: int, duration_s: int, unit: Unit) -> Request:
        """Return GetCompositeSchedule."""
        return "GetCompositeSchedule", {"evseId": connector_id, "duration": duration_s, "chargingRateUnit": unit}

    def composite(self, answer: Answer) -> Composite | None:
        """Read GetCompositeSchedule's answer; some stations use the name that 1.6 had for the schedule."""
        schedule = answer.payload.get("schedule", answer.payload.get("chargingSchedule"))
        if answer.status != "Accepted" or not isinstance(schedule, dict):
            return None
        periods = read_periods(schedule.get("chargingSchedulePeriod"))
        unit = schedule.get("chargingRateUnit")
        return Composite(unit, periods) if periods and unit in ("A", "W") else None


def _values(results: Any) -> dict[str, str]:  # noqa: ANN401  whatever a station sent
    values: dict[str, str] = {}
    for result in results if isinstance(results, list) else []:
        variable = result.get("variable") if isinstance(result, dict) else None
        name = variable.get("name") if isinstance(variable, dict) else None
        if isinstance(name, str) and result.get("attributeStatus") == "Accepted":
            values[name.casefold()] = str(result.get("attributeValue", ""))
    return values


def _units(text: str) -> frozenset[Unit]:
    words = {word.strip() for word in text.upper().split(",")}
    units: set[Unit] = set()
    if "A" in words or "CURRENT" in words:
        units.add("A")
    if "W" in words or "POWER" in words:
        units.add("W")
    return frozenset(units)
