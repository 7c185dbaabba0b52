"""The audit log: who changed what when, append-only, each line holding the hash of the one before.

A line that is changed, removed or put in between breaks the chain from there on. Lines cut off at the end do not:
whoever must rule that out keeps the last hash somewhere else.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from core.locks import file_lock
from core.time_grid import format_instant

log = logging.getLogger(__name__)

FIRST: Final = "0" * 64
TAIL_BYTES: Final = 1 << 20  # a line is far shorter


@dataclass(frozen=True, slots=True)
class Verification:
    """What became of checking a log: how many good lines it begins with, the last good hash, and what is wrong."""

    lines: int
    last_hash: str
    problem: str | None


class AuditLog:
    """One audit log in a file, for any number of processes at once.

    Invariants: lines are only ever appended, whole, and on the disk when ``append`` returns.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, what: str, *, at: datetime, by: str, detail: Mapping[str, JsonValue]) -> str:
        """Write a line down; return its hash. No secret belongs into it.

        Raises:
            OSError: it cannot be written.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(self._path.with_suffix(".lock")), self._path.open("a+b") as file:
            entry = {"at": format_instant(at), "what": what, "by": by, "detail": dict(detail)}
            entry["previous"] = _last_hash(file.fileno())
            digest = _digest(entry)
            line = json.dumps({**entry, "hash": digest}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            size = os.fstat(file.fileno()).st_size
            try:
                if os.write(file.fileno(), line) < len(line):
                    raise OSError(f"no space left for a whole line in {self._path.name}")
            except OSError:
                os.ftruncate(file.fileno(), size)
                raise
            os.fsync(file.fileno())
        return digest


def verify(path: Path, *, must_hold: str | None = None) -> Verification:
    """Check a whole log; ``must_hold`` is a hash that was noted elsewhere, so that a cut end shows, too.

    Raises:
        OSError: it cannot be read.
    """
    lines, previous = 0, FIRST
    holds = must_hold is None
    with path.open("rb") as file:
        for line in file:
            problem = _problem(line, previous)
            if problem is not None:
                return Verification(lines, previous, f"line {lines + 1} {problem}")
            previous = str(json.loads(line)["hash"])
            holds = holds or previous == must_hold
            lines += 1
    problem = None if holds else "the log ends before the line with the hash that was noted"
    return Verification(lines, previous, problem)


def _problem(line: bytes, previous: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or not line.endswith(b"\n"):
        return "is no entry"
    digest = entry.pop("hash", None)
    if digest != _digest(entry):
        return "was changed after it was written"
    if entry.get("previous") != previous:
        return "does not follow the line before: one is missing, or was put in between"
    return None


def _digest(entry: Mapping[str, Any]) -> str:
    canonical = json.dumps(entry, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _last_hash(descriptor: int) -> str:
    """Return the hash of the last line; half a line, which a power cut left and nobody was told of, is cut off."""
    size = os.fstat(descriptor).st_size
    begin = max(0, size - TAIL_BYTES)
    tail = os.pread(descriptor, size - begin, begin)
    whole, _, torn = tail.rpartition(b"\n")
    if torn:
        log.warning("an audit log ended in half a line, which is cut off")
        os.ftruncate(descriptor, size - len(torn))
    last = whole.rpartition(b"\n")[2]
    if not last:
        return FIRST
    try:
        return str(json.loads(last)["hash"])
    except (ValueError, LookupError, TypeError):
        return _digest({"unreadable": last.decode("utf-8", "replace")})  # the chain is broken, and stays visibly so
