"""Geotab over a real socket: sessions, feeds by version, errors inside HTTP 200, and records as they really are."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from ingestion.providers import geotab as adapter

T0 = datetime(2026, 2, 2, tzinfo=UTC)
END = T0 + timedelta(hours=12)
MIN = timedelta(minutes=1)
SOC = "DiagnosticStateOfChargeId"
ODOMETER = "DiagnosticOdometerId"


def iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def sample(at: datetime, diagnostic: str, value: float, *, device: object = None) -> dict:
    reference = device or {"id": "b1"}
    return {"id": "x", "device": reference, "diagnostic": {"id": diagnostic}, "dateTime": iso(at), "data": value}


def log(at: datetime, latitude: float, longitude: float, speed: float = 50) -> dict:
    place = {"latitude": latitude, "longitude": longitude, "speed": speed}
    return {"id": "y", "device": {"id": "b1"}, "dateTime": iso(at), **place}


def trip(start: datetime, stop: datetime | str, km: float = 42.0, **more: object) -> dict:
    return {
        "id": "t1",
        "device": {"id": "b1"},
        "driver": "UnknownDriverId",
        "start": iso(start),
        "stop": stop if isinstance(stop, str) else iso(stop),
        "distance": km,
        "stopPoint": {"x": 13.35, "y": 52.55},
        "averageSpeed": float("nan"),
        **more,
    }


@pytest.fixture
def run(make_depot, serve, geotab):
    """Serve feeds and ingest them; the server and the depot can be asked afterwards."""

    def start(**settings):
        server = geotab(**settings)
        return server, make_depot(geotab=serve(server.app()))

    return start


def test_samples_of_one_instant_are_one_snapshot_in_canonical_units(run):
    moment = [
        sample(T0 + MIN, SOC, 55),
        sample(T0 + MIN, ODOMETER, 12_345_600),
        sample(T0 + MIN, "DiagnosticElectricVehicleChargingStateId", 1),
        sample(T0 + MIN, "DiagnosticElectricVehicleBatteryPowerId", -7200),
        sample(T0 + MIN, "DiagnosticSomethingElseId", 1),
    ]
    _, depot = run(feeds={"StatusData": moment, "LogRecord": [log(T0 + MIN, 52.5505, 13.35, float("nan"))]})
    report = depot.ingest("geotab-vans", END)
    (row,) = depot.rows("vehicle_snapshot")
    told = {name: value for name, value in row.items() if value is not None}
    assert told == {
        "vehicle_id": "van-01",
        "observed_at": T0 + MIN,
        "available_at": T0 + 6 * MIN,
        "soc_pct": 55,
        "soc_basis": "unknown",
        "odometer_km": 12_345.6,
        "charging_state": "charging_ac",
        "is_plugged": True,
        "charging_power_kw": 7.2,
        "at_site_id": "north",
        "source": "geotab-vans",
    }
    assert (report.read, report.landed, report.without_rows, report.reasons) == (6, 6, 1, {})


def test_parts_of_a_snapshot_that_come_in_different_runs_meet(run):
    server, depot = run(feeds={"StatusData": [sample(T0 + MIN, SOC, 55)]})
    depot.ingest("geotab-vans", END)
    server.feeds["StatusData"].append(sample(T0 + MIN, ODOMETER, 1_000_000))
    depot.ingest("geotab-vans", END + MIN)
    (row,) = depot.rows("vehicle_snapshot")
    assert (row["soc_pct"], row["odometer_km"]) == (55, 1000)


def test_the_feed_goes_on_from_the_version_it_gave(run, monkeypatch):
    monkeypatch.setattr(adapter, "PAGE_SIZE", 4)
    server, depot = run(feeds={"StatusData": [sample(T0 + k * MIN, SOC, 50 + k) for k in range(9)]})
    assert depot.ingest("geotab-vans", END).landed == 9
    asked = [call for call in server.calls if call["typeName"] == "StatusData"]
    assert [call.get("fromVersion") for call in asked] == [None, f"{4:016x}", f"{8:016x}"]
    assert asked[0]["search"] == {"fromDate": "2026-02-02T00:00:00Z"}
    assert server.logins == 1
    server.calls.clear()
    assert depot.ingest("geotab-vans", END + MIN).read == 0
    assert server.calls[0]["fromVersion"] == f"{9:016x}"


def test_calls_go_to_the_server_that_authenticate_names(make_depot, serve, geotab):
    database = geotab(feeds={"StatusData": [sample(T0 + MIN, SOC, 55)]})
    front = geotab(path=serve(database.app()).removeprefix("http://"))
    depot = make_depot(geotab=serve(front.app()))
    assert depot.ingest("geotab-vans", END).landed == 1
    assert (front.logins, len(front.calls)) == (1, 0)
    assert (database.logins, len(database.calls)) == (0, 3)


def test_an_error_inside_http_200_is_found_and_named(run):
    _, depot = run(errors=[("ArgumentException", "typeName", {})])
    failure = depot.ingest("geotab-vans", END).failure
    assert "the provider answered ArgumentException" in failure.message


def test_over_limit_waits_as_told_and_asks_again(run):
    server, depot = run(
        feeds={"StatusData": [sample(T0 + MIN, SOC, 55)]},
        errors=[("OverLimitException", "API calls quota exceeded", {"Retry-After": "0.05"})],
    )
    report = depot.ingest("geotab-vans", END)
    assert (report.failure, report.landed) == (None, 1)
    assert len(server.calls) == 4


@pytest.mark.parametrize("error", [("InvalidUserException", ""), ("DbUnavailableException", "Initializing")])
def test_a_session_that_ended_is_renewed_once(run, error):
    server, depot = run(feeds={"StatusData": [sample(T0 + MIN, SOC, 55)]}, errors=[(*error, {})])
    assert depot.ingest("geotab-vans", END).landed == 1
    assert server.logins == 2
    server.errors += [(*error, {}), (*error, {})]
    failure = depot.ingest("geotab-vans", END + MIN).failure
    assert "DEPOTWISE_GEOTAB_USER" in failure.message


def test_refused_credentials_name_the_variables_and_no_secret(run, monkeypatch, caplog):
    _, depot = run()
    monkeypatch.setenv("DEPOTWISE_GEOTAB_PASSWORD", "wrong-but-secret")
    caplog.set_level("DEBUG")
    failure = depot.ingest("geotab-vans", END).failure
    assert "set valid ones in DEPOTWISE_GEOTAB_USER and DEPOTWISE_GEOTAB_PASSWORD" in failure.message
    assert "wrong-but-secret" not in failure.message + caplog.text


def test_trips_are_keyed_by_device_and_start(run):
    start, stop = T0 + 60 * MIN, T0 + 120 * MIN
    server, depot = run(feeds={"Trip": [trip(start, "2050-01-01T00:00:00.000Z", 0.0), trip(start, stop, id="t2")]})
    depot.ingest("geotab-vans", END)
    versions = depot.landing.scan("trip").collect().sort("available_at").to_dicts()
    assert [row["ended_at"] for row in versions] == [None, stop]
    assert (versions[1]["distance_km"], versions[1]["end_site_id"], versions[1]["is_deleted"]) == (42.0, "north", False)
    server.feeds["Trip"].append(trip(start, stop, 43.5, id="t3"))
    depot.ingest("geotab-vans", END + MIN)
    as_known = [depot.landing.read("trip", as_of=at)["distance_km"].to_list() for at in (END, END + MIN)]
    assert as_known == [[42.0], [43.5]]  # the recalculation was not known before it came


def test_a_deleted_trip_is_a_later_version(run):
    start, stop = T0 + 60 * MIN, T0 + 120 * MIN
    server, depot = run(feeds={"Trip": [trip(start, stop)]})
    depot.ingest("geotab-vans", END)
    server.feeds["Trip"].append(trip(start, stop, deletedDateTime=iso(END + MIN)))
    depot.ingest("geotab-vans", END + 2 * MIN)
    (row,) = depot.rows("trip")
    assert row["is_deleted"] is True


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([sample(T0 + MIN, SOC, 140)], "soc_pct_out_of_range"),
        ([sample(datetime(1970, 1, 1, tzinfo=UTC), SOC, 50)], "observed_at_too_early"),
        ([sample(T0 + MIN, SOC, 50, device={"id": "b99"})], "unknown_vehicle"),
        ([sample(T0 + MIN, SOC, 50, device="UnknownDeviceId")], "unknown_vehicle"),
        ([sample(T0 + MIN, ODOMETER, 9e6), sample(T0 + 2 * MIN, ODOMETER, 8e6)], "odometer_decreased"),
        (["not a record"], "not_an_object"),
    ],
    ids=["soc-140", "1970", "unknown-device", "bare-string-device", "odometer-backwards", "no-object"],
)
def test_what_cannot_be_trusted_is_quarantined_with_its_reason(run, records, reason):
    _, depot = run(feeds={"StatusData": [*records, sample(T0 + 5 * MIN, SOC, 50)]})
    report = depot.ingest("geotab-vans", END)
    assert report.reasons == {reason: 1}
    assert depot.reasons() == {reason}
    assert report.read == len(records) + 1 == report.landed + report.duplicates + report.quarantined


def test_a_trip_that_ends_before_it_starts_is_quarantined(run):
    _, depot = run(feeds={"Trip": [trip(T0 + 60 * MIN, T0 + 30 * MIN)]})
    assert depot.ingest("geotab-vans", END).reasons == {"trip_ends_before_start": 1}


def test_a_position_of_zero_is_missing(run):
    _, depot = run(feeds={"LogRecord": [log(T0 + MIN, 0, 0)]})
    report = depot.ingest("geotab-vans", END)
    assert report.reasons == {"position_missing": 1}
    assert (depot.rows("vehicle_position"), depot.rows("vehicle_snapshot")[0]["at_site_id"]) == ([], None)
    assert "latitude" not in depot.rows("quarantined_row")[0]["record_json"]


def test_what_happened_after_as_of_is_left_to_a_later_run(run):
    clock_at = END + timedelta(hours=6)
    news = [
        sample(END - MIN, SOC, 50),
        sample(END + 60 * MIN, SOC, 40),
        sample(datetime(2099, 1, 1, tzinfo=UTC), SOC, 1),
    ]
    _, depot = run(feeds={"StatusData": news}, date=format_datetime(clock_at, usegmt=True))
    report = depot.ingest("geotab-vans", END)
    assert (report.read, report.landed, report.reasons) == (2, 1, {"observed_at_in_future": 1})
    assert depot.ingest("geotab-vans", END).landed == 0
    depot.ingest("geotab-vans", clock_at)
    assert [row["soc_pct"] for row in depot.rows("vehicle_snapshot")] == [50, 40]
