"""What stamps tell of a station's clock, and what the bridge makes of it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_bridge.clocks import UNKNOWN, ClockBounds, ClockWatch, newest_stamp

NOW = datetime(2026, 2, 10, 18, 0, tzinfo=UTC)


def watch(*pairs):
    """A watch that took stamps: seconds after ``NOW`` at which each came, and how far it was ahead then."""
    one = ClockWatch()
    for at_s, ahead_s in pairs:
        now = NOW + timedelta(seconds=at_s)
        one.note(now + timedelta(seconds=ahead_s), now)
    return one


def test_little_is_known_at_first_but_what_is_ahead_is_ahead():
    assert watch().bounds == UNKNOWN
    assert watch((0, 0), (1, 0)).bounds == UNKNOWN
    assert watch((0, 300)).bounds == ClockBounds(315.0, 60.0)
    assert watch((0, 300)).ahead_s is None


@pytest.mark.parametrize(
    ("ahead_s", "bounds"),
    [(-0.4, (15, 15)), (0.9, (15, 15)), (2, (30, 15)), (45, (60, 15)), (-45, (15, 45)), (-50, (15, 60))],
)
def test_several_stamps_tell(ahead_s, bounds):
    found = watch(*((at, ahead_s) for at in range(5)))
    assert found.bounds == ClockBounds(*bounds)
    assert found.ahead_s == pytest.approx(ahead_s)


def test_old_messages_make_no_slow_clock_and_a_boot_forgets():
    replayed = watch((0, 1), *((k, k - 5000) for k in range(1, 500)))
    assert replayed.bounds == watch(*((k, 1) for k in range(5))).bounds
    assert watch(*((k, 45) for k in range(4)), (5000, 0)).bounds == ClockBounds(15.0, 15.0), "set right an hour ago"
    replayed.forget()
    assert replayed.bounds == UNKNOWN


@given(
    st.floats(-200, 200),
    st.lists(st.tuples(st.floats(0, 2000), st.floats(0, 4000)), min_size=4, max_size=20),
    st.floats(0, 13),
)
def test_the_true_skew_is_within_the_bounds_if_one_message_was_prompt(skew, messages, prompt):
    found = watch(*((at, skew - age) for at, age in [(0, prompt), *sorted(messages)]))
    assert -found.bounds.late_s - 1e-6 <= skew <= found.bounds.early_s + 1e-6


def test_the_newest_stamp_of_a_message_counts():
    assert newest_stamp({"timestamp": "2026-02-10T18:00:00Z"}) == NOW
    values = [{"timestamp": "2026-02-10T17:59:00Z"}, {"timestamp": "2026-02-10T19:00:00+01:00"}, "x", {}]
    assert newest_stamp({"meterValue": values}) == NOW
    for nothing in ({}, {"timestamp": 5}, {"timestamp": "soon"}, {"meterValue": 3}, {"timestamp": None}):
        assert newest_stamp(nothing) is None


async def test_a_fast_clock_is_seen_told_and_counted(lone, kit):
    """A higher period counts from as much earlier as its station will begin it."""

    def ahead():
        return datetime.now(UTC) + timedelta(seconds=200)

    async with lone.station("CP-1", now=ahead) as station:
        await lone.settled("CP-1")
        transaction_id = await station.start(1)
        for _ in range(5):
            await station.meter(1, {"value": "1"})
        shown = (await lone.client.get("/stations")).json()["stations"][0]
        assert shown["clock_ahead_s"] == pytest.approx(200, abs=14)
        reasons = (await lone.client.get("/health")).json()["reasons"]
        assert [one.split(" is ")[0] for one in reasons if "ahead" in one] == ["CP-1: its clock"]
        now = datetime.now(UTC)
        plan_id = await lone.publish([kit.entry("CP-1", 5, 11, now=now, transaction_id=transaction_id)])
        await lone.reaches(plan_id, "CP-1", "accepted", "verified")
        rises = now + timedelta(minutes=15)
        bound = lone.bridge._dispatcher.conductor.holdings.bound(("CP-1", 1))
        assert station.allowed_kw(1, rises - timedelta(seconds=1)) == pytest.approx(4.97, abs=0.1)  # by its own clock
        assert bound.at((rises - timedelta(seconds=201)).timestamp()) == pytest.approx(10.97, abs=0.1)
        assert bound.at((rises - timedelta(seconds=300)).timestamp()) == pytest.approx(4.97, abs=0.1)
