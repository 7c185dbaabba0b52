"""A workplace whose landing is held in memory: a replay reads the same days again and again, as of other instants."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import polars as pl

from core.landing import Landing
from orchestration.steps.workplace import Workplace


class LandingInMemory(Landing):
    """A landing zone read once; what lands later is not seen."""

    def __init__(self, base: Landing) -> None:
        super().__init__(base.root)
        self._base = base
        self._frames: dict[str, pl.DataFrame] = {}

    def scan(self, entity_name: str, *, since: datetime | None = None) -> pl.LazyFrame:
        """Return all versions of all sources, or those of rows observed at or after ``since``."""
        if entity_name not in self._frames:
            self._frames[entity_name] = self._base.scan(entity_name).collect(engine="in-memory")
        rows = self._frames[entity_name].lazy()
        return rows if since is None else rows.filter(pl.col("observed_at") >= since)


@dataclass(frozen=True)
class ReplayPlace(Workplace):
    """A workplace for replays; it writes nothing into landing, and keeps models of its own."""

    @cached_property
    def landing(self) -> Landing:
        """The landing zone as it was when first asked for."""
        return LandingInMemory(Workplace(self.settings).landing)
