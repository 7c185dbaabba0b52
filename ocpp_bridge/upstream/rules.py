"""Who may say what to a station that has a back end, and what is answered while that is away. Pure.

The limit stays ours. What a back end sets could hide or replace our profiles, so of its profiles only station maximums
reach the station: they can lower what vehicles draw, never raise it. Everything else of the back end's passes.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from ocpp_bridge.profiles import is_ours
from ocpp_bridge.protocol import Request, whole
from ocpp_bridge.upstream.book import UpstreamProfile
from ocpp_bridge.wire import Call, Payload

MAXIMUMS: Final = frozenset({"ChargePointMaxProfile", "ChargingStationMaxProfile"})
CREDENTIAL_KEYS: Final = frozenset({"authorizationkey", "securityprofile", "basicauthpassword"})
REASON: Final = {"reasonCode": "InvalidProfile", "additionalInfo": "a local controller sets the limits here"}
KEPT: Final = frozenset(
    {
        "ClearedChargingLimit",
        "NotifyChargingLimit",
        "NotifyCustomerInformation",
        "NotifyEvent",
        "NotifyMonitoringReport",
        "NotifyReport",
        "ReportChargingProfiles",
        "SecurityEventNotification",
        "StartTransaction",
        "StopTransaction",
        "TransactionEvent",
    }
)
LATEST_COUNTS: Final = frozenset(
    {
        "DiagnosticsStatusNotification",
        "FirmwareStatusNotification",
        "LogStatusNotification",
        "PublishFirmwareStatusNotification",
        "SignedFirmwareStatusNotification",
    }
)


# --- what the back end asks of the station --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Forward:
    """Pass the call on, with this payload; ``note`` says what was changed, ``profile`` what the station then holds."""

    payload: Payload
    note: str | None = None
    profile: UpstreamProfile | None = None
    clears: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer in the station's place."""

    payload: Payload
    note: str
    concerns_credentials: bool = False


@dataclass(frozen=True, slots=True)
class ClearEach:
    """Clear these profiles of the back end's, one by one, so that ours stay."""

    profile_ids: tuple[int, ...]


Verdict = Forward | Reply | ClearEach


def judge(call: Call, version: str, *, profiles: list[UpstreamProfile], local_id: Callable[[int], int]) -> Verdict:
    """Decide what becomes of a back end's call.

    Args:
        call: As it came.
        version: OCPP version of the connection.
        profiles: What the back end has set on this station so far.
        local_id: Returns the station's id of a 1.6 transaction, given the back end's.
    """
    payload = call.payload
    match call.action:
        case "SetChargingProfile":
            return _set_profile(payload, version)
        case "ClearChargingProfile":
            return _clear_profile(payload, version, profiles)
        case "RemoteStartTransaction" | "RequestStartTransaction" if "chargingProfile" in payload:
            rest = {name: value for name, value in payload.items() if name != "chargingProfile"}
            return Forward(rest, "the charging profile of a remote start was left out")
        case "RemoteStopTransaction" if isinstance(payload.get("transactionId"), int):
            return Forward({**payload, "transactionId": local_id(payload["transactionId"])})
        case "ChangeConfiguration" if str(payload.get("key")).casefold() in CREDENTIAL_KEYS:
            note = f"{payload['key']} was not changed: the station shows it to the bridge"
            return Reply({"status": "Rejected"}, note, concerns_credentials=True)
        case "SetVariables" if _names_credentials(payload):
            note = "a password or security profile was not changed: the station shows it to the bridge"
            return Reply(_all_rejected(payload), note, concerns_credentials=True)
    return _of_21(call)


def _of_21(call: Call) -> Verdict:
    """Decide on what only OCPP 2.1 has."""
    if call.action == "UpdateDynamicSchedule" and is_ours(whole(call.payload.get("chargingProfileId")) or 0):
        return Reply({"status": "Rejected", "statusInfo": REASON}, "a profile of the bridge was left alone")
    if call.action == "UsePriorityCharging":
        return Reply({"status": "NoProfile"}, "priority charging would override the plan")
    return Forward(call.payload)


def _set_profile(payload: Payload, version: str) -> Verdict:
    name = "csChargingProfiles" if version == "1.6" else "chargingProfile"
    id_name = "chargingProfileId" if version == "1.6" else "id"
    profile = payload.get(name)
    profile = profile if isinstance(profile, dict) else {}
    purpose, number, level = (
        profile.get("chargingProfilePurpose"),
        whole(profile.get(id_name)),
        profile.get("stackLevel"),
    )
    if purpose not in MAXIMUMS or number is None or not isinstance(level, int) or is_ours(number):
        refusal: Payload = {"status": "Rejected"}
        if version != "1.6":
            refusal["statusInfo"] = REASON
        return Reply(refusal, f"a {purpose} of the back end was refused: the limits are the bridge's")
    # Level 0 is our own maximum's; one level up, the back end's neither replaces it nor is replaced.
    changed = deepcopy(payload)
    changed[name]["stackLevel"] = level + 1
    return Forward(changed, profile=UpstreamProfile(number, 0, str(purpose), level))


