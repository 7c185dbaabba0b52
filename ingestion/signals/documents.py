"""Signals that come as whole documents: files of a folder, or one address that always answers with the latest.

A document is fetched again only when its bytes have changed. What it means is its parser's business.
"""

from collections.abc import Iterator
from typing import Final

from core.files import sha256_hex
from ingestion.http import SourceClient
from ingestion.providers.base import JsonObject, Page
from ingestion.registry.models import Source

SUFFIXES: Final = (".csv", ".csv.gz", ".json", ".xml")
ANSWER: Final = "answer"


def fetch_documents(client: SourceClient, source: Source, cursor: JsonObject | None) -> Iterator[Page]:
    """Yield the documents that are new or changed; the cursor holds the hash of each that has landed.

    Raises:
        ingestion.http.ProviderError: the address does not answer.
        FileNotFoundError: ``source.path`` does not exist.
    """
    seen = dict(cursor or {})
    for name, body in _documents(client, source):
        digest = sha256_hex(body)
        if seen.get(name) != digest:
            seen[name] = digest
            yield Page(body, name, dict(seen))


def _documents(client: SourceClient, source: Source) -> Iterator[tuple[str, bytes]]:
    if source.path is None:
        yield ANSWER, client.get("").body
    elif source.path.is_file():
        yield source.path.name, source.path.read_bytes()
    elif source.path.is_dir():
        for path in sorted(source.path.iterdir()):
            if path.is_file() and path.name.endswith(SUFFIXES):
                yield path.name, path.read_bytes()
    else:
        raise FileNotFoundError(f"{source.source_id}: {source.path} is no file or folder; correct path of this source")
