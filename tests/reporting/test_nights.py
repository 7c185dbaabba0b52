"""Nights from noon to noon, and local times that mean one instant, also when clocks change."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.time_grid import parse_instant
from reporting.nights import ago_text, clock_text, day_text, local_hours, night_at, night_before, zone_text

BERLIN = "Europe/Berlin"
ZONES = ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]


@pytest.mark.parametrize(
    ("morning", "hours"),
    [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 2, 10), 24)],
)
def test_a_night_is_as_long_as_clocks_make_it(morning: date, hours: int) -> None:
    span = night_before(morning, BERLIN)
    assert span.end_at - span.start_at == timedelta(hours=hours)


@given(instant=st.datetimes(timezones=st.just(ZoneInfo("UTC"))), zone=st.sampled_from(ZONES))
def test_every_instant_lies_in_exactly_the_night_that_is_found_for_it(instant, zone: str) -> None:
    if not 1980 < instant.year < 2100:
        return
    span = night_at(instant, zone)
    assert span.start_at <= instant < span.end_at
    assert night_at(span.start_at, zone) == span
    assert night_at(span.end_at, zone).start_at == span.end_at


def test_a_time_that_the_clock_shows_twice_names_its_zone() -> None:
    first, second = parse_instant("2026-10-25T00:30:00Z"), parse_instant("2026-10-25T01:30:00Z")
    assert (clock_text(first, BERLIN), clock_text(second, BERLIN)) == ("02:30 CEST", "02:30 CET")
    assert clock_text(parse_instant("2026-10-25T03:30:00Z"), BERLIN) == "04:30"


def test_the_zone_of_a_night_is_named_before_and_after_a_change() -> None:
    assert zone_text(night_before(date(2026, 2, 10), BERLIN), BERLIN) == "Europe/Berlin (CET)"
    changed = zone_text(night_before(date(2026, 10, 25), BERLIN), BERLIN)
    assert changed == "Europe/Berlin (CEST, then CET: clocks change)"


def test_axis_hours_are_local_and_none_is_doubled() -> None:
    night = night_before(date(2026, 10, 25), BERLIN)
    labels = [clock_text(instant, BERLIN) for instant in local_hours(night, BERLIN, every=3)]
    assert labels == ["12:00", "15:00", "18:00", "21:00", "00:00", "03:00", "06:00", "09:00", "12:00"]


@pytest.mark.parametrize(
    ("minutes", "text"),
    [
        (0, "under 1 min"),
        (4, "4 min"),
        (552, "9 h 12 min"),
        (2879, "47 h 59 min"),
        (5000, "3 days"),
        (-3, "under 1 min"),
    ],
)
def test_ages_are_written_for_people(minutes: int, text: str) -> None:
    assert ago_text(timedelta(minutes=minutes)) == text


def test_the_date_is_the_local_one() -> None:
    assert day_text(parse_instant("2026-02-09T23:30:00Z"), BERLIN) == "Tue 10 Feb 2026"
