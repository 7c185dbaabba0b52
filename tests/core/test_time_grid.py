"""Slots and local days, over clock changes."""

from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.time_grid import (
    ceil_to_slot,
    floor_to_slot,
    format_instant,
    local_date,
    local_day,
    local_instant,
    parse_instant,
    slot_index,
    slot_starts,
    slots_in_local_day,
    to_utc,
)

INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (bounds are naive by hypothesis' rule)
ZONES = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"])


@pytest.mark.parametrize(
    ("day", "slots"),
    [(date(2026, 3, 28), 96), (date(2026, 3, 29), 92), (date(2026, 10, 25), 100)],
    ids=["plain day", "spring forward", "fall back"],
)
def test_local_days_have_92_96_or_100_quarter_hours(day: date, slots: int) -> None:
    assert slots_in_local_day(day, "Europe/Berlin") == slots


def test_local_day_in_lord_howe_changes_by_half_an_hour() -> None:
    assert slots_in_local_day(date(2026, 4, 5), "Australia/Lord_Howe") == 98


@given(day=st.dates(date(2000, 1, 2), date(2060, 1, 1)), zone=ZONES)
def test_local_days_tile_time(day: date, zone: str) -> None:
    begin, end = local_day(day, zone)
    assert local_day(day + timedelta(days=1), zone)[0] == end
    assert local_date(begin, zone) == day
    assert local_date(end - timedelta(microseconds=1), zone) == day


def test_local_instant_in_the_skipped_hour_is_later_by_the_jump() -> None:
    assert local_instant(date(2026, 3, 29), time(2, 30), "Europe/Berlin") == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_local_instant_that_occurs_twice_is_the_first() -> None:
    assert local_instant(date(2026, 10, 25), time(2, 30), "Europe/Berlin") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@given(instant=INSTANTS)
def test_floor_and_ceil_enclose_the_instant_within_one_slot(instant: datetime) -> None:
    low, high = floor_to_slot(instant), ceil_to_slot(instant)
    assert low <= instant <= high
    assert high - low in (timedelta(0), timedelta(minutes=15))
    assert low.minute % 15 == 0 == high.minute % 15


@given(instant=INSTANTS)
def test_instants_survive_a_round_trip_as_text(instant: datetime) -> None:
    text = format_instant(instant)
    assert text.endswith("Z")
    assert parse_instant(text) == instant


def test_parse_instant_takes_offsets_and_fractions() -> None:
    parsed = parse_instant("2026-02-01T08:00:00.250+02:00")
    assert parsed == datetime(2026, 2, 1, 6, 0, 0, 250_000, tzinfo=UTC)


def test_naive_instants_are_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        to_utc(datetime(2026, 2, 1))  # noqa: DTZ001 (the naive instant is the point)


@given(start=INSTANTS, slots=st.integers(1, 200))
def test_slot_index_inverts_slot_starts(start: datetime, slots: int) -> None:
    starts = slot_starts(start, slots)
    assert [slot_index(instant, start_at=start) for instant in starts] == list(range(slots))
    assert slot_index(starts[0] - timedelta(seconds=1), start_at=start) == -1


def test_to_utc_converts_offsets() -> None:
    assert to_utc(datetime(2026, 2, 1, 8, tzinfo=timezone(timedelta(hours=2)))) == datetime(2026, 2, 1, 6, tzinfo=UTC)
