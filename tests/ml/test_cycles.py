"""Duty cycles from trips and from snapshots: chains over midnight, open days, withdrawn and recalculated trips."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from core.entities import ENTITIES
from ml.cycles import (
    assign_cycles,
    complete_trips,
    duty_cycles,
    outings_from_snapshots,
    progress,
    settle_soc,
    told_by_states,
)

T0 = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
HOMES = pl.DataFrame({"vehicle_id": ["v"], "home_site_id": ["depot"]})


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


def versions(*rows: dict[str, object]) -> pl.DataFrame:
    schema = ENTITIES["trip"].schema
    full = [{name: row.get(name) for name in schema} for row in rows]
    return pl.DataFrame(full, schema=schema).sort("available_at", maintain_order=True)


def trip(begin: float, end: float | None = None, *, known: float | None = None, **more: object) -> dict[str, object]:
    told = at(known if known is not None else end if end is not None else begin)
    return {
        "vehicle_id": "v",
        "started_at": at(begin),
        "ended_at": None if end is None else at(end),
        "observed_at": told,
        "available_at": told,
        "ingested_at": told,
        **more,
    }


def cycles_of(*rows: dict[str, object], timezone: str = "UTC") -> pl.DataFrame:
    return duty_cycles(assign_cycles(complete_trips(versions(*rows)), timezone=timezone), HOMES, timezone=timezone)


def test_trips_of_a_day_make_one_cycle_with_sums() -> None:
    cycle = cycles_of(
        trip(6, 9, distance_km=30.0, energy_kwh=9.0, soc_start_pct=90.0),
        trip(13, 15, distance_km=20.0, energy_kwh=6.0, soc_end_pct=60.0, end_site_id="depot"),
    ).row(0, named=True)
    assert (cycle["departed_at"], cycle["returned_at"]) == (at(6), at(15))
    assert (cycle["distance_km"], cycle["energy_kwh"], cycle["trips"]) == (50.0, 15.0, 2)
    assert (cycle["soc_departure_pct"], cycle["soc_arrival_pct"]) == (90.0, 60.0)
    assert cycle["known_at"] == at(24), "only after midnight is the last return of a day known to be the last"


def test_a_night_shift_is_one_cycle_of_the_day_it_left_on() -> None:
    cycles = cycles_of(trip(22, 25), trip(25.5, 29, end_site_id="depot"), trip(46, 50, end_site_id="depot"))
    assert cycles["operating_date"].to_list() == [date(2026, 3, 2), date(2026, 3, 3)]
    assert cycles["returned_at"].to_list() == [at(29), at(50)]
    assert cycles["known_at"].to_list() == [at(31), at(52)]


def test_the_operating_date_is_local() -> None:
    cycles = cycles_of(trip(3, 5, end_site_id="depot"), timezone="America/New_York")
    assert cycles["operating_date"].to_list() == [date(2026, 3, 1)]


@pytest.mark.parametrize(
    "last",
    [trip(10), trip(10, 12, end_site_id="elsewhere")],
    ids=["still driving", "parked elsewhere"],
)
def test_an_open_cycle_has_no_return(last: dict[str, object]) -> None:
    finished = [trip(24 * day + 6, 24 * day + 9, end_site_id="depot") for day in (1, 2, 3)]
    cycle = cycles_of(trip(6, 9), last, *finished).row(0, named=True)
    assert cycle["returned_at"] is None
    assert cycle["known_at"] is None


def test_where_no_source_tells_of_depots_the_last_end_is_the_return() -> None:
    assert cycles_of(trip(6, 9), trip(10, 12))["returned_at"].to_list() == [at(12)]


def test_values_are_those_known_first_and_withdrawn_trips_are_gone() -> None:
    trips = complete_trips(
        versions(
            trip(6),
            trip(6, 9, distance_km=30.0),
            trip(6, 9, known=40, distance_km=31.0),
            trip(12, 13, distance_km=5.0),
            trip(12, 13, known=41, is_deleted=True),
        )
    )
    assert trips.select("started_at", "start_known_at", "end_known_at", "distance_km").rows() == [
        (at(6), at(6), at(9), 30.0)
    ]


def test_unknown_energy_of_a_part_makes_the_whole_unknown() -> None:
    trips = assign_cycles(complete_trips(versions(trip(6, 9, energy_kwh=9.0), trip(10, 12))), timezone="UTC")
    assert duty_cycles(trips, HOMES, timezone="UTC")["energy_kwh"].to_list() == [None]
    assert progress(trips)["trip_kwh_so_far"].to_list() == [9.0, None]


def test_soc_at_arrival_comes_from_energy_over_usable_energy() -> None:
    cycles = cycles_of(trip(6, 9, energy_kwh=15.0, soc_start_pct=90.0, end_site_id="depot"))
    battery = pl.DataFrame({"vehicle_id": ["v"], "usable_kwh": [60.0]})
    settled = settle_soc(cycles, battery).row(0, named=True)
    assert (settled["drop_pp"], settled["soc_arrival_pct"]) == (25.0, 65.0)


def snapshot(hour: float, site: str | None, odometer: float, soc: float) -> dict[str, object]:
    return {
        "vehicle_id": "v",
        "observed_at": at(hour),
        "available_at": at(hour + 0.1),
        "at_site_id": site,
        "odometer_km": odometer,
        "soc_pct": soc,
        "energy_used_total_kwh": odometer * 0.3,
    }


def test_outings_are_the_runs_of_snapshots_outside_the_depot() -> None:
    rows = [
        snapshot(5, "depot", 100, 95),
        snapshot(6, None, 104, 94),
        snapshot(9, None, 150, 70),
        snapshot(10, "depot", 160, 66),
        snapshot(11, None, 160.2, 66),  # the position jittered
        snapshot(12, "depot", 160.4, 66),
        snapshot(30, None, 170, 80),
    ]
    schema = ENTITIES["vehicle_snapshot"].schema
    frame = pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
    outings = outings_from_snapshots(frame, HOMES)
    assert outings["started_at"].to_list() == [at(6), at(30)]
    assert outings["ended_at"].to_list() == [at(10), None]
    first = outings.row(0, named=True)
    assert (first["distance_km"], first["soc_start_pct"], first["soc_end_pct"]) == (60.0, 95.0, 66.0)
    assert first["energy_kwh"] == pytest.approx(18.0)
    assert first["end_known_at"] == at(10.1)


def test_a_vehicle_never_seen_at_its_depot_has_no_outings() -> None:
    schema = ENTITIES["vehicle_snapshot"].schema
    rows = [snapshot(5, None, 100, 95), snapshot(6, None, 140, 80)]
    frame = pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
    assert outings_from_snapshots(frame, HOMES).is_empty()


def states(*rows: tuple[float, float | None, float]) -> pl.DataFrame:
    """Return states of ``v``: when observed, SoC, and when known, in hours."""
    return pl.DataFrame(
        [("v", at(seen), soc, at(known)) for seen, soc, known in rows],
        schema=["vehicle_id", "observed_at", "soc_pct", "available_at"],
        orient="row",
    )


def test_where_trips_tell_no_soc_states_at_their_ends_do() -> None:
    cycles = cycles_of(trip(6, 9), trip(13, 15, end_site_id="depot"))
    told = states((5.5, 95.0, 5.6), (6.5, 90.0, 6.6), (14.95, 61.0, 15.0), (15.1, 60.0, 15.2), (15.5, 66.0, 15.6))
    found = told_by_states(cycles, told).row(0, named=True)
    assert (found["soc_departure_pct"], found["soc_arrival_pct"]) == (95.0, 61.0)


def test_what_trips_tell_of_the_soc_stands() -> None:
    cycles = cycles_of(trip(6, 15, soc_start_pct=90.0, soc_end_pct=50.0, end_site_id="depot"))
    told = states((6.0, 80.0, 6.0), (15.0, 40.0, 15.0))
    assert told_by_states(cycles, told).select("soc_departure_pct", "soc_arrival_pct").row(0) == (90.0, 50.0)


@pytest.mark.parametrize(
    "told",
    [(12.0, 60.0, 12.0), (14.9, None, 14.9), (15.05, 60.0, 40.0), (15.3, 60.0, 15.3)],
    ids=["too early", "tells no SoC", "known too late", "too long after"],
)
def test_the_soc_at_arrival_stays_unknown(told: tuple[float, float | None, float]) -> None:
    cycles = cycles_of(trip(6, 15, end_site_id="depot"))
    assert told_by_states(cycles, states(told))["soc_arrival_pct"].to_list() == [None]


def test_a_state_that_came_late_hides_none_that_was_known_in_time() -> None:
    cycles = cycles_of(trip(6, 15, known=6.2, end_site_id="depot"))
    told = states((5.5, 95.0, 5.6), (5.9, 97.0, 7.0))
    assert told_by_states(cycles, told)["soc_departure_pct"].to_list() == [95.0]
