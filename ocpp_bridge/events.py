"""Events for whoever re-plans: what plugged in, started, ended, changed; with a cursor that survives restarts.

An event can be read only once it is stored, so a cursor that was given out is never given to another event. The store
is a file of its own, written in batches, because meter values come by the hundred a second.
"""

import asyncio
import json
import logging
import sqlite3
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from core.time_grid import format_instant

log = logging.getLogger(__name__)

TYPES: Final = (
    "station_up",
    "station_down",
    "plugged",
    "unplugged",
    "transaction_started",
    "transaction_ended",
    "status",
    "meter",
    "profile_state",
)
KEPT: Final = 500_000
BATCH_S: Final = 0.05
READ_MAX: Final = 5_000

SCHEMA: Final = """
create table if not exists event (
    cursor integer primary key autoincrement, at text not null, type text not null, station_id text,
    connector_id integer, data text not null
) strict
"""


class EventLog:
    """The events of this bridge, oldest first.

    Invariants: cursors ascend; a reader that continues from the last cursor it got sees every event once.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.execute(SCHEMA)
        self._last: int = self._db.execute("select coalesce(max(cursor), 0) from event").fetchone()[0]
        self._waiting: deque[tuple[str, str, str | None, int | None, str]] = deque()
        self._stored = asyncio.Event()
        self.problem: str | None = None
        self.counts = dict.fromkeys(TYPES, 0)

    def add(
        self, event_type: str, *, at: datetime, station_id: str, connector_id: int | None = None, **data: JsonValue
    ) -> None:
        """Take an event; it can be read a moment later."""
        self.counts[event_type] += 1
        text = json.dumps(data, separators=(",", ":"))
        self._waiting.append((format_instant(at), event_type, station_id, connector_id, text))

    async def run(self) -> None:
        """Store events in batches until cancelled."""
        try:
            while True:
                await asyncio.sleep(BATCH_S)
                self.flush()
        finally:
            self.flush()

    def flush(self) -> None:
        """Store what is waiting and wake whoever waits for it."""
        if not self._waiting:
            return
        try:
            self._db.execute("begin immediate")
            self._db.executemany(
                "insert into event (at, type, station_id, connector_id, data) values (?, ?, ?, ?, ?)", self._waiting
            )
            self._last = self._db.execute("select max(cursor) from event").fetchone()[0]
            self._db.execute("delete from event where cursor <= ?", (self._last - KEPT,))
            self._db.execute("commit")
        except sqlite3.OperationalError as error:
            if self.problem is None:
                log.exception("events cannot be stored; they are tried again")
            self.problem = f"events cannot be stored: {error}"
            if self._db.in_transaction:
                self._db.execute("rollback")
            return
        self.problem = None
        self._waiting.clear()
        self._stored.set()
        self._stored = asyncio.Event()

    def read(self, after: int, limit: int = READ_MAX) -> list[dict[str, Any]]:
        """Return stored events behind a cursor, oldest first."""
        if after >= self._last:
            return []
        rows = self._db.execute(
            "select cursor, at, type, station_id, connector_id, data from event where cursor > ?"
            " order by cursor limit ?",
            (after, limit),
        ).fetchall()
        names = ("cursor", "at", "type", "station_id", "connector_id")
        return [{**dict(zip(names, row[:5], strict=True)), "data": json.loads(row[5])} for row in rows]

    async def wait(self, after: int, seconds: float) -> list[dict[str, Any]]:
        """Return events behind a cursor, waiting for the first one at most so many seconds of wall time."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not (found := self.read(after)):
            left = deadline - asyncio.get_running_loop().time()
            stored = self._stored
            try:
                await asyncio.wait_for(stored.wait(), max(0.0, left))
            except TimeoutError:
                return []
        return found

    def close(self) -> None:
        """Store what is waiting and close the file."""
        self.flush()
        self._db.close()
