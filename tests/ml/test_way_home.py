"""What vehicles use on the last hours of their way home, from cycles and the states they told on the way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml.fleet import FleetFacts
from ml.way_home import EDGES_H, LEVELS, least_arrivals, ways_home

T0 = datetime(2026, 3, 2, tzinfo=UTC)
USABLE_KWH = 80.0


def fleet(*, days: int, drives_kw: float, rests_h: float = 0.0, hastes: float = 0.0) -> FleetFacts:
    """Return a van that comes back at 16:00 every day, with 20 %, and stands for a while before it does.

    With every day it drives with more power, up to a share ``hastes`` more on the last.
    """
    back = [T0 + timedelta(days=day, hours=16) for day in range(days)]
    cycles = pl.DataFrame(
        {
            "vehicle_id": "van-1",
            "departed_at": [at - timedelta(hours=8) for at in back],
            "returned_at": back,
            "known_at": [at + timedelta(hours=8) for at in back],
            "soc_arrival_pct": 20.0,
        }
    )
    told = [
        (
            "van-1",
            at - timedelta(hours=left_h),
            20.0 + 100 * drives_kw * (1 + hastes * day / (days - 1)) * _driven(left_h, rests_h) / USABLE_KWH,
        )
        for day, at in enumerate(back)
        for left_h in (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 7.0)
    ]
    empty = pl.DataFrame()
    return FleetFacts(
        site_id="north",
        timezone="UTC",
        as_of=T0 + timedelta(days=days + 1),
        vehicles=pl.DataFrame({"vehicle_id": ["van-1"], "vehicle_class": ["van"], "usable_kwh": [USABLE_KWH]}),
        trips=empty,
        cycles=cycles,
        snapshots=pl.DataFrame(told, schema=["vehicle_id", "observed_at", "soc_pct"], orient="row"),
        duties=empty,
        assignments=empty,
        weather=empty,
    )


def _driven(left_h: float, rests_h: float) -> float:
    return max(0.0, left_h - rests_h)


def test_a_vehicle_that_drives_on_uses_its_power_times_the_time() -> None:
    way = ways_home(fleet(days=12, drives_kw=8.0), since=timedelta(days=28))["van"]
    assert way.hours == pytest.approx([edge_h for edge_h in EDGES_H if edge_h <= 4])
    assert way.until_h == 4.0
    for level in LEVELS:
        assert way.used_kwh(0.1, level) == pytest.approx(0.8)
        assert way.used_kwh(3.5, level) == pytest.approx(28.0)


def test_the_higher_the_level_the_more_it_may_have_used() -> None:
    way = ways_home(fleet(days=21, drives_kw=8.0, hastes=0.5), since=timedelta(days=28))["van"]
    assert way.used_kwh(2.0, 0.5) == pytest.approx(2.0 * 8.0 * 1.25)
    assert way.used_kwh(2.0, 0.9) == pytest.approx(2.0 * 8.0 * 1.45)
    assert way.used_kwh(2.0, 0.92) == pytest.approx(2.0 * 8.0 * 1.46)
    used = [way.used_kwh(2.0, level) for level in (0.1, 0.5, 0.7, 0.9, 0.95, 0.975, 0.999)]
    assert used == sorted(used)
    assert (used[0], used[-1]) == (used[1], used[-2])


def test_a_rest_on_the_way_costs_nothing_and_no_longer_way_takes_less() -> None:
    """The last half hour is a rest at the gate."""
    way = ways_home(fleet(days=12, drives_kw=8.0, rests_h=0.5), since=timedelta(days=28))["van"]
    assert [way.used_kwh(hours, 0.975) for hours in (0.25, 0.5, 0.75, 1.0)] == pytest.approx([0.0, 0.0, 2.0, 4.0])


def test_it_ends_before_a_stretch_of_which_too_little_is_known() -> None:
    facts = fleet(days=12, drives_kw=8.0)
    gap = pl.col("observed_at").dt.hour().is_between(13, 13) & (pl.col("observed_at").dt.minute() == 0)
    way = ways_home(replace(facts, snapshots=facts.snapshots.filter(~gap)), since=timedelta(days=28))["van"]
    assert way.until_h == 2.0


def test_nobody_came_back_with_less_than_the_least_of_many() -> None:
    facts = fleet(days=60, drives_kw=8.0)
    assert least_arrivals(facts, since=timedelta(days=70)) == {"van": 20.0}
    assert least_arrivals(facts, since=timedelta(days=28)) == {}


def test_too_few_returns_tell_nothing() -> None:
    assert ways_home(fleet(days=7, drives_kw=8.0), since=timedelta(days=28)) == {}
    assert ways_home(fleet(days=40, drives_kw=8.0), since=timedelta(days=5)) == {}
