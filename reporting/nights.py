"""Nights: from noon to noon on the site's clock, named by the date of their morning; and how times are written.

Noon is never skipped or doubled when clocks change, so a night has 23, 24 or 25 hours and every pull-out is in one.
"""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from core.time_grid import local_date, local_instant
from reporting.view import Span

NOON = time(12)


def night_before(morning: date, timezone: str) -> Span:
    """Return the night that ends at noon of a local date."""
    evening = morning - timedelta(days=1)
    return Span(local_instant(evening, NOON, timezone), local_instant(morning, NOON, timezone))


def night_at(instant: datetime, timezone: str) -> Span:
    """Return the night that holds an instant: from noon on it is the coming one."""
    today = local_date(instant, timezone)
    night = night_before(today, timezone)
    return night if instant < night.end_at else night_before(today + timedelta(days=1), timezone)


def clock_text(instant: datetime, timezone: str) -> str:
    """Write an instant as local hours and minutes; with the zone's name where the clock shows that time twice."""
    local = instant.astimezone(ZoneInfo(timezone))
    is_doubled = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    return f"{local:%H:%M %Z}" if is_doubled else f"{local:%H:%M}"


def day_text(instant: datetime, timezone: str) -> str:
    """Write the local date of an instant, such as ``Tue 10 Feb 2026``."""
    local = instant.astimezone(ZoneInfo(timezone))
    return f"{local:%a} {local.day} {local:%b %Y}"


def zone_text(span: Span, timezone: str) -> str:
    """Name the zone of a night's times, such as ``Europe/Berlin (CET, from 03:00 CEST)``."""
    zone = ZoneInfo(timezone)
    before, after = (f"{instant.astimezone(zone):%Z}" for instant in (span.start_at, span.end_at))
    return f"{timezone} ({before})" if before == after else f"{timezone} ({before}, then {after}: clocks change)"


def ago_text(duration: timedelta) -> str:
    """Write an age, such as ``4 min``, ``9 h 12 min`` or ``3 days``."""
    minutes = max(0, round(duration.total_seconds() / 60))
    hours, rest = divmod(minutes, 60)
    if minutes == 0:
        return "under 1 min"
    if hours == 0:
        return f"{minutes} min"
    return f"{hours} h {rest:02d} min" if hours < 48 else f"{hours // 24} days"


def local_hours(span: Span, timezone: str, *, every: int) -> list[datetime]:
    """Return the instants in a span at which the local clock shows a multiple of ``every`` hours; doubled ones once."""
    zone = ZoneInfo(timezone)
    hours = round((span.end_at - span.start_at) / timedelta(hours=1))
    instants = [span.start_at + timedelta(hours=k) for k in range(hours + 1)]
    local = [(instant, instant.astimezone(zone)) for instant in instants]
    return [instant for instant, clock in local if clock.hour % every == 0 and clock.minute == 0 and not clock.fold]
