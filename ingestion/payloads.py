"""The archive of provider bytes: ``payloads/<source>/<date>/<sha256>.gz``, so that rows can be parsed again.

Bytes are stored once by content, compressed deterministically, with the name of the page in the gzip header; ``date``
is the UTC date of the run that fetched them. Payloads of telematics hold precise positions, so the archive is personal
data with a retention of its own (``RETENTION``); the rows derived from it stay.
"""

import gzip
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from core.files import sha256_hex, write_bytes_atomic

RETENTION: Final[Mapping[str, timedelta]] = {
    # Precise positions of vehicles, and so of drivers.
    "rfms_v4": timedelta(days=14),
    "geotab": timedelta(days=14),
}
DEFAULT_RETENTION: Final = timedelta(days=30)
HEADER: Final = b"\x1f\x8b\x08\x08" + b"\0\0\0\0" + b"\0\xff"  # gzip, deflate, with a name; no time; any system


class DamagedPayloadError(ValueError):
    """An archived payload is not what its name says."""


@dataclass(frozen=True, slots=True)
class Payload:
    """An archived page: the SHA-256 of its bytes, and whether it was new to the archive."""

    sha256: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class PayloadArchive:
    """Stores, reads and expires provider bytes below one folder."""

    root: Path

    def store(self, source_id: str, name: str, body: bytes, *, as_of: datetime) -> Payload:
        """Keep a page's bytes, unless the source's archive holds them already."""
        digest = sha256_hex(body)
        if self._find(source_id, digest) is not None:
            return Payload(digest, is_new=False)
        folder = self.root / source_id / as_of.astimezone(UTC).date().isoformat()
        write_bytes_atomic(folder / f"{digest}.gz", _compress(name, body))
        return Payload(digest, is_new=True)

    def read(self, source_id: str, sha256: str) -> tuple[str, bytes]:
        """Return an archived page's name and bytes.

        Raises:
            FileNotFoundError: the archive does not hold it, or no longer.
            DamagedPayloadError: the file is not what its name says.
        """
        path = self._find(source_id, sha256)
        if path is None:
            raise FileNotFoundError(f"{source_id}: no payload {sha256}; it was never fetched, or its retention ended")
        data = path.read_bytes()
        try:
            body = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedPayloadError(f"{path} is no whole gzip file; delete it and fetch the page again") from error
        if sha256_hex(body) != sha256:
            raise DamagedPayloadError(f"{path} holds other bytes than its name says; delete it")
        return _page_name(data), body

    def expire(self, source_id: str, *, keep: timedelta, as_of: datetime) -> int:
        """Delete the payloads of days that ended more than ``keep`` before ``as_of``; return how many."""
        last_kept = (as_of.astimezone(UTC) - keep).date()
        expired = 0
        for folder in sorted((self.root / source_id).glob("*-*-*")):
            if date.fromisoformat(folder.name) < last_kept:
                for path in sorted(folder.iterdir()):
                    path.unlink()
                    expired += 1
                folder.rmdir()
        return expired

    def _find(self, source_id: str, sha256: str) -> Path | None:
        return next((self.root / source_id).glob(f"*/{sha256}.gz"), None)


def retention_of(kind: str) -> timedelta:
    """Return how long payloads of a kind of source are kept."""
    return RETENTION.get(kind, DEFAULT_RETENTION)


def _compress(name: str, body: bytes) -> bytes:
    """Compress so that equal input gives equal bytes: no time stamp, the page's name where gzip keeps a file's.

    ``gzip`` would shorten the name (a folder, a suffix .gz), so the format is written here: RFC 1952, 12 bytes around
    a deflate stream.
    """
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    stream = deflate.compress(body) + deflate.flush()
    return HEADER + quote(name).encode() + b"\0" + stream + struct.pack("<II", zlib.crc32(body), len(body) % 2**32)


def _page_name(data: bytes) -> str:
    """Return the name in the header of a file that ``_compress`` made."""
    return unquote(data[len(HEADER) : data.index(b"\0", len(HEADER))].decode())
