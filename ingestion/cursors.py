"""Where each source's next poll goes on: one small JSON file per source, written after the rows have landed.

So a run that is killed asks again for what it may not have landed, and the landing zone tells duplicates apart.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.files import write_text_atomic


@dataclass(frozen=True, slots=True)
class Progress:
    """A source's cursor (None: never polled), and the state that its next page's parse needs."""

    cursor: Mapping[str, Any] | None = None
    carry: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CursorStore:
    """Reads and writes the progress of sources below one folder (``landing/.cursors``)."""

    root: Path

    def read(self, source_id: str) -> Progress:
        """Return how far a source has come.

        Raises:
            ValueError: the file is damaged; the message says how to start the source over.
        """
        path = self._path(source_id)
        if not path.exists():
            return Progress()
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            return Progress(document["cursor"], document["carry"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no cursor; delete it, and the source is read again from start_at") from error

    def write(self, source_id: str, progress: Progress) -> None:
        """Record how far a source has come; a crash leaves the old file or the new one."""
        document = {"cursor": progress.cursor, "carry": progress.carry}
        write_text_atomic(self._path(source_id), json.dumps(document, sort_keys=True) + "\n")

    def _path(self, source_id: str) -> Path:
        return self.root / f"{source_id}.json"
