"""The bridge's own audit log: every plan, override, revocation and change of credentials, one line each.

A log that cannot be written is told in health and holds nothing up: charging safely matters more than its record.
"""

import logging
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from core.audit import AuditLog

log = logging.getLogger(__name__)

FILE_NAME = "audit.jsonl"


class Audit:
    """Writes lines, and knows whether it can."""

    def __init__(self, state_dir: Path) -> None:
        self._log = AuditLog(state_dir / FILE_NAME)
        self.problem: str | None = None
        self.lost = 0

    def write(self, what: str, *, at: datetime, by: str, **detail: JsonValue) -> None:
        """Write down that somebody changed something."""
        try:
            self._log.append(what, at=at, by=by, detail=detail)
            self.problem = None
        except OSError as error:
            if self.problem is None:
                log.exception("the audit log cannot be written")
            self.problem = f"the audit log cannot be written: {error.strerror or error}"
            self.lost += 1
