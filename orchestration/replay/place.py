"""A workplace whose landing is held in memory: a replay reads the same days again and again, as of other instants."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import polars as pl

from core.entities import ENTITIES
from core.landing import Landing
from orchestration.steps.workplace import Workplace


class LandingInMemory(Landing):
    """A landing zone read once; what lands later is not seen.

    Rows are put in the order of ``read`` once, with the versions of a row side by side, so that reading as of another
    instant is two filters and no sort.
    """

    def __init__(self, base: Landing) -> None:
        super().__init__(base.root)
        self._base = base
        self._frames: dict[str, pl.DataFrame] = {}
        self._ordered: dict[str, pl.DataFrame] = {}

    def scan(self, entity_name: str, *, since: datetime | None = None) -> pl.LazyFrame:
        """Return all versions of all sources, or those of rows observed at or after ``since``."""
        if entity_name not in self._frames:
            self._frames[entity_name] = self._base.scan(entity_name).collect(engine="in-memory")
        rows = self._frames[entity_name].lazy()
        return rows if since is None else rows.filter(pl.col("observed_at") >= since)

    def read(
        self,
        entity_name: str,
        *,
        as_of: datetime | None = None,
        since: datetime | None = None,
        sources: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Return the latest version of every row that was available at ``as_of``, sorted by key."""
        conditions: list[pl.Expr] = [] if as_of is None else [pl.col("available_at") <= as_of]
        if since is not None:
            conditions.append(pl.col("observed_at") >= since)
        if sources is not None:
            conditions.append(pl.col("source").is_in(list(sources)))
        rows = self._in_order(entity_name).filter(*conditions)
        is_latest = (pl.col("_row") != pl.col("_row").shift(-1)).fill_null(value=True)
        return rows.filter(is_latest).drop("date", "_row")

    def _in_order(self, entity_name: str) -> pl.DataFrame:
        """Return all versions by key and knowledge; ``_row`` tells the rows apart."""
        if entity_name not in self._ordered:
            key = [*ENTITIES[entity_name].key, "source"]
            frame = self.scan(entity_name).collect(engine="in-memory")
            ordered = frame.sort([*key, "available_at", "observed_at", "ingested_at"], maintain_order=True)
            self._ordered[entity_name] = ordered.with_columns(_row=pl.struct(key).rle_id())
        return self._ordered[entity_name]


@dataclass(frozen=True)
class ReplayPlace(Workplace):
    """A workplace for replays; it writes nothing into landing, and keeps models of its own."""

    @cached_property
    def landing(self) -> Landing:
        """The landing zone as it was when first asked for."""
        return LandingInMemory(Workplace(self.settings).landing)
