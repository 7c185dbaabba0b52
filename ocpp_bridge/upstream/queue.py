"""What stations said while their back end could not be told: kept on disk, in order, until it can. Only storage.

A message is on the disk before the station is answered, so that neither a killed bridge nor a power cut loses one. The
payload is kept as it came, tokens included, because the back end needs them; it is deleted once delivered.
"""

import json
from dataclasses import dataclass

from ocpp_bridge.store import Store
from ocpp_bridge.wire import Call, Payload

THIN_OUT_SQL = """
delete from upstream_message where position in (
    select position from upstream_message where station_id = ? and refusal is null
    and (action = 'MeterValues' or (action = 'TransactionEvent' and json_extract(payload, '$.eventType') = 'Updated'))
    order by position limit ?)
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A message of a station that its back end has not confirmed; ``attempts`` counts refusals so far.

    ``local_id`` is the transaction id that we gave a 1.6 station in the back end's place.
    """

    position: int
    call: Call
    attempts: int
    local_id: int | None


class UpstreamQueue:
    """The waiting messages of all stations.

    Invariants: messages of a station leave in the order they came, a boot first; the start and the end of a
    transaction are never dropped, whatever the bound.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(
        self,
        station_id: str,
        call: Call,
        *,
        most: int,
        replaces: str | None = None,
        is_first: bool = False,
        local_id: int | None = None,
    ) -> bool:
        """Keep a message and wait for the disk; return whether it is new (a station may repeat itself).

        Args:
            station_id: Whose it is.
            call: The message as it came.
            most: Where more than this wait, the oldest meter values go.
            replaces: A newer message under the same name makes an older one pointless.
            is_first: It is to be delivered before all others.
            local_id: The transaction id that the station was given meanwhile.
        """
        payload = json.dumps(call.payload, separators=(",", ":"))
        with self._store.writing(durably=True) as db:
            if replaces is not None:
                db.execute("delete from upstream_message where station_id = ? and replaces = ?", (station_id, replaces))
            known = db.execute(
                "select 1 from upstream_message where station_id = ? and action = ? and payload = ?"
                " and refusal is null",
                (station_id, call.action, payload),
            ).fetchone()
            if known is not None:
                return False
            db.execute(
                "insert into upstream_message (station_id, message_id, action, payload, replaces, is_first, local_id)"
                " values (?, ?, ?, ?, ?, ?, ?)",
                (station_id, call.message_id, call.action, payload, replaces, is_first, local_id),
            )
            if (excess := self.waiting(station_id) - most) > 0:
                db.execute(THIN_OUT_SQL, (station_id, excess))
        return True

    def first(self, station_id: str) -> Kept | None:
        """Return the message to deliver next."""
        row = self._store.connection.execute(
            "select * from upstream_message where station_id = ? and refusal is null"
            " order by is_first desc, position limit 1",
            (station_id,),
        ).fetchone()
        if row is None:
            return None
        payload: Payload = json.loads(row["payload"])
        call = Call(row["message_id"], row["action"], payload)
        return Kept(row["position"], call, row["attempts"], row["local_id"])

    def done(self, kept: Kept) -> None:
        """The back end confirmed a message."""
        with self._store.writing() as db:
            db.execute("delete from upstream_message where position = ?", (kept.position,))

    def drop(self, station_id: str, name: str) -> None:
        """A newer message under this name reached the back end by itself."""
        with self._store.writing() as db:
            db.execute("delete from upstream_message where station_id = ? and replaces = ?", (station_id, name))

    def refused(self, kept: Kept, reason: str, *, is_final: bool) -> None:
        """The back end refused a message; after the last attempt it is set aside, for people to look at."""
        with self._store.writing() as db:
            db.execute(
                "update upstream_message set attempts = attempts + 1, refusal = ? where position = ?",
                (reason if is_final else None, kept.position),
            )

    def waiting(self, station_id: str) -> int:
        """Return how many messages wait."""
        return self._count(station_id, "refusal is null")

    def set_aside(self, station_id: str) -> int:
        """Return how many messages the back end refused for good."""
        return self._count(station_id, "refusal is not null")

    def _count(self, station_id: str, condition: str) -> int:
        row = self._store.connection.execute(
            f"select count(*) from upstream_message where station_id = ? and {condition}",  # noqa: S608  ours
            (station_id,),
        ).fetchone()
        return int(row[0])
