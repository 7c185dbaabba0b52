"""Trips out of states: by ignition, by movement, across silences, and the same in whatever pieces the states came."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from core.entities import ENTITIES
from ingestion.providers.trips_from_snapshots import RESUME, derive_trips

T0 = datetime(2026, 2, 2, 6, tzinfo=UTC)
MIN = timedelta(minutes=1)


def states(*entries: dict) -> pl.DataFrame:
    timed = [{"vehicle_id": "a", "available_at": entry["observed_at"] + MIN, **entry} for entry in entries]
    return pl.DataFrame(timed, schema=ENTITIES["vehicle_snapshot"].schema)


def state(minute: int, *, km: float | None = None, trigger: str = "TIMER", soc: float | None = None, site=None) -> dict:
    kwh = None if km is None else km * 1.2
    told = {"odometer_km": km, "energy_used_total_kwh": kwh, "trigger": trigger, "soc_pct": soc, "at_site_id": site}
    return {"observed_at": T0 + minute * MIN, **told}


def drive(start: int, end: int, km: float, length: float = 50.0) -> list[dict]:
    return [
        state(start, km=km, trigger="IGNITION_ON", soc=90, site="north"),
        state((start + end) // 2, km=km + length / 2),
        state(end, km=km + length, trigger="IGNITION_OFF", soc=70),
    ]


def trips(*entries: dict) -> list[dict]:
    return derive_trips(states(*entries))[0].to_dicts()


def test_ignition_on_to_off_is_a_trip_with_a_version_for_each_end():
    start, end = trips(state(0, km=1000), *drive(10, 70, 1000), state(100, km=1050))
    assert start == {
        "vehicle_id": "a",
        "started_at": T0 + 10 * MIN,
        "ended_at": None,
        "distance_km": None,
        "energy_kwh": None,
        "soc_start_pct": 90,
        "soc_end_pct": None,
        "start_site_id": "north",
        "end_site_id": None,
        "is_deleted": False,
        "observed_at": T0 + 10 * MIN,
        "available_at": T0 + 11 * MIN,
    }
    assert (end["ended_at"], end["distance_km"], end["soc_end_pct"]) == (T0 + 70 * MIN, 50.0, 70)
    assert (round(end["energy_kwh"], 6), end["available_at"]) == (60.0, T0 + 71 * MIN)


def test_ignition_and_engine_are_one_start_and_one_end():
    again = [state(11, km=1000, trigger="ENGINE_ON"), state(71, km=1050, trigger="ENGINE_OFF")]
    assert len(trips(*drive(10, 70, 1000), *again)) == 2


def test_a_trip_that_goes_on_has_only_its_start():
    (start,) = trips(*drive(10, 70, 1000)[:2])
    assert start["ended_at"] is None


def test_an_off_that_was_lost_ends_with_the_last_word_before_the_silence():
    found = trips(
        *drive(10, 70, 1000)[:2],
        state(600, km=1060, trigger="IGNITION_ON"),
        state(660, km=1070, trigger="IGNITION_OFF"),
    )
    ends = [(row["started_at"], row["ended_at"]) for row in found if row["ended_at"] is not None]
    assert ends == [(T0 + 10 * MIN, T0 + 40 * MIN), (T0 + 600 * MIN, T0 + 660 * MIN)]
    assert found[1]["available_at"] == T0 + 601 * MIN  # only then was the silence over


def test_without_ignition_movement_makes_the_trip():
    parked, moving = [state(0, km=100), state(15, km=100)], [state(30, km=105), state(45, km=112), state(60, km=120)]
    found = trips(*parked, *moving, state(75, km=120), state(90, km=120))
    assert [row["ended_at"] for row in found] == [None, T0 + 60 * MIN]
    assert (found[1]["started_at"], found[1]["distance_km"]) == (
        T0 + 20 * MIN,
        20.0,
    )  # 5 km at 30 km/h before minute 30
    assert found[1]["available_at"] == T0 + 91 * MIN  # 20 minutes of standstill make it an arrival


def test_a_short_stop_does_not_split_a_trip():
    found = trips(state(0, km=100), state(15, km=110), state(25, km=110), state(35, km=118), state(60, km=118))
    assert [(row["distance_km"], row["ended_at"]) for row in found] == [(None, None), (18.0, T0 + 35 * MIN)]


def test_what_is_unknown_at_one_end_stays_unknown():
    found = trips(state(10, trigger="IGNITION_ON"), state(70, km=100, trigger="IGNITION_OFF"))
    assert (found[1]["distance_km"], found[1]["energy_kwh"], found[1]["soc_end_pct"]) == (None, None, None)


def test_vehicles_are_kept_apart():
    other = [{**entry, "vehicle_id": "b"} for entry in drive(20, 50, 7000, 20)]
    found = [(row["vehicle_id"], row["distance_km"]) for row in trips(*drive(10, 70, 1000), *other) if row["ended_at"]]
    assert found == [("a", 50.0), ("b", 20.0)]


def test_no_snapshots_no_trips():
    found, resume = derive_trips(ENTITIES["vehicle_snapshot"].empty())
    assert found.is_empty()
    assert resume.is_empty()


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.sampled_from([0.0, 0.0, 3.0, 9.0]), min_size=4, max_size=24),
    has_ignition=st.booleans(),
    cut=st.integers(1, 23),
)
def test_pieces_give_the_trips_of_the_whole(lengths, has_ignition, cut):
    km, entries, was_driving = 100.0, [], False
    for k, length in enumerate(lengths):
        km += length
        word = (
            "IGNITION_ON" if length and not was_driving else "IGNITION_OFF" if was_driving and not length else "TIMER"
        )
        entries.append(state(15 * k, km=km, trigger=word if has_ignition else "TIMER"))
        was_driving = length > 0
    known = ["a"] if has_ignition else []
    whole, _ = derive_trips(states(*entries), with_ignition=known)
    first, resume = derive_trips(states(*entries[:cut]), with_ignition=known)
    left = states(*entries).join(resume.select("vehicle_id", RESUME), on="vehicle_id")
    left = left.filter(pl.col("observed_at") >= pl.col(RESUME)).drop(RESUME)
    second, _ = derive_trips(left, with_ignition=known)
    both = pl.concat([first, second]).unique(maintain_order=True)
    keys = ["vehicle_id", "started_at", "available_at"]
    assert both.sort(keys).equals(whole.sort(keys))
