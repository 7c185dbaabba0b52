"""CARTA: every trip that a city's buses drove in February 2020, a CSV line each.

Stamps are seconds since 1970; the text stamps beside them are the same minutes on the local clock. Positions are feet
along the trip's pattern. No energy and no SoC: the fleet burns diesel for the most part.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from core.units import KM_PER_FOOT
from ingestion.columns import Check, check, epoch_instant, missing, number, said, unreadable
from ingestion.imports.history import (
    Format,
    History,
    as_versions,
    context,
    read_csv_records,
)
from ingestion.providers.base import RECORD

LATENCY: Final = timedelta(minutes=15)
SITE_ID: Final = "carta:depot"
COLUMNS: Final = (
    "tatripid", "vid", "start_pdist", "end_pdist", "num_docs", "start_timestamp", "end_timestamp", "route_id",
)  # fmt: skip
TRIP: Final = ("tatripid", "ended_at", "start_pdist", "end_pdist", "route_id")
UNASSIGNED, PULL_OUT, PULL_IN = "U", "PO", "PI"
FASTEST_KMH: Final = 100.0  # as an average over a trip of a city bus, with a minute of grace for rounded stamps

CHECKS: Final = (
    # Route U without a trip id is every idle bus of the half-day in one line, under one bus's number.
    Check(
        "unassigned_block",
        pl.col("tatripid").is_null() & (pl.col("route_id") == UNASSIGNED),
        said("route U of bus {} holds {} reports of all unassigned buses", "vid", "num_docs"),
    ),
    missing("vehicle_id", "vid"),
    missing("started_at", "start_timestamp"),
    unreadable("ended_at", "end_timestamp"),
    Check(
        "ends_before_start",
        pl.col("ended_at") < pl.col("started_at"),
        said("ends {} before its start {}", "end_timestamp", "start_timestamp"),
    ),
    Check(
        "longer_than_a_day",
        pl.col("minutes") > 24 * 60,
        said("lasts {} minutes", "minutes"),
    ),
    # A bus starts one trip at a time; an equal record is no second trip but a duplicate.
    Check(
        "same_start_as_longer_trip",
        pl.struct(TRIP).ne(pl.struct(TRIP).first().over("vehicle_id", "started_at")),
        said("bus {} started another trip with more reports at {}", "vid", "start_timestamp"),
    ),
    unreadable("start_ft", "start_pdist"),
    unreadable("end_ft", "end_pdist"),
    Check(
        "distance_faster_than_a_bus",
        pl.col("distance_km") > FASTEST_KMH * (pl.col("minutes") + 1) / 60,
        said("{} km in {} min: the position jumped along the pattern", "distance_km", "minutes"),
        field="distance_km",
    ),
)


def read(files: Sequence[Path]) -> History:
    """Read trips; distance is the absolute difference of the positions along the pattern.

    Raises:
        ingestion.columns.UnreadableError: a file is no CSV of this set.
    """
    records = read_csv_records(files, COLUMNS)
    table = _typed(records)
    trips, rejected = check(table, CHECKS, entity="trip")
    columns = ["vehicle_id", "started_at", "ended_at", "distance_km", "start_site_id", "end_site_id", "route_id"]
    known = ("vehicle_id", "started_at", "start_site_id", "route_id")
    kept = trips.select(RECORD, *columns, provider_ref="tatripid").sort(RECORD)
    versions = as_versions(kept, known_at_start=known, ended_at="ended_at", latency=LATENCY)
    return History(records, {"trip": versions}, rejected, _context(trips))


def _typed(records: pl.DataFrame) -> pl.DataFrame:
    """Return the records with canonical columns beside their own, the better reported trip of equal starts first."""
    typed = records.with_columns(
        vehicle_id=pl.concat_str(pl.lit("carta:"), "vid"),
        started_at=epoch_instant("start_timestamp"),
        ended_at=epoch_instant("end_timestamp"),
        start_ft=number("start_pdist"),
        end_ft=number("end_pdist"),
        reports=number("num_docs"),
    )
    return typed.sort("reports", descending=True, nulls_last=True, maintain_order=True).with_columns(
        minutes=(pl.col("ended_at") - pl.col("started_at")).dt.total_minutes(),
        distance_km=(pl.col("end_ft") - pl.col("start_ft")).abs() * KM_PER_FOOT,
        start_site_id=pl.when((pl.col("route_id") == PULL_OUT) & ~_continues()).then(pl.lit(SITE_ID)),
        end_site_id=pl.when(pl.col("route_id") == PULL_IN).then(pl.lit(SITE_ID)),
    )


def _continues() -> pl.Expr:
    """Say whether a record goes on with the trip that the bus was on: files are cut at midnight UTC."""
    gap = pl.col("started_at") - pl.col("ended_at").shift(1)
    same = pl.col("tatripid") == pl.col("tatripid").shift(1)
    return (same & (gap <= timedelta(minutes=2))).over("vid", order_by="started_at").fill_null(value=False)


def _context(trips: pl.DataFrame) -> dict[str, pl.DataFrame]:
    site = pl.DataFrame(
        {"site_id": [SITE_ID], "name": ["CARTA bus depot"], "timezone": ["America/New_York"], "currency": ["USD"]}
    )
    vehicles = trips.select("vehicle_id", site_id=pl.lit(SITE_ID), vehicle_class=pl.lit("bus")).unique()
    return context(site=site, vehicle=vehicles)


FORMAT: Final = Format(
    "carta",
    read,
    patterns=("carta*.csv",),
    latency=LATENCY,
    title="trips of the buses of Chattanooga, February 2020",
)
