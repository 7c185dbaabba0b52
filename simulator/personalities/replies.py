"""What a station answers when the back end calls, by its personality and OCPP version. No socket."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from simulator.personalities import dialect
from simulator.personalities.book import HARDWARE_A, PURPOSES, VOLTAGE_V, Book, ProfileRefusedError, read_profile
from simulator.personalities.traits import Personality

Json = dict[str, Any]
SMART: Final = frozenset({"SetChargingProfile", "ClearChargingProfile", "GetCompositeSchedule"})
LOST_BOUNDARY_S: Final = 600


class CallError(Exception):
    """A refusal that goes out as CALLERROR."""

    def __init__(self, code: str, description: str = "") -> None:
        super().__init__(f"{code}: {description}")
        self.code, self.description = code, description


class Answering(Protocol):
    """What answering needs of a station."""

    @property
    def personality(self) -> Personality:
        """Who it is."""

    @property
    def book(self) -> Book:
        """Its profiles."""

    @property
    def connector_ids(self) -> tuple[int, ...]:
        """Its connectors."""

    def own_now_s(self) -> float:
        """Return what its own clock shows."""

    def running(self, connector_id: int) -> str | None:
        """Return the id of a connector's transaction."""

    def took(self, connector_id: int, before_kw: float) -> None:
        """Take note that a profile came in."""

    def own_limit_kw(self, connector_id: int) -> float:
        """Return what profiles allow now."""

    def restart(self) -> None:
        """Boot again."""


def answer(station: Answering, version: str, action: str, payload: Json) -> Json:
    """Return the payload of the result.

    Raises:
        CallError: the station refuses the call as such.
    """
    if action in SMART and version in station.personality.not_implemented_in:
        raise CallError("NotImplemented", "smart charging")
    reply = REPLIES.get(action)
    if reply is None:
        raise CallError("NotImplemented", action)
    try:
        return reply(station, version, payload)
    except (KeyError, TypeError, ValueError) as error:
        raise CallError("FormationViolation" if version == "1.6" else "FormatViolation", repr(error)) from error


def _set_profile(station: Answering, version: str, payload: Json) -> Json:
    connector_id = int(payload["connectorId"] if version == "1.6" else payload["evseId"])
    raw = payload["csChargingProfiles"] if version == "1.6" else payload["chargingProfile"]
    before_kw = station.own_limit_kw(connector_id) if connector_id else 0.0
    try:
        if connector_id not in (0, *station.connector_ids):
            raise ProfileRefusedError("no such connector")
        profile = read_profile(connector_id, raw, received_s=station.own_now_s())
        if station.personality.follows:
            station.book.install(profile, station.running(connector_id))
    except ProfileRefusedError as refusal:
        if version == "1.6":
            return {"status": "Rejected"}
        return {"status": "Rejected", "statusInfo": {"reasonCode": "InvalidProfile", "additionalInfo": str(refusal)}}
    if connector_id:
        station.took(connector_id, before_kw)
    return {"status": "Accepted"}


def _clear_profile(station: Answering, version: str, payload: Json) -> Json:
    profile_id = payload.get("id" if version == "1.6" else "chargingProfileId")
    if profile_id is None:
        criteria = payload if version == "1.6" else payload["chargingProfileCriteria"]
        if set(criteria) != {"chargingProfilePurpose"}:
            raise CallError("NotSupported", "clearing by other criteria than the purpose")
        was_there = station.book.clear_purpose(PURPOSES[criteria["chargingProfilePurpose"]])
        return {"status": "Accepted" if was_there else "Unknown"}
    return {"status": "Accepted" if station.book.clear(int(profile_id)) else "Unknown"}


def _composite(station: Answering, version: str, payload: Json) -> Json:
    style = station.personality.composite
    if style == "not supported":
        raise CallError("NotSupported", "no composite schedules")
    connector_id = int(payload["connectorId"] if version == "1.6" else payload["evseId"])
    if connector_id not in station.connector_ids or (style == "no maximum" and not station.book.profiles):
        return {"status": "Rejected"}
    if style == "no schedule":
        return {"status": "Accepted"}
    duration_s = int(payload["duration"])
    unit = payload.get("chargingRateUnit") or station.personality.units[0]
    if style == "no maximum" or unit not in station.personality.units:
        unit = station.personality.units[0]
    schedule: Json = {
        "duration": duration_s,
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": _periods(station, connector_id, duration_s, unit),
    }
    if version == "1.6":
        start = dialect.stamp(station.own_now_s())
        return {"status": "Accepted", "connectorId": connector_id, "scheduleStart": start, "chargingSchedule": schedule}
    schedule |= {"evseId": connector_id, "scheduleStart": dialect.stamp(station.own_now_s())}
    if style == "old name":
        return {"status": "Accepted", "chargingSchedule": {**schedule, "evseId": -1}}
    return {"status": "Accepted", "schedule": schedule}


