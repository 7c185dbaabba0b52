"""OCPP-J 1.6 frames as a station reads and writes them: calls, results, errors. No library, on purpose."""

import json
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
CALL, RESULT, ERROR = 2, 3, 4


class WireError(ValueError):
    """A text that is no OCPP-J frame."""


class CallError(Exception):
    """A refusal that goes out as CALLERROR."""

    def __init__(self, code: str, description: str = "") -> None:
        super().__init__(f"{code}: {description}")
        self.code, self.description = code, description


@dataclass(frozen=True, slots=True)
class Call:
    """A request of the back end."""

    uid: str
    action: str
    payload: Json


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one of our requests; ``error`` is the code of a CALLERROR."""

    uid: str
    payload: Json
    error: str | None = None


def decode(text: str | bytes) -> Call | Answer:
    """Read a frame.

    Raises:
        WireError: it is none.
    """
    try:
        frame = json.loads(text)
    except ValueError as error:
        raise WireError("no JSON") from error
    if not isinstance(frame, list) or len(frame) < 3 or not isinstance(frame[1], str):
        raise WireError("no array of a message type, an id and more")
    kind, uid = frame[0], frame[1]
    if kind == CALL and len(frame) == 4 and isinstance(frame[2], str) and isinstance(frame[3], dict):
        return Call(uid, frame[2], frame[3])
    if kind == RESULT and isinstance(frame[2], dict):
        return Answer(uid, frame[2])
    if kind == ERROR:
        return Answer(uid, {}, error=str(frame[2]))
    raise WireError(f"message type {kind!r} with these fields is unknown")


def encode_call(uid: str, action: str, payload: Json) -> str:
    """Write a call."""
    return json.dumps([CALL, uid, action, payload], separators=(",", ":"))


def encode_result(uid: str, payload: Json) -> str:
    """Write a result."""
    return json.dumps([RESULT, uid, payload], separators=(",", ":"))


def encode_error(uid: str, error: CallError) -> str:
    """Write an error."""
    return json.dumps([ERROR, uid, error.code, error.description, {}], separators=(",", ":"))
