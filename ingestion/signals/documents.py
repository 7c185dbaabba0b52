"""Signals that come as whole documents: files of a folder, or one address that always answers with the latest.

A document is fetched again only when its bytes have changed. What it means is its parser's business.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from core.files import sha256_hex
from core.time_grid import format_instant, parse_instant
from ingestion.http import SourceClient
from ingestion.providers.base import JsonObject, Page
from ingestion.registry.models import Source

SUFFIXES: Final = (".csv", ".csv.gz", ".json")
ANSWER: Final = "answer"


def fetch_documents(
    client: SourceClient,
    source: Source,
    cursor: JsonObject | None,
    *,
    as_of: datetime,
    last_at: Callable[[str, bytes], datetime | None] = lambda _name, _body: None,
) -> Iterator[Page]:
    """Yield the documents that are new, changed or not yet read to their end.

    The cursor holds hash and fetch of each that has landed, and of one that holds more the instant it is read up to.

    Args:
        client: Of the source, if it is an address.
        source: The source.
        cursor: By name of document: ``sha256``, ``fetched_at`` and, where measurements were left out, ``read_until``.
        as_of: The run's instant.
        last_at: Tells the last instant that a document's measurements speak of. Measurements later than the run are
            left to a later run; what is announced in advance needs no such care.

    Raises:
        ingestion.http.ProviderError: the address does not answer.
        FileNotFoundError: ``source.path`` does not exist.
    """
    seen = dict(cursor or {})
    for name, body in _documents(client, source):
        digest = sha256_hex(body)
        known = seen.get(name, {})
        is_known = known.get("sha256") == digest
        if is_known and "read_until" not in known:
            continue
        until = last_at(name, body)
        later = (as_of, until) if until is not None and until > as_of else None
        seen[name] = {"sha256": digest, "fetched_at": format_instant(as_of)}
        if later:
            seen[name]["read_until"] = format_instant(as_of)
        yield Page(body, name, dict(seen), later=later, after=parse_instant(known["read_until"]) if is_known else None)


def fetched_at(page: Page) -> str | None:
    """Return when a document was fetched (ISO 8601), from its page's cursor."""
    at: str | None = page.cursor.get(page.name, {}).get("fetched_at")
    return at


def _documents(client: SourceClient, source: Source) -> Iterator[tuple[str, bytes]]:
    path = source.path
    if source.url is not None:
        yield ANSWER, client.get(source.url).body
    elif path is not None and path.is_file():
        yield path.name, path.read_bytes()
    elif path is not None and path.is_dir():
        files = (one for one in sorted(path.iterdir()) if one.is_file() and one.name.endswith(SUFFIXES))
        yield from ((one.name, one.read_bytes()) for one in files)
    else:
        raise FileNotFoundError(f"{source.source_id}: {path} is no file or folder; correct path of this source")
