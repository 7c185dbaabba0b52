"""How much vehicles use on the last hours of their way home: what a plan may presume where a vehicle fell silent.

A forecast made on the road must reckon with every return that is still possible. Once the vehicle is back, it is known
how long it drove on after it was last heard of, and what it can have used in that time is known much better.
"""

from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import Final

import numpy as np
import polars as pl

from ml.fleet import FleetFacts

EDGES_H: Final = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
"""Up to so many hours before the return; further back, only the forecast of the day tells."""
ASKED_EVERY: Final = timedelta(minutes=5)
ASKED: Final = 1 + int(timedelta(hours=EDGES_H[-1]) / ASKED_EVERY)
LEVELS: Final = (0.5, 0.9, 0.95, 0.975)
LEAST_CYCLES: Final = 8
LEAST_RETURNS: Final = 50
LEAST_H: Final = 0.05


@dataclass(frozen=True, slots=True)
class WayHome:
    """Energy (kWh) that vehicles of a class used in the last ``hours`` since they told of it, at each of ``LEVELS``.

    It does not rise with every hour up to ``until_h``: whoever was heard long ago stood at a customer's since.
    """

    hours: tuple[float, ...]
    by_level_kwh: tuple[tuple[float, ...], ...]
    until_h: float

    def used_kwh(self, hours: float, level: float) -> float:
        """Return what a vehicle used in its last so many hours, no more of them than ``until_h``.

        With chance ``level`` it used no more. Between two of ``LEVELS`` it is interpolated; others are the nearest.
        """
        by_level = [float(np.interp(hours, (0.0, *self.hours), (0.0, *used))) for used in self.by_level_kwh]
        return float(np.interp(level, LEVELS, by_level))


def ways_home(facts: FleetFacts, *, since: timedelta) -> dict[str, WayHome]:
    """Return what vehicles of each class use on the way home; classes that came home too seldom are absent.

    Args:
        facts: The site's event tables.
        since: Only returns of so long before ``as_of`` count.
    """
    used = _used_before_return(facts, since=since)
    by_edge = (
        used.group_by("vehicle_class", "edge_h")
        .agg(
            pl.col("left_h").mean(),
            *(pl.col("used_kwh").quantile(level).alias(f"used_{level}") for level in LEVELS),
            cycles=pl.struct("vehicle_id", "returned_at").n_unique(),
        )
        .sort("vehicle_class", "edge_h")
    )
    ways = {str(name): _way_home(edges) for (name,), edges in by_edge.group_by("vehicle_class", maintain_order=True)}
    return {name: way for name, way in ways.items() if way is not None}


def _used_before_return(facts: FleetFacts, *, since: timedelta) -> pl.DataFrame:
    """Return what vehicles had told last above their SoC at arrival, and how long before that, whenever asked.

    Telematics may fall silent at any time. Asked at their states alone it would look different: vehicles that tell of
    themselves while they drive stand silent for hours, and are then heard last before a break.
    """
    cycles = facts.cycles.filter(
        pl.col("known_at") <= facts.as_of,
        pl.col("returned_at") >= facts.as_of - since,
        pl.col("soc_arrival_pct").is_not_null(),
    )
    told = facts.snapshots.filter(pl.col("soc_pct").is_not_null()).select("vehicle_id", "observed_at", "soc_pct")
    asked_at = pl.concat_list(pl.col("returned_at") - ASKED_EVERY * step for step in range(ASKED))
    return (
        cycles.select("vehicle_id", "departed_at", "returned_at", "soc_arrival_pct", asked_at=asked_at)
        .explode("asked_at")
        .sort("asked_at")
        .join_asof(
            told.sort("observed_at"),
            left_on="asked_at",
            right_on="observed_at",
            by="vehicle_id",
            check_sortedness=False,
            coalesce=False,
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


def _edge(hours: pl.Expr) -> pl.Expr:
    edge = pl.lit(EDGES_H[-1])
    for at_most in reversed(EDGES_H[:-1]):
        edge = pl.when(hours <= at_most).then(at_most).otherwise(edge)
    return edge


def _way_home(edges: pl.DataFrame) -> WayHome | None:
    """Return a class's way home up to the first stretch that is too little known; None where that is the first."""
    stretches = zip(EDGES_H, edges["edge_h"], edges["cycles"], strict=False)
    is_known = [edge_h == at_most and cycles >= LEAST_CYCLES for at_most, edge_h, cycles in stretches]
    known = edges.head(sum(accumulate(is_known, min)))
    if known.is_empty():
        return None
    used = tuple(tuple(max(0.0, kwh) for kwh in known[f"used_{level}"]) for level in LEVELS)
    return WayHome(tuple(known["left_h"]), used, EDGES_H[known.height - 1])
