"""Passwords, tokens and floods: who may talk to the bridge, and how much.

Passwords exist here only while they are compared. Hashes are scrypt with their parameters and salt in the text, so
that the cost can be raised without breaking old ones. Sockets and HTTP belong to ``server`` and ``http``.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from typing import Final

SCRYPT_LOG2_N: Final = 13
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
SALT_BYTES: Final = 16
KEY_BYTES: Final = 32
MEMORY_LIMIT: Final = 128 * 1024 * 1024


def hash_password(password: bytes) -> str:
    """Return a salted hash for ``password_hash`` in the configuration: ``scrypt$<log2 n>$<r>$<p>$<salt>$<key>``."""
    salt = os.urandom(SALT_BYTES)
    key = _scrypt(password, salt, SCRYPT_LOG2_N, SCRYPT_R, SCRYPT_P)
    return "$".join(["scrypt", str(SCRYPT_LOG2_N), str(SCRYPT_R), str(SCRYPT_P), _text(salt), _text(key)])


def verify_password(password: bytes, password_hash: str) -> bool:
    """Say whether the password made the hash. A hash that cannot be read fits nothing."""
    try:
        scheme, log2_n, r, p, salt, key = password_hash.split("$")
        if scheme != "scrypt":
            return False
        expected = base64.b64decode(key, validate=True)
        found = _scrypt(password, base64.b64decode(salt, validate=True), int(log2_n), int(r), int(p))
    except ValueError:  # wrong number of fields, no number, no base64, or impossible parameters
        return False
    return hmac.compare_digest(found, expected)


def password_forms(password: bytes) -> list[bytes]:
    """Return the password as it came, and decoded if it is hexadecimal.

    OCPP 1.6 keys are configured as 40 hex digits and then sent by some stations as text, by others as 20 bytes; the
    operator may have hashed either.
    """
    forms = [password]
    with contextlib.suppress(ValueError, UnicodeDecodeError):
        forms.append(bytes.fromhex(password.decode("ascii")))
    forms.extend(form for form in (password.hex().encode(), password.hex().upper().encode()) if len(password) <= 20)
    return forms


def parse_basic(header: str | None) -> tuple[str, bytes] | None:
    """Return user and password of a Basic authorization header; the password may be any bytes."""
    if header is None or header[:6].lower() != "basic ":
        return None
    try:
        user, separator, password = base64.b64decode(header[6:].strip(), validate=True).partition(b":")
        return (user.decode("utf-8"), password) if separator else None
    except (binascii.Error, UnicodeDecodeError):
        return None


class PasswordGate:
    """Checks passwords, and remembers the last good one of each station, so that a fleet can reconnect at once.

    Invariants: what is remembered is an HMAC under a key that only this process has; a wrong password costs a full
    hash every time.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._good: dict[str, bytes] = {}

    def remembers(self, station_id: str, password: bytes, password_hash: str) -> bool:
        """Say whether this very password was good for this very hash before."""
        mark = self._mark(station_id, password, password_hash)
        return hmac.compare_digest(self._good.get(station_id, b""), mark)

    def check(self, station_id: str, password: bytes, password_hash: str) -> bool:
        """Compare a password in all its forms. Slow on purpose: call it in a thread."""
        good = any(verify_password(form, password_hash) for form in password_forms(password))
        if good:
            self._good[station_id] = self._mark(station_id, password, password_hash)
        return good

    def _mark(self, station_id: str, password: bytes, password_hash: str) -> bytes:
        text = b"\0".join([station_id.encode(), password_hash.encode(), password])
        return hmac.new(self._key, text, hashlib.sha256).digest()


class TokenBucket:
    """How many messages may pass: ``rate`` a second on average, ``burst`` at once."""

    def __init__(self, rate: float, burst: int, *, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._now = now
        self._level = float(burst)
        self._at = now()

    def take(self) -> float:
        """Take one, and return for how many seconds the sender must be made to wait."""
        now = self._now()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate) - 1
        self._at = now
        return max(0.0, -self._level / self._rate)


def same_token(given: str | None, expected: str) -> bool:
    """Compare a bearer token in constant time."""
    return given is not None and hmac.compare_digest(given.encode(), expected.encode())


def _scrypt(password: bytes, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=1 << log2_n, r=r, p=p, dklen=KEY_BYTES, maxmem=MEMORY_LIMIT)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
