"""Which connectors could not charge anybody, by the last word of their stations, or by their silence."""

from datetime import datetime, timedelta

import polars as pl

FAULTY = ("faulted", "unavailable")
WHOLE_STATION = 0
"""The connector number under which a station speaks of itself."""

LONGEST_LINK = timedelta(days=30)
"""Whether stations are connected is looked up so far back; of what was told before nothing is known any more."""

KEY = ["station_id", "connector_id"]
SILENT_AFTER = timedelta(minutes=10)
"""A station that is away for less has booted, or lost its network for a moment."""


def faulty_connectors(statuses: pl.DataFrame, connectors: pl.DataFrame) -> pl.DataFrame:
    """Return the connectors that are out of order: ``station_id``, ``connector_id``, ``faulty_since``.

    Args:
        statuses: Rows of ``connector_status``.
        connectors: ``station_id`` and ``connector_id`` of those that are asked for.
    """
    last = statuses.sort("observed_at").unique(KEY, keep="last", maintain_order=True)
    faulty = last.filter(pl.col("status").is_in(FAULTY)).select(*KEY, "observed_at")
    stations = faulty.filter(pl.col("connector_id") == WHOLE_STATION)
    return (
        connectors.select(KEY)
        .join(faulty.rename({"observed_at": "own_at"}), on=KEY, how="left", maintain_order="left")
        .join(stations.select("station_id", station_at="observed_at"), on="station_id", how="left")
        .select(*KEY, faulty_since=pl.min_horizontal("own_at", "station_at"))
        .drop_nulls("faulty_since")
        .sort(KEY)
    )


def silent_connectors(links: pl.DataFrame, connectors: pl.DataFrame, *, as_of: datetime) -> pl.DataFrame:
    """Return the connectors whose stations are not heard of any more, as ``faulty_connectors`` does.

    Where no station of those that are asked for is connected, it is the network that is down, and nothing is known of
    any. What charges at a silent station may go on: it keeps the profile that it was given last.

    Args:
        links: Rows of ``station_link``.
        connectors: ``station_id`` and ``connector_id`` of those that are asked for.
        as_of: Who was heard of within the last ten minutes is not silent.
    """
    last = links.sort("observed_at").unique("station_id", keep="last", maintain_order=True)
    asked = last.join(connectors, on="station_id", how="semi")
    away = asked.filter(~pl.col("is_connected"), pl.col("observed_at") <= as_of - SILENT_AFTER)
    if not asked["is_connected"].any():
        away = away.clear()
    silent = away.select("station_id", faulty_since="observed_at")
    return connectors.select(KEY).join(silent, on="station_id", how="inner").sort(KEY)
