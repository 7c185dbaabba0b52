"""Which credentials changed since the bridge last ran, so that the audit log tells. Holds no credential.

A station's password is configured as a hash, of which a fingerprint is kept; the HTTP token's own hash is kept.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from core.settings import secret
from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.security import hash_password, verify_password
from ocpp_bridge.store import Store

HTTP_TOKEN: Final = "the HTTP token"  # noqa: S105  its name


class Credentials:
    """The fingerprints of the last run."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def changes(self, config: BridgeConfig) -> list[str]:
        """Return what is new, changed or gone since the last call, in words, and remember the present state."""
        rows = self._store.connection.execute("select name, fingerprint from credential").fetchall()
        before = {row["name"]: row["fingerprint"] for row in rows}
        token = secret(config.http.token_env)
        now = dict(_stations(config))
        known_token = before.get(HTTP_TOKEN)
        same = known_token is not None and verify_password(token.encode(), known_token)
        now[HTTP_TOKEN] = known_token if known_token is not None and same else hash_password(token.encode())
        found = [*_differences(before, now)]
        if found:
            with self._store.writing() as db:
                db.execute("delete from credential")
                db.executemany("insert into credential values (?, ?)", sorted(now.items()))
        return found


def _stations(config: BridgeConfig) -> Iterator[tuple[str, str]]:
    for station in config.stations:
        upstream = station.upstream
        parts = [station.password_hash, None if upstream is None else [upstream.password_env, str(upstream.cert)]]
        yield f"station {station.station_id}", hashlib.sha256(repr(parts).encode()).hexdigest()


def _differences(before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        if name not in before:
            yield f"{name}: new"
        elif name not in now:
            yield f"{name}: gone"
        elif before[name] != now[name]:
            yield f"{name}: changed"
