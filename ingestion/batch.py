"""Parsed pages on their way into the landing zone: rows checked, merged and landed, records counted.

A batch lands whole or, when the run is killed, in part; landing it again completes it and counts nothing twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

import polars as pl

from core.entities import ENTITIES
from core.landing import Landing
from core.schema import INSTANT
from ingestion.columns import REJECTED
from ingestion.merging import as_corrections, merge_snapshots
from ingestion.providers.base import RECORD, Page, Parsed
from ingestion.quality.gate import split
from ingestion.quality.plausibility import Known, known_before
from ingestion.quarantine import quarantined_rows
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry
from ingestion.reports import IngestReport

QUARANTINE: Final = "quarantined_row"
TELEMATICS: Final = frozenset({"rfms_v4", "geotab"})
PERSONAL: Final = TELEMATICS | {"ocpp_bridge", "ocpp_files"}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the rows of one source go, and what is needed to judge them."""

    source: Source
    registry: Registry
    landing: Landing
    as_of: datetime

    def append(self, entity: str, rows: pl.DataFrame) -> int:
        """Land rows, with the run's instant as ``ingested_at``; return how many were new."""
        return int(self.land(entity, rows).sum())

    def land(self, entity: str, rows: pl.DataFrame) -> pl.Series:
        """Land rows, with the run's instant as ``ingested_at``; say of each whether it was new."""
        stamped = rows.drop(RECORD, strict=False).with_columns(ingested_at=pl.lit(self.as_of, INSTANT))
        return self.landing.land(entity, stamped, source=self.source.source_id)

    def latest(self, entity: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Return this source's latest landed versions of the rows with these keys."""
        key = list(ENTITIES[entity].key)
        versions = self.landing.scan(entity).filter(pl.col("source") == self.source.source_id)
        if "observed_at" in key:
            versions = versions.filter(pl.col("date").is_in(keys["observed_at"].dt.date().unique().implode()))
        return (
            versions.join(keys.select(key).unique().lazy(), on=key, how="semi")
            .sort([*key, "available_at", "observed_at", "ingested_at"], maintain_order=True)
            .unique(key, keep="last", maintain_order=True)
            .collect(engine="in-memory")
        )


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """A page and what it held; ``first`` is the number of its first record within the batch."""

    page: Page
    parsed: Parsed
    is_new: bool
    first: int


@dataclass(slots=True)
class Batch:
    """Pages that land together; record numbers run through all of them."""

    pages: list[ParsedPage] = field(default_factory=list)
    size: int = 0

    def add(self, page: Page, parsed: Parsed, *, is_new: bool) -> None:
        """Add a page; ``is_new`` says that its bytes were not in the archive before."""
        self.pages.append(ParsedPage(page, parsed, is_new, self.size))
        self.size += len(parsed.records)

    def rows(self) -> dict[str, pl.DataFrame]:
        """Return all rows by entity, their records numbered through the batch."""
        names = sorted({name for page in self.pages for name in page.parsed.rows})
        return {
            name: pl.concat(
                [
                    page.parsed.rows[name].with_columns(pl.col(RECORD).cast(pl.Int64) + page.first)
                    for page in self.pages
                    if name in page.parsed.rows
                ],
                how="diagonal_relaxed",
            )
            for name in names
        }

    def rejected(self) -> pl.DataFrame:
        """Return what the parsers rejected (schema ``ingestion.columns.REJECTED``)."""
        entries = [
            (one.record + page.first, one.entity, one.reason, one.detail, one.field_only)
            for page in self.pages
            for one in page.parsed.rejected
        ]
        return pl.DataFrame(entries, schema=REJECTED, orient="row")

    def record(self, number: int) -> tuple[str, object]:
        """Return the name of a record's page, and the record as it came."""
        page = next(page for page in reversed(self.pages) if page.first <= number)
        return page.page.name, page.parsed.records[number - page.first]

    def records_of_new_pages(self) -> pl.Series:
        """Return the numbers of the records whose page is new to the archive."""
        spans = [
            pl.int_range(page.first, page.first + len(page.parsed.records), eager=True)
            for page in self.pages
            if page.is_new
        ]
        return pl.concat([pl.Series([], dtype=pl.Int64), *spans])


def land_batch(batch: Batch, destination: Destination) -> IngestReport:
    """Check, merge and land everything a batch holds; return the balance of its records."""
    rejected, entities = [batch.rejected()], {}
    good_records, new_records = [NO_RECORDS], [NO_RECORDS]
    all_rows = batch.rows()
    for entity, rows in all_rows.items():
        good, bad = split(entity, rows, as_of=destination.as_of, known_of=_knowledge(destination))
        lander = LANDERS.get(entity, _land_rows)
        entities[entity], bringing = lander(entity, good, destination)
        rejected.append(bad)
        good_records.append(good[RECORD])
        new_records.append(bringing)
    every_rejection = pl.concat(rejected)
    entities[QUARANTINE] = destination.append(QUARANTINE, _quarantined(batch, all_rows, every_rejection, destination))
    balance = _balance(batch, every_rejection, pl.concat(good_records), pl.concat(new_records))
    return replace(
        balance,
        source_id=destination.source.source_id,
        entities={name: rows for name, rows in entities.items() if rows},
        reasons=_reasons(every_rejection),
    )


NO_RECORDS: Final = pl.Series(RECORD, [], dtype=pl.Int64)
Lander = Callable[[str, pl.DataFrame, Destination], tuple[int, pl.Series]]


def _knowledge(destination: Destination) -> Callable[[pl.DataFrame], Known]:
    return partial(
        known_before,
        registry=destination.registry,
        landing=destination.landing,
        source_id=destination.source.source_id,
    )


def _land_rows(entity: str, rows: pl.DataFrame, destination: Destination) -> tuple[int, pl.Series]:
    """Land rows as they are; return how many were new, and the records they come from."""
    is_new = destination.land(entity, rows)
    return int(is_new.sum()), rows[RECORD].filter(is_new)


def _land_snapshots(entity: str, rows: pl.DataFrame, destination: Destination) -> tuple[int, pl.Series]:
    merged, bringing = merge_snapshots(rows, destination.latest(entity, rows))
    return destination.append(entity, merged), bringing


def _land_trips(entity: str, rows: pl.DataFrame, destination: Destination) -> tuple[int, pl.Series]:
    return _land_rows(
        entity, as_corrections(rows, destination.latest(entity, rows), as_of=destination.as_of), destination
    )


LANDERS: Final[dict[str, Lander]] = {"vehicle_snapshot": _land_snapshots, "trip": _land_trips}


def _quarantined(
    batch: Batch, all_rows: dict[str, pl.DataFrame], rejected: pl.DataFrame, destination: Destination
) -> pl.DataFrame:
    times = [rows.select(RECORD, "observed_at", "available_at") for rows in all_rows.values()]
    none = pl.DataFrame(schema={RECORD: pl.Int64, "observed_at": INSTANT, "available_at": INSTANT})
    return quarantined_rows(
        rejected,
        batch.record,
        pl.concat([none, *times]),
        as_of=destination.as_of,
        is_restricted=destination.source.kind in PERSONAL,
    )


def _reasons(rejected: pl.DataFrame) -> dict[str, int]:
    return dict(rejected.group_by("reason").agg(pl.col(RECORD).n_unique()).sort("reason").iter_rows())


def _balance(batch: Batch, rejected: pl.DataFrame, good: pl.Series, new: pl.Series) -> IngestReport:
    """Count each record once: new, else there already, else quarantined, else without rows (see ``IngestReport``)."""
    number = pl.col(RECORD)
    refused = rejected.filter(~pl.col("field_only"))[RECORD]
    outcome = (
        pl.when(number.is_in(new.implode()))
        .then(pl.lit("landed"))
        .when(number.is_in(good.implode()))
        .then(pl.lit("duplicates"))
        .when(number.is_in(refused.implode()))
        .then(pl.lit("quarantined"))
        .when(number.is_in(batch.records_of_new_pages().implode()))
        .then(pl.lit("archived"))
        .otherwise(pl.lit("archived_before"))
    )
    outcomes = pl.select(pl.int_range(batch.size).alias(RECORD)).select(outcome=outcome)["outcome"]
    count = dict(outcomes.value_counts().iter_rows())
    archived, before = count.get("archived", 0), count.get("archived_before", 0)
    return IngestReport(
        "",
        read=batch.size,
        landed=count.get("landed", 0) + archived,
        duplicates=count.get("duplicates", 0) + before,
        quarantined=count.get("quarantined", 0),
        without_rows=archived + before,
    )
