"""Transactions and vehicles: what counts as evidence, what contradicts it, and when there is no match."""

from datetime import UTC, datetime, timedelta
from itertools import combinations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.entities import ENTITIES
from core.pseudonyms import keyed_hash
from ingestion.identity import SOURCE, match_sessions
from ingestion.matching import NO_OVERRIDES, Evidence, match_evidence
from ingestion.registry.rows import land_registry

T0 = datetime(2026, 2, 2, 18, tzinfo=UTC)
NOW = T0 + timedelta(hours=8)
MIN = timedelta(minutes=1)
VAN_1_TOKEN = "04A1B2C3D4E501"


def rows(entity: str, entries: list[dict]) -> pl.DataFrame:
    timed = [{"observed_at": T0, "available_at": T0, "ingested_at": T0, **entry} for entry in entries]
    return pl.DataFrame(timed, schema=ENTITIES[entity].schema)


def transaction(number: int = 1, *, station: str = "DC-1", start=T0, end=T0 + 60 * MIN, token=None, **more) -> dict:
    return {
        "station_id": station,
        "connector_id": 1,
        "transaction_id": str(number),
        "started_at": start,
        "ended_at": end,
        "token": token and keyed_hash(token),
        "available_at": start + MIN,
        **more,
    }


def snapshot(vehicle: str, at: datetime, **fields) -> dict:
    return {"vehicle_id": vehicle, "observed_at": at, "available_at": at + MIN, **fields}


def arriving(vehicle: str, at: datetime, *, plugged_at: datetime | None = None) -> list[dict]:
    """A vehicle that comes to the depot and, perhaps, is plugged in."""
    found = [
        snapshot(vehicle, at - 30 * MIN, speed_kmh=50, is_plugged=False),
        snapshot(vehicle, at, speed_kmh=0, at_site_id="north", is_plugged=False),
    ]
    if plugged_at is not None:
        found.append(snapshot(vehicle, plugged_at, speed_kmh=0, at_site_id="north", is_plugged=True))
    return found


def trip(vehicle: str, start: datetime, end: datetime, **fields) -> dict:
    return {"vehicle_id": vehicle, "started_at": start, "ended_at": end, "observed_at": end, "available_at": end + MIN,
            **fields}  # fmt: skip


def both_arriving() -> list[dict]:
    """Two vans that come and are plugged in together."""
    first = arriving("van-01", T0 - 10 * MIN, plugged_at=T0 + MIN)
    return first + arriving("van-02", T0 - 9 * MIN, plugged_at=T0 + MIN)


@pytest.fixture
def depot(make_depot):
    depot = make_depot()
    land_registry(depot.registry, depot.landing, as_of=T0)
    return depot


@pytest.fixture
def match(depot):
    def matched(
        transactions: list[dict], snapshots: list[dict] = (), *, trips: list[dict] = (), as_of=NOW, **options
    ) -> list[tuple]:
        depot.landing.append("charging_transaction", rows("charging_transaction", transactions), source="bridge-north")
        depot.landing.append("vehicle_snapshot", rows("vehicle_snapshot", list(snapshots)), source="geotab-vans")
        depot.landing.append("trip", rows("trip", list(trips)), source="geotab-vans")
        matches = match_sessions(depot.landing, depot.registry, as_of=as_of, **options)
        depot.landing.append("session_match", matches, source=SOURCE)
        return [(one["vehicle_id"], one["method"], one["confidence"]) for one in matches.iter_rows(named=True)]

    return matched


def test_a_token_names_its_vehicle(match):
    assert match([transaction(token=VAN_1_TOKEN)]) == [("van-01", "token", 0.95)]


def test_case_and_blanks_of_a_token_do_not_matter(match):
    assert match([transaction(token=" 04a1b2c3d4e501")])[0][0] == "van-01"


def test_a_token_counts_only_while_it_is_valid(match):
    assert match([transaction(start=datetime(2025, 12, 1, tzinfo=UTC), token=VAN_1_TOKEN)]) == [(None, "none", 0.0)]


def test_a_guest_is_no_guess(match):
    assert match([transaction(token="FFFFFFFF")]) == [(None, "none", 0.0)]


def test_a_source_that_names_the_vehicle_is_believed(match):
    assert match([transaction(vehicle_id="truck-01")])[0][:2] == ("truck-01", "vehicle_named")


def test_plug_time_and_arrival_stand_in_for_a_token(match):
    ((vehicle, method, confidence),) = match([transaction()], arriving("van-02", T0 - 10 * MIN, plugged_at=T0 + MIN))
    assert (vehicle, method) == ("van-02", "arrival")
    assert confidence > 0.75


def test_an_arrival_alone_is_too_little(match):
    assert match([transaction()], arriving("van-02", T0 - 10 * MIN)) == [(None, "none", 0.0)]


def test_two_vehicles_that_fit_alike_are_no_match(match):
    both = arriving("van-01", T0 - 10 * MIN, plugged_at=T0 + MIN) + arriving(
        "van-02", T0 - 9 * MIN, plugged_at=T0 + MIN
    )
    assert match([transaction()], both) == [(None, "none", 0.0)]


def test_the_own_bay_alone_does_not_decide_between_two_alike(match):
    assert match([transaction(station="CP-1")], both_arriving()) == [(None, "none", 0.0)]


def test_of_two_alike_the_one_that_fits_elsewhere_is_no_rival(match):
    """Both came together; the card on the other post says where van-01 is, so this must be van-02."""
    found = match([transaction(1), transaction(2, station="CP-2", token=VAN_1_TOKEN)], both_arriving())
    assert [vehicle for vehicle, _, _ in found] == ["van-01", "van-02"]  # by station: CP-2, then DC-1