def _periods(station: Answering, connector_id: int, duration_s: int, unit: str) -> list[Json]:
    style, now_s = station.personality.composite, station.own_now_s()
    if style == "hardware":
        return [_period(0, HARDWARE_A, unit)]
    offsets = [0.0, *sorted(edge - now_s for edge in station.book.edges(connector_id) if 0 < edge - now_s < duration_s)]
    if style == "boundaries lost":
        offsets = [0.0, *(float(k - 1) for k in range(LOST_BOUNDARY_S, duration_s, LOST_BOUNDARY_S))]
    periods: list[Json] = []
    for offset in offsets:
        at_s = now_s + offset + 0.001
        start = offset if style == "fractional" else int(offset)
        period = _period(start, _reported_a(station, connector_id, at_s), unit)
        if not periods or periods[-1]["limit"] != period["limit"]:
            periods.append(period)
    return periods


def _reported_a(station: Answering, connector_id: int, at_s: float) -> float:
    """Return the limit that it reports, in amperes; -1 is one way of saying that there is none."""
    running, personality = station.running(connector_id), station.personality
    if running is None and not personality.counts_default_when_idle:
        return -1.0
    with_maximum = personality.composite != "no maximum"
    return station.book.limit(connector_id, at_s, running, with_maximum=with_maximum).current_a


def _period(start_s: float, current_a: float, unit: str) -> Json:
    if current_a < 0:
        return {"startPeriod": start_s, "limit": -1, "numberPhases": -1}
    limit = current_a if unit == "A" else current_a * VOLTAGE_V * 3
    return {"startPeriod": start_s, "limit": round(limit, 1)}


def _configuration(station: Answering, version: str, payload: Json) -> Json:  # noqa: ARG001  as all replies
    personality = station.personality
    known = {
        "ChargeProfileMaxStackLevel": personality.level_told,
        "ChargingScheduleAllowedChargingRateUnit": personality.units_told,
        "ChargingScheduleMaxPeriods": personality.periods_told,
        "MeterValuesSampledData": "Energy.Active.Import.Register",
        "NumberOfConnectors": len(station.connector_ids),
        "SupportedFeatureProfiles": "Core,SmartCharging",
    }
    quote = "'" if personality.keys_are_quoted else ""
    wanted = {str(key).casefold() for key in payload.get("key") or known}
    entries = [
        {
            "key": key.upper() if personality.keys_are_quoted else key,
            "readonly": True,
            "value": f"{quote}{value}{quote}",
        }
        for key, value in known.items()
        if value is not None and key.casefold() in wanted
    ]
    unknown = [key for key in payload.get("key") or () if str(key).casefold() not in {one.casefold() for one in known}]
    return {"configurationKey": entries, **({"unknownKey": unknown} if unknown else {})}


def _change_configuration(station: Answering, version: str, payload: Json) -> Json:  # noqa: ARG001  as all replies
    if payload["key"] != "MeterValuesSampledData":
        return {"status": "NotSupported"}
    known = {"Energy.Active.Import.Register"}
    if station.personality.meter != "register only":
        known |= {"Power.Active.Import", "Current.Offered", "Current.Import"}
    return {"status": "Accepted" if set(str(payload["value"]).split(",")) <= known else "Rejected"}


def _variables(station: Answering, version: str, payload: Json) -> Json:  # noqa: ARG001  as all replies
    personality = station.personality
    units = (personality.units_told or "").replace("Current", "A").replace("Power", "W")
    known = {
        "ProfileStackLevel": personality.level_told,
        "RateUnit": units or None,
        "PeriodsPerSchedule": personality.periods_told,
    }
    results = []
    for asked in payload["getVariableData"]:
        value = known.get(asked["variable"]["name"])
        told = (
            {"attributeStatus": "UnknownVariable"}
            if value is None
            else {
                "attributeStatus": "Accepted",
                "attributeValue": str(value),
            }
        )
        results.append({**told, "component": asked["component"], "variable": asked["variable"]})
    return {"getVariableResult": results}


def _trigger(station: Answering, version: str, payload: Json) -> Json:  # noqa: ARG001  as all replies
    if not station.personality.triggers:
        raise CallError("NotSupported", "no TriggerMessage")
    return {"status": "NotImplemented"}


def _remote_start(station: Answering, version: str, payload: Json) -> Json:  # noqa: ARG001  as all replies
    return {"status": "Rejected"}


def _reset(station: Answering, version: str, payload: Json) -> Json:  # noqa: ARG001  as all replies
    station.restart()
    return {"status": "Accepted"}


REPLIES: Final[Mapping[str, Callable[[Answering, str, Json], Json]]] = {
    "SetChargingProfile": _set_profile,
    "ClearChargingProfile": _clear_profile,
    "GetCompositeSchedule": _composite,
    "GetConfiguration": _configuration,
    "ChangeConfiguration": _change_configuration,
    "GetVariables": _variables,
    "TriggerMessage": _trigger,
    "RemoteStartTransaction": _remote_start,
    "RequestStartTransaction": _remote_start,
    "Reset": _reset,
}
