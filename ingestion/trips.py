"""Trips of sources that tell only states, landed beside their snapshots.

How far each vehicle's snapshots have been made into trips is kept as a cursor of its own, written after the trips.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from core.schema import INSTANT
from core.time_grid import format_instant, parse_instant
from ingestion.batch import QUARANTINE, Destination
from ingestion.cursors import CursorStore, Progress
from ingestion.providers.base import RECORD
from ingestion.providers.trips_from_snapshots import RESUME, derive_trips
from ingestion.quality.gate import split
from ingestion.quality.plausibility import Known, known_before
from ingestion.quarantine import quarantined_rows

LONGEST_SILENCE: Final = timedelta(days=31)  # one vehicle that is laid up does not make every run read from then on
SCHEMA: Final = pl.Schema({"vehicle_id": pl.String(), RESUME: INSTANT, "has_ignition": pl.Boolean()})


def land_trips(destination: Destination, cursors: CursorStore) -> dict[str, int]:
    """Derive the trips that began since the last time, and land them; return new rows by entity."""
    cursor = f"{destination.source.source_id}.trips"
    resume = _read(cursors, cursor)
    snapshots = _snapshots(destination, resume)
    if snapshots.is_empty():
        return {}
    trips, resume_next = derive_trips(snapshots, with_ignition=resume.filter("has_ignition")["vehicle_id"].to_list())
    landed = _land(destination, trips.with_row_index(RECORD))
    _write(cursors, cursor, pl.concat([resume_next, resume]).unique("vehicle_id", keep="first", maintain_order=True))
    return {entity: rows for entity, rows in landed.items() if rows}


def _land(destination: Destination, trips: pl.DataFrame) -> dict[str, int]:
    def known_of(rows: pl.DataFrame) -> Known:
        return known_before(
            rows,
            registry=destination.registry,
            landing=destination.landing,
            source_id=destination.source.source_id,
        )

    good, rejected = split("trip", trips, as_of=destination.as_of, known_of=known_of)
    doubtful = quarantined_rows(
        rejected.cast({RECORD: pl.Int64}),
        lambda number: ("trips", trips.row(number, named=True)),
        trips.select(pl.col(RECORD).cast(pl.Int64), "observed_at", "available_at"),
        as_of=destination.as_of,
        is_restricted=True,
    )
    return {"trip": destination.append("trip", good), QUARANTINE: destination.append(QUARANTINE, doubtful)}


def _snapshots(destination: Destination, resume: pl.DataFrame) -> pl.DataFrame:
    """Return the latest versions of the source's snapshots that are not yet made into trips."""
    since = None
    if resume.height:
        earliest, newest = resume.select(pl.col(RESUME).min(), newest=pl.col(RESUME).max()).row(0)
        since = max(earliest, newest - LONGEST_SILENCE)
    rows = destination.landing.read("vehicle_snapshot", since=since, sources=[destination.source.source_id])
    return (
        rows.join(resume, on="vehicle_id", how="left", maintain_order="left")
        .filter(pl.col(RESUME).is_null() | (pl.col("observed_at") >= pl.col(RESUME)))
        .drop(RESUME, "has_ignition")
    )


def _read(cursors: CursorStore, name: str) -> pl.DataFrame:
    places = cursors.read(name).cursor or {}
    entries = [(vehicle_id, parse_instant(text), ignition) for vehicle_id, (text, ignition) in sorted(places.items())]
    return pl.DataFrame(entries, schema=SCHEMA, orient="row")


def _write(cursors: CursorStore, name: str, resume: pl.DataFrame) -> None:
    places = {
        vehicle_id: (format_instant(resume_at), ignition) for vehicle_id, resume_at, ignition in resume.iter_rows()
    }
    cursors.write(name, Progress(places))
