"""The frame log: every OCPP frame, redacted, as hourly JSON-lines files that ingestion reads through a cursor.

A line is written whole and unbuffered, so that a killed process leaves at most one torn line, which the next start
cuts off. A full disk loses frames, says so, and never a connection.
"""

import errno
import json
import logging
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from core.time_grid import format_instant
from ocpp_bridge.redaction import Hasher, redact

log = logging.getLogger(__name__)

CURSOR: Final = re.compile(r"^(\d{4}-\d{2}-\d{2}T\d{2}):(\d{1,15})$")
CHUNK_BYTES: Final = 1 << 20


class CursorError(ValueError):
    """A cursor that we never gave."""


class FrameLog:
    """Writes and reads the hourly files below one folder.

    Invariants: files only grow, and no file older than the newest one is ever written again, so that a cursor never
    misses a line, even if the clock jumps back.
    """

    def __init__(self, folder: Path, hash_token: Hasher) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._hash_token = hash_token
        self._hour = ""
        self._file: int | None = None
        self.lost = 0
        self.problem: str | None = None
        newest = max((path.stem for path in self._files()), default="")
        if newest:
            _cut_torn_line(self._path(newest))
        self._newest = newest

    def write(
        self,
        frame: list[Any],
        *,
        at: datetime,
        station_id: str,
        connection_id: str,
        direction: str,
        malformed: str | None = None,
    ) -> None:
        """Append one frame. Losing it is counted, not raised: charging matters more than its log."""
        line = {
            "at": format_instant(at),
            "station_id": station_id,
            "connection_id": connection_id,
            "direction": direction,
            "frame": redact(frame, self._hash_token),
        }
        if malformed is not None:
            line["malformed"] = malformed
        data = json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            self._append(at.astimezone(UTC).strftime("%Y-%m-%dT%H"), data)
            self.problem = None
        except OSError as error:
            if self.problem is None:
                log.error("frames cannot be logged: %s", error)
            self.problem = f"frames cannot be logged: {error.strerror}"
            self.lost += 1

    def read(self, after: str | None, limit: int) -> tuple[list[bytes], str]:
        """Return at most ``limit`` complete lines after a cursor, and the cursor behind them.

        Raises:
            CursorError: the cursor is none of ours.
        """
        hour, offset = _parse_cursor(after)
        lines: list[bytes] = []
        for path in sorted(self._files()):
            if path.stem < hour or len(lines) >= limit:
                continue
            start = offset if path.stem == hour else 0
            for line in _complete_lines(path, start):
                lines.append(line)
                start += len(line)
                if len(lines) >= limit:
                    break
            hour, offset = path.stem, start
        return lines, f"{hour}:{offset}" if hour else ""

    def remove_old(self, now: datetime, *, days: int) -> int:
        """Delete files of hours more than so many days ago; return how many."""
        last = (now.astimezone(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H")
        old = [path for path in self._files() if path.stem < last and path.stem != self._newest]
        for path in old:
            path.unlink()
        return len(old)

    def close(self) -> None:
        """Close the file that is open."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, hour: str, data: bytes) -> None:
        hour = max(hour, self._newest)
        if self._file is None or hour != self._hour:
            self.close()
            self._file = os.open(self._path(hour), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
            self._hour = self._newest = hour
        size = os.fstat(self._file).st_size
        written = 0
        try:
            written = os.write(self._file, data)
        finally:
            if written < len(data):  # half a line must not stay, nor be read
                os.ftruncate(self._file, size)
        if written < len(data):
            raise OSError(errno.ENOSPC, "no space left for a whole line")

    def _files(self) -> Iterator[Path]:
        return self._folder.glob("????-??-??T??.jsonl")

    def _path(self, hour: str) -> Path:
        return self._folder / f"{hour}.jsonl"


def _parse_cursor(after: str | None) -> tuple[str, int]:
    if not after:
        return "", 0
    match = CURSOR.match(after)
    if match is None:
        raise CursorError(f"{after!r} is no cursor; use the X-Next-Cursor of the last answer, or none to begin")
    return match[1], int(match[2])


def _complete_lines(path: Path, offset: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        rest = b""
        while chunk := file.read(CHUNK_BYTES):
            *complete, rest = (rest + chunk).split(b"\n")
            yield from (line + b"\n" for line in complete)


def _cut_torn_line(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        tail_at = max(0, size - CHUNK_BYTES)  # a frame is far smaller than this
        file.seek(tail_at)
        tail = file.read()
        if tail and not tail.endswith(b"\n"):
            log.warning("%s ended in half a line, which is cut off", path.name)
            file.truncate(tail_at + tail.rfind(b"\n") + 1)
