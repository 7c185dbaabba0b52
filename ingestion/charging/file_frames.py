"""OCPP frames from a folder of hourly files (or one file) that a bridge on another machine wrote and somebody copied.

The cursor is a file's name and an offset in it: files only grow, and their names are in order of time.
"""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from ingestion.charging.frame_pages import page_of, parse_page
from ingestion.http import SourceClient
from ingestion.providers.base import JsonObject, Page, Parsed
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry

PAGE_BYTES: Final = 4 << 20
SUFFIX: Final = ".jsonl"

Piece = tuple[str, bytes, JsonObject]
"""File name, whole lines, and the cursor behind them."""


def fetch(client: SourceClient, source: Source, cursor: JsonObject | None, *, as_of: datetime) -> Iterator[Page]:  # noqa: ARG001 - files need no client
    """Yield pages of complete lines after the cursor ``{"file", "offset"}``, up to ``as_of``.

    Raises:
        FileNotFoundError: ``source.path`` does not exist.
    """
    if source.path is None or not source.path.exists():
        raise FileNotFoundError(f"{source.source_id}: {source.path} is no file or folder; correct path of this source")
    state: JsonObject = cursor or {"file": "", "offset": 0}
    for name, body, after in _bundles(_pieces(source.path, state)):
        page = page_of(body, name=name, cursor=after, before=state, as_of=as_of)
        yield page
        if page.later is not None:
            return
        state = after


def parse(page: Page, *, source: Source, registry: Registry, carry: JsonObject) -> Parsed:  # noqa: ARG001 - the protocol's
    """Turn a page of frames into transactions, meter values and statuses."""
    return parse_page(page, registry=registry, carry=carry)


def _pieces(folder: Path, state: JsonObject) -> Iterator[Piece]:
    """Yield what is new of each file since the cursor."""
    for path in _files(folder, since=state["file"]):
        offset = state["offset"] if path.name == state["file"] else 0
        for body in _chunks(path, offset):
            offset += len(body)
            yield path.name, body, {"file": path.name, "offset": offset}


def _bundles(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Join pieces of small files to pages worth parsing: a quiet depot writes a few kilobytes an hour."""
    bundle: list[Piece] = []
    for piece in pieces:
        bundle.append(piece)
        if sum(len(body) for _, body, _ in bundle) >= PAGE_BYTES:
            yield _joined(bundle)
            bundle = []
    if bundle:
        yield _joined(bundle)


def _joined(bundle: list[Piece]) -> Piece:
    (first, _, _), (last, _, after) = bundle[0], bundle[-1]
    name = first if first == last else f"{first} to {last}"
    return name, b"".join(body for _, body, _ in bundle), after


def _files(path: Path, *, since: str) -> list[Path]:
    """Return the files whose name is not before ``since``, sorted; a year of hours is thousands of names."""
    if path.is_file():
        return [path] if path.name >= since else []
    with os.scandir(path) as entries:
        names = [one.name for one in entries if one.name.endswith(SUFFIX) and one.name >= since]
    return [path / name for name in sorted(names)]


def _chunks(path: Path, offset: int) -> Iterator[bytes]:
    """Yield whole lines, some megabytes at a time; a last line that is still being written waits."""
    with path.open("rb") as file:
        file.seek(offset)
        while body := file.read(PAGE_BYTES) + file.readline():
            whole = body[: body.rfind(b"\n") + 1]
            if not whole:
                return
            yield whole
