"""OCPP-J frames, raw: text to frames and back, and the errors that may be answered.

One small layer for 1.6, 2.0.1 and 2.1. The ``ocpp`` library gives the schemas that everything we send is checked
against; its own router is not used, because it kills connections on malformed answers, leaves calls waiting when a
socket dies, and loses 2.1 messages that have no handler (see docs/ocpp.md).
"""

import decimal
import json
from dataclasses import dataclass, field
from typing import Any, Final

from ocpp.messages import MessageType, get_validator

Payload = dict[str, Any]

OCPP_VERSIONS: Final = frozenset({"1.6", "2.0.1", "2.1"})
CALL: Final = 2
CALL_RESULT: Final = 3
CALL_ERROR: Final = 4
CALL_RESULT_ERROR: Final = 5
SEND: Final = 6


class MalformedFrameError(ValueError):
    """What came is not an OCPP frame; ``message_id`` is known if at least that could be read."""

    def __init__(self, reason: str, message_id: str | None = None) -> None:
        super().__init__(reason)
        self.message_id = message_id


class CallRefusedError(Exception):
    """A call that we answer with a CALLERROR."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


@dataclass(frozen=True, slots=True)
class Call:
    """A request (or, in 2.1, a message that wants no answer)."""

    message_id: str
    action: str
    payload: Payload
    wants_answer: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """The other side's answer to one of our calls: a payload, or an error code. ``frame`` is it as it came."""

    message_id: str
    payload: Payload = field(default_factory=dict)
    error_code: str | None = None
    error_description: str = ""
    frame: list[Any] = field(default_factory=list, compare=False)

    @property
    def status(self) -> str:
        """The ``status`` of the payload, or the error code; empty if neither was given as text."""
        status = self.error_code if self.error_code is not None else self.payload.get("status")
        return status if isinstance(status, str) else ""


def parse(text: str | bytes) -> tuple[list[Any], Call | Answer | None]:
    """Read a frame; return it as it came and what it means (None: legal, but nothing to do).

    Raises:
        MalformedFrameError: it is no OCPP frame.
    """
    if isinstance(text, bytes):
        raise MalformedFrameError("a binary message; OCPP-J is text")
    try:
        frame = json.loads(text)
        if "\\ud" in text.lower():  # half a character can neither be stored nor hashed nor sent on
            frame = json.loads(json.dumps(frame, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise MalformedFrameError(f"not JSON: {error}") from error
    if not isinstance(frame, list) or len(frame) < 3 or not isinstance(frame[0], int):
        raise MalformedFrameError("not an array of message type, id and content")
    return frame, _meaning(frame)


def _meaning(frame: list[Any]) -> Call | Answer | None:
    kind, message_id = frame[0], frame[1]
    if not isinstance(message_id, str) or len(message_id) > 100:
        raise MalformedFrameError("the message id is not a short text")
    if kind in (CALL, SEND):
        if len(frame) < 4 or not isinstance(frame[2], str) or not isinstance(frame[3], dict):
            raise MalformedFrameError("a call without action or payload", message_id)
        return Call(message_id, frame[2], frame[3], wants_answer=kind == CALL)
    if kind == CALL_RESULT:
        # A payload that is no object is still an answer: of a station that cannot say what it means.
        return Answer(message_id, frame[2] if isinstance(frame[2], dict) else {}, frame=frame)
    if kind == CALL_ERROR:
        return Answer(message_id, {}, str(frame[2]), str(frame[3]) if len(frame) > 3 else "", frame=frame)
    if kind == CALL_RESULT_ERROR:
        return None
    raise MalformedFrameError(f"unknown message type {kind}", message_id)


def call_frame(message_id: str, action: str, payload: Payload) -> list[Any]:
    """Return the frame of a request."""
    return [CALL, message_id, action, payload]


def result_frame(message_id: str, payload: Payload) -> list[Any]:
    """Return the frame of an answer."""
    return [CALL_RESULT, message_id, payload]


def error_frame(message_id: str, code: str, description: str) -> list[Any]:
    """Return the frame of a refusal."""
    return [CALL_ERROR, message_id, code, description[:255], {}]


def dump(frame: list[Any]) -> str:
    """Write a frame as compact JSON."""
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False)


def schema_error(version: str, action: str, payload: Payload, *, is_answer: bool = False) -> str | None:
    """Return what the version's JSON schema has against a payload, or None; there is none for what is not OCPP.

    1.6 demands multiples of 0.1, which binary fractions only are when both sides are read as decimals.
    """
    if version not in OCPP_VERSIONS:
        return None
    kind = MessageType.CallResult if is_answer else MessageType.Call
    exact = version == "1.6"
    parse_float = decimal.Decimal if exact else float
    validator = get_validator(kind, action, version, parse_float=parse_float)
    value = json.loads(json.dumps(payload), parse_float=parse_float)
    problem = next(iter(validator.iter_errors(value)), None)
    return None if problem is None else str(problem.message)
