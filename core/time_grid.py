"""Slots of a planning horizon and local days, which have 92, 96 or 100 quarter-hours.

All instants are aware and in UTC; a local date always comes with its IANA time zone.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SLOT_MINUTES = 15
SLOT = timedelta(minutes=SLOT_MINUTES)
SLOT_HOURS = SLOT_MINUTES / 60


def to_utc(instant: datetime) -> datetime:
    """Return the instant in UTC.

    Raises:
        ValueError: the instant is naive; a time without a zone means nothing here.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no time zone; write it with Z or an offset")
    return instant.astimezone(UTC)


def parse_instant(text: str) -> datetime:
    """Parse an ISO 8601 instant with a zone, to UTC.

    Raises:
        ValueError: the text is no instant, or has no zone.
    """
    return to_utc(datetime.fromisoformat(text.strip().replace("Z", "+00:00")))


def format_instant(instant: datetime) -> str:
    """Write an instant as ISO 8601 UTC with ``Z``, whole seconds where it has no fraction."""
    text = to_utc(instant).isoformat(timespec="microseconds" if instant.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def floor_to_slot(instant: datetime, *, slot_minutes: int = SLOT_MINUTES) -> datetime:
    """Return the start of the slot that holds the instant (slots are aligned to the UTC hour)."""
    seconds = slot_minutes * 60
    stamp = int(to_utc(instant).timestamp())
    return datetime.fromtimestamp(stamp - stamp % seconds, UTC)


def ceil_to_slot(instant: datetime, *, slot_minutes: int = SLOT_MINUTES) -> datetime:
    """Return the first slot start at or after the instant."""
    floor = floor_to_slot(instant, slot_minutes=slot_minutes)
    return floor if floor == to_utc(instant) else floor + timedelta(minutes=slot_minutes)


def slot_starts(start_at: datetime, slots: int, *, slot_minutes: int = SLOT_MINUTES) -> list[datetime]:
    """Return the starts of consecutive slots, the first at ``start_at``."""
    step = timedelta(minutes=slot_minutes)
    return [to_utc(start_at) + k * step for k in range(slots)]


def slot_index(instant: datetime, *, start_at: datetime, slot_minutes: int = SLOT_MINUTES) -> int:
    """Return the index of the slot that holds the instant; negative before ``start_at``."""
    return int((to_utc(instant) - to_utc(start_at)) // timedelta(minutes=slot_minutes))


def local_instant(day: date, clock_time: time, timezone: str) -> datetime:
    """Return the instant, in UTC, at which a local wall clock shows this time.

    A time that the spring change skips is taken as much later as the clock jumps; one that occurs twice in autumn
    is its first occurrence.
    """
    return datetime.combine(day, clock_time, ZoneInfo(timezone)).astimezone(UTC)


def local_date(instant: datetime, timezone: str) -> date:
    """Return the local calendar date of an instant."""
    return to_utc(instant).astimezone(ZoneInfo(timezone)).date()


def local_day(day: date, timezone: str) -> tuple[datetime, datetime]:
    """Return the half-open UTC interval of a local calendar day (23, 24 or 25 hours)."""
    begin = local_instant(day, time(0), timezone)
    return begin, local_instant(day + timedelta(days=1), time(0), timezone)


def slots_in_local_day(day: date, timezone: str, *, slot_minutes: int = SLOT_MINUTES) -> int:
    """Return how many slots a local day has: 92, 96 or 100 quarter-hours where the clock changes by an hour."""
    begin, end = local_day(day, timezone)
    return int((end - begin) / timedelta(minutes=slot_minutes))
