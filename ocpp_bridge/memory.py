"""What the bridge remembers of stations and limits across restarts. Only storage."""

import json
from dataclasses import asdict

from core.time_grid import format_instant, parse_instant
from ocpp_bridge.desires import Override
from ocpp_bridge.profiles import Capabilities
from ocpp_bridge.store import Store


class Memory:
    """Capabilities, revocations, and the limit that somebody set."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def capabilities(self, station_id: str) -> Capabilities | None:
        """Return what a station could do when it was last asked."""
        row = self._store.connection.execute(
            "select capabilities from station_memory where station_id = ?", (station_id,)
        ).fetchone()
        if row is None or row["capabilities"] is None:
            return None
        raw = json.loads(row["capabilities"])
        return Capabilities(**{**raw, "units": frozenset(raw["units"])})

    def remember_capabilities(self, station_id: str, capabilities: Capabilities) -> None:
        """Keep what a station can do."""
        text = json.dumps({**asdict(capabilities), "units": sorted(capabilities.units)})
        with self._store.writing() as db:
            db.execute(
                "insert into station_memory (station_id, capabilities) values (?, ?)"
                " on conflict (station_id) do update set capabilities = excluded.capabilities",
                (station_id, text),
            )

    def revoked(self) -> list[str]:
        """Return the stations that are to hold nothing of ours."""
        rows = self._store.connection.execute(
            "select station_id from station_memory where revoked order by 1"
        ).fetchall()
        return [row["station_id"] for row in rows]

    def set_revoked(self, station_id: str, *, revoked: bool) -> None:
        """Remember that a station is to hold nothing of ours, or is served again."""
        with self._store.writing(durably=True) as db:
            db.execute(
                "insert into station_memory (station_id, revoked) values (?, ?)"
                " on conflict (station_id) do update set revoked = excluded.revoked",
                (station_id, revoked),
            )

    def override(self) -> Override | None:
        """Return the limit that somebody set last."""
        row = self._store.connection.execute("select * from limit_override").fetchone()
        if row is None:
            return None
        return Override(row["ev_limit_kw"], parse_instant(row["valid_until"]), row["reason"] or "")

    def set_override(self, override: Override) -> None:
        """Keep a limit that somebody set."""
        with self._store.writing(durably=True) as db:
            db.execute(
                "insert or replace into limit_override values (1, ?, ?, ?)",
                (override.ev_limit_kw, format_instant(override.valid_until), override.reason),
            )
