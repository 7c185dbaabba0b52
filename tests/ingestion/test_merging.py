"""Rows that meet landed versions: samples become one snapshot, corrections later versions, repetition nothing."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from core.entities import ENTITIES
from ingestion.merging import as_corrections, merge_snapshots
from ingestion.providers.base import RECORD

T0 = datetime(2026, 2, 2, 12, tzinfo=UTC)
MIN = timedelta(minutes=1)
SNAPSHOT = ENTITIES["vehicle_snapshot"].schema
TRIP = ENTITIES["trip"].schema


def samples(*entries: dict) -> pl.DataFrame:
    timed = [{"vehicle_id": "a", "observed_at": T0, "available_at": T0 + MIN, **entry} for entry in entries]
    names = ["vehicle_id", "observed_at", "available_at", "soc_pct", "odometer_km", "trigger"]
    frame = pl.DataFrame(timed, schema={name: SNAPSHOT[name] for name in names})
    return frame.with_row_index(RECORD).cast({RECORD: pl.Int64})


def landed(merged: pl.DataFrame | None = None) -> pl.DataFrame:
    empty = ENTITIES["vehicle_snapshot"].empty()
    return empty if merged is None else pl.concat([empty, merged], how="diagonal")


def told(frame: pl.DataFrame) -> list[tuple]:
    return frame.sort("observed_at").select("soc_pct", "odometer_km", "available_at").rows()


def test_samples_of_one_instant_become_one_row():
    merged, bringing = merge_snapshots(samples({"soc_pct": 50.0}, {"odometer_km": 9.0}), landed())
    assert told(merged) == [(50.0, 9.0, T0 + MIN)]
    assert bringing.to_list() == [0, 1]


def test_a_sample_fills_what_an_earlier_batch_left_open():
    first, _ = merge_snapshots(samples({"soc_pct": 50.0}), landed())
    second, bringing = merge_snapshots(samples({"odometer_km": 9.0, "available_at": T0 + 3 * MIN}), landed(first))
    assert told(second) == [(50.0, 9.0, T0 + 3 * MIN)]
    assert bringing.to_list() == [0]


def test_what_was_available_later_counts():
    merged, _ = merge_snapshots(samples({"soc_pct": 50.0, "available_at": T0 + 9 * MIN}, {"soc_pct": 60.0}), landed())
    assert told(merged) == [(50.0, None, T0 + 9 * MIN)]
    corrected, _ = merge_snapshots(samples({"soc_pct": 55.0, "available_at": T0 + 12 * MIN}), landed(merged))
    assert told(corrected) == [(55.0, None, T0 + 12 * MIN)]
    ignored, bringing = merge_snapshots(samples({"soc_pct": 70.0, "available_at": T0 + 2 * MIN}), landed(merged))
    assert (ignored.height, bringing.len()) == (0, 0)


def test_an_exact_repetition_brings_nothing_even_within_a_batch():
    merged, bringing = merge_snapshots(samples({"soc_pct": 50.0}, {"soc_pct": 50.0}), landed())
    assert bringing.to_list() == [0]
    assert merged.height == 1


ENTRIES = st.lists(
    st.fixed_dictionaries(
        {
            "vehicle_id": st.sampled_from("ab"),
            "observed_at": st.integers(0, 2).map(lambda k: T0 + k * MIN),
            "available_at": st.integers(3, 6).map(lambda k: T0 + k * MIN),
            "soc_pct": st.none() | st.sampled_from([10.0, 20.0]),
            "odometer_km": st.none() | st.sampled_from([1.0, 2.0]),
        }
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(ENTRIES)
def test_the_same_samples_again_bring_nothing(entries):
    merged, _ = merge_snapshots(samples(*entries), landed())
    again, bringing = merge_snapshots(samples(*entries), landed(merged))
    assert (again.height, bringing.len()) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(ENTRIES, st.integers(0, 8))
def test_pieces_say_what_the_whole_says_where_samples_do_not_contradict(entries, cut):
    alike = [{**one, "soc_pct": one["soc_pct"] and 10.0, "odometer_km": one["odometer_km"] and 1.0} for one in entries]
    whole, _ = merge_snapshots(samples(*alike), landed())
    first, _ = merge_snapshots(samples(*alike[:cut]), landed())
    second, _ = merge_snapshots(samples(*alike[cut:]), landed(first))
    latest = pl.concat([first, second]).unique(["vehicle_id", "observed_at"], keep="last", maintain_order=True)
    columns = ["vehicle_id", "observed_at", "soc_pct", "odometer_km"]
    assert latest.select(columns).sort(columns).equals(whole.select(columns).sort(columns))


def trips(*entries: dict) -> pl.DataFrame:
    base = {"vehicle_id": "a", "started_at": T0, "ended_at": T0 + 60 * MIN, "observed_at": T0 + 60 * MIN}
    timed = [{**base, "available_at": T0 + 65 * MIN, **entry} for entry in entries]
    names = [*base, "available_at", "distance_km", "is_deleted"]
    return pl.DataFrame(timed, schema={name: TRIP[name] for name in names}).with_row_index(RECORD)


def as_landed(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([ENTITIES["trip"].empty(), frame.drop(RECORD)], how="diagonal")


def test_a_recalculated_trip_is_known_from_the_run_that_brought_it():
    as_of = T0 + timedelta(days=1)
    before = as_landed(trips({"distance_km": 40.0}))
    found = as_corrections(trips({"distance_km": 41.0}), before, as_of=as_of)
    assert found.select("distance_km", "available_at").rows() == [(41.0, as_of)]


def test_an_unchanged_trip_is_left_out_and_an_ended_one_keeps_its_own_time():
    as_of = T0 + timedelta(days=1)
    start = trips({"ended_at": None, "observed_at": T0, "available_at": T0 + 5 * MIN})
    assert as_corrections(start, as_landed(start), as_of=as_of).is_empty()
    ended = as_corrections(trips({"distance_km": 40.0}), as_landed(start), as_of=as_of)
    assert ended["available_at"].to_list() == [T0 + 65 * MIN]


def test_of_several_states_in_one_batch_the_last_counts():
    found = as_corrections(trips({"distance_km": 40.0}, {"distance_km": 41.0}), as_landed(trips().clear()), as_of=T0)
    assert found["distance_km"].to_list() == [41.0]
