"""The warehouse as a cache: deleted, killed in the middle, published again, it says the same."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from core.locks import file_lock
from core.pseudonyms import keyed_hash
from core.settings import Settings
from orchestration import warehouse

REBUILD = """
import sys
from core.settings import Settings
from orchestration import warehouse
warehouse.rebuild(Settings(home=sys.argv[1]))
"""


def published(settings: Settings) -> dict[str, pl.DataFrame]:
    """Every published mart, sorted by all its columns."""
    tables = warehouse.query(settings, "select table_name from duckdb_tables() order by 1")["table_name"]
    return {table: warehouse.query(settings, f"select * from {table} order by all") for table in tables}


def assert_equal_marts(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    assert found.keys() == expected.keys()
    for table, frame in expected.items():
        assert_frame_equal(found[table], frame, rel_tol=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_deleted_and_killed_while_rebuilding_it_ends_with_equal_marts(fleet: Settings) -> None:
    before = published(fleet)
    log = fleet.home / "warehouse/dbt/logs/dbt.log"
    seen = log.stat().st_size
    with fleet.warehouse_path.open("rb") as old:  # held open, so that its number is not given to the new file
        parent = subprocess.Popen([sys.executable, "-c", REBUILD, str(fleet.home)])
        deadline = time.monotonic() + 120
        while b"stg_trip" not in log.read_bytes()[seen:] and time.monotonic() < deadline:
            time.sleep(0.02)
        child = child_of(parent.pid)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert not os.path.samestat(os.fstat(old.fileno()), fleet.warehouse_path.stat())

    # The lock is free only when the child, which inherited it, is gone too.
    with file_lock(fleet.warehouse_path.with_suffix(".lock"), timeout_s=20):
        assert not is_alive(child)
    with pytest.raises(warehouse.WarehouseError, match="no finished build"):
        warehouse.publish(fleet)
    assert_equal_marts(published(fleet), before)

    warehouse.build(fleet)
    warehouse.publish(fleet)
    assert_equal_marts(published(fleet), before)


def child_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    assert len(children) == 1, "dbt runs in one child process"
    return int(children[0])


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text(encoding="ascii").rsplit(")", maxsplit=1)[1].split()[0] != "Z"


def test_who_reads_across_a_publication_keeps_the_old_copy(fleet: Settings) -> None:
    count = "select count(*) from fct_trip"
    with duckdb.connect(fleet.published_path, read_only=True, config={"enable_external_access": False}) as reader:
        before = reader.execute(count).fetchone()
        inode = fleet.published_path.stat().st_ino
        report = warehouse.publish(fleet)
        assert fleet.published_path.stat().st_ino != inode
        assert reader.execute(count).fetchone() == before == (report.rows["fct_trip"],)
    assert [path.name for path in fleet.published_path.parent.iterdir()] == ["marts.duckdb"]


def test_the_published_copy_holds_no_identifier_of_a_vehicle_or_a_person(fleet: Settings) -> None:
    vehicles = warehouse.query(fleet, "select vehicle_id, vin from dim_vehicle order by vehicle_id")
    hashed = dict(vehicles.iter_rows())
    assert hashed["bus-0"] == keyed_hash("WVWZZZ1JZ3W380006")
    tokens = warehouse.query(fleet, "select distinct token from fct_charging_session where token is not null")[
        "token"
    ].to_list()
    assert tokens == [keyed_hash("hashed-token")]
    content = fleet.published_path.read_bytes()
    assert b"WVWZZZ" not in content
    assert b"hashed-token" not in content


def test_the_published_copy_explains_itself(fleet: Settings) -> None:
    found = warehouse.query(
        fleet,
        """select table_name from duckdb_tables() where comment is null
           union all
           select table_name || '.' || column_name from duckdb_columns() where comment is null and not internal""",
    )
    assert found.height == 0
