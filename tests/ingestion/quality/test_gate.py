"""The gate: what lands, what lands without a field, what does not land, each for a stated reason."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.entities import ENTITIES
from ingestion.providers.base import RECORD
from ingestion.quality.gate import split
from ingestion.quality.plausibility import NOTHING_KNOWN, Known

T0 = datetime(2026, 2, 2, 12, tzinfo=UTC)
MIN = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def rows(entity: str, *entries: dict) -> pl.DataFrame:
    timed = [{"observed_at": T0, "available_at": T0, **entry} for entry in entries]
    columns = {name: ENTITIES[entity].schema[name] for name in {name for entry in timed for name in entry}}
    return pl.DataFrame(timed, schema=columns).with_row_index(RECORD).cast({RECORD: pl.Int64})


def judged(entity: str, *entries: dict, **options) -> tuple[pl.DataFrame, list[tuple[int, str, bool]]]:
    good, rejected = split(entity, rows(entity, *entries), as_of=T0 + HOUR, **options)
    return good, rejected.select(RECORD, "reason", "field_only").rows()


def snapshot(**fields) -> dict:
    return {"vehicle_id": "van-01", **fields}


def trip(**fields) -> dict:
    return {"vehicle_id": "van-01", "started_at": T0 - HOUR, "ended_at": T0, **fields}


@pytest.mark.parametrize(
    ("entity", "entry", "reason"),
    [
        ("vehicle_snapshot", snapshot(soc_pct=140.0), "soc_pct_out_of_range"),
        ("vehicle_snapshot", snapshot(soc_pct=-1.0), "soc_pct_out_of_range"),
        ("vehicle_snapshot", snapshot(speed_kmh=float("nan")), "speed_kmh_not_a_number"),
        ("vehicle_snapshot", snapshot(charging_state="perhaps"), "charging_state_unknown"),
        ("trip", trip(energy_kwh=30_000.0, distance_km=40.0), "energy_kwh_out_of_range"),
        ("trip", trip(energy_kwh=900.0, distance_km=100.0), "consumption_implausible"),
        ("trip", trip(energy_kwh=0.02, distance_km=100.0), "consumption_implausible"),
        ("trip", trip(ended_at=datetime(1970, 1, 1, tzinfo=UTC)), "ended_at_too_early"),
        ("trip", trip(ended_at=datetime(2050, 1, 1, tzinfo=UTC)), "ended_at_too_late"),
        (
            "vehicle_snapshot",
            snapshot(odometer_km=50_000.0, energy_used_total_kwh=14.0),
            "energy_unit_implausible",
        ),
    ],
)
def test_a_bad_field_becomes_null_and_its_row_lands(entity, entry, reason):
    good, rejected = judged(entity, entry)
    assert rejected == [(0, reason, True)]
    field = reason.rsplit("_out_of", 1)[0].rsplit("_too_", 1)[0].rsplit("_not_a", 1)[0].rsplit("_unknown", 1)[0]
    named = {"consumption_implausible": "energy_kwh", "energy_unit_implausible": "energy_used_total_kwh"}
    assert good[named.get(field, field)].to_list() == [None]


@pytest.mark.parametrize(
    ("entity", "entry", "reason"),
    [
        ("vehicle_snapshot", {"vehicle_id": None}, "no_vehicle_id"),
        ("vehicle_snapshot", snapshot(observed_at=datetime(1970, 1, 1, tzinfo=UTC)), "observed_at_too_early"),
        ("vehicle_snapshot", snapshot(observed_at=T0 + HOUR + 6 * MIN), "observed_at_in_future"),
        ("vehicle_position", snapshot(latitude=0.0, longitude=0.0), "position_missing"),
        ("vehicle_position", snapshot(latitude=95.0, longitude=0.0), "latitude_out_of_range"),
        ("vehicle_position", snapshot(latitude=None, longitude=13.0), "no_latitude"),
        ("trip", trip(ended_at=T0 - 2 * HOUR), "trip_ends_before_start"),
    ],
)
def test_a_bad_key_or_time_keeps_the_row_out(entity, entry, reason):
    good, rejected = judged(entity, entry)
    assert (good.height, rejected) == (0, [(0, reason, False)])


@pytest.mark.parametrize(
    "entry",
    [
        snapshot(soc_pct=0.0, odometer_km=0.0, charging_power_kw=-40.0),
        snapshot(soc_pct=100.0, observed_at=T0 + HOUR + 4 * MIN),
        snapshot(odometer_km=20_000.0, energy_used_total_kwh=5_600.0),
        snapshot(odometer_km=60.0, energy_used_total_kwh=0.5),  # too new to be judged
    ],
)
def test_what_is_possible_lands(entry):
    good, rejected = judged("vehicle_snapshot", entry)
    assert (good.height, rejected) == (1, [])


@pytest.mark.parametrize(
    "entry", [trip(energy_kwh=-2.0, distance_km=8.0), trip(energy_kwh=9.0, distance_km=2.0), trip(energy_kwh=28.0)]
)
def test_downhill_and_preheated_trips_land(entry):
    assert judged("trip", entry)[1] == []


def test_energy_above_the_battery_is_not_believed():
    known = Known(pl.DataFrame({"vehicle_id": ["van-01"], "battery_kwh": [75.0]}), NOTHING_KNOWN.odometers)
    entries = [trip(energy_kwh=80.0, distance_km=200.0), trip(energy_kwh=120.0, distance_km=200.0)]
    good, rejected = judged("trip", *entries, known_of=lambda _: known)
    assert rejected == [(1, "energy_above_battery", True)]
    assert good["energy_kwh"].to_list() == [80.0, None]
    assert good.columns == rows("trip", *entries).columns


def test_the_odometer_only_grows_per_vehicle_whatever_the_order():
    entries = [
        snapshot(observed_at=T0 + 3 * MIN, odometer_km=1003.0),
        snapshot(observed_at=T0 + 1 * MIN, odometer_km=1001.0),
        snapshot(observed_at=T0 + 2 * MIN, odometer_km=5.0),
        {"vehicle_id": "van-02", "observed_at": T0 + 2 * MIN, "odometer_km": 7.0},
        snapshot(observed_at=T0 + 4 * MIN, odometer_km=1002.95),  # rounding
    ]
    assert judged("vehicle_snapshot", *entries)[1] == [(2, "odometer_decreased", True)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "vehicle_id": st.sampled_from(["a", "b", None]),
                "observed_at": st.integers(-60 * 366, 80 * 366).map(lambda days: T0 + timedelta(days=days)),
                "soc_pct": st.none() | st.floats(width=32),
                "odometer_km": st.none() | st.floats(-10, 5e6),
                "charging_state": st.none() | st.text(max_size=5),
            }
        ),
        max_size=8,
    )
)
def test_whatever_comes_either_lands_within_bounds_or_is_rejected(entries):
    given_rows = rows("vehicle_snapshot", *entries) if entries else rows("vehicle_snapshot", snapshot()).clear()
    good, rejected = split("vehicle_snapshot", given_rows, as_of=T0)
    refused = set(rejected.filter(~pl.col("field_only"))[RECORD])
    assert sorted([*good[RECORD], *refused]) == list(range(given_rows.height))
    if "soc_pct" in good.columns:
        told = good["soc_pct"].drop_nulls()
        assert told.is_between(0, 100).all()
    assert good["observed_at"].is_between(datetime(2015, 1, 1, tzinfo=UTC), T0 + 5 * MIN).all()
