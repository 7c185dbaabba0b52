"""Publications and what became of each of their entries: stored before they are answered, idempotent by plan.

States: pending → sent → accepted → verified, or rejected; and expired, superseded or transaction_changed, which are
final. Who decides on a state is ``dispatch``; whether a publication makes sense at all is ``admission``.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from core.publication import Publication
from core.time_grid import format_instant, parse_instant
from ocpp_bridge.holdings import ConnectorKey
from ocpp_bridge.store import Store


class State(StrEnum):
    """States of a delivery."""

    PENDING = "pending"
    SENT = "sent"
    ACCEPTED = "accepted"
    VERIFIED = "verified"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    TRANSACTION_CHANGED = "transaction_changed"


class Evidence(StrEnum):
    """Rungs of the evidence ladder, lowest first."""

    NONE = "none"
    ACCEPTED = "accepted"
    COMPOSITE = "composite"
    OFFERED = "offered"
    METERED = "metered"

    @property
    def rung(self) -> int:
        """Its height."""
        return list(Evidence).index(self)


class Verdict(StrEnum):
    """What the outbox made of a publication."""

    STORED = "stored"
    SAME = "same"
    CONFLICT = "conflict"
    STALE = "stale"
    REPLAYED = "replayed"


FINAL: Final = frozenset({State.EXPIRED, State.SUPERSEDED, State.TRANSACTION_CHANGED})


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one entry."""

    station_id: str
    connector_id: int
    state: State
    evidence: Evidence
    updated_at: datetime
    detail: str | None

    @property
    def key(self) -> ConnectorKey:
        """The connector."""
        return self.station_id, self.connector_id


class Outbox:
    """Stored publications and their deliveries.

    Invariants: at most one publication is in force, and no publication with an older ``as_of`` ever follows it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def accept(self, publication: Publication, *, received_at: datetime) -> Verdict:
        """Store a publication durably and put it in force, unless it is a repetition, a conflict, stale or a replay.

        A dry run is stored and never comes in force. One that another has superseded does not come back: whoever
        sends it again must not believe that it is what stations do.
        """
        known = self._row(publication.plan_id)
        if known is not None and known["content_hash"] != _content_hash(publication):
            return Verdict.CONFLICT
        if known is not None:
            return Verdict.SAME if known["in_force"] or known["dry_run"] else Verdict.REPLAYED
        current = self.in_force()
        if current is not None and publication.as_of < current.as_of:
            return Verdict.STALE
        with self._store.writing(durably=True) as db:
            if not publication.dry_run:
                db.execute("update publication set in_force = 0 where in_force = 1")
                self._close(State.SUPERSEDED, f"by {publication.plan_id}", at=received_at)
            db.execute(
                "insert into publication values (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    publication.plan_id,
                    format_instant(publication.as_of),
                    format_instant(publication.valid_until),
                    format_instant(received_at),
                    publication.dry_run,
                    _content_hash(publication),
                    publication.to_json(),
                    not publication.dry_run,
                ),
            )
            db.executemany(
                "insert into delivery values (?, ?, ?, ?, ?, ?, ?, null)",
                [
                    (
                        publication.plan_id,
                        entry.station_id,
                        entry.connector_id,
                        k,
                        "pending",
                        "none",
                        _text(received_at),
                    )
                    for k, entry in enumerate(publication.connectors)
                ],
            )
        return Verdict.STORED

    def in_force(self) -> Publication | None:
        """Return the publication that counts now (it may have run out)."""
        row = self._store.connection.execute("select body from publication where in_force = 1").fetchone()
        return None if row is None else Publication.model_validate_json(row["body"])

    def close_all(self, state: State, detail: str, *, at: datetime) -> None:
        """Give a final state to all that has none.

        The publication stays in force by name, so that its ``as_of`` still guards against older ones.
        """
        with self._store.writing():
            self._close(state, detail, at=at)

    def received_at(self, plan_id: str) -> tuple[datetime, datetime] | None:
        """Return ``as_of`` and ``received_at`` of a stored publication."""
        row = self._row(plan_id)
        return None if row is None else (parse_instant(row["as_of"]), parse_instant(row["received_at"]))

    def deliveries(self, plan_id: str) -> list[Delivery]:
        """Return what became of each entry, in the order of the publication."""
        rows = self._store.connection.execute(
            "select * from delivery where plan_id = ? order by position", (plan_id,)
        ).fetchall()
        return [
            Delivery(
                row["station_id"],
                row["connector_id"],
                State(row["state"]),
                Evidence(row["evidence"]),
                parse_instant(row["updated_at"]),
                row["detail"],
            )
            for row in rows
        ]

    def update(self, plan_id: str, deliveries: Iterable[Delivery]) -> None:
        """Write new states."""
        with self._store.writing() as db:
            db.executemany(
                "update delivery set state = ?, evidence = ?, updated_at = ?, detail = ?"
                " where plan_id = ? and station_id = ? and connector_id = ?",
                [
                    (
                        one.state,
                        one.evidence,
                        _text(one.updated_at),
                        one.detail,
                        plan_id,
                        one.station_id,
                        one.connector_id,
                    )
                    for one in deliveries
                ],
            )

    def remove_before(self, instant: datetime) -> None:
        """Forget publications that were received before an instant and are not in force."""
        with self._store.writing() as db:
            db.execute("delete from publication where received_at < ? and not in_force", (_text(instant),))
            db.execute("delete from delivery where plan_id not in (select plan_id from publication)")

    def counts(self) -> dict[str, int]:
        """Return how many deliveries are in each state."""
        rows = self._store.connection.execute("select state, count(*) as n from delivery group by state").fetchall()
        return {row["state"]: row["n"] for row in rows}

    def _close(self, state: State, detail: str, *, at: datetime) -> None:
        self._store.connection.execute(
            "update delivery set state = ?, updated_at = ?, detail = ?"
            " where state in ('pending', 'sent', 'accepted', 'verified')"
            " and plan_id in (select plan_id from publication where not dry_run)",
            (state, _text(at), detail),
        )

    def _row(self, plan_id: str) -> sqlite3.Row | None:
        found: sqlite3.Row | None = self._store.connection.execute(
            "select * from publication where plan_id = ?", (plan_id,)
        ).fetchone()
        return found


def _content_hash(publication: Publication) -> str:
    """Hash what a publication means, so that key order and number formats make no difference."""
    canonical = json.dumps(json.loads(publication.to_json()), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _text(instant: datetime) -> str:
    return format_instant(instant)
