"""Structured logs: one JSON object a line, with the station it is about. Nothing secret is ever logged."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal

from core.time_grid import format_instant

LogFormat = Literal["text", "json"]
FIELDS: Final = ("station_id", "connector_id", "plan_id", "connection_id")


class JsonFormatter(logging.Formatter):
    """Writes a record as a JSON object: ``at``, ``level``, ``logger``, ``message``, what it is about, ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "at": format_instant(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: vars(record)[name] for name in FIELDS if vars(record).get(name) is not None}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up(level: str, log_format: LogFormat) -> None:
    """Log to stderr from now on."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
