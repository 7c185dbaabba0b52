"""The run of ingestion: each source's pages are archived, parsed, checked and landed; then the cursor moves.

The order is what makes a kill harmless: bytes, rows, cursor. A run that was killed asks for the same pages again and
lands what was missing. A source that fails never stops the others.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import import_module
from typing import Final, cast

import polars as pl

from core.landing import Landing, LandingError
from core.locks import file_lock
from core.settings import MissingSecretError
from ingestion.batch import Batch, Destination, land_batch
from ingestion.cursors import CursorStore, Progress
from ingestion.http import ProviderError, SourceClient, open_client
from ingestion.payloads import PayloadArchive, retention_of
from ingestion.providers.base import Page, PayloadError, Provider
from ingestion.registry.models import Source, SourceKind
from ingestion.registry.registry import Registry
from ingestion.reports import IngestReport, SourceFailure
from ingestion.retention import expire_positions
from ingestion.trips import land_trips

logger = logging.getLogger(__name__)

ClientFactory = Callable[[Source], AbstractContextManager[SourceClient]]

# By name, so that a process imports the adapters of the sources it has and no others.
PROVIDERS: Final[Mapping[SourceKind, str]] = {
    "rfms_v4": "ingestion.providers.rfms",
    "geotab": "ingestion.providers.geotab",
    "ocpp_bridge": "ingestion.charging.bridge_frames",
    "ocpp_files": "ingestion.charging.file_frames",
    "vdv463": "ingestion.charging.charging_requests",
    "day_ahead": "ingestion.signals.day_ahead",
    "weather": "ingestion.signals.weather",
    "site_load": "ingestion.signals.site_load",
}
KINDS_WITHOUT_TRIPS: Final = frozenset({"rfms_v4"})  # their trips are derived from snapshots
BATCH_RECORDS: Final = 20_000  # records that land together: large enough that files are few, small enough for memory
FILE_ERRORS: Final = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
DATA_ERRORS: Final = (LandingError, pl.exceptions.PolarsError)  # a page that its parser did not foresee
SOURCE_ERRORS: Final = (ProviderError, PayloadError, MissingSecretError, *FILE_ERRORS, *DATA_ERRORS)


def provider_of(kind: SourceKind) -> Provider:
    """Return the adapter of a kind of source."""
    return cast("Provider", import_module(PROVIDERS[kind]))


def open_source_client(source: Source) -> AbstractContextManager[SourceClient]:
    """Open the HTTP client of a source."""
    return open_client(source.source_id, source.url)


def ingest_all(
    registry: Registry,
    *,
    landing: Landing,
    payloads: PayloadArchive,
    as_of: datetime,
    client_factory: ClientFactory = open_source_client,
) -> list[IngestReport]:
    """Ingest every source of the configuration, in its order; failures are in the reports."""
    return [
        ingest_source(
            source, registry=registry, landing=landing, payloads=payloads, as_of=as_of, client_factory=client_factory
        )
        for source in registry.sources
    ]


def ingest_source(
    source: Source,
    *,
    registry: Registry,
    landing: Landing,
    payloads: PayloadArchive,
    as_of: datetime,
    client_factory: ClientFactory = open_source_client,
) -> IngestReport:
    """Fetch what a source has had to say until ``as_of``, and land it.

    What came before a failure lands; the failure is in the report. Runs of one source take turns.
    """
    run = SourceRun(Destination(source, registry, landing, as_of), payloads, CursorStore(landing.root / ".cursors"))
    report = IngestReport(source.source_id)
    with file_lock(landing.root / ".locks" / f"ingest.{source.source_id}.lock"):
        try:
            with client_factory(source) as client:
                for part in run.batches(client):
                    report += part
                    logger.info("%s: %d records read, %d landed", source.source_id, report.read, report.landed)
        except SOURCE_ERRORS as error:
            report = replace(report, failure=run.failure(error))
        if source.kind in KINDS_WITHOUT_TRIPS:
            report += IngestReport(source.source_id, entities=land_trips(run.destination, run.cursors))
        payloads.expire(source.source_id, keep=retention_of(source.kind), as_of=as_of)
        expire_positions(landing, source.source_id, as_of=as_of)
    return report


@dataclass(frozen=True, slots=True)
class SourceRun:
    """One run of one source: where its rows, bytes and cursor go."""

    destination: Destination
    payloads: PayloadArchive
    cursors: CursorStore

    def batches(self, client: SourceClient) -> Iterator[IngestReport]:
        """Land page after page, batch by batch; yield the balance of each batch.

        Raises:
            SOURCE_ERRORS: the source failed; what came before it did has landed.
        """
        source, as_of = self.destination.source, self.destination.as_of
        progress, batch = self.cursors.read(source.source_id), Batch()
        try:
            for page in provider_of(source.kind).fetch(client, source, progress.cursor, as_of=as_of):
                progress = self._take(page, progress, batch)
                if batch.size >= BATCH_RECORDS:
                    yield self._land(batch, progress)
                    batch = Batch()
        except SOURCE_ERRORS:
            yield self._land(batch, progress)
            raise
        yield self._land(batch, progress)

    def _take(self, page: Page, progress: Progress, batch: Batch) -> Progress:
        """Archive and parse a page, and add it to the batch."""
        source = self.destination.source
        payload = self.payloads.store(source.source_id, page.name, page.body, as_of=self.destination.as_of)
        parse = provider_of(source.kind).parse
        parsed = parse(page, source=source, registry=self.destination.registry, carry=progress.carry)
        batch.add(page, parsed, is_new=payload.is_new)
        return Progress(page.cursor, parsed.carry)

    def _land(self, batch: Batch, progress: Progress) -> IngestReport:
        source_id = self.destination.source.source_id
        if not batch.pages:
            return IngestReport(source_id)
        report = land_batch(batch, self.destination)
        self.cursors.write(source_id, progress)
        return report

    def failure(self, error: Exception) -> SourceFailure:
        """Say who has to mend what; bytes that could not be read are kept for them."""
        source = self.destination.source
        if isinstance(error, PayloadError) and error.body:
            self.payloads.store(source.source_id, "unreadable", error.body, as_of=self.destination.as_of)
        text = str(error)
        message = text if text.startswith(source.source_id) else f"{source.source_id}: {text}"
        logger.error("%s", message, exc_info=isinstance(error, DATA_ERRORS))
        return SourceFailure(source.source_id, source.owner, source.contact, message)
