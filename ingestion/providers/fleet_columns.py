"""Expressions and joins that every telematics provider needs: whose record it is, and whether it is at a depot."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from ingestion.columns import Check, check, said
from ingestion.providers.base import RECORD
from ingestion.registry.models import Site, Source
from ingestion.registry.registry import Registry

EARTH_RADIUS_M: Final = 6_371_000.0
REF: Final = "ref"


def record_table(records: Sequence[object], schema: Mapping[str, Any]) -> tuple[pl.DataFrame, list[int]]:
    """Return decoded records as a table of the declared fields, and the numbers of those that are no objects.

    The schema is an allow-list: what it does not name (drivers, addresses) goes no further. A value of another type
    than declared is NULL.
    """
    numbered = [(k, record) for k, record in enumerate(records) if isinstance(record, dict)]
    table = pl.DataFrame([record for _, record in numbered], schema=dict(schema), strict=False)
    numbers = pl.Series(RECORD, [k for k, _ in numbered], dtype=pl.Int64)
    strangers = [k for k, record in enumerate(records) if not isinstance(record, dict)]
    return table.with_columns(numbers), strangers


def with_vehicle(
    table: pl.DataFrame, *, source: Source, registry: Registry, entity: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Replace the provider's name of a vehicle (``REF``) by ours; reject records of vehicles that nobody declared."""
    names = [(one.source_ref, one.vehicle_id) for one in registry.vehicles if one.source_id == source.source_id]
    vehicles = pl.DataFrame(names, schema={REF: pl.String, "vehicle_id": pl.String}, orient="row")
    joined = table.join(vehicles, on=REF, how="left", maintain_order="left")
    hint = f"vehicles.csv has no vehicle of source {source.source_id} with source_ref {{}}"
    unknown = Check("unknown_vehicle", pl.col("vehicle_id").is_null(), said(hint, REF))
    known, rejected = check(joined, [unknown], entity=entity)
    return known.drop(REF), rejected


def at_site(sites: Sequence[Site], *, latitude: str = "latitude", longitude: str = "longitude") -> pl.Expr:
    """Return the site whose geofence holds a position; NULL elsewhere, or where the position is unknown or 0° 0°."""
    known = (pl.col(latitude) != 0) | (pl.col(longitude) != 0)
    fences = [
        pl.when(known & (_distance_m(site, latitude, longitude) <= site.geofence_radius_m)).then(pl.lit(site.site_id))
        for site in sites
    ]
    return pl.coalesce(*fences, pl.lit(None, pl.String))


def _distance_m(site: Site, latitude: str, longitude: str) -> pl.Expr:
    """Return the great-circle distance to a site (haversine)."""
    here, there = pl.col(latitude).radians(), math.radians(site.position.latitude)
    half_north = (here - there) / 2
    half_east = (pl.col(longitude).radians() - math.radians(site.position.longitude)) / 2
    chord = half_north.sin().pow(2) + math.cos(there) * here.cos() * half_east.sin().pow(2)
    return 2 * EARTH_RADIUS_M * chord.sqrt().arcsin()


def utc_instant(text: pl.Expr) -> pl.Expr:
    """Read ISO 8601 text as an instant; a missing zone is UTC, as some OEMs leave out the ``Z``. NULL if unreadable."""
    stamp = text.str.strip_chars()
    zoned = pl.when(stamp.str.contains(r"(Z|[+-]\d\d:?\d\d)$")).then(stamp).otherwise(stamp + "Z")
    return zoned.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)


def after_latency(source: Source) -> pl.Expr:
    """Return when we could know a row whose provider does not say: the contract's latency after ``observed_at``."""
    return pl.col("observed_at") + pl.duration(seconds=round(source.latency_min * 60))
