"""Vehicles' own logs: stale odometers, values before the sensors are ready, drives without a date."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from core.landing import Landing
from ingestion.columns import UnreadableError
from ingestion.imports import import_path
from tests.ingestion.imports.conftest import NOW

KIA_HEADER = "datetime, longitude, latitude, engineOn, 12V%, odometer, SOC%, charging, plugged, address, EV range"


def kia(
    clock: str, odometer: object, *, soc: object = 70, charging: object = False, plugged: int = 0, km: object = 300
):
    where = "5.1, 51.7, False, 80"
    return f"2023-01-02 {clock}+01:00, {where}, {odometer}, {soc}, {charging}, {plugged}, 1; A Street; Town, {km}"


def run_kia(run_import, *lines: str):
    return run_import("kia_monitor", {"monitor.csv": "\n".join([KIA_HEADER, *lines]) + "\n"})


def test_repeated_polls_are_duplicates_and_a_stale_odometer_is_left_empty(run_import, landing: Landing) -> None:
    report = run_kia(
        run_import,
        kia("10:00:00", 21_000.0),
        kia("10:00:00", 21_000.0),
        kia("11:00:00", 20_000.0),
        kia("12:00:00", "21_"),
    )
    assert report.rows == {"read": 4, "landed": 3, "duplicates": 1, "quarantined": 0}
    assert report.reasons == {"odometer_going_back": 1, "odometer_km_unreadable": 1}
    states = landing.read("vehicle_snapshot")
    assert states["odometer_km"].to_list() == [21_000.0, None, None]
    assert states["observed_at"][0] == datetime(2023, 1, 2, 9, tzinfo=UTC)
    assert states["available_at"][0] == datetime(2023, 1, 2, 10, tzinfo=UTC)


def test_a_value_renewed_under_the_same_stamp_is_a_version_of_it(run_import, landing: Landing) -> None:
    run_kia(run_import, kia("10:00:00", 21_000.0), kia("10:00:00", 21_004.0))
    assert landing.scan("vehicle_snapshot").collect().height == 2
    assert landing.read("vehicle_snapshot")["odometer_km"].to_list() == [21_004.0]


def test_plug_and_charging_are_told_apart(run_import, landing: Landing) -> None:
    run_kia(
        run_import,
        kia("10:00:00", 1),
        kia("11:00:00", 1, plugged=2),
        kia("12:00:00", 1, plugged=2, charging=True),
        kia("13:00:00", 1, plugged=1, charging=True, km=-1),
    )
    states = landing.read("vehicle_snapshot")
    assert states["is_plugged"].to_list() == [False, True, True, True]
    assert states["charging_state"].to_list() == ["not_charging", "not_charging", "charging_ac", "charging_dc"]
    assert states["range_km"].to_list() == [300.0, 300.0, 300.0, None]


def test_the_position_is_kept_apart_and_the_address_nowhere(run_import, landing: Landing) -> None:
    report = run_kia(
        run_import, kia("10:00:00", 1), kia("11:00:00", 1).replace("51.7", "north"), "no time" + ", 1" * 10
    )
    assert report.reasons == {"latitude_deg_unreadable": 1, "no_at": 1}
    places = landing.read("vehicle_position")
    assert places.select("latitude", "longitude").rows() == [(51.7, 5.1)]
    written = b"".join(path.read_bytes() for path in landing.root.rglob("*.parquet"))
    assert b"Street" not in written


def test_leaf_values_before_the_sensors_are_ready_are_left_empty(tmp_path: Path, landing: Landing) -> None:
    leaf = {
        "epoch time": [1.5e9, 1.5e9 + 5, 1.5e9 + 10, -3600.0],
        "Speed": [-3.6, 0.0, 40.0, 0.0],
        "SOC": [0, 564_705, 564_000, 1],
        "Odo(km)": [52_000, 52_001, 0, 1],
        "Ambient": [203.0, 77.0, 50.0, 50.0],
        "SOH": [83.0] * 4,
        "Plug State": [0, 2, 0, 0],
        "Charge Mode": [0, 2, 0, 0],
        "OBC Out Pwr": [0, 3300, 0, 0],
    }
    (tmp_path / "set").mkdir()
    pl.DataFrame(leaf).write_parquet(tmp_path / "set" / "leaf_x.parquet")
    report = import_path(tmp_path / "set", "leaf", landing=landing, as_of=NOW)
    assert report.rows == {"read": 4, "landed": 3, "duplicates": 0, "quarantined": 1}
    assert report.reasons == {
        "ambient_not_ready": 1,
        "clock_never_set": 1,
        "odometer_zero": 1,
        "soc_zero_at_start_up": 1,
    }
    states = landing.read("vehicle_snapshot")
    assert states["soc_pct"].to_list() == [None, pytest.approx(56.4705), pytest.approx(56.4)]
    assert states["odometer_km"].to_list() == [52_000.0, 52_001.0, None]
    assert states["ambient_temperature_c"].to_list() == [None, 25.0, 10.0]
    assert states["charging_power_kw"].to_list() == [None, pytest.approx(3.3), None]
    assert states["speed_kmh"].to_list() == [0.0, 0.0, 40.0]


def i3_drive(folder: Path, name: str) -> None:
    steps = 36_000  # an hour at 10 Hz
    drive = {
        "Time [s]": [k / 10 for k in range(steps)],
        "Velocity [km/h]": [50.0] * steps,
        "SoC [%]": [None, *([80.0] * (steps - 2)), 60.0],
        "Ambient Temperature [°C]": [5.0] * steps,
        "Battery Voltage [V]": [350.0] * steps,
        "Battery Current [A]": [-20.0] * steps,
    }
    folder.mkdir(exist_ok=True)
    pl.DataFrame(drive).write_parquet(folder / f"{name}.parquet")


def test_i3_drives_become_trips_with_energy_of_the_battery(tmp_path: Path, landing: Landing) -> None:
    i3_drive(tmp_path / "set", "TripB03")
    report = import_path(tmp_path / "set", "bmw_i3", landing=landing, as_of=NOW)
    assert report.rows == {"read": 36_000, "landed": 36_000, "duplicates": 0, "quarantined": 0}
    trip = landing.read("trip").row(0, named=True)
    assert trip["distance_km"] == pytest.approx(50.0)
    assert trip["energy_kwh"] == pytest.approx(7.0)
    assert (trip["soc_start_pct"], trip["soc_end_pct"], trip["provider_ref"]) == (80.0, 60.0, "B03")
    assert trip["ended_at"] - trip["started_at"] == timedelta(seconds=3599.9)
    assert landing.read("vehicle_snapshot").height == 36_000


def test_i3_files_must_be_named_after_a_drive(tmp_path: Path, landing: Landing) -> None:
    i3_drive(tmp_path / "set", "TripX")
    with pytest.raises(UnreadableError, match="named after a drive"):
        import_path(tmp_path / "set", "bmw_i3", landing=landing, as_of=NOW)


TESLA_HEADER = (
    "data_id,Date,vin,battery_level,odometer,charging_state,charger_power,fast_charger_present,speed,outside_temp,"
    "est_battery_range,gps_as_of"
)


def tesla(
    clock: str, *, utc: datetime | None, soc: object = 80, state: str = "Disconnected", miles: object = 100
) -> str:
    receiver = "" if utc is None else int(utc.timestamp())
    return f"1,2019-10-27 {clock},5YJ3,{soc},{miles},{state},11,None,None,20.5,100,{receiver}"


def test_tesla_minutes_get_their_zone_from_the_receiver(run_import, landing: Landing) -> None:
    """The clock goes back at 03:00 of summer time: 02:30 comes twice, and a minute without a receiver follows."""
    before, after = datetime(2019, 10, 27, 0, 30, tzinfo=UTC), datetime(2019, 10, 27, 1, 30, tzinfo=UTC)
    lines = [
        tesla("02:30:00", utc=before - timedelta(seconds=20)),
        tesla("02:59:00", utc=None),
        tesla("02:30:00", utc=after - timedelta(seconds=10), state="Charging"),
        tesla("02:31:00", utc=None, soc="None", state="", miles=""),
    ]
    report = run_import("teslafi", {"05_dst_TeslaFi102019.csv": "\n".join([TESLA_HEADER, *lines])})
    assert report.rows == {"read": 4, "landed": 4, "duplicates": 0, "quarantined": 0}
    states = landing.read("vehicle_snapshot")
    assert states["observed_at"].to_list()[:3] == [before, before + timedelta(minutes=29), after]
    assert states["charging_power_kw"].to_list()[:3] == [None, None, 11.0]
    assert states["odometer_km"][0] == pytest.approx(160.9344)
    assert states["vehicle_id"].unique().to_list() == ["teslafi:05_dst"]


def test_a_tesla_whose_zone_nothing_tells_is_quarantined(run_import, landing: Landing) -> None:
    report = run_import("teslafi", {"x_TeslaFi1.csv": f"{TESLA_HEADER}\n{tesla('02:30:00', utc=None)}\n"})
    assert report.reasons == {"no_zone": 1}
    assert "5YJ3" not in str(landing.read("quarantined_row").rows())


DOCUMENTS = {
    "eu_maker_car_2023_a.json": {
        "odometer": {"value": 15_234, "unit": 1},
        "vehicleStatus": {
            "time": "20240720120000",
            "battery": {"batSoc": 85},
            "evStatus": {
                "batteryStatus": 76, "batteryCharge": True, "batteryPlugin": 2,
                "drvDistance": [{"rangeByFuel": {"totalAvailableRange": {"value": 310, "unit": 1}}}],
            },
        },
    },
    "us_maker_car_2020_b.json": {
        "vehicleConfig": {"vehicleDetail": {"vehicle": {"mileage": 1000}}},
        "lastVehicleInfo": {"vehicleStatusRpt": {"vehicleStatus": {
            "syncDate": {"utc": "20240615143000"},
            "evStatus": {
                "batteryStatus": 68, "batteryCharge": False, "batteryPlugin": 0,
                "drvDistance": [{"rangeByFuel": {"totalAvailableRange": {"value": 100, "unit": 3}}}],
            },
        }}},
    },
    "eu_maker_newer_2025.json": {
        "Date": "20250420202723.000",
        "Drivetrain": {"Odometer": 1774.1, "FuelSystem": {"DTE": {"Unit": 1, "Total": 450}}},
        "Green": {
            "BatteryManagement": {"BatteryRemain": {"Ratio": 255}},
            "ChargingInformation": {"ConnectorFastening": {"State": False}},
        },
    },
}  # fmt: skip


def test_vehicle_answers_of_every_layout(run_import, landing: Landing) -> None:
    report = run_import("hyundai_kia", {name: json.dumps(document) for name, document in DOCUMENTS.items()})
    assert report.rows["landed"] == 3
    assert report.reasons == {"soc_pct_out_of_range": 1}  # 255 is what the car says when it does not know
    states = {
        row["vehicle_id"].removeprefix("hyundai_kia:"): row for row in landing.read("vehicle_snapshot").to_dicts()
    }
    europe, america, newer = states["eu_maker_car_2023"], states["us_maker_car_2020"], states["eu_maker_newer_2025"]
    assert (europe["soc_pct"], europe["is_plugged"], europe["charging_state"]) == (76.0, True, "charging")
    assert europe["observed_at"] == datetime(2024, 7, 20, 10, tzinfo=UTC)
    assert (america["odometer_km"], america["range_km"]) == (pytest.approx(1609.344), pytest.approx(160.9344))
    assert america["observed_at"] == datetime(2024, 6, 15, 14, 30, tzinfo=UTC)
    assert (newer["soc_pct"], newer["is_plugged"], newer["range_km"]) == (None, False, 450.0)


def test_a_vehicle_answer_must_name_its_region(run_import) -> None:
    with pytest.raises(UnreadableError, match="is no answer named after its region"):
        run_import("hyundai_kia", {"zz_car.json": "{}"})
