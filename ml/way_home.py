"""How much vehicles use on the last hours of their way home: what a plan may presume where a vehicle fell silent.

A forecast made on the road must reckon with every return that is still possible. Once the vehicle is back, it is known
how long it drove on after it was last heard of, and what it can have used in that time is known much better.
"""

from collections.abc import Mapping
from datetime import timedelta
from itertools import accumulate, takewhile
from typing import Final

import numpy as np
import polars as pl

from ml.fleet import FleetFacts

EDGES_H: Final = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0)
"""Up to so many hours before the return; further back, only the forecast of the day tells."""
LEVEL: Final = 0.975
LEAST_CYCLES: Final = 8
LEAST_RETURNS: Final = 50
LEAST_H: Final = 0.05

WayHome = tuple[float, ...]
"""Energy (kWh) used in a vehicle's last hours on all but one way in forty, at each of ``EDGES_H``; it ends where too
little is known."""


def ways_home(facts: FleetFacts, *, since: timedelta) -> dict[str, WayHome]:
    """Return what vehicles of each class use at most on the way home; classes that came home too seldom are absent.

    Args:
        facts: The site's event tables.
        since: Only returns of so long before ``as_of`` count.
    """
    cycles = facts.cycles.filter(
        pl.col("known_at") <= facts.as_of,
        pl.col("returned_at") >= facts.as_of - since,
        pl.col("soc_arrival_pct").is_not_null(),
    )
    told = facts.snapshots.filter(pl.col("soc_pct").is_not_null())
    before = (
        told.select("vehicle_id", "observed_at", "soc_pct")
        .sort("observed_at")
        .join_asof(
            cycles.select("vehicle_id", "departed_at", "returned_at", "soc_arrival_pct").sort("returned_at"),
            left_on="observed_at",
            right_on="returned_at",
            by="vehicle_id",
            strategy="forward",
            check_sortedness=False,
        )
        .filter(pl.col("observed_at") >= pl.col("departed_at"))
        .join(facts.vehicles.select("vehicle_id", "vehicle_class", "usable_kwh"), on="vehicle_id")
        .with_columns(left_h=(pl.col("returned_at") - pl.col("observed_at")).dt.total_seconds() / 3600)
        .filter(pl.col("left_h").is_between(LEAST_H, EDGES_H[-1]))
        .with_columns(
            used_kwh=(pl.col("soc_pct") - pl.col("soc_arrival_pct")) / 100 * pl.col("usable_kwh"),
            edge_h=_edge(pl.col("left_h")),
        )
    )
    highest = before.group_by("vehicle_class", "edge_h").agg(
        pl.col("used_kwh").quantile(LEVEL), cycles=pl.struct("vehicle_id", "returned_at").n_unique()
    )
    found = {(name, edge_h): kwh for name, edge_h, kwh, count in highest.iter_rows() if count >= LEAST_CYCLES}
    ways = {name: _rising(name, found) for name in sorted({name for name, _ in found})}
    return {name: way for name, way in ways.items() if way}


def least_arrivals(facts: FleetFacts, *, since: timedelta) -> dict[str, float]:
    """Return the least SoC in percent with which any vehicle of a class came back; classes seldom seen are absent.

    Of ``LEAST_RETURNS`` returns none was lower, so the next is with a chance of one in fifty at most: many keep
    a reserve that they drive home on, and a forecast that does not know it expects them emptier than they can be.
    """
    recent = facts.cycles.filter(
        pl.col("known_at") <= facts.as_of,
        pl.col("returned_at") >= facts.as_of - since,
        pl.col("soc_arrival_pct").is_not_null(),
    ).join(facts.vehicles.select("vehicle_id", "vehicle_class"), on="vehicle_id")
    least = recent.group_by("vehicle_class").agg(pl.col("soc_arrival_pct").min(), pl.len().alias("returns"))
    known = least.filter(pl.col("returns") >= LEAST_RETURNS).sort("vehicle_class")
    return dict(known.select("vehicle_class", "soc_arrival_pct").iter_rows())


def used_at_most_kwh(way: WayHome, hours: float) -> float | None:
    """Return the energy that a vehicle used at most in its last so many hours; None beyond what is known."""
    edges = (0.0, *EDGES_H[: len(way)])
    return None if hours > edges[-1] else float(np.interp(hours, edges, (0.0, *way)))


def _edge(hours: pl.Expr) -> pl.Expr:
    edge = pl.lit(EDGES_H[-1])
    for at_most in reversed(EDGES_H[:-1]):
        edge = pl.when(hours <= at_most).then(at_most).otherwise(edge)
    return edge


def _rising(name: str, found: Mapping[tuple[str, float], float]) -> WayHome:
    """Return the energy at each edge up to the first that is not known; who has driven for longer has used no less."""
    known = takewhile(lambda edge: (name, edge) in found, EDGES_H)
    return tuple(accumulate((max(0.0, found[name, edge]) for edge in known), max))
