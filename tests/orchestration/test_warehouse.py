"""The door to the published marts is locked, and what goes wrong in a build is said in words."""

from pathlib import Path

import duckdb
import pytest

from core.landing import Landing
from core.locks import file_lock
from core.settings import Settings
from orchestration import warehouse
from orchestration.dbt_run import NodeResult


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def published(settings: Settings) -> Settings:
    """Settings with a small published file."""
    settings.published_path.parent.mkdir(parents=True)
    with duckdb.connect(settings.published_path) as connection:
        connection.execute(
            "create table fct_trip as select 'van-1' as vehicle_id, timestamptz '2026-02-01 06:00:00+00' as started_at"
        )
    return settings


def test_query_reads_by_either_name(published: Settings) -> None:
    for table in ("fct_trip", "marts.fct_trip"):
        assert warehouse.query(published, f"select vehicle_id from {table}").to_series().to_list() == ["van-1"]


@pytest.mark.parametrize(
    "sql",
    [
        "create table fct_more as select 1",
        "delete from fct_trip",
        "copy fct_trip to 'stolen.csv'",
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/hostname')",
        "attach 'other.duckdb' as other",
        "install httpfs",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "pragma enable_profiling = 'json'",
        "select * from no_such_table",
        "select 1; copy fct_trip to 'stolen.csv'",
    ],
)
def test_query_allows_nothing_but_reading(
    published: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(warehouse.WarehouseError):
        warehouse.query(published, sql)
    assert not (tmp_path / "stolen.csv").exists()


def test_query_before_any_publication_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(warehouse.WarehouseError, match="depotwise run nightly"):
        warehouse.query(settings, "select 1")


@pytest.mark.slow
def test_a_failed_build_names_the_table_and_is_never_published(settings: Settings) -> None:
    """A file that is no Parquet lies in the landing zone; the build says so, and once it is gone all is well."""
    Landing(settings.landing_dir).prepare()
    bad = settings.landing_dir / "price/source=broken/date=2026-02-01/bad.parquet"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"no parquet")
    with pytest.raises(warehouse.BuildError, match=r"stg_price|bad\.parquet"):
        warehouse.build(settings, select="stg_price stg_duty")
    with pytest.raises(warehouse.WarehouseError, match="no finished build"):
        warehouse.publish(settings)
    bad.unlink()
    report = warehouse.build(settings, select="stg_price stg_duty")
    assert report.rows == {"staging.stg_duty": 0, "staging.stg_price": 0}
    assert warehouse.manifest_path(settings).exists()
    with pytest.raises(warehouse.WarehouseError, match="no finished build"):
        warehouse.publish(settings)


def test_who_finds_the_warehouse_busy_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse, "LOCK_TIMEOUT_S", 0.1)
    with (
        file_lock(settings.warehouse_path.with_suffix(".lock")),
        pytest.raises(warehouse.WarehouseError, match="locked by another process"),
    ):
        warehouse.build(settings)


def test_warnings_are_what_did_not_stop_the_build() -> None:
    nodes = tuple(NodeResult(f"test.depotwise.{s}", "test", "", s, status=s, seconds=0.1) for s in ("pass", "warn"))
    report = warehouse.BuildReport(nodes, seconds=1.0)
    assert [node.name for node in report.warnings] == ["warn"]
    assert report.rows == {}
