"""Further sets of sessions: local clocks, odd years, swapped days."""

from datetime import UTC, datetime

import pytest

from core.landing import Landing


def test_epfl_sessions_are_local_and_have_soc_at_both_ends(run_import, landing: Landing) -> None:
    lines = [
        "Session,CCS,Arrival,Departure,Energy (Wh),TotalCapacity,SOC arrival,SOC departure",
        "1,CCS1,2022-08-11 23:33:00,2022-08-11 23:50:00,9632.0,10000,26.0,58.0",
        "2,CCS1,2022-12-01 10:00:00,2022-12-01 09:00:00,9632.0,10000,26.0,58.0",
    ]
    report = run_import("epfl", {"sessions_2022.csv": "\n".join(lines)})
    assert report.rows == {"read": 2, "landed": 1, "duplicates": 0, "quarantined": 1}
    session = landing.read("charging_transaction").row(0, named=True)
    assert session["started_at"] == datetime(2022, 8, 11, 21, 33, tzinfo=UTC)
    assert (session["energy_kwh"], session["soc_start_pct"], session["soc_end_pct"]) == (9.632, 26.0, 58.0)


def test_asensio_years_get_their_century(run_import, landing: Landing) -> None:
    lines = [
        "sessionId,kwhTotal,dollars,created,ended,userId,stationId,locationId",
        "1,7.78,0.58,0014-11-18 15:40:26,0014-11-18 17:11:04,9,582873,461655",
    ]
    report = run_import("asensio", {"station_data.csv": "\n".join(lines)})
    assert (report.rows["landed"], report.reasons) == (1, {})  # 2014 is old, and no clock that was never set
    session = landing.read("charging_transaction").row(0, named=True)
    assert session["started_at"] == datetime(2014, 11, 18, 15, 40, 26, tzinfo=UTC)
    assert (session["energy_kwh"], session["price_total"], session["site_id"]) == (7.78, 0.58, "asensio:461655")


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        pytest.param("2018-02-03T00:00:00", datetime(2018, 3, 2, 9, tzinfo=UTC), id="ISO, day and month swapped"),
        pytest.param(
            "2018-02-22T00:00:00", datetime(2018, 2, 22, 9, tzinfo=UTC), id="ISO, too late in the month to swap"
        ),
        pytest.param("03/07/2018", datetime(2018, 7, 3, 8, tzinfo=UTC), id="day first, in summer"),
    ],
)
def test_dundee_dates_of_either_style(run_import, landing: Landing, start: str, expected: datetime) -> None:
    header = "Charging event,CP ID,Connector,Start Date,Start Time,End Date,End Time,Total kWh,Cost,Site,Group,Model,,,"
    report = run_import("dundee", {"sessions_x.csv": f'{header}\n1,50,2,{start},09:00,,,,0,"A, B",C; D,APT 7kW,,,\n'})
    assert (report.rows["landed"], report.reasons) == (1, {})
    session = landing.read("charging_transaction").row(0, named=True)
    assert (session["started_at"], session["ended_at"], session["energy_kwh"]) == (expected, None, None)


def test_dundee_energies_that_cannot_be_are_left_empty(run_import, landing: Landing) -> None:
    header = "Charging event,User ID,CP ID,Connector,Start Date,Start Time,End Date,End Time,Total kWh,Cost"
    rows = [f"{k},u,50,2,01/07/2018,0{k}:00,01/07/2018,0{k}:30,{kwh},0" for k, kwh in enumerate((-3, 900, 5.5))]
    report = run_import("dundee", {"sessions_x.csv": "\n".join([header, *rows])})
    assert report.reasons == {"energy_beyond_any_charger": 1, "negative_energy": 1}
    assert landing.read("charging_transaction")["energy_kwh"].to_list() == [None, None, 5.5]