def test_of_two_places_that_fit_a_vehicle_alike_its_own_bay_is_taken(match):
    found = match([transaction(1, station="CP-1"), transaction(2, station="CP-2")], both_arriving())
    assert [vehicle for vehicle, _, _ in found] == ["van-01", "van-02"]


@pytest.mark.parametrize(
    ("minutes_before", "station", "vehicle"), [(8, "CP-1", "van-01"), (8, "DC-1", None), (75, "CP-1", None)]
)
def test_a_trip_that_ended_shortly_before_and_its_own_bay_are_enough_together(match, minutes_before, station, vehicle):
    """Geotab tells of a trip's end, not of its place."""
    stopped_at = T0 - minutes_before * MIN
    found = match([transaction(station=station)], trips=[trip("van-01", stopped_at - 40 * MIN, stopped_at)])
    assert [name for name, _, _ in found] == [vehicle]


def test_who_is_on_a_trip_meanwhile_is_not_plugged_in(match):
    on_the_road = [trip("van-01", T0 - 48 * MIN, T0 - 8 * MIN), trip("van-01", T0 + 10 * MIN, T0 + 40 * MIN)]
    assert match([transaction(station="CP-1")], trips=on_the_road) == [(None, "none", 0.0)]


def test_a_swapped_card_yields_to_what_telematics_sees(match):
    driving = [snapshot("van-01", T0 + k * MIN, speed_kmh=60, is_plugged=False) for k in (-10, 10, 30)]
    plugged = arriving("van-02", T0 - 10 * MIN, plugged_at=T0 + MIN)
    assert match([transaction(station="CP-2", token=VAN_1_TOKEN)], driving + plugged)[0][:2] == ("van-02", "arrival")


def test_an_operator_has_the_last_word(match):
    said = pl.DataFrame([("DC-1", 1, "1", "truck-01")], schema=NO_OVERRIDES.schema, orient="row")
    assert match([transaction(token=VAN_1_TOKEN)], overrides=said) == [("truck-01", "manual", 1.0)]


def test_a_vehicle_is_in_one_place_at_a_time(match):
    both = [transaction(1, station="CP-1", token=VAN_1_TOKEN), transaction(2, station="DC-1", token=VAN_1_TOKEN)]
    found = match(both, arriving("van-01", T0 - 10 * MIN, plugged_at=T0 + MIN))
    assert [vehicle for vehicle, _, _ in found] == ["van-01", None]  # CP-1 is its own bay


def test_a_transaction_that_nobody_closed_ends_with_the_next_on_its_connector(match):
    forgotten = transaction(1, station="CP-1", end=None, token=VAN_1_TOKEN)
    following = transaction(2, station="CP-1", start=T0 + 120 * MIN, end=None, token=VAN_1_TOKEN)
    assert [vehicle for vehicle, _, _ in match([forgotten, following])] == ["van-01", "van-01"]


def test_a_later_attribution_is_a_new_version_and_the_earlier_stays_known(match, depot):
    assert match([transaction(end=None)], as_of=T0 + 5 * MIN) == [(None, "none", 0.0)]
    later = T0 + 30 * MIN
    assert match([], arriving("van-02", T0 - 10 * MIN, plugged_at=T0 + MIN), as_of=later)[0][0] == "van-02"
    known = [depot.landing.read("session_match", as_of=at)["vehicle_id"].to_list() for at in (T0 + 5 * MIN, later)]
    assert known == [[None], ["van-02"]]


def test_matching_again_changes_nothing(match, depot):
    match([transaction(token=VAN_1_TOKEN), transaction(2, station="CP-1")])
    before = depot.landing.scan("session_match").collect()
    match([], as_of=NOW + 60 * MIN)
    assert depot.landing.scan("session_match").collect().equals(before)


def test_since_leaves_older_transactions_alone(match):
    old = transaction(1, start=T0 - timedelta(days=9), end=T0 - timedelta(days=8), token=VAN_1_TOKEN)
    assert len(match([old, transaction(2, token=VAN_1_TOKEN)], since=T0 - timedelta(days=3))) == 1


@settings(max_examples=25, deadline=None)
@given(
    starts=st.lists(st.integers(0, 600), min_size=1, max_size=6, unique=True),
    tokens=st.lists(st.sampled_from(["a", "b", None]), min_size=6, max_size=6),
)
def test_every_transaction_has_one_match_and_no_vehicle_is_in_two_places(starts, tokens):
    transactions = [
        transaction(k, station=f"S{k % 2}", start=T0 + at * MIN, end=T0 + (at + 90) * MIN, site_id="north")
        | {"token": token}
        for k, (at, token) in enumerate(zip(starts, tokens, strict=False))
    ]
    assigned = [{"vehicle_id": f"v-{name}", "token": name, "valid_from_at": T0 - 9 * MIN} for name in "ab"]
    home = {"vehicle_id": ["v-a", "v-b"], "site_id": ["north"] * 2, "home_station_id": ["S0", "S1"]}
    evidence = Evidence(
        rows("charging_transaction", transactions),
        rows("assignment", assigned),
        rows("vehicle_snapshot", []),
        rows("trip", []),
        pl.DataFrame({**home, "home_connector_id": [1, 1]}),
        NO_OVERRIDES,
    )
    found = match_evidence(evidence, as_of=NOW + timedelta(days=1)).drop_nulls("vehicle_id")
    assert found.height <= len(starts)
    for one, other in combinations(found.sort("started_at").iter_rows(named=True), 2):
        if one["vehicle_id"] == other["vehicle_id"] and one["station_id"] != other["station_id"]:
            assert other["started_at"] - one["started_at"] >= 90 * MIN
