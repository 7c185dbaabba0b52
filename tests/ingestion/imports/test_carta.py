"""CARTA: distances along the pattern, idle buses in one line, two trips with one start."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from core.landing import Landing
from core.units import KM_PER_FOOT

HEADER = (
    "Unnamed: 0,tatripid,vid,start_pdist,end_pdist,num_docs,start_timestamp,end_timestamp,start_tmstmp,end_tmstmp,"
    "route_id,destination,source_file"
)
NOON = datetime(2020, 2, 18, 17, tzinfo=UTC)  # noon on the buses' clock


def line(
    *, trip: str = "7", bus: str = "12", feet: tuple[object, object] = (0, 10_000), reports: int = 30,
    start: timedelta = timedelta(), minutes: int | None = 20, route: str = "4",
) -> str:  # fmt: skip
    begin = (NOON + start).timestamp()
    end = "" if minutes is None else begin + 60 * minutes
    return (
        f"0,{trip},{bus},{feet[0]},{feet[1]},{reports},{begin},{end},20200218 12:00,20200218 12:20,{route},TOWN,x.csv"
    )


def run(run_import, *lines: str):
    return run_import("carta", {"carta_trips.csv": "\n".join([HEADER, *lines]) + "\n"})


def test_a_trip_lands_as_known_at_its_end_and_at_its_start(run_import, landing: Landing) -> None:
    report = run(run_import, line(feet=(12_000, 2_000)))
    assert report.rows == {"read": 1, "landed": 1, "duplicates": 0, "quarantined": 0}
    trip = landing.read("trip").row(0, named=True)
    assert trip["vehicle_id"] == "carta:12"
    assert trip["distance_km"] == pytest.approx(10_000 * KM_PER_FOOT)
    assert (trip["started_at"], trip["ended_at"]) == (NOON, NOON + timedelta(minutes=20))
    assert trip["available_at"] == NOON + timedelta(minutes=35)
    running = landing.read("trip", as_of=NOON + timedelta(minutes=15)).row(0, named=True)
    assert (running["started_at"], running["ended_at"], running["distance_km"]) == (NOON, None, None)


def test_all_idle_buses_in_one_line_are_no_trip(run_import, landing: Landing) -> None:
    report = run(run_import, line(trip="", route="U", minutes=900, reports=9000, feet=(0, 0)), line())
    assert report.rows == {"read": 2, "landed": 1, "duplicates": 0, "quarantined": 1}
    assert report.reasons == {"unassigned_block": 1}
    kept = landing.read("quarantined_row").row(0, named=True)
    assert kept["record_ref"] == "carta_trips.csv:2"
    assert '"num_docs":"9000"' in kept["record_json"]


def test_of_two_trips_with_one_start_the_better_reported_lands(run_import, landing: Landing) -> None:
    report = run(run_import, line(trip="1", reports=1, minutes=0, feet=(5, 5)), line(trip="2", reports=60))
    assert report.reasons == {"same_start_as_longer_trip": 1}
    assert landing.read("trip")["provider_ref"].to_list() == ["2"]


def test_the_same_line_twice_is_a_duplicate_and_not_distrusted(run_import) -> None:
    report = run(run_import, line(), line())
    assert report.rows == {"read": 2, "landed": 1, "duplicates": 1, "quarantined": 0}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param([line(bus="")], "no_vehicle_id", id="no bus"),
        pytest.param([line(minutes=-5)], "ends_before_start", id="negative duration"),
        pytest.param([line(minutes=25 * 60)], "longer_than_a_day", id="absurd duration"),
    ],
)
def test_a_record_that_cannot_be_trusted_is_quarantined(run_import, lines: list[str], reason: str) -> None:
    report = run(run_import, *lines)
    assert report.rows["quarantined"] == 1
    assert report.reasons == {reason: 1}


def test_a_bad_field_is_left_empty_and_its_trip_lands(run_import, landing: Landing) -> None:
    far = (90_000, 400)  # the end of the pattern, then its start
    report = run(run_import, line(feet=far, minutes=1), line(feet=("?", 3), bus="13"), line(minutes=None, bus="14"))
    assert report.rows["landed"] == 3
    assert report.reasons == {"distance_faster_than_a_bus": 1, "start_ft_unreadable": 1}
    assert landing.read("trip")["distance_km"].to_list()[:2] == [None, None]


def test_depot_ends_are_known_where_the_route_says_so(run_import, landing: Landing) -> None:
    cut = timedelta(minutes=21)
    run(
        run_import,
        line(trip="1", route="PO"),
        line(trip="1", route="PO", start=cut),  # the same trip, cut at midnight UTC: no second departure
        line(trip="3", route="4", start=2 * cut),
        line(trip="4", route="PI", start=3 * cut),
    )
    trips = landing.read("trip")
    assert trips["start_site_id"].to_list() == ["carta:depot", None, None, None]
    assert trips["end_site_id"].to_list() == [None, None, None, "carta:depot"]


def test_the_depot_and_the_buses_land_with_the_trips(run_import, landing: Landing) -> None:
    run(run_import, line(bus="1"), line(bus="2"))
    assert landing.read("site").select("site_id", "timezone").row(0) == ("carta:depot", "America/New_York")
    assert landing.read("vehicle").select("vehicle_id", "vehicle_class").rows() == [
        ("carta:1", "bus"),
        ("carta:2", "bus"),
    ]
    contract = landing.read("source_contract")
    assert contract.select("source_id", "latency_min").row(0) == ("carta", 15.0)
    assert landing.read("vehicle", as_of=NOON).height == 2


def test_unreadable_rows_are_not_lost(run_import, landing: Landing) -> None:
    report = run(run_import, line(), "half a line")
    assert report.rows == {"read": 2, "landed": 1, "duplicates": 0, "quarantined": 1}
    assert landing.read("quarantined_row").select(pl.col("reason")).item() == "no_vehicle_id"
