"""The charging requests of presystems, in versions behind a cursor, so that ingestion can read them like any log."""

import json
from datetime import datetime
from typing import Any

from core.time_grid import format_instant
from ocpp_bridge.store import Store
from ocpp_bridge.upstream.vdv463 import ChargingRequest

LATEST_SQL = """
select * from charging_request where cursor in
    (select max(cursor) from charging_request where presystem_id = ? group by charging_request_id)
order by cursor
"""


class ChargingRequests:
    """All versions of all requests.

    Invariants: a version is written only where something changed; a request missing from a newer list is withdrawn.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def replace(self, presystem_id: str, requests: list[ChargingRequest], *, received_at: datetime) -> int:
        """Take a presystem's whole list, and wait for the disk; return how many requests changed."""
        before = {row["charging_request_id"]: row for row in self._latest(presystem_id)}
        now = {one.charging_request_id: json.dumps(one.in_plan_words(), sort_keys=True) for one in requests}
        changed = [
            (name, body, False)
            for name, body in now.items()
            if name not in before or before[name]["is_withdrawn"] or before[name]["body"] != body
        ]
        gone = [
            (name, row["body"], True) for name, row in before.items() if name not in now and not row["is_withdrawn"]
        ]
        with self._store.writing(durably=True) as db:
            db.executemany(
                "insert into charging_request (received_at, presystem_id, charging_request_id, body, is_withdrawn)"
                " values (?, ?, ?, ?, ?)",
                [(format_instant(received_at), presystem_id, *version) for version in [*changed, *gone]],
            )
        return len(changed) + len(gone)

    def present(self, presystem_id: str) -> list[dict[str, Any]]:
        """Return the requests of a presystem that stand."""
        return [json.loads(row["body"]) for row in self._latest(presystem_id) if not row["is_withdrawn"]]

    def read(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return versions behind a cursor, oldest first."""
        rows = self._store.connection.execute(
            "select * from charging_request where cursor > ? order by cursor limit ?", (after, limit)
        ).fetchall()
        return [
            {
                "cursor": row["cursor"],
                "received_at": row["received_at"],
                "presystem_id": row["presystem_id"],
                "is_withdrawn": bool(row["is_withdrawn"]),
                **json.loads(row["body"]),
            }
            for row in rows
        ]

    def _latest(self, presystem_id: str) -> list[Any]:
        return self._store.connection.execute(LATEST_SQL, (presystem_id,)).fetchall()
