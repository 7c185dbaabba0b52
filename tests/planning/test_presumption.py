"""Who probably stands where: by time, bay and battery, and never more than one vehicle to a place."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.presumption import LEAST_LIKELY, Standing, Unrecognised, _cost, counted_by, presumed

T0 = datetime(2026, 2, 9, 16, tzinfo=UTC)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def transaction(number: int, *, after_min: float, counts_kw: float = 0.0, current: str = "ac") -> Unrecognised:
    """A transaction on connector ``number`` that charges evenly for two hours."""
    plugged_at = T0 + minutes(after_min)
    course = tuple((plugged_at + minutes(15 * k), counts_kw * k / 4) for k in range(9))
    return Unrecognised(("CP-1", number), "dc" if current == "dc" else "ac", plugged_at, course)


def van(
    number: int, *, back_min: float, bay: int | None = None, told: tuple[tuple[float, float], ...] = ()
) -> Standing:
    """A van of 90 kWh, whose readings are minutes and percent."""
    readings = tuple((T0 + minutes(at), soc_pct) for at, soc_pct in told)
    return Standing(
        vehicle_id=f"van-{number}",
        back_at=T0 + minutes(back_min),
        bay=None if bay is None else ("CP-1", bay),
        takes=frozenset({"ac"}),
        gain_pct_per_kwh=1.0,
        told=readings,
    )


def test_who_came_first_is_plugged_in_first() -> None:
    found = presumed(
        [transaction(1, after_min=5), transaction(2, after_min=65)], [van(1, back_min=60), van(2, back_min=0)]
    )
    assert found == {("CP-1", 1): "van-2", ("CP-1", 2): "van-1"}


def test_of_two_that_came_together_each_stands_in_its_own_bay() -> None:
    found = presumed(
        [transaction(1, after_min=5), transaction(2, after_min=6)],
        [van(1, back_min=0, bay=2), van(2, back_min=0, bay=1)],
    )
    assert found == {("CP-1", 1): "van-2", ("CP-1", 2): "van-1"}


def test_whose_battery_rises_is_where_the_charger_counts() -> None:
    """Bays say otherwise, and the first reading is of before anything was charged."""
    found = presumed(
        [transaction(1, after_min=5, counts_kw=10.0), transaction(2, after_min=5)],
        [
            van(1, back_min=0, bay=1, told=((10, 40.0), (70, 40.0))),
            van(2, back_min=0, bay=2, told=((10, 30.0), (70, 40.0))),
        ],
    )
    assert found == {("CP-1", 1): "van-2", ("CP-1", 2): "van-1"}


@pytest.mark.parametrize(
    "one",
    [transaction(1, after_min=-20), transaction(1, after_min=200), transaction(1, after_min=5, current="dc")],
    ids=["was there before it came", "long after it came", "no plug of its kind"],
)
def test_nobody_is_presumed_where_it_cannot_be(one: Unrecognised) -> None:
    assert presumed([one], [van(1, back_min=0)]) == {}


def test_a_battery_that_does_not_rise_is_not_the_one_that_is_charged() -> None:
    told = ((10, 40.0), (120, 40.0))
    assert presumed([transaction(1, after_min=5, counts_kw=20.0)], [van(1, back_min=0, bay=1, told=told)]) == {}


def test_without_anybody_nothing_is_presumed() -> None:
    assert presumed([], [van(1, back_min=0)]) == {}
    assert presumed([transaction(1, after_min=0)], []) == {}


def test_energy_between_two_samples_is_in_proportion() -> None:
    assert counted_by(((T0, 0.0), (T0 + minutes(60), 6.0)), T0 + minutes(20)) == pytest.approx(2.0)


places = st.lists(st.tuples(st.integers(0, 240), st.sampled_from([0.0, 7.0, 11.0])), max_size=3)
vans = st.lists(st.tuples(st.integers(0, 240), st.sampled_from([None, 0, 1, 2])), max_size=3)


@given(places, vans)
def test_no_other_placing_is_likelier(places: list[tuple[int, float]], vans: list[tuple[int, int | None]]) -> None:
    running = [transaction(number, after_min=at, counts_kw=kw) for number, (at, kw) in enumerate(places)]
    standing = [
        van(number, back_min=at, bay=bay, told=((at + 10, 40.0), (at + 130, 54.0)))
        for number, (at, bay) in enumerate(vans)
    ]
    found = presumed(running, standing)
    assert len(set(found.values())) == len(found)
    by_name = {one.vehicle_id: one for one in standing}
    placings = permutations([*standing, *[None] * len(running)], len(running))
    best = min(sum(_of(one, who) for one, who in zip(running, placing, strict=True)) for placing in placings)
    assert sum(_of(one, by_name.get(found.get(one.connector, ""))) for one in running) == pytest.approx(best)


def _of(one: Unrecognised, who: Standing | None) -> float:
    return LEAST_LIKELY if who is None else _cost(one, who)
