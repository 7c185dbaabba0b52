"""Configuration folders: a good one loads, a bad one tells all of its mistakes at once, each with its line."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import xlsxwriter

from ingestion.registry import ConfigurationError, UnknownEntryError, load_registry
from ingestion.registry.starter import write_starter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_starter(tmp_path / "config")
    return tmp_path / "config"


@pytest.fixture
def change(folder: Path) -> Callable[..., None]:
    def replace(file: str, old: str, new: str) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return replace


def mistakes(folder: Path) -> list[tuple[str, int, str]]:
    with pytest.raises(ConfigurationError) as error:
        load_registry(folder)
    return [(one.file, one.line, one.field) for one in error.value.mistakes]


def said(folder: Path) -> str:
    with pytest.raises(ConfigurationError) as error:
        load_registry(folder)
    return str(error.value)


def test_the_starter_loads_as_it_stands(folder):
    registry = load_registry(folder)
    assert [site.site_id for site in registry.sites] == ["north"]
    assert [one.vehicle_id for one in registry.vehicles_of("north")] == ["van-01", "van-02", "truck-01"]
    assert len(registry.connectors_of("north")) == 3
    assert registry.source("prices").path == folder / "prices"


def test_the_starter_is_never_written_over_something(folder):
    with pytest.raises(FileExistsError, match="already holds sites"):
        write_starter(folder)


def test_the_import_limit_goes_by_local_time_of_day(folder):
    registry = load_registry(folder)
    winter, summer = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 7, 15, tzinfo=UTC)
    instants = [winter.replace(hour=15, minute=59), winter.replace(hour=16), summer.replace(hour=15)]
    assert registry.import_limit_kw("north", instants) == [120, 100, 100]


def test_names_of_providers_lead_to_vehicles(folder):
    registry = load_registry(folder)
    found = registry.vehicle_by_source_ref("geotab-vans", "b2")
    assert found is not None
    assert found.vehicle_id == "van-02"
    assert registry.vehicle_by_source_ref("rfms-heavy", "b2") is None
    with pytest.raises(UnknownEntryError, match="there are: north"):
        registry.site("south")


def test_times_without_a_zone_are_local_and_skipped_ones_move_on(folder, change):
    change("duties.csv", "2026-02-10T06:30,2026-02-10T15:30", "2026-03-29T02:30,2026-03-29T15:30")
    change("duties.csv", "tour-1,2026-02-10", "tour-1,2026-03-29")
    duty, other, _ = load_registry(folder).duties
    assert duty.planned_departure == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 02:30 does not exist
    assert other.planned_departure == datetime(2026, 2, 10, 6, tzinfo=UTC)
    assert load_registry(folder).tokens[0].valid_from == datetime(2025, 12, 31, 23, tzinfo=UTC)


def test_standby_and_heat_are_columns_that_may_be_left_out(folder, change):
    assert load_registry(folder).vehicles[0].standby_kw is None
    change("vehicles.csv", "efficiency,reference", "efficiency,standby_kw,precondition_kw,precondition_min,reference")
    change("vehicles.csv", "0.9,0.28,CP-1", "0.9,0.3,5,30,0.28,CP-1")
    change("vehicles.csv", "0.9,0.28,CP-2", "0.9,,,,0.28,CP-2")
    change("vehicles.csv", "0.93,1.1", "0.93,,,,1.1")
    vehicles = load_registry(folder).vehicles
    assert [(one.standby_kw, one.precondition_kw, one.precondition_min) for one in vehicles] == [
        (0.3, 5.0, 30.0),
        (None, None, None),
        (None, None, None),
    ]
    change("vehicles.csv", "0.3,5,30", "0.3,5,")
    assert "one of precondition_kw and precondition_min is missing" in said(folder)


def test_duties_may_come_as_a_workbook(folder):
    lines = [line.split(",") for line in (folder / "duties.csv").read_text().splitlines()]
    expected = load_registry(folder).duties
    with xlsxwriter.Workbook(folder / "duties.xlsx") as book:
        sheet = book.add_worksheet()
        stamp = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        for row, line in enumerate(lines):
            for column, cell in enumerate(line):
                if row and column in (4, 5):
                    sheet.write_datetime(row, column, datetime.fromisoformat(cell), stamp)
                elif row and column == 1:
                    sheet.write_datetime(row, column, date.fromisoformat(cell), stamp)
                else:
                    sheet.write(row, column, float(cell) if row and column in (6, 8) and cell else cell)
    assert "a duties.csv and a duties.xlsx" in said(folder)
    (folder / "duties.csv").unlink()
    assert load_registry(folder).duties == expected


def test_all_mistakes_are_told_at_once_with_their_lines(folder, change):
    change("sites.yaml", "Europe/Berlin", "Europe/Berln")
    change("sites.yaml", 'from: "17:00"', "from: 17:00")
    change("sites.yaml", "pv_kwp", "pv_kpw")
    change("sources.yaml", "token_env: DEPOTWISE_RFMS_TOKEN", "token: hunter2")
    change("vehicles.csv", "0.93,1.1,DC-1", "9.3,1.1,DC-1")
    change("connectors.csv", "CP-2,1,DE*DEP*E2,north", "CP-2,1,DE*DEP*E2,south")
    change("duties.csv", "2026-02-10T15:30", "2026-02-10T05:30")
    (folder / "tokens.csv").write_text("token,vehicle_id,valid_from,valid_to\nX,ghost,2026-01-01,\nY,van-01\n")
    found = mistakes(folder)
    assert found == [
        ("connectors.csv", 3, "site_id"),
        ("duties.csv", 2, ""),
        ("sites.yaml", 5, "timezone"),
        ("sites.yaml", 11, "import_limit[1].from"),
        ("sites.yaml", 26, "pv_kpw"),
        ("sources.yaml", 7, "credentials.token"),
        ("tokens.csv", 2, "vehicle_id"),
        ("tokens.csv", 3, ""),
        ("vehicles.csv", 4, "efficiency"),
    ]
    text = said(folder)
    assert "9 mistakes" in text
    assert "Did you mean pv_kwp?" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("sites.yaml", "limit_kw: 120", "limit_kw: 20", ("sites.yaml", 11, "import_limit")),
        ("sites.yaml", "limit_kw: 60", "limit_kw: 8", ("sites.yaml", 13, "groups[0].limit_kw")),
        ("sites.yaml", "group_id: feeder-a", "group_id: feeder-b", ("connectors.csv", 2, "group_id")),
        ("connectors.csv", "4.14,4.2", "4.14,2", ("connectors.csv", 2, "")),
        ("connectors.csv", "CP-2,1", "CP-1,1", ("connectors.csv", 3, "connector_id")),
        ("vehicles.csv", "van-02", "van-01", ("vehicles.csv", 3, "vehicle_id")),
        ("vehicles.csv", "WDEPV000000000002", "WDEPV000000000001", ("vehicles.csv", 3, "vin")),
        ("vehicles.csv", "geotab-vans,b2", "geotab-vans,b1", ("vehicles.csv", 3, "source_ref")),
        ("vehicles.csv", "geotab-vans,b2", "telepathy,b2", ("vehicles.csv", 3, "source_id")),
        ("vehicles.csv", "0.28,CP-2", "0.28,CP-9", ("vehicles.csv", 3, "home_station_id")),
        ("tokens.csv", "04A1B2C3D4E502,van-02", "04a1b2c3d4e501,van-02", ("tokens.csv", 3, "valid_from")),
        ("tokens.csv", "van-01,2026-01-01,", "van-01,2026-01-01,2025-12-01", ("tokens.csv", 2, "valid_to")),
        ("assignments.csv", "van-02,driver-2", "van-01,driver-2", ("assignments.csv", 3, "valid_from")),
        ("duties.csv", "north,van-01", "north,van-09", ("duties.csv", 2, "vehicle_id")),
        ("duties.csv", "tour-1,2026-02-10", "tour-1,2026-02-12", ("duties.csv", 2, "operating_date")),
        ("duties.csv", "2026-02-10T06:30", "half past six", ("duties.csv", 2, "planned_departure")),
        ("sources.yaml", "kind: geotab", "kind: geotap", ("sources.yaml", 16, "kind")),
        ("sources.yaml", "path: prices", "url: not-a-url", ("sources.yaml", 40, "url")),
        ("sites.yaml", "    currency: EUR", "    name: Depot Nord", ("sites.yaml", 6, "")),
    ],
)
def test_each_mistake_is_found_where_it_is(folder, change, file, old, new, expected):
    change(file, old, new)
    if "limit_kw: 20" in new:
        change(file, "limit_kw: 100", "limit_kw: 15")
    assert expected in mistakes(folder)


def test_the_sum_of_fallbacks_is_told_with_what_is_too_much(folder, change):
    change("sites.yaml", "limit_kw: 100", "limit_kw: 25")
    assert "3 connectors fall back to 28.4 kW together, above the 25 kW allowed. Lower fallback_kw" in said(folder)
    assert "by 3.4 kW" in said(folder)


@pytest.mark.parametrize("file", ["sites.yaml", "sources.yaml", "connectors.csv", "vehicles.csv"])
def test_a_missing_file_is_told(folder, file):
    (folder / file).unlink()
    assert (file, 1, "") in mistakes(folder)
    assert "depotwise init" in said(folder)


@pytest.mark.parametrize("file", ["tokens.csv", "assignments.csv", "duties.csv"])
def test_some_files_may_be_missing(folder, file):
    (folder / file).unlink()
    load_registry(folder)


def test_one_bad_site_makes_no_mistake_of_every_line_that_names_it(folder, change):
    change("sites.yaml", "geofence_radius_m: 250", "geofence_radius_m: -1")
    assert mistakes(folder) == [("sites.yaml", 8, "geofence_radius_m")]


@pytest.mark.parametrize(
    "text", ["", "sites:", "- a\n- b", "sites: [1, 2]", "sites:\n\t- x: 1", "sites: [{a: 1, a: 2}]", "a: &x [*x]"]
)
def test_any_yaml_is_a_registry_or_a_mistake(folder, text):
    (folder / "sites.yaml").write_text(text)
    assert all(file for file, _, _ in mistakes(folder))


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"a,a\n1,2\n", b'vehicle_id\n"unclosed', b"\n\n"])
def test_any_csv_is_a_registry_or_a_mistake(folder, data):
    (folder / "vehicles.csv").write_bytes(data)
    assert any(file == "vehicles.csv" for file, _, _ in mistakes(folder))


def test_no_folder_is_told_with_what_to_do(tmp_path):
    assert "depotwise init" in said(tmp_path / "nowhere")


def test_the_registry_is_frozen(folder):
    registry = load_registry(folder)
    with pytest.raises(AttributeError):
        registry.sites = ()
