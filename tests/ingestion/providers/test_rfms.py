"""rFMS over a real socket: paging both ways, cursors, units, sentinels, and what happens when it goes wrong."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from starlette.responses import JSONResponse, Response

T0 = datetime(2026, 2, 2, tzinfo=UTC)
END = T0 + timedelta(hours=12)
MIN = timedelta(minutes=1)


@pytest.fixture
def eleven(rfms, status):
    return rfms(statuses=[status(T0 + k * 10 * MIN, km=1000 + k) for k in range(11)])


def odometers(depot) -> list[float | None]:
    return [row["odometer_km"] for row in depot.rows("vehicle_snapshot")]


def balances(report) -> bool:
    return report.read == report.landed + report.duplicates + report.quarantined


def test_every_status_lands_once_without_a_link(make_depot, serve, eleven):
    depot = make_depot(rfms=serve(eleven.app()))
    report = depot.ingest("rfms-heavy", END)
    assert report.failure is None
    assert odometers(depot) == [1000.0 + k for k in range(11)]
    # A page starts at the second of the last record before it, which so comes twice; the list of vehicles gives no row.
    pages = len(eleven.asked("vehiclestatuses"))
    assert (report.landed - report.without_rows, report.duplicates, report.quarantined) == (11, pages - 1, 0)
    assert balances(report)


def test_every_status_lands_once_by_link(make_depot, serve, eleven):
    eleven.gives_link = True
    depot = make_depot(rfms=serve(eleven.app()))
    report = depot.ingest("rfms-heavy", END)
    assert odometers(depot) == [1000.0 + k for k in range(11)]
    assert [one.get("page") for one in eleven.asked("vehiclestatuses")] == [None, "1", "2", "3"]
    assert report.duplicates == 0


def test_a_page_that_lies_within_one_second_does_not_stop_the_paging(make_depot, serve, rfms, status):
    same = [status(T0 + MIN, vin=f"WDEPT00000000000{k}") for k in range(3)]
    server = rfms(statuses=[*same, status(T0 + 2 * MIN), status(T0 + 3 * MIN)])
    depot = make_depot(rfms=serve(server.app()))
    report = depot.ingest("rfms-heavy", END)
    assert report.failure is None
    assert {row["observed_at"] for row in depot.rows("vehicle_snapshot")} == {T0 + k * MIN for k in (1, 2, 3)}


def test_vehicles_are_paged_by_last_vin_once_a_day(make_depot, serve, rfms):
    server = rfms(vins=[f"WDEPT00000000000{k}" for k in range(5)])
    depot = make_depot(rfms=serve(server.app()))
    report = depot.ingest("rfms-heavy", END)
    assert server.asked("vehicles") == [{}, {"lastVin": "WDEPT000000000002"}]
    assert report.reasons == {"unknown_vehicle": 4}
    depot.ingest("rfms-heavy", END + timedelta(hours=1))
    assert len(server.asked("vehicles")) == 2


def test_the_next_poll_starts_at_the_providers_clock_and_asks_up_to_as_of(make_depot, serve, rfms, status):
    server = rfms(statuses=[status(T0 + MIN)], clock_at=END - 7 * MIN)
    depot = make_depot(rfms=serve(server.app()))
    depot.ingest("rfms-heavy", END)
    depot.ingest("rfms-heavy", END + timedelta(hours=1))
    first, second = server.asked("vehiclestatuses")
    assert first["starttime"] == "2026-02-02T00:00:00Z"
    assert first["stoptime"] == "2026-02-02T12:00:00Z"
    assert second["starttime"] == "2026-02-02T11:53:00Z"


def test_the_same_as_of_again_changes_nothing_even_when_the_provider_knows_more(make_depot, serve, eleven, status):
    depot = make_depot(rfms=serve(eleven.app()))
    depot.ingest("rfms-heavy", END)
    before = depot.rows("vehicle_snapshot")
    eleven.statuses.append(status(END + 5 * MIN, km=2000))
    report = depot.ingest("rfms-heavy", END)
    assert (report.read, report.landed) == (0, 0)
    assert depot.rows("vehicle_snapshot") == before
    assert depot.ingest("rfms-heavy", END + timedelta(hours=1)).entities["vehicle_snapshot"] == 1


def test_units_and_states_become_canonical(make_depot, serve, rfms, status):
    snapshot = {
        "batteryPackChargingStatus": "CHARGING_DC",
        "batteryPackChargingPower": 42_000,
        "ambientAirTemperature": -3.5,
        "estimatedDistanceToEmpty": {"total": 250_000, "batteryPack": 240_000},
    }
    telltales = {"tellTaleInfo": [{"tellTale": "BATTERY_PACK", "state": "RED"}, {"tellTale": "ABS", "state": "OFF"}]}
    server = rfms(statuses=[status(T0 + MIN, soc=61.5, km=123_456.0, snapshot=snapshot, uptimeData=telltales)])
    depot = make_depot(rfms=serve(server.app()))
    depot.ingest("rfms-heavy", END)
    (row,) = depot.rows("vehicle_snapshot")
    assert row == {
        "vehicle_id": "truck-01",
        "soc_pct": 61.5,
        "soc_basis": "unknown",
        "odometer_km": 123_456.0,
        "energy_used_total_kwh": pytest.approx(1.1 * 123_456),
        "is_plugged": True,
        "charging_state": "charging_dc",
        "charging_power_kw": 42.0,
        "speed_kmh": 0.0,
        "ambient_temperature_c": -3.5,
        "range_km": 240.0,
        "at_site_id": "north",
        "has_red_battery_telltale": True,
        "trigger": "TIMER",
        "observed_at": T0 + MIN,
        "available_at": T0 + 2 * MIN,
        "source": "rfms-heavy",
    }
    (position,) = depot.rows("vehicle_position")
    assert (position["latitude"], position["longitude"], position["observed_at"]) == (52.55, 13.35, T0 + MIN)


def test_not_available_values_are_null_and_no_mistake(make_depot, serve, rfms, status):
    sentinels = {
        "ambientAirTemperature": 65535,
        "batteryPackChargingPower": 655350,
        "batteryPackChargingStatus": "NOT_AVAILABLE",
        "batteryPackChargingConnectionStatus": "NOT_AVAILABLE",
        "wheelBasedSpeed": 65535,
    }
    server = rfms(statuses=[status(T0 + MIN, snapshot=sentinels, hrTotalVehicleDistance=0, totalElectricEnergyUsed=0)])
    depot = make_depot(rfms=serve(server.app()))
    assert depot.ingest("rfms-heavy", END).reasons == {}
    (row,) = depot.rows("vehicle_snapshot")
    names = ("ambient_temperature_c", "charging_power_kw", "charging_state", "is_plugged", "odometer_km", "speed_kmh")
    assert [row[name] for name in names] == [None] * len(names)
    assert row["soc_pct"] == 60


def test_a_time_without_zone_is_utc(make_depot, serve, rfms, status):
    record = status(T0 + MIN)
    server = rfms(statuses=[{**record, "createdDateTime": "2026-02-02T00:01:00.250"}])
    depot = make_depot(rfms=serve(server.app()))
    depot.ingest("rfms-heavy", END)
    assert depot.rows("vehicle_snapshot")[0]["observed_at"] == T0 + MIN + timedelta(milliseconds=250)


def test_a_status_and_a_position_of_one_instant_are_one_snapshot(make_depot, serve, rfms, status):
    record = status(T0 + MIN)
    gnss = record["snapshotData"].pop("gnssPosition")
    shared = {name: record[name] for name in ("vin", "triggerType", "createdDateTime", "receivedDateTime")}
    server = rfms(statuses=[record], positions=[{**shared, "gnssPosition": gnss}])
    depot = make_depot(rfms=serve(server.app()))
    report = depot.ingest("rfms-heavy", END)
    (row,) = depot.rows("vehicle_snapshot")
    assert (row["soc_pct"], row["at_site_id"]) == (60, "north")
    assert (report.landed, report.without_rows) == (3, 1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"snapshot": {"hybridBatteryPackRemainingCharge": 140}}, ("soc_pct_out_of_range", "soc_pct")),
        ({"hrTotalVehicleDistance": 999_000}, ("odometer_decreased", "odometer_km")),
        ({"hrTotalVehicleDistance": 9_000_000_000}, ("odometer_km_out_of_range", "odometer_km")),
        ({"totalElectricEnergyUsed": 1_101}, ("energy_unit_implausible", "energy_used_total_kwh")),
    ],
    ids=["soc-140", "odometer-backwards", "odometer-absurd", "kwh-where-wh-was-meant"],
)
def test_a_bad_field_is_null_with_a_reason_and_its_row_lands(make_depot, serve, rfms, status, change, expected):
    reason, field = expected
    server = rfms(statuses=[status(T0 + MIN), status(T0 + 2 * MIN, km=1001.0, **change), status(T0 + 3 * MIN, km=1002)])
    depot = make_depot(rfms=serve(server.app()))
    report = depot.ingest("rfms-heavy", END)
    assert report.reasons == {reason: 1}
    assert (report.landed - report.without_rows, report.quarantined) == (3, 0)
    assert [row[field] is None for row in depot.rows("vehicle_snapshot")] == [False, True, False]
    (line,) = depot.rows("quarantined_row")
    assert (line["reason"], line["entity"], line["is_restricted"]) == (reason, "vehicle_snapshot", True)
    assert "left empty" in line["detail"]
    assert not {"latitude", "gnssPosition", "driver1Id"} & set(str(json.loads(line["record_json"])).split("'"))


def test_an_odometer_below_one_landed_by_an_earlier_run_is_not_believed(make_depot, serve, rfms, status):
    server = rfms(statuses=[status(T0 + MIN, km=1000)])
    depot = make_depot(rfms=serve(server.app()))
    depot.ingest("rfms-heavy", END)
    server.clock_at = END + timedelta(days=1)
    server.statuses += [status(END + MIN, km=400), status(END + 2 * MIN, km=60_000), status(END + 3 * MIN, km=1010)]
    report = depot.ingest("rfms-heavy", END + timedelta(hours=1))
    assert report.reasons == {"odometer_decreased": 1, "odometer_jumped": 1}
    assert odometers(depot) == [1000, None, None, 1010]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"createdDateTime": "1970-01-01T00:00:00Z"}, "observed_at_too_early"),
        ({"createdDateTime": "2026-02-02T18:00:00Z"}, "observed_at_in_future"),
        ({"createdDateTime": "yesterday"}, "no_observed_at"),
        ({"vin": "WDEPX000000000009"}, "unknown_vehicle"),
    ],
    ids=["1970", "future", "unreadable", "unknown-vehicle"],
)
def test_a_record_without_a_trustworthy_key_is_quarantined(make_depot, serve, rfms, status, change, reason):
    bad = {**status(T0 + MIN), **change}
    bad["snapshotData"].pop("gnssPosition")
    server = rfms(statuses=[bad, status(T0 + 2 * MIN)])
    depot = make_depot(rfms=serve(server.app()))
    report = depot.ingest("rfms-heavy", END)
    assert report.reasons == {reason: 1}
    assert (report.quarantined, report.landed - report.without_rows) == (1, 1)
    assert balances(report)
    assert depot.reasons() == {reason}
    assert len(depot.rows("vehicle_snapshot")) == 1


def test_a_truncated_page_is_a_clear_error_and_loses_nothing(make_depot, serve, eleven):
    eleven.answers[2] = Response(b'{"vehicleStatusResponse": {"vehicleStatuses": [{"vin": "WD', 200)
    depot = make_depot(rfms=serve(eleven.app()))
    report = depot.ingest("rfms-heavy", END)
    assert report.failure is not None
    assert "no whole JSON" in report.failure.message
    assert report.failure.owner == "Fleet data team"
    assert report.landed - report.without_rows == 3  # the page before it is good
    kept = depot.payloads.root.rglob("*.gz")
    assert any(b"unreadable" in path.read_bytes()[:40] for path in kept)
    assert depot.ingest("rfms-heavy", END).failure is None
    assert odometers(depot) == [1000.0 + k for k in range(11)]


def test_a_500_is_asked_again_and_then_named(make_depot, serve, eleven):
    eleven.answers[2] = Response("oops", 500)
    depot = make_depot(rfms=serve(eleven.app()))
    assert depot.ingest("rfms-heavy", END).failure is None
    assert odometers(depot) == [1000.0 + k for k in range(11)]
    eleven.answers.update({len(eleven.asked("vehiclestatuses")) + k: Response("oops", 500) for k in range(1, 9)})
    failure = depot.ingest("rfms-heavy", END + timedelta(hours=1)).failure
    assert failure is not None
    assert "rfms-heavy: GET" in failure.message
    assert "HTTP 500" in failure.message


@pytest.mark.parametrize("wait", ["0", "0.05"])
def test_a_429_in_mid_paging_waits_as_told_and_goes_on(make_depot, serve, eleven, wait):
    refusal = {"error": "RateExceeded", "error_description": "Too many requests per minute"}
    eleven.answers[3] = JSONResponse(refusal, 429, headers={"Retry-After": wait})
    depot = make_depot(rfms=serve(eleven.app()))
    report = depot.ingest("rfms-heavy", END)
    assert report.failure is None
    assert odometers(depot) == [1000.0 + k for k in range(11)]
    pages = [one["starttime"] for one in eleven.asked("vehiclestatuses")]
    assert pages[2] == pages[3]  # the refused page is the one that is asked for again


def test_a_refused_token_is_said_with_what_to_do_and_without_the_token(make_depot, serve, eleven, monkeypatch, caplog):
    monkeypatch.setenv("DEPOTWISE_RFMS_TOKEN", "wrong-but-secret")
    caplog.set_level("DEBUG")
    failure = make_depot(rfms=serve(eleven.app())).ingest("rfms-heavy", END).failure
    assert "HTTP 401 (InvalidAccessToken)" in failure.message
    assert "set a valid secret" in failure.message
    assert "wrong-but-secret" not in failure.message + caplog.text


def test_a_missing_secret_names_its_variable(make_depot, serve, eleven, monkeypatch):
    depot = make_depot(rfms=serve(eleven.app()))
    monkeypatch.delenv("DEPOTWISE_RFMS_TOKEN")
    assert "DEPOTWISE_RFMS_TOKEN" in depot.ingest("rfms-heavy", END).failure.message


def test_a_link_to_another_host_is_not_followed(make_depot, serve, eleven):
    answer = {
        "vehicleStatusResponse": {"vehicleStatuses": []},
        "moreDataAvailable": True,
        "moreDataAvailableLink": "http://elsewhere.example/rfms/vehiclestatuses",
    }
    eleven.answers[1] = JSONResponse(answer)
    depot = make_depot(rfms=serve(eleven.app()))
    depot.ingest("rfms-heavy", END)
    assert "another host" in depot.ingest("rfms-heavy", END).failure.message


def test_another_protocol_version_is_named(make_depot, serve, eleven):
    eleven.answers[1] = JSONResponse({"VehicleStatus": [], "MoreDataAvailable": False})
    failure = make_depot(rfms=serve(eleven.app())).ingest("rfms-heavy", END).failure
    assert "is this rFMS 4.0?" in failure.message
