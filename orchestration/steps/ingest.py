"""Brings the configuration and all sources into landing, and matches transactions to vehicles."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from core.landing import LandingReport
from ingestion.identity import SOURCE, match_sessions
from ingestion.payloads import PayloadArchive
from ingestion.registry.models import Source
from ingestion.registry.rows import land_registry
from ingestion.reports import IngestReport, SourceFailure
from ingestion.run import ingest_source
from orchestration.steps.stations import land_links
from orchestration.steps.workplace import Workplace

MOST_AT_ONCE = 8
"""Sources that are asked at the same time: mostly they keep us waiting."""

RECENT = timedelta(days=3)
"""Transactions that started within it are matched anew, so that late telematics can correct a first guess."""


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What became of the records of several sources."""

    reports: tuple[IngestReport, ...]

    @property
    def rows(self) -> IngestReport:
        """The balance over all sources."""
        return sum(self.reports, IngestReport("all"))

    @property
    def reasons(self) -> Mapping[str, int]:
        """Records by reason why they, or a field of them, were not trusted."""
        return self.rows.reasons

    @property
    def failures(self) -> tuple[SourceFailure, ...]:
        """Sources that failed, with whom to call."""
        return tuple(report.failure for report in self.reports if report.failure is not None)

    def landed_rows(self, entity: str) -> int:
        """Return how many new rows of an entity there are."""
        return self.rows.entities.get(entity, 0)


def land_configuration(workplace: Workplace, *, as_of: datetime) -> LandingReport:
    """Land what is new or has changed in the configuration."""
    return land_registry(workplace.registry, workplace.landing, as_of=as_of)


def ingest_sources(workplace: Workplace, *, kinds: Sequence[str], as_of: datetime) -> IngestSummary:
    """Ingest all sources of some kinds side by side; one that fails never stops the others, nor does a slow one."""
    registry, landing = workplace.registry, workplace.landing
    payloads = PayloadArchive(workplace.settings.payloads_dir)

    def ingest(source: Source) -> IngestReport:
        return ingest_source(source, registry=registry, landing=landing, payloads=payloads, as_of=as_of)

    chosen = [source for source in registry.sources if source.kind in kinds]
    with ThreadPoolExecutor(max_workers=MOST_AT_ONCE) as pool:
        return IngestSummary(tuple(pool.map(ingest, chosen)))


def match_transactions(workplace: Workplace, *, as_of: datetime) -> pl.DataFrame:
    """Match transactions to vehicles with what is known now, land what is new, and return the matches.

    Once history has been matched, only recent transactions are looked at again.
    """
    is_first = (
        workplace.landing.scan("session_match").filter(pl.col("ingested_at") < as_of).limit(1).collect().is_empty()
    )
    since = None if is_first else as_of - RECENT
    matches = match_sessions(workplace.landing, workplace.registry, as_of=as_of, since=since)
    workplace.landing.append("session_match", matches, source=SOURCE)
    return matches


def ingest_everything(workplace: Workplace, *, as_of: datetime) -> IngestSummary:
    """Land the configuration and every source, then match transactions: what a plan needs."""
    land_configuration(workplace, as_of=as_of)
    return ingest_events(workplace, as_of=as_of)


def ingest_events(workplace: Workplace, *, as_of: datetime) -> IngestSummary:
    """Land what has happened, then match transactions: what a plan needs once the configuration has landed."""
    summary = ingest_sources(workplace, kinds=[source.kind for source in workplace.registry.sources], as_of=as_of)
    land_links(workplace, as_of=as_of)
    match_transactions(workplace, as_of=as_of)
    return summary
