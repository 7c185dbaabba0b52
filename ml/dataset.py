"""Facts as of an instant: the only door through which data enters `ml`.

Here live the as-of view of the landing zone and the as-of join, which gives every row of a training set what was
known at its own instant. No features, no models: only what could be known, and when.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from core.entities import ENTITIES
from core.landing import Landing
from core.time_grid import to_utc


@dataclass(frozen=True, slots=True)
class KnownFacts:
    """A view of the landing zone that cannot return anything that was not available at ``as_of``.

    Invariants: every row returned has ``available_at <= as_of``; there is no way to ask for more.
    ``since`` leaves out what was observed before it, to bound what is read.
    """

    landing: Landing
    as_of: datetime
    since: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "as_of", to_utc(self.as_of))

    def latest(self, entity_name: str) -> pl.DataFrame:
        """Return the latest version of every row, sorted by key, whenever it was observed."""
        return self.landing.read(entity_name, as_of=self.as_of)

    def versions(
        self,
        entity_name: str,
        *,
        columns: Sequence[str] = (),
        vehicles: pl.Series | None = None,
        ordered: bool = True,
    ) -> pl.DataFrame:
        """Return every version, oldest knowledge first, so that rows may be cut off at instants before ``as_of``.

        Args:
            entity_name: Name of a canonical entity.
            columns: What is wanted besides the key, ``observed_at`` and ``available_at``; without any, everything.
            vehicles: Only rows of these; where they are an enumeration, so is ``vehicle_id``.
            ordered: Large tables that are sorted by something else anyway need not be sorted by knowledge first.
        """
        entity = ENTITIES[entity_name]
        frame = self.landing.scan(entity_name, since=self.since).filter(pl.col("available_at") <= self.as_of)
        if vehicles is not None:
            frame = _only(frame, vehicles)
        if columns:
            frame = frame.select(list(dict.fromkeys((*entity.key, "observed_at", "available_at", *columns))))
        if not ordered:
            return frame.drop("date", "ingested_at", strict=False).collect(engine="in-memory")
        rows = frame.drop("date", "ingested_at", strict=False).collect(engine="in-memory")
        return rows.sort("available_at", "observed_at", maintain_order=True)


def _only(frame: pl.LazyFrame, vehicles: pl.Series) -> pl.LazyFrame:
    """Return the rows of some vehicles, named in the type of these."""
    if isinstance(vehicles.dtype, pl.Enum):
        # As numbers, millions of names are sorted, grouped and joined faster; what is no such vehicle becomes NULL.
        frame = frame.with_columns(pl.col("vehicle_id").cast(vehicles.dtype, strict=False))
        if len(vehicles) == len(vehicles.dtype.categories):
            return frame.filter(pl.col("vehicle_id").is_not_null())
    return frame.filter(pl.col("vehicle_id").is_in(vehicles.implode()))


def as_of_join(
    rows: pl.DataFrame,
    facts: pl.DataFrame,
    *,
    by: Sequence[str],
    at: str = "predicted_at",
    known: str = "available_at",
) -> pl.DataFrame:
    """Give every row the latest fact of its group that was known at the row's own instant.

    Args:
        rows: Rows with the columns ``by`` and the instant ``at``; their order is kept.
        facts: Facts with the columns ``by`` and the instant ``known``; of two known at once, the later row counts.
        by: The group; a NULL in it matches nothing.
        at: Instant of the row.
        known: When the fact became known; it is not among the result's columns.
    """
    order = rows.with_row_index("_order").sort(at, "_order")
    joined = order.join_asof(
        facts.rename({known: "_known"}).sort("_known", maintain_order=True),
        left_on=at,
        right_on="_known",
        by=list(by),
        strategy="backward",
        check_sortedness=False,
        coalesce=False,
    )
    return joined.sort("_order").drop("_order", "_known", *(f"{column}_right" for column in by), strict=False)


def thinned(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """Return at most so many rows, evenly spread over the frame's order."""
    if rows.height <= most:
        return rows
    return rows[np.linspace(0, rows.height - 1, most).round().astype(np.int64)]