def _clear_profile(payload: Payload, version: str, profiles: list[UpstreamProfile]) -> Verdict:
    number = whole(payload.get("id" if version == "1.6" else "chargingProfileId"))
    if number is None:
        criteria = payload if version == "1.6" else _part(payload, "chargingProfileCriteria")
        return ClearEach(tuple(one.profile_id for one in profiles if _matches(one, criteria)))
    if is_ours(number):
        return Reply({"status": "Unknown"}, "a profile of the bridge was left alone")
    if version == "1.6" and any(one.profile_id == number for one in profiles):
        return Forward({"id": number}, clears=number)
    return Forward(payload, clears=number)


def _matches(profile: UpstreamProfile, criteria: Payload) -> bool:
    wanted = {
        "connectorId": profile.connector_id,
        "evseId": profile.connector_id,
        "chargingProfilePurpose": profile.purpose,
        "stackLevel": profile.stack_level,
    }
    return all(criteria.get(name) in (None, value) for name, value in wanted.items())


def _names_credentials(payload: Payload) -> bool:
    return any(_variable(item).casefold() in CREDENTIAL_KEYS for item in _items(payload))


def _all_rejected(payload: Payload) -> Payload:
    results = [
        {"attributeStatus": "Rejected", "component": item.get("component", {}), "variable": item.get("variable", {})}
        for item in _items(payload)
    ]
    return {"setVariableResult": results}


def _items(payload: Payload) -> list[dict[str, Any]]:
    data = payload.get("setVariableData")
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []


def _variable(item: dict[str, Any]) -> str:
    return str(_part(item, "variable").get("name", ""))


def clean_slate(version: str, *, has_back_end: bool) -> list[Request]:
    """Return what clears the limits that others left on a station before we came: they could hide or block ours.

    Station maximums of a back end that is still there stay: they can only lower what vehicles draw.
    """
    requests: list[Request] = []
    maximum = "ChargePointMaxProfile" if version == "1.6" else "ChargingStationMaxProfile"
    for purpose in ("TxProfile", "TxDefaultProfile", *(() if has_back_end else (maximum,))):
        criteria: Payload = {"chargingProfilePurpose": purpose}
        requests.append(
            ("ClearChargingProfile", criteria if version == "1.6" else {"chargingProfileCriteria": criteria})
        )
    return requests


# --- what the station tells the back end ----------------------------------------------------------------------------


def is_kept(call: Call) -> bool:
    """Say whether a station's call must reach its back end even if that is away now."""
    if call.action == "MeterValues":
        return call.payload.get("transactionId") is not None
    return call.action in KEPT or latest_name(call) is not None


def latest_name(call: Call) -> str | None:
    """Return the name under which only the newest of a station's calls counts, or None where each counts."""
    if call.action == "StatusNotification":
        place = call.payload.get("connectorId"), call.payload.get("evseId")
        return f"status:{place[1]}:{place[0]}"
    if call.action == "BootNotification":
        return "boot"
    return call.action if call.action in LATEST_COUNTS else None


def with_transaction(call: Call, change: Callable[[int], int]) -> Call:
    """Return a 1.6 call with the transaction's id changed."""
    number = call.payload.get("transactionId")
    if call.action not in ("MeterValues", "StopTransaction") or not isinstance(number, int):
        return call
    return Call(call.message_id, call.action, {**call.payload, "transactionId": change(number)}, call.wants_answer)


def token_of(call: Call) -> str | None:
    """Return the token that a call names."""
    value = call.payload.get("idTag")
    if value is None:
        value = _part(call.payload, "idToken").get("idToken")
    return value if isinstance(value, str) else None


def token_info(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what an answer says of the call's token, or None."""
    info = answer.get("idTagInfo", answer.get("idTokenInfo"))
    return info if isinstance(info, dict) else None


def answer_meanwhile(call: Call, answer: Payload, *, accepts: bool) -> Payload:
    """Return the answer to a station while its back end is away, given what the bridge would say of itself.

    A token is judged where a vehicle asks to charge; one that charges already is never stopped by us.
    """
    if call.action == "DataTransfer":
        return {"status": "Rejected"}
    name = next((name for name in ("idTagInfo", "idTokenInfo") if name in answer), None)
    if name is None:
        return answer
    accepted = accepts or call.action != "Authorize"
    return {**answer, name: {"status": "Accepted" if accepted else "Invalid"}}


def _part(payload: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = payload.get(name)
    return part if isinstance(part, dict) else {}
