"""The bridge's own SQLite file: opening it, its tables, and when a commit must have reached the disk.

Only schema and transactions of the database are here; what is stored is the business of ``outbox`` and
``transactions``. The file belongs to one bridge process alone.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA_VERSION = 1
SCHEMA = """
create table if not exists publication (
    plan_id text primary key, as_of text not null, valid_until text not null, received_at text not null,
    dry_run integer not null, content_hash text not null, body text not null, in_force integer not null default 0
) strict;
create table if not exists delivery (
    plan_id text not null, station_id text not null, connector_id integer not null, position integer not null,
    state text not null, evidence text not null, updated_at text not null, detail text,
    primary key (plan_id, station_id, connector_id)
) strict, without rowid;
create table if not exists held (
    sequence integer primary key, station_id text not null, connector_id integer not null, slot text not null,
    accepted integer not null, plan_id text, profile text not null, reserved_kw text not null
) strict;
create index if not exists held_station on held (station_id);
create table if not exists site_transaction (
    transaction_id integer primary key autoincrement, station_id text not null, connector_id integer not null,
    external_id text not null, token text, started_at text not null, meter_start_wh real, ended_at text,
    meter_stop_wh real, reason text
) strict;
create index if not exists transaction_open on site_transaction (station_id, connector_id) where ended_at is null;
create index if not exists transaction_external on site_transaction (station_id, external_id);
create table if not exists station_memory (
    station_id text primary key, capabilities text, revoked integer not null default 0
) strict, without rowid;
create table if not exists limit_override (
    id integer primary key check (id = 1), ev_limit_kw real not null, valid_until text not null, reason text
) strict;
create table if not exists upstream_message (
    position integer primary key autoincrement, station_id text not null, message_id text not null,
    action text not null, payload text not null, replaces text, is_first integer not null default 0,
    local_id integer, attempts integer not null default 0, refusal text
) strict;
create index if not exists upstream_waiting on upstream_message (station_id) where refusal is null;
create table if not exists upstream_transaction (
    station_id text not null, local_id integer not null, upstream_id integer not null,
    primary key (station_id, local_id)
) strict, without rowid;
create table if not exists upstream_token (
    station_id text not null, token text not null, accepted integer not null, expires_at text,
    primary key (station_id, token)
) strict, without rowid;
create table if not exists upstream_profile (
    station_id text not null, profile_id integer not null, connector_id integer not null, purpose text not null,
    stack_level integer not null, primary key (station_id, profile_id)
) strict, without rowid;
create table if not exists charging_request (
    cursor integer primary key autoincrement, received_at text not null, presystem_id text not null,
    charging_request_id text not null, body text not null, is_withdrawn integer not null default 0
) strict;
create index if not exists request_versions on charging_request (presystem_id, charging_request_id, cursor);
create table if not exists credential (name text primary key, fingerprint text not null) strict, without rowid;
"""


class Store:
    """A connection to the bridge's database, used from the event loop's thread only."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("pragma journal_mode = wal")
        self.connection.execute("pragma synchronous = normal")
        self.connection.execute("pragma busy_timeout = 5000")
        version = self.connection.execute("pragma user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            raise StoreVersionError(f"{path} was written by another version of the bridge (schema {version})")
        self.connection.executescript(SCHEMA)
        self.connection.execute(f"pragma user_version = {SCHEMA_VERSION}")

    @contextmanager
    def writing(self, *, durably: bool = False) -> Iterator[sqlite3.Connection]:
        """Open a transaction; commit it at the end, roll it back on an exception.

        A killed process loses nothing that was committed. ``durably`` also waits for the disk, so that a power cut
        does not either.
        """
        if durably:
            self.connection.execute("pragma synchronous = full")
        try:
            self.connection.execute("begin immediate")
            try:
                yield self.connection
                self.connection.execute("commit")
            except BaseException:
                if self.connection.in_transaction:  # a full disk has rolled back by itself
                    self.connection.execute("rollback")
                raise
        finally:
            if durably:
                self.connection.execute("pragma synchronous = normal")

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


class StoreVersionError(RuntimeError):
    """The database belongs to another version of the bridge."""
