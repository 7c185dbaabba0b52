"""One real set alone builds every mart, and the marts say what the files say."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.landing import Landing
from core.settings import Settings
from ingestion.imports import import_path
from orchestration import warehouse

pytestmark = [pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(600)]
AS_OF = datetime(2026, 11, 1, tzinfo=UTC)


def alone(built: Callable[..., Settings], folder: Path, name: str) -> Settings:
    def fill(landing: Landing) -> None:
        landing.prepare()
        import_path(folder, name, landing=landing, as_of=AS_OF)

    return built(name, fill)


@pytest.fixture(scope="module")
def carta(built: Callable[..., Settings], data_dir: Path) -> Settings:
    return alone(built, data_dir / "carta", "carta")


@pytest.fixture(scope="module")
def sap(built: Callable[..., Settings], data_dir: Path) -> Settings:
    return alone(built, data_dir / "sap_labs_france", "sap")


def test_duty_cycles_of_buses_have_no_soc_and_every_kilometre(carta: Settings) -> None:
    days = warehouse.query(carta, "select * from fct_duty_cycle_day")
    trips = Landing(carta.landing_dir).read("trip")
    assert days["trips"].sum() == trips.height
    known = warehouse.query(carta, "select sum(distance_km) from fct_trip").item()
    assert known == pytest.approx(trips["distance_km"].sum())
    assert days["soc_at_departure_pct"].null_count() == days.height
    assert set(days["timezone"]) == {"America/New_York"}
    # A city bus goes out once or twice a day and is back within the 24 hours of its operating day.
    hours = (days["last_return_at"] - days["first_departure_at"]).dt.total_hours()
    assert hours.max() <= 25
    per_vehicle = days.group_by("vehicle_id").len()
    assert per_vehicle["len"].max() <= 29


def test_nights_past_midnight_belong_to_the_evening(carta: Settings) -> None:
    found = warehouse.query(
        carta,
        """select count(*) as late from fct_duty_cycle_day
           where cast(timezone(timezone, last_return_at) as date) > operating_date""",
    )
    assert found["late"].item() > 0


def test_sessions_hold_the_energy_and_idle_time_of_the_file(sap: Settings) -> None:
    sessions = warehouse.query(sap, "select energy_kwh, idle_min, idle_basis from fct_charging_session")
    landed = Landing(sap.landing_dir).read("charging_transaction")
    assert sessions.height == landed.height
    assert sessions["energy_kwh"].sum() == pytest.approx(landed["energy_kwh"].sum())
    assert sessions["idle_min"].sum() == pytest.approx(landed["idle_min"].sum())
    assert set(sessions["idle_basis"].drop_nulls()) == {"source"}


def test_quarter_hours_of_sites_hold_the_energy_of_the_sessions(sap: Settings) -> None:
    load = warehouse.query(sap, "select sum(charging_power_kw) / 4 from fct_site_load_interval").item()
    spread = warehouse.query(sap, "select sum(energy_kwh) from fct_charging_session where ended_at > started_at").item()
    assert load == pytest.approx(spread, rel=1e-6)


@pytest.mark.parametrize("name", ["carta", "sap"])
def test_every_mart_is_there(name: str, project_dir: Path, request: pytest.FixtureRequest) -> None:
    settings = request.getfixturevalue(name)
    tables = warehouse.query(settings, "select table_name from duckdb_tables()")["table_name"]
    counts = {table: warehouse.query(settings, f"select count(*) from {table}").item() for table in tables}
    filled = {"carta": {"fct_trip", "fct_duty_cycle_day"}, "sap": {"fct_charging_session", "fct_site_load_interval"}}
    assert all(counts[table] > 0 for table in filled[name])
    assert counts["fct_departure_readiness"] == 0
    assert set(tables) == {path.stem for path in (project_dir / "models/marts").rglob("*.sql")}
