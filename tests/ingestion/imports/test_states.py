"""Vehicles' own logs: stale odometers, values before the sensors are ready, drives without a date."""

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
