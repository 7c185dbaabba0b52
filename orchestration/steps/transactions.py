"""Which transactions run at a site at an instant, and which vehicle each is matched to, as landing knew then.

And which connectors could not charge anybody, as their stations say, or as their silence does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from core.faults import LONGEST_LINK, faulty_connectors, silent_connectors
from core.landing import Landing
from ingestion.registry import Registry
from planning.closures import Closures
from planning.site_state import ConnectorKey, ConnectorState

LONGEST_TRANSACTION = timedelta(days=5)
SETTLING = timedelta(minutes=15)
"""Clocks of vehicle and charger may differ by this much."""
CONNECTOR_KEY = {"station_id": pl.String, "connector_id": pl.Int64}


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that runs now, and the vehicle it charges (None: a guest, or nobody knows).

    ``is_presumed``: nobody recognised the vehicle, but it is the likeliest to stand there.
    """

    station_id: str
    connector_id: int
    transaction_id: str
    started_at: datetime
    vehicle_id: str | None
    confidence: float
    is_presumed: bool = False


def matched_transactions(landing: Landing, as_of: datetime) -> pl.DataFrame:
    """Return the transactions of the last days with the vehicle each is matched to (null: nobody knows)."""
    key = ["station_id", "connector_id", "transaction_id", "started_at"]
    started = landing.read("charging_transaction", as_of=as_of, since=as_of - LONGEST_TRANSACTION)
    matches = landing.read("session_match", as_of=as_of, since=as_of - LONGEST_TRANSACTION)
    return started.join(
        matches.select(*key, pl.col("vehicle_id").alias("matched_id"), "confidence"), on=key, how="left"
    ).with_columns(vehicle_id=pl.coalesce("matched_id", "vehicle_id"))


def last_unplugged(matched: pl.DataFrame) -> dict[str, datetime]:
    """Return when each vehicle's last transaction ended."""
    ended = matched.filter(pl.col("ended_at").is_not_null(), pl.col("vehicle_id").is_not_null())
    return dict(ended.group_by("vehicle_id").agg(pl.col("ended_at").max()).iter_rows())


def still_open(
    matched: pl.DataFrame, landing: Landing, registry: Registry, *, site_id: str, as_of: datetime
) -> list[OpenTransaction]:
    """Return the transactions of a site that run, the latest of each connector.

    One whose stop was lost is over when its connector has been available since, or its vehicle has driven.

    Args:
        matched: See ``matched_transactions``.
        landing: The landing zone.
        registry: The site's connectors.
        site_id: Site.
        as_of: Nothing that became available later is used.
    """
    connectors = pl.DataFrame(
        [(entry.station_id, entry.connector_id) for entry in registry.connectors_of(site_id)],
        schema=CONNECTOR_KEY,
        orient="row",
    )
    running = (
        matched.join(connectors, on=["station_id", "connector_id"], how="semi")
        .sort("started_at", "transaction_id")
        .unique(["station_id", "connector_id"], keep="last", maintain_order=True)
        .filter(pl.col("ended_at").is_null())
        .join(_freed_since(landing, as_of), on=["station_id", "connector_id"], how="left")
        .join(_driven_since(landing, as_of), on="vehicle_id", how="left")
        .filter(
            (pl.col("freed_at") <= pl.col("started_at")).fill_null(value=True),
            (pl.col("driven_at") <= pl.col("started_at") + SETTLING).fill_null(value=True),
        )
        .sort("station_id", "connector_id")
    )
    return [
        OpenTransaction(
            station_id=row["station_id"],
            connector_id=row["connector_id"],
            transaction_id=row["transaction_id"],
            started_at=row["started_at"],
            vehicle_id=row["vehicle_id"],
            confidence=row["confidence"] or 0.0,
        )
        for row in running.iter_rows(named=True)
    ]


def faulted_connectors(landing: Landing, connectors: Sequence[ConnectorState], *, as_of: datetime) -> Closures:
    """Return the connectors that charge nobody who comes, and since when.

    Their last word, or their station's, was that they cannot, or their station is silent and nothing runs on them.
    """
    since = as_of - LONGEST_TRANSACTION
    statuses = landing.read("connector_status", as_of=as_of, since=since)
    links = landing.read("station_link", as_of=as_of, since=as_of - LONGEST_LINK)
    everywhere = _keys([item.key for item in connectors])
    idle = _keys([item.key for item in connectors if item.transaction_id is None])
    # Whether anybody is heard of is asked of all stations, also of those where everything is in use.
    silent = silent_connectors(links, everywhere, as_of=as_of).join(idle, on=list(CONNECTOR_KEY), how="semi")
    faulty = faulty_connectors(statuses, everywhere)
    found = pl.concat([faulty, silent]).group_by(list(CONNECTOR_KEY)).agg(pl.col("faulty_since").min())
    return {(station, number): since for station, number, since in found.sort(list(CONNECTOR_KEY)).iter_rows()}


def _keys(connectors: Sequence[ConnectorKey]) -> pl.DataFrame:
    return pl.DataFrame(connectors, schema=CONNECTOR_KEY, orient="row")


def _freed_since(landing: Landing, as_of: datetime) -> pl.DataFrame:
    """Return when each connector was last seen free."""
    statuses = landing.read("connector_status", as_of=as_of, since=as_of - LONGEST_TRANSACTION)
    free = statuses.filter(pl.col("status") == "available")
    return free.group_by("station_id", "connector_id").agg(pl.col("observed_at").max().alias("freed_at"))


def _driven_since(landing: Landing, as_of: datetime) -> pl.DataFrame:
    """Return when each vehicle last set off."""
    trips = landing.read("trip", as_of=as_of, since=as_of - LONGEST_TRANSACTION)
    real = trips.filter(~pl.col("is_deleted").fill_null(value=False))
    return real.group_by("vehicle_id").agg(pl.col("started_at").max().alias("driven_at"))
