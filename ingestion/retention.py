"""Precise positions are kept for a short time only: what is older is deleted, day by day.

Whether a vehicle was at a depot stays known (``vehicle_snapshot.at_site_id``); payloads expire in ``payloads``.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from core.entities import ENTITIES
from core.landing import Landing
from core.locks import file_lock

POSITION_RETENTION: Final = timedelta(days=14)


def expire_positions(landing: Landing, source_id: str, *, as_of: datetime, keep: timedelta = POSITION_RETENTION) -> int:
    """Delete a source's restricted rows of days that ended over ``keep`` before ``as_of``; return the files deleted."""
    last_kept = (as_of.astimezone(UTC) - keep).date()
    expired = 0
    for entity in (entity.name for entity in ENTITIES.values() if entity.restricted):
        with file_lock(landing.root / ".locks" / f"{entity}.{source_id}.lock"):
            for folder in sorted((landing.root / entity / f"source={source_id}").glob("date=*")):
                if date.fromisoformat(folder.name.removeprefix("date=")) < last_kept:
                    files = sorted(folder.iterdir())
                    for path in files:
                        path.unlink()
                    folder.rmdir()
                    expired += len(files)
    return expired
