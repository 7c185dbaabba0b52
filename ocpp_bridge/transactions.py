"""Transactions: ids issued for OCPP 1.6, ids that 2.x stations chose, and which one runs on which connector.

Persisted, because a running 1.6 transaction is known after a restart only by the id that we gave it. Tokens are kept
as keyed hashes.
"""

import sqlite3
import time
from dataclasses import dataclass
from datetime import datetime

from core.time_grid import format_instant, parse_instant
from ocpp_bridge.holdings import ConnectorKey
from ocpp_bridge.store import Store

IDS_BEGIN_S = 1_577_836_800  # 2020-01-01: a new database starts above the ids that a lost one may have issued


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction as we know it; ``external_id`` is what the station calls it."""

    station_id: str
    connector_id: int
    external_id: str
    token: str | None
    started_at: datetime
    meter_start_wh: float | None

    @property
    def key(self) -> ConnectorKey:
        """The connector."""
        return self.station_id, self.connector_id


@dataclass(frozen=True, slots=True)
class Stop:
    """How a transaction ended."""

    ended_at: datetime
    meter_stop_wh: float | None = None
    reason: str | None = None


class Transactions:
    """The book of transactions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.writing() as db:
            if db.execute("select count(*) from site_transaction").fetchone()[0] == 0:
                db.execute("delete from sqlite_sequence where name = 'site_transaction'")
                first = int(time.time()) - IDS_BEGIN_S
                db.execute("insert into sqlite_sequence values ('site_transaction', ?)", (first,))

    def begin(
        self,
        key: ConnectorKey,
        *,
        token: str | None,
        started_at: datetime,
        meter_start_wh: float | None,
        external_id: str | None = None,
    ) -> tuple[Transaction, bool]:
        """Book a start and say whether it is new; a start told twice is the same transaction.

        Stations repeat StartTransaction, with its original time, when an answer got lost. An open transaction that a
        different one follows on the same connector has ended without our hearing of it.
        """
        running = self.running(key)
        if running is not None and self._is_same(running, token, started_at, external_id):
            return running, False
        with self._store.writing() as db:
            db.execute(
                "update site_transaction set ended_at = ?, reason = 'superseded'"
                " where station_id = ? and connector_id = ? and ended_at is null",
                (format_instant(started_at), *key),
            )
            cursor = db.execute(
                "insert into site_transaction"
                " (station_id, connector_id, external_id, token, started_at, meter_start_wh) values (?, ?, ?, ?, ?, ?)",
                (*key, external_id or "", token, format_instant(started_at), meter_start_wh),
            )
            issued = external_id or str(cursor.lastrowid)
            db.execute(
                "update site_transaction set external_id = ? where transaction_id = ?", (issued, cursor.lastrowid)
            )
        return Transaction(*key, issued, token, started_at, meter_start_wh), True

    def running(self, key: ConnectorKey) -> Transaction | None:
        """Return the transaction that was last begun on a connector and is not known to have ended."""
        row = self._store.connection.execute(
            "select * from site_transaction where station_id = ? and connector_id = ? and ended_at is null"
            " order by transaction_id desc limit 1",
            key,
        ).fetchone()
        if row is None:
            return None
        return Transaction(
            *key, row["external_id"], row["token"], parse_instant(row["started_at"]), row["meter_start_wh"]
        )

    def all_running(self) -> list[Transaction]:
        """Return every transaction that is not known to have ended, by connector."""
        rows = self._store.connection.execute(
            "select distinct station_id, connector_id from site_transaction where ended_at is null order by 1, 2"
        ).fetchall()
        found = [self.running((row["station_id"], row["connector_id"])) for row in rows]
        return [one for one in found if one is not None]

    def end(self, station_id: str, external_id: str, stop: Stop, *, token: str | None = None) -> ConnectorKey | None:
        """Book an end; return the connector, or None if no open transaction can be meant.

        A station that started a transaction while offline may call it -1: it is then the open one of its token, or
        the only open one of the station.
        """
        row = self._meant(station_id, external_id, token)
        if row is None:
            return None
        with self._store.writing() as db:
            db.execute(
                "update site_transaction set ended_at = ?, meter_stop_wh = ?, reason = ? where transaction_id = ?",
                (format_instant(stop.ended_at), stop.meter_stop_wh, stop.reason, row["transaction_id"]),
            )
        return row["station_id"], row["connector_id"]

    def _meant(self, station_id: str, external_id: str, token: str | None) -> sqlite3.Row | None:
        rows: list[sqlite3.Row] = self._store.connection.execute(
            "select * from site_transaction where station_id = ? and ended_at is null order by transaction_id",
            (station_id,),
        ).fetchall()
        named = [row for row in rows if row["external_id"] == external_id]
        if named or self.has_ended(station_id, external_id):
            return named[-1] if named else None
        of_token = [row for row in rows if token is not None and row["token"] == token]
        if of_token:
            return of_token[-1]
        return rows[0] if len(rows) == 1 else None

    def has_ended(self, station_id: str, external_id: str) -> bool:
        """Say whether a transaction is known to have ended."""
        found = self._store.connection.execute(
            "select 1 from site_transaction where station_id = ? and external_id = ? and ended_at is not null",
            (station_id, external_id),
        ).fetchone()
        return found is not None

    @staticmethod
    def _is_same(running: Transaction, token: str | None, started_at: datetime, external_id: str | None) -> bool:
        if external_id is not None:
            return running.external_id == external_id
        return running.token == token and running.started_at == started_at
