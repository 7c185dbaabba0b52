"""Knowledge of the place: how busy the site is at the instant, against how busy it usually is."""

from datetime import timedelta
from typing import Final

import polars as pl

from ml.dataset import as_of_join

COLUMNS: Final = ("plugged_now", "plug_ins_24h", "plug_ins_7d", "hours_since_station_was_free")


def add(rows: pl.DataFrame) -> pl.DataFrame:
    """Add how many are plugged in, how many came in the last day and week, and how long the connector stood free.

    Args:
        rows: All sessions of the site with predicted_at, first_told_at and known_at; each row counts those known to it.
    """
    began = _running(rows, "first_told_at", "began")
    ended = _running(rows.filter(pl.col("known_at").is_not_null()), "known_at", "ended")
    counted = as_of_join(rows, began, by=["site_id"], known="first_told_at")
    counted = as_of_join(counted, ended, by=["site_id"], known="known_at_fact")
    for name, span in (("plug_ins_24h", timedelta(days=1)), ("plug_ins_7d", timedelta(days=7))):
        earlier = began.rename({"began": "before"})
        asked = counted.with_columns(earlier_at=pl.col("predicted_at") - span)
        counted = as_of_join(asked, earlier, by=["site_id"], at="earlier_at", known="first_told_at").with_columns(
            (pl.col("began").fill_null(0) - pl.col("before").fill_null(0)).cast(pl.Float64).alias(name)
        )
        counted = counted.drop("before", "earlier_at")
    return (
        _add_free(counted, rows)
        .with_columns(plugged_now=(pl.col("began").fill_null(0) - pl.col("ended").fill_null(0)).cast(pl.Float64))
        .drop("began", "ended")
    )


def _running(rows: pl.DataFrame, known: str, name: str) -> pl.DataFrame:
    ordered = rows.select("site_id", known).sort(known)
    counted = ordered.with_columns(pl.int_range(1, pl.len() + 1).over("site_id").alias(name))
    return counted.rename({"known_at": "known_at_fact"}) if known == "known_at" else counted


def _add_free(counted: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    ends = rows.filter(pl.col("known_at").is_not_null()).select(
        "station_id", "connector_id", "known_at", freed_at="ended_at"
    )
    facts = ends.rename({"known_at": "known_at_fact"}).sort("known_at_fact")
    joined = as_of_join(counted, facts, by=["station_id", "connector_id"], known="known_at_fact")
    free_h = (pl.col("predicted_at") - pl.col("freed_at")).dt.total_seconds() / 3600
    return joined.with_columns(hours_since_station_was_free=free_h).drop("freed_at")
