"""Matches between transactions and vehicles, made of what has landed and kept as versions.

The scoring is in ``matching``; here is what it needs to know, and what becomes a new version: a match that differs from
the one landed last is known from the run's instant on, one that does not is left as it is.
"""

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from core.landing import Landing
from core.schema import INSTANT
from ingestion.matching import NO_OVERRIDES, TRANSACTION, VEHICLE, Evidence, match_evidence
from ingestion.registry.registry import Registry

SOURCE: Final = "identity"
BEFORE_START: Final = timedelta(days=1)  # how far before a transaction telematics may date an arrival
CONTENT: Final = (*TRANSACTION, VEHICLE, "confidence", "method")


def match_sessions(
    landing: Landing,
    registry: Registry,
    *,
    as_of: datetime,
    since: datetime | None = None,
    overrides: pl.DataFrame = NO_OVERRIDES,
) -> pl.DataFrame:
    """Match the transactions that started at or after ``since`` with what was known at ``as_of``.

    Args:
        landing: Where transactions, assignments, snapshots and earlier matches lie.
        registry: Sites of connectors, homes and bays of vehicles.
        as_of: The run's instant.
        since: Without it, all transactions.
        overrides: What operators have said (``Evidence.overrides``).

    Returns:
        ``session_match`` rows, sorted by key, ready for ``Landing.append(…, source=SOURCE)``; those that say what the
        version landed last says equal it, so that appending them lands nothing.
    """
    evidence = evidence_at(landing, registry, as_of=as_of, since=since, overrides=overrides)
    matches = match_evidence(evidence, as_of=as_of)
    return _as_versions(matches, landing.read("session_match", sources=[SOURCE]), as_of=as_of)


def evidence_at(
    landing: Landing,
    registry: Registry,
    *,
    as_of: datetime,
    since: datetime | None = None,
    overrides: pl.DataFrame = NO_OVERRIDES,
) -> Evidence:
    """Return what a match at ``as_of`` is made of; arguments as in ``match_sessions``."""
    return Evidence(
        transactions=_transactions(landing, registry, as_of=as_of, since=since),
        assignments=landing.read("assignment", as_of=as_of),
        snapshots=_snapshots(landing, as_of=as_of, since=None if since is None else since - BEFORE_START),
        trips=landing.read("trip", as_of=as_of, since=None if since is None else since - BEFORE_START),
        vehicles=_vehicles(registry),
        overrides=overrides,
    )


def _transactions(landing: Landing, registry: Registry, *, as_of: datetime, since: datetime | None) -> pl.DataFrame:
    """Return transactions with the site of their connector, where the source did not say it."""
    places = pl.DataFrame(
        [(one.station_id, one.connector_id, one.site_id) for one in registry.connectors],
        schema={"station_id": pl.String, "connector_id": pl.Int64, "known_site_id": pl.String},
        orient="row",
    )
    known = landing.read("charging_transaction", as_of=as_of)
    recent = known if since is None else known.filter(pl.col("started_at") >= since)
    return (
        recent.unique(TRANSACTION, keep="last", maintain_order=True)
        .join(places, on=["station_id", "connector_id"], how="left", maintain_order="left")
        .with_columns(site_id=pl.coalesce("site_id", "known_site_id"))
    )


def _snapshots(landing: Landing, *, as_of: datetime, since: datetime | None) -> pl.DataFrame:
    return landing.read("vehicle_snapshot", as_of=as_of, since=since).select(
        VEHICLE, "observed_at", "available_at", "is_plugged", "at_site_id", "speed_kmh"
    )


def _vehicles(registry: Registry) -> pl.DataFrame:
    return pl.DataFrame(
        [(one.vehicle_id, one.site_id, one.home_station_id, one.home_connector_id) for one in registry.vehicles],
        schema={VEHICLE: pl.String, "site_id": pl.String, "home_station_id": pl.String, "home_connector_id": pl.Int64},
        orient="row",
    )


def _as_versions(matches: pl.DataFrame, landed: pl.DataFrame, *, as_of: datetime) -> pl.DataFrame:
    """Return matches as versions: unchanged ones as they were landed, changed ones available from ``as_of``."""
    instant = pl.lit(as_of, INSTANT)
    fresh = matches.join(landed, on=CONTENT, how="anti", nulls_equal=True)
    known = landed.select(*TRANSACTION, is_change=pl.lit(value=True))
    changed = (
        fresh.join(known, on=TRANSACTION, how="left")
        .with_columns(available_at=pl.when("is_change").then(instant).otherwise("available_at"), ingested_at=instant)
        .drop("is_change")
    )
    unchanged = landed.join(matches, on=CONTENT, how="semi", nulls_equal=True).select(changed.columns)
    return pl.concat([changed, unchanged]).sort(TRANSACTION)
