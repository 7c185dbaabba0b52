"""The shapes that every source shares, whatever it speaks.

A source is a module (or package) with two functions: ``fetch`` asks for pages of bytes, ``parse`` turns a page into
canonical rows and touches nothing else. ``ingestion.run`` archives, checks and lands what they return; neither of
them writes a file or reads a clock.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import polars as pl

from ingestion.http import SourceClient
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry

JsonObject = Mapping[str, Any]

RECORD: Final = "record"
"""Column of parsed rows: index (Int64) of the source record that a row comes from, into ``Parsed.records``."""


class PayloadError(ValueError):
    """A page that cannot be read at all (truncated JSON, wrong envelope). Nothing of it lands; the cursor stays.

    ``body`` is what came, for the archive.
    """

    def __init__(self, message: str, *, body: bytes = b"") -> None:
        super().__init__(message)
        self.body = body


@dataclass(frozen=True, slots=True)
class Page:
    """What one request or file brought.

    ``name`` says which kind of page it is (an endpoint, a feed, a file) and selects its parser; ``cursor`` is where to
    go on once this page and all before it have landed: a small JSON object that only its own source understands.

    Some sources cannot be asked for "up to ``as_of``" and answer with what has happened since. Records whose own time
    lies in ``later`` (after the first, up to the second) are not of this run: the parser leaves them out, and the
    cursor is such that a later run finds them. Records up to ``after`` were read by an earlier run.
    """

    body: bytes
    name: str
    cursor: JsonObject
    later: tuple[datetime, datetime] | None = None
    after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A source record, or one field of it, that cannot be trusted.

    ``record`` is its index in ``Parsed.records``; ``reason`` a word for counting (``unknown_vehicle``); ``detail`` says
    it to people, with the value. With ``field_only`` its row lands with NULL in that field; without, the record is
    quarantined and gives no row of ``entity``.
    """

    entity: str
    record: int
    reason: str
    detail: str
    field_only: bool = False


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a page held.

    Attributes:
        records: Every source record, decoded, as it came: an array element, a frame, a CSV line. Its length is what
            was read.
        rows: By entity: canonical columns (``observed_at``, ``available_at``, but not ``ingested_at``) and ``RECORD``.
            A missing column is NULL. Several records may give parts of one ``vehicle_snapshot``; the run merges them.
        rejected: What parsing itself could not trust; the row rules run afterwards and add to it.
        carry: State that the parse of this source's next page needs (an open transaction, say); stored beside the
            cursor, after the rows.
    """

    records: Sequence[object] = ()
    rows: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    rejected: Sequence[Rejected] = ()
    carry: JsonObject = field(default_factory=dict)


class Provider(Protocol):
    """What ``ingestion.run`` needs of a source; modules satisfy it by their functions."""

    def fetch(
        self, client: SourceClient, source: Source, cursor: JsonObject | None, *, as_of: datetime
    ) -> Iterator[Page]:
        """Yield pages from the cursor (None: from ``source.start_at``) up to ``as_of``, in order.

        ``client`` is bound to the source (base URL, credentials left to the provider, retries, rate limit); a source of
        files reads ``source.path``, which is absolute here, and leaves the client alone.

        Raises:
            ingestion.http.ProviderError: the source failed for good; pages yielded before stay good.
        """

    def parse(self, page: Page, *, source: Source, registry: Registry, carry: JsonObject) -> Parsed:
        """Turn a page into canonical rows: pure, so that archived pages can be parsed again.

        Raises:
            PayloadError: the page cannot be read at all.
        """


def decode_json(body: bytes, what: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Decode a JSON page.

    Raises:
        PayloadError: it is truncated or no JSON; the message says where it breaks.
    """
    try:
        return json.loads(body)
    except ValueError as error:
        raise PayloadError(
            f"{what} is no whole JSON ({error}; {len(body)} bytes came); nothing of it landed, and the next run asks "
            "for it again. If it stays so, ask the source's owner",
            body=body,
        ) from error
