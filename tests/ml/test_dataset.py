"""The as-of dataset: nothing newer than the instant ever comes through, and joins see what each row could know."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from core.landing import Landing
from ml.dataset import KnownFacts, as_of_join
from tests.ml.conftest import Fleet

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(minute: int) -> datetime:
    return T0 + timedelta(minutes=minute)


def test_versions_and_latest_hold_nothing_newer_than_the_instant(small_fleet: tuple[Landing, Fleet]) -> None:
    landing, fleet = small_fleet
    as_of = fleet.last_day(-30)
    known = KnownFacts(landing, as_of=as_of)
    for name in ("trip", "vehicle_snapshot", "duty", "weather"):
        everything = landing.scan(name).collect().height
        versions = known.versions(name)
        assert 0 < versions.height <= everything
        assert versions["available_at"].max() <= as_of
        assert versions["available_at"].is_sorted()
        assert known.latest(name)["available_at"].max() <= as_of
    assert known.versions("trip").height < landing.scan("trip").collect().height


def test_since_leaves_out_what_was_observed_before(small_fleet: tuple[Landing, Fleet]) -> None:
    landing, fleet = small_fleet
    since = fleet.last_day(-72)
    trips = KnownFacts(landing, as_of=fleet.last_day(23), since=since).versions("trip")
    assert trips.height
    assert trips["observed_at"].min() >= since


minutes = st.integers(0, 20)
groups = st.sampled_from(["a", "b", None])


@given(
    rows=st.lists(st.tuples(groups, minutes), min_size=1, max_size=12),
    facts=st.lists(st.tuples(groups, minutes, st.integers(0, 99)), max_size=12),
)
def test_as_of_join_gives_each_row_the_latest_fact_of_its_group(
    rows: list[tuple[str | None, int]], facts: list[tuple[str | None, int, int]]
) -> None:
    left = pl.DataFrame(
        {"group": [group for group, _ in rows], "predicted_at": [at(minute) for _, minute in rows]},
        schema={"group": pl.String, "predicted_at": pl.Datetime("us", "UTC")},
    )
    right = pl.DataFrame(
        {
            "group": [group for group, _, _ in facts],
            "available_at": [at(minute) for _, minute, _ in facts],
            "value": [value for _, _, value in facts],
        },
        schema={"group": pl.String, "available_at": pl.Datetime("us", "UTC"), "value": pl.Int64},
    )
    joined = as_of_join(left, right, by=["group"])

    def expected(group: str | None, minute: int) -> int | None:
        known = [(m, i, v) for i, (g, m, v) in enumerate(facts) if g == group and g is not None and m <= minute]
        return max(known)[2] if known else None

    assert joined.columns == ["group", "predicted_at", "value"]
    assert joined.select("group", "predicted_at").equals(left)
    assert joined["value"].to_list() == [expected(group, minute) for group, minute in rows]


def test_vehicles_may_be_named_by_an_enumeration(small_fleet: tuple[Landing, Fleet]) -> None:
    landing, fleet = small_fleet
    known = KnownFacts(landing, as_of=fleet.last_day(0))
    everybody = pl.Series([fleet.name(vehicle) for vehicle in range(6)])
    for asked in (everybody, everybody.head(2)):
        plain = known.versions("trip", vehicles=asked)
        numbered = known.versions("trip", vehicles=asked.cast(pl.Enum(everybody)))
        assert plain.height > 0
        assert numbered.with_columns(pl.col("vehicle_id").cast(pl.String)).equals(plain)
    strangers = known.versions("trip", vehicles=pl.Series(["nobody"], dtype=pl.Enum(["nobody"])))
    assert strangers.is_empty()
