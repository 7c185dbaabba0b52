"""What the sets of charging sessions share: which fields were known at plug-in, and connectors and sites they name."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final

import polars as pl

from ingestion.imports.history import as_versions, context
from ingestion.providers.base import RECORD

KNOWN_AT_START: Final = (
    "station_id",
    "connector_id",
    "transaction_id",
    "site_id",
    "started_at",
    "metering_point",
    "soc_start_pct",
    "user_id",
    "vehicle_id",
    "requested_kwh",
    "stated_departure_at",
    "currency",
)
KNOWN_AT_END: Final = (
    "ended_at",
    "charging_ended_at",
    "energy_kwh",
    "soc_end_pct",
    "idle_min",
    "price_total",
)
SITE_COLUMNS: Final = ("name", "timezone", "currency")


def session_versions(sessions: pl.DataFrame, *, latency: timedelta, not_at_start: Collection[str] = ()) -> pl.DataFrame:
    """Return sessions as they were known at their end, then as known at plug-in; other columns are dropped.

    ``not_at_start`` names columns that this set only comes to know later than at plug-in.
    """
    columns = [name for name in (*KNOWN_AT_START, *KNOWN_AT_END) if name in sessions.columns]
    known = [name for name in columns if name in KNOWN_AT_START and name not in not_at_start]
    return as_versions(sessions.select(RECORD, *columns), known_at_start=known, ended_at="ended_at", latency=latency)


def session_context(sessions: pl.DataFrame, sites: Mapping[str, tuple[str, str, str]]) -> dict[str, pl.DataFrame]:
    """Return the sites and connectors that sessions name.

    Args:
        sessions: Rows with ``site_id``, ``station_id``, ``connector_id`` and, where it is known, ``current_type``.
        sites: By site id: name, time zone and currency.
    """
    columns = [name for name in ("station_id", "connector_id", "site_id", "current_type") if name in sessions.columns]
    connectors = sessions.select(columns).unique(["station_id", "connector_id"], keep="first", maintain_order=True)
    present = connectors["site_id"].unique().sort()
    rows = [dict(zip(("site_id", *SITE_COLUMNS), (site_id, *sites[site_id]), strict=True)) for site_id in present]
    return context(site=pl.DataFrame(rows), connector=connectors)


def over_level_two(energy_kwh: str, started_at: str, ended_at: str) -> pl.Expr:
    """Say whether a session's mean power was more than North American AC charging allows (80 A at 240 V)."""
    hours = (pl.col(ended_at) - pl.col(started_at)).dt.total_seconds() / 3600
    return pl.col(energy_kwh) > 19.2 * hours
