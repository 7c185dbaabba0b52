"""docs/marts.md describes the marts that exist, and each of its queries runs."""

import re
from pathlib import Path

import pytest

from core.settings import Settings
from orchestration import warehouse

PAGE = Path(__file__).resolve().parents[2] / "docs" / "marts.md"
SECTION = re.compile(r"^### (\w+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
QUERIES = {
    mart: re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    for mart, text in SECTION.findall(PAGE.read_text(encoding="utf-8"))
}


def test_the_page_has_every_mart_and_no_other(fleet: Settings) -> None:
    tables = warehouse.query(fleet, "select table_name from duckdb_tables()")["table_name"].to_list()
    assert sorted(QUERIES) == sorted(tables)


@pytest.mark.parametrize("mart", QUERIES)
def test_its_query_runs_and_reads_the_mart(fleet: Settings, mart: str) -> None:
    (sql,) = QUERIES[mart]
    assert mart in sql
    assert warehouse.query(fleet, sql).width > 0


@pytest.mark.parametrize("mart", ["dim_site", "dim_vehicle", "fct_trip", "fct_duty_cycle_day", "fct_charging_session"])
def test_on_a_fleet_its_query_has_an_answer(fleet: Settings, mart: str) -> None:
    (sql,) = QUERIES[mart]
    assert warehouse.query(fleet, sql).height > 0
