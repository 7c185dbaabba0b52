"""Which connectors could not charge anybody, by the last word of their stations."""

import polars as pl

FAULTY = ("faulted", "unavailable")
WHOLE_STATION = 0
"""The connector number under which a station speaks of itself."""

KEY = ["station_id", "connector_id"]


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
