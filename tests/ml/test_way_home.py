"""What vehicles use on the last hours of their way home, from cycles and the states they told on the way."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml.fleet import FleetFacts
from ml.way_home import EDGES_H, least_arrivals, used_at_most_kwh, ways_home

T0 = datetime(2026, 3, 2, tzinfo=UTC)
USABLE_KWH = 80.0


def fleet(*, days: int, drives_kw: float, rests_h: float = 0.0) -> FleetFacts:
    """Return a van that comes back at 16:00 every day, with 20 %, and stands for a while before it does."""
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
        ("van-1", at - timedelta(hours=left_h), 20.0 + 100 * drives_kw * _driven(left_h, rests_h) / USABLE_KWH)
        for at in back
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
    assert way == pytest.approx([8.0 * edge_h for edge_h in EDGES_H if edge_h <= 4])
    assert used_at_most_kwh(way, 0.1) == pytest.approx(0.8)
    assert used_at_most_kwh(way, 3.0) == pytest.approx(24.0)
    assert used_at_most_kwh(way, 4.5) is None


def test_a_rest_on_the_way_costs_nothing_and_no_longer_way_takes_less() -> None:
    """The last half hour is a rest at the gate."""
    way = ways_home(fleet(days=12, drives_kw=8.0, rests_h=0.5), since=timedelta(days=28))["van"]
    assert way[:4] == pytest.approx([0.0, 0.0, 2.0, 4.0])


def test_nobody_came_back_with_less_than_the_least_of_many() -> None:
    facts = fleet(days=60, drives_kw=8.0)
    assert least_arrivals(facts, since=timedelta(days=70)) == {"van": 20.0}
    assert least_arrivals(facts, since=timedelta(days=28)) == {}


def test_too_few_returns_tell_nothing() -> None:
    assert ways_home(fleet(days=7, drives_kw=8.0), since=timedelta(days=28)) == {}
    assert ways_home(fleet(days=40, drives_kw=8.0), since=timedelta(days=5)) == {}
