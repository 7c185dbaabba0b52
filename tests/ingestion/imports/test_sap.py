"""SAP Labs France: SoC 0, local stamps with offsets, idle time, people's names in station names."""

from datetime import UTC, datetime, timedelta

import pytest

from core.landing import Landing

HEADER = (
    "Type Lieu de charge,ID transaction,ID borne,ID connecteur borne,Date demarrage,Charge batterie demarrage (%),"
    "Date fin,Charge batterie fin (%),Duree inactivite totale (s),Duree totale (s),Prix total,Devise prix total,"
    "Source prix total,Statut inactivité,Consommation totale (Wh)"
)
START = datetime(2019, 2, 11, 7, 45, tzinfo=UTC)


def line(
    *, place: str = "Travail", tx: str = "900", station: str = "SAP-Mougins-03",
    start: str = "2019-02-11T08:45:00+01:00", end: str = "2019-02-11T10:45:00+01:00",
    soc: tuple[object, object] = (0, 0), idle: object = 600.0, wh: object = 12_500,
) -> str:  # fmt: skip
    return f"{place},{tx},{station},1,{start},{soc[0]},{end},{soc[1]},{idle},7200.0,1.75,EUR,simple,I,{wh}"


def run(run_import, *lines: str):
    return run_import("sap", {"sessions.csv": "\n".join([HEADER, *lines]) + "\n"})


def test_a_session_has_energy_idle_time_and_price(run_import, landing: Landing) -> None:
    report = run(run_import, line())
    assert report.rows == {"read": 1, "landed": 1, "duplicates": 0, "quarantined": 0}
    session = landing.read("charging_transaction").row(0, named=True)
    assert (session["started_at"], session["ended_at"]) == (START, START + timedelta(hours=2))
    assert (session["energy_kwh"], session["idle_min"], session["price_total"]) == (12.5, 10.0, 1.75)
    assert (session["site_id"], session["station_id"]) == ("sap:mougins", "sap:SAP-Mougins-03")
    begun = landing.read("charging_transaction", as_of=START + timedelta(minutes=5)).row(0, named=True)
    assert (begun["started_at"], begun["ended_at"], begun["energy_kwh"]) == (START, None, None)


def test_soc_0_is_unknown_and_only_fast_chargers_report_one(run_import, landing: Landing) -> None:
    report = run(run_import, line(tx="1"), line(tx="2", station="SAP-Mougins-14", soc=(20, 80)))
    assert report.reasons == {"soc_zero_is_unknown": 1}
    sessions = landing.read("charging_transaction")
    assert sessions["soc_start_pct"].to_list() == [None, 20.0]
    assert sessions["metering_point"].to_list() == ["evse_ac_out", "evse_dc_out"]
    assert landing.read("connector")["current_type"].to_list() == ["ac", "dc"]


def test_a_station_at_home_is_known_by_a_hash_only(run_import, landing: Landing) -> None:
    report = run(
        run_import,
        line(place="Domicile", station="DUPONT-WB-01", end=""),
        line(place="Domicile", station="DUPONT-WB-01", start=""),
    )
    assert report.rows["quarantined"] == 1
    assert landing.read("charging_transaction")["station_id"][0].startswith("sap:home-")
    assert landing.read("site")["site_id"].to_list() == ["sap:home"]
    written = b"".join(path.read_bytes() for path in landing.root.rglob("*.parquet"))
    assert b"DUPONT" not in written
    assert "DUPONT" not in str([landing.read(name).rows() for name in ("quarantined_row", "connector")])


@pytest.mark.parametrize(
    ("fields", "reason", "column"),
    [
        pytest.param({"idle": 9000.0}, "idle_longer_than_session", "idle_min", id="idle beyond the session"),
        pytest.param({"wh": -5}, "negative_energy", "energy_kwh", id="negative energy"),
        pytest.param({"wh": "n/a"}, "energy_kwh_unreadable", "energy_kwh", id="no number"),
        pytest.param({"soc": (20, 140)}, "soc_end_pct_out_of_range", "soc_end_pct", id="SoC of 140 %"),
    ],
)
def test_a_bad_field_is_left_empty_with_a_reason(
    run_import, landing: Landing, fields, reason: str, column: str
) -> None:
    report = run(run_import, line(**{"soc": (20, 30), **fields}))
    assert report.rows["landed"] == 1
    assert report.reasons == {reason: 1}
    assert landing.read("charging_transaction")[column].to_list() == [None]


def test_summer_time_is_told_by_the_offset(run_import, landing: Landing) -> None:
    run(run_import, line(start="2019-07-01T08:45:00+02:00", end="2019-07-01T09:00:00+02:00"))
    assert landing.read("charging_transaction")["started_at"][0] == datetime(2019, 7, 1, 6, 45, tzinfo=UTC)


def test_a_session_that_ends_before_it_starts_is_quarantined(run_import) -> None:
    report = run(run_import, line(end="2019-02-11T08:00:00+01:00"))
    assert report.rows["quarantined"] == 1
    assert report.reasons == {"ends_before_start": 1}
