"""Remembers across restarts what stations may hold: a profile is written down before it is sent."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from core.time_grid import format_instant, parse_instant
from ocpp_bridge.curves import Curve
from ocpp_bridge.holdings import ConnectorKey, Held
from ocpp_bridge.profiles import ChargingProfile, Period, Slot
from ocpp_bridge.store import Store


class HeldStore:
    """The table of what may be held, one row per profile sent and not known to be gone."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def last_sequence(self) -> int:
        """Return the highest sequence number ever written."""
        row = self._store.connection.execute("select coalesce(max(sequence), 0) from held").fetchone()
        return int(row[0])

    def load(self) -> Iterator[tuple[ConnectorKey, Held]]:
        """Yield all that was held, in the order in which it was sent."""
        for row in self._store.connection.execute("select * from held order by sequence").fetchall():
            held = Held(
                row["sequence"],
                _profile(json.loads(row["profile"])),
                _curve(json.loads(row["reserved_kw"])),
                plan_id=row["plan_id"],
                accepted=bool(row["accepted"]),
            )
            yield (row["station_id"], row["connector_id"]), held

    def save(self, rows: Iterable[tuple[ConnectorKey, Held]]) -> None:
        """Write profiles down, and wait for the disk: a power cut must not make us forget what a station holds."""
        with self._store.writing(durably=True) as db:
            db.executemany(
                "insert or replace into held values (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        held.sequence,
                        *key,
                        held.profile.slot,
                        held.accepted,
                        held.plan_id,
                        json.dumps(asdict(held.profile), default=format_instant),
                        json.dumps([list(held.reserved_kw.starts[1:]), list(held.reserved_kw.values)]),
                    )
                    for key, held in rows
                ],
            )

    def replace_stations(self, stations: Mapping[str, Sequence[tuple[ConnectorKey, Held]]]) -> None:
        """Write what some stations may hold now; what is not among it is gone."""
        with self._store.writing() as db:
            for station_id, rows in stations.items():
                marks = ",".join("?" * len(rows))
                db.execute(
                    f"delete from held where station_id = ? and sequence not in ({marks})",  # noqa: S608  only marks
                    (station_id, *(held.sequence for _, held in rows)),
                )
            accepted = [(held.accepted, held.sequence) for rows in stations.values() for _, held in rows]
            db.executemany("update held set accepted = ? where sequence = ?", accepted)


def _profile(raw: dict[str, Any]) -> ChargingProfile:
    return ChargingProfile(
        **{
            **raw,
            "slot": Slot(raw["slot"]),
            "start_at": parse_instant(raw["start_at"]),
            "periods": tuple(Period(**period) for period in raw["periods"]),
        }
    )


def _curve(raw: list[list[float]]) -> Curve:
    return Curve((-math.inf, *raw[0]), tuple(raw[1]))
