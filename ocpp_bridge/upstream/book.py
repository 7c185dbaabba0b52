"""What the bridge remembers of a station's back end: ids of transactions, tokens it accepted, profiles it set.

Only storage; tokens are kept as keyed hashes.
"""

from dataclasses import dataclass
from datetime import datetime

from core.time_grid import format_instant, parse_instant
from ocpp_bridge.store import Store


@dataclass(frozen=True, slots=True)
class UpstreamProfile:
    """A profile of the back end that a station holds."""

    profile_id: int
    connector_id: int
    purpose: str
    stack_level: int


class UpstreamBook:
    """The book of all stations."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- transactions of 1.6 that began while the back end was away --------------------------------------------------

    def pair(self, station_id: str, *, local_id: int, upstream_id: int) -> None:
        """The station knows a transaction by one id, the back end by another."""
        with self._store.writing(durably=True) as db:
            db.execute(
                "insert or replace into upstream_transaction values (?, ?, ?)", (station_id, local_id, upstream_id)
            )

    def upstream_id(self, station_id: str, local_id: int) -> int:
        """Return the back end's id of a station's transaction."""
        row = self._store.connection.execute(
            "select upstream_id from upstream_transaction where station_id = ? and local_id = ?",
            (station_id, local_id),
        ).fetchone()
        return local_id if row is None else int(row["upstream_id"])

    def local_id(self, station_id: str, upstream_id: int) -> int:
        """Return the station's id of a back end's transaction."""
        row = self._store.connection.execute(
            "select max(local_id) as local_id from upstream_transaction where station_id = ? and upstream_id = ?",
            (station_id, upstream_id),
        ).fetchone()
        return upstream_id if row["local_id"] is None else int(row["local_id"])

    def knows_local(self, station_id: str, local_id: int) -> bool:
        """Say whether an id is one of ours that stands for another one of the back end."""
        return self.upstream_id(station_id, local_id) != local_id

    # --- tokens ------------------------------------------------------------------------------------------------------

    def remember_token(self, station_id: str, token: str, *, accepted: bool, expires_at: datetime | None) -> None:
        """Keep what the back end said last about a token (its keyed hash)."""
        with self._store.writing() as db:
            db.execute(
                "insert or replace into upstream_token values (?, ?, ?, ?)",
                (station_id, token, accepted, None if expires_at is None else format_instant(expires_at)),
            )

    def accepts(self, station_id: str, token: str, *, as_of: datetime) -> bool:
        """Say whether the back end accepted a token when it was last asked, and would still."""
        row = self._store.connection.execute(
            "select * from upstream_token where station_id = ? and token = ?", (station_id, token)
        ).fetchone()
        if row is None or not row["accepted"]:
            return False
        return row["expires_at"] is None or parse_instant(row["expires_at"]) > as_of

    # --- profiles ----------------------------------------------------------------------------------------------------

    def profile_set(self, station_id: str, profile: UpstreamProfile) -> None:
        """The station accepted a profile of its back end."""
        with self._store.writing() as db:
            db.execute(
                "insert or replace into upstream_profile values (?, ?, ?, ?, ?)",
                (station_id, profile.profile_id, profile.connector_id, profile.purpose, profile.stack_level),
            )

    def profile_cleared(self, station_id: str, profile_id: int) -> None:
        """The station holds a profile no longer."""
        with self._store.writing() as db:
            db.execute("delete from upstream_profile where station_id = ? and profile_id = ?", (station_id, profile_id))

    def profiles(self, station_id: str) -> list[UpstreamProfile]:
        """Return the profiles of the back end that a station may hold."""
        rows = self._store.connection.execute(
            "select * from upstream_profile where station_id = ? order by profile_id", (station_id,)
        ).fetchall()
        return [
            UpstreamProfile(row["profile_id"], row["connector_id"], row["purpose"], row["stack_level"]) for row in rows
        ]
