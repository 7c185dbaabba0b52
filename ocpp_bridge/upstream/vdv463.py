"""VDV 463 messages: what a depot or fleet system (the presystem) asks for, in plan words. Pure.

A message is an array of type, source, presystem, time stamp, message id, action and payload. The list of charging
requests is always the whole present set: a request that is missing from it was withdrawn.
"""

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.time_grid import format_instant

SUBPROTOCOL: Final = "v1.463.vdv.de"
REQUEST: Final = 1
RESPONSE: Final = 2
ERROR: Final = 3
BOOT: Final = "BootNotification"
REQUESTS: Final = "ProvideChargingRequests"
INFORMATION: Final = "ProvideChargingInformation"
ACTIONS: Final = frozenset({BOOT, REQUESTS, INFORMATION})
PARTS: Final = 7


class VdvError(ValueError):
    """A message, or what it asks for, that makes no sense; the text is for the other side."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message."""

    kind: int
    source: str
    presystem_id: str
    message_id: str
    action: str
    payload: dict[str, Any]

    def answered(self, kind: int, payload: dict[str, Any], *, source: str) -> "Message":
        """Return the response, or error, to this message."""
        return Message(kind, source, self.presystem_id, self.message_id, self.action, payload)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _RequestData(_Part):
    expected_arrival_at: AwareDatetime | None = Field(None, alias="expectedArrivalTimeAtChargingPoint")
    expected_soc_at_arrival_pct: float | None = Field(None, alias="expectedSocAtArrival", ge=0, le=100)
    min_target_soc_pct: float = Field(alias="minTargetSoc", ge=0, le=100)
    max_target_soc_pct: float = Field(alias="maxTargetSoc", ge=0, le=100)
    requested_departure_at: AwareDatetime | None = Field(None, alias="requestedTimeForDeparture")
    is_ad_hoc: bool = Field(default=False, alias="adHocCharging")

    @model_validator(mode="after")
    def _ordered(self) -> "_RequestData":
        if self.min_target_soc_pct > self.max_target_soc_pct:
            raise ValueError("minTargetSoc is above maxTargetSoc")
        return self


class ChargingRequest(_Part):
    """One charging request of a presystem."""

    charging_request_id: str = Field(alias="chargingRequestId", min_length=1)
    vehicle_id: str = Field(alias="vehicleId", min_length=1)
    charging_point_id: str | None = Field(None, alias="chargingPointId")
    charging_process_id: str | None = Field(None, alias="chargingProcessId")
    priority: int | None = None
    data: _RequestData = Field(alias="chargingRequestData")

    def in_plan_words(self) -> dict[str, Any]:
        """Return it as one flat object: percent, UTC instants with ``Z``, None for what was not said."""
        data = self.data.model_dump()
        words = {name: format_instant(value) if isinstance(value, datetime) else value for name, value in data.items()}
        return {**self.model_dump(exclude={"data"}), **words}


class _RequestList(_Part):
    requests: list[ChargingRequest] = Field(alias="chargingRequestList")

    @model_validator(mode="after")
    def _differ(self) -> "_RequestList":
        ids = [one.charging_request_id for one in self.requests]
        twice = sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
        if twice:
            raise ValueError(f"chargingRequestId given twice: {', '.join(twice)}")
        return self


def parse(text: str | bytes) -> Message:
    """Read a message.

    Raises:
        VdvError: it is none.
    """
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise VdvError("not JSON") from error
    if not isinstance(parts, list) or len(parts) != PARTS:
        raise VdvError(f"a message is an array of {PARTS} elements")
    kind, source, presystem_id, _, message_id, action, payload = parts
    texts = (source, presystem_id, message_id, action)
    if kind not in (REQUEST, RESPONSE, ERROR) or not all(isinstance(one, str) for one in texts):
        raise VdvError("the message type or one of its texts cannot be read")
    if action not in ACTIONS or not isinstance(payload, dict):
        raise VdvError("the action is unknown, or the payload is no object")
    return Message(kind, source, presystem_id, message_id, action, payload)


def dump(message: Message, *, at: datetime) -> str:
    """Write a message."""
    parts = [
        message.kind,
        message.source,
        message.presystem_id,
        format_instant(at),
        message.message_id,
        message.action,
        message.payload,
    ]
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=False)


def information(payload: dict[str, Any], *, presystem_id: str, source: str) -> Message:
    """Return the message that tells a presystem how charging goes."""
    return Message(REQUEST, source, presystem_id, str(uuid.uuid4()), INFORMATION, payload)


def read_requests(payload: dict[str, Any]) -> list[ChargingRequest]:
    """Read the whole list of charging requests.

    Raises:
        VdvError: one of them makes no sense; all mistakes at once, each with its place.
    """
    try:
        return _RequestList.model_validate(payload).requests
    except ValidationError as error:
        places = (f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors())
        raise VdvError("; ".join(places)) from error
