"""What must not be read in a log: tokens become keyed hashes, passwords and keys become stars. Pure.

Works on frames of every OCPP version by the names of their fields, because answers do not say what they answer.
"""

import json
from collections.abc import Callable
from typing import Final

from pydantic import JsonValue

HIDDEN: Final = "***"
TOKEN_FIELDS: Final = frozenset({"idtag", "parentidtag", "idtoken"})
SECRET_FIELDS: Final = frozenset({"password", "basicauthpassword", "apnpassword", "authorizationkey", "privatekey"})
SECRET_NAMES: Final = frozenset({"authorizationkey", "basicauthpassword", "apnpassword", "vpnpassword"})
VALUE_FIELDS: Final = frozenset({"value", "attributevalue"})

Hasher = Callable[[str], str]


def redact(value: JsonValue, hash_token: Hasher) -> JsonValue:
    """Return a copy of a frame, or a part of one, that holds no secret and no plain token."""
    if isinstance(value, list):
        return [redact(one, hash_token) for one in value]
    if not isinstance(value, dict):
        return value
    secret_setting = _names_secret(value)
    return {
        name: _field(name.casefold(), one, hash_token, secret_setting=secret_setting) for name, one in value.items()
    }


def _field(name: str, value: JsonValue, hash_token: Hasher, *, secret_setting: bool) -> JsonValue:
    if name in TOKEN_FIELDS and isinstance(value, str):
        return hash_token(value)
    if name in SECRET_FIELDS or (secret_setting and name in VALUE_FIELDS):
        return HIDDEN
    if name == "data" and isinstance(value, str):
        return _embedded(value, hash_token)
    return redact(value, hash_token)


def _names_secret(value: dict[str, JsonValue]) -> bool:
    """Say whether this object is a setting (1.6 ``key``, 2.x ``variable.name``) whose value is secret."""
    variable = value.get("variable")
    names = (value.get("key"), variable.get("name") if isinstance(variable, dict) else None)
    return any(isinstance(name, str) and name.casefold() in SECRET_NAMES for name in names)


def _embedded(text: str, hash_token: Hasher) -> str:
    """Redact JSON that a DataTransfer carries as text."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.dumps(redact(json.loads(text), hash_token), separators=(",", ":"))
    except (ValueError, RecursionError):
        return HIDDEN
