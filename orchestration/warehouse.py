"""The warehouse: the one place that opens the DuckDB file, always under a kernel lock.

dbt builds it in a child process that inherits the lock and dies with us; analysts get a finished copy of the marts by
atomic rename and never touch the file itself. The warehouse is a cache: delete it, build again, and the marts are
equal. Nothing here imports Dagster, and nothing else may open the file.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from core.files import write_atomic, write_text_atomic
from core.landing import Landing
from core.locks import LockTimeoutError, file_lock
from core.pseudonyms import KEY_VARIABLE, keyed_hash
from core.settings import Settings, secret
from orchestration.dbt_run import BuildError, NodeResult, WarehouseError, dbt_dir, manifest_file, node_results, run_dbt

__all__ = [
    "MARTS",
    "BuildError",
    "BuildReport",
    "NodeResult",
    "PublishReport",
    "WarehouseError",
    "build",
    "manifest_path",
    "publish",
    "query",
    "rebuild",
    "run_unit_tests",
]

logger = logging.getLogger(__name__)

MARTS: Final = "marts"
LOCK_TIMEOUT_S = 600.0
STORAGE_VERSION: Final = "v1.2.0"
"""Clients from DuckDB 1.2 on can read the published copy."""

PSEUDONYMS: Final = frozenset({"vin", "token", "driver_id", "user_id"})
"""Columns of people and vehicles that leave the warehouse only as keyed hashes, in whichever mart they occur."""

VIN_PATTERN: Final = r"(^|[^A-Z0-9])[A-HJ-NPR-Z0-9]{17}($|[^A-Z0-9])"
MAY_HOLD_A_VIN: Final = frozenset({"vehicle_id", "subject_id"})
"""Columns of our own identifiers, which are a VIN where somebody configured them so."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """All nodes of a build, in dbt's order, and how long it took with start-up."""

    nodes: tuple[NodeResult, ...]
    seconds: float

    @property
    def rows(self) -> dict[str, int]:
        """Rows by ``schema.table``."""
        return {f"{node.schema}.{node.name}": node.rows for node in self.nodes if node.rows is not None}

    @property
    def warnings(self) -> tuple[NodeResult, ...]:
        """Tests that found something which does not stop the build."""
        return tuple(node for node in self.nodes if node.status == "warn")


@dataclass(frozen=True, slots=True)
class PublishReport:
    """The published copy and its rows by table."""

    path: Path
    rows: Mapping[str, int]
    seconds: float


def build(settings: Settings, *, select: str | None = None, unit_tests: bool = False) -> BuildReport:
    """Build the warehouse from landing: raw views, models, seeds and data tests.

    Args:
        settings: Where landing and warehouse are.
        select: dbt's selection, such as ``+fct_trip``; without it, everything.
        unit_tests: Also run the unit tests of the models (a matter of development, not of nightly runs).

    Raises:
        BuildError: a model or a test failed, or dbt could not start.
        WarehouseError: another process has been at work on the warehouse for ten minutes.
    """
    with _locked(settings) as lock:
        return _build(settings, lock, _build_arguments(select=select, unit_tests=unit_tests), whole=select is None)


def rebuild(settings: Settings) -> BuildReport:
    """Delete the warehouse and build it again.

    Raises:
        BuildError: as ``build``.
    """
    with _locked(settings) as lock:
        for suffix in ("", ".wal"):
            Path(f"{settings.warehouse_path}{suffix}").unlink(missing_ok=True)
        return _build(settings, lock, _build_arguments(), whole=True)


def run_unit_tests(settings: Settings) -> BuildReport:
    """Run the models' unit tests, which take their types from an already built warehouse.

    Raises:
        BuildError: a unit test failed.
    """
    with _locked(settings) as lock:
        return _run(settings, ["test", "--select", "test_type:unit"], lock=lock)


def publish(settings: Settings) -> PublishReport:
    """Put a finished copy of the marts in place by atomic rename; who has the old one open keeps reading it.

    Identifiers of people and vehicles become keyed hashes; nothing but marts is copied.

    Raises:
        WarehouseError: the last build did not get through.
        core.settings.MissingSecretError: there are identifiers to hash, and no key.
    """
    started_s = time.monotonic()
    nodes = _mart_nodes(settings)
    path = settings.published_path
    rows: dict[str, int] = {}
    with _locked(settings):
        if not _good_build_marker(settings).exists():
            raise WarehouseError("the warehouse holds no finished build; build it again, then publish")
        for leftover in path.parent.glob(f".{path.name}.*"):
            leftover.unlink()
        write_atomic(path, lambda temporary: rows.update(_copy_marts(settings.warehouse_path, temporary, nodes)))
    return PublishReport(path, rows, time.monotonic() - started_s)


def query(settings: Settings, sql: str) -> pl.DataFrame:
    """Answer SQL from the published marts: read-only, without access to files, network or settings.

    Raises:
        WarehouseError: nothing is published yet, or the SQL is wrong or not allowed.
    """
    path = settings.published_path
    if not path.exists():
        raise WarehouseError(f"{path} does not exist yet; `depotwise run nightly` or `depotwise import` publishes it")
    try:
        with duckdb.connect(path, read_only=True, config={"enable_external_access": False}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET lock_configuration = true")
            result = connection.sql(sql)
            return pl.DataFrame() if result is None else result.pl()
    except duckdb.Error as error:
        raise WarehouseError(str(error)) from error


def manifest_path(settings: Settings) -> Path:
    """Return the dbt manifest of the project as it is now, parsing the project if it changed since the last run.

    This is what Dagster loads its assets from.

    Raises:
        BuildError: the project does not parse.
    """
    path = manifest_file(settings)
    if not path.exists():
        with _locked(settings) as lock:
            if not path.exists():
                run_dbt(settings, ["parse"], lock=lock)
    return path


@contextmanager
def _locked(settings: Settings) -> Iterator[int]:
    path = settings.warehouse_path.with_suffix(".lock")
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(file_lock(path, timeout_s=LOCK_TIMEOUT_S, inheritable=True))
        except LockTimeoutError as error:
            raise WarehouseError(str(error)) from error
        yield lock


def _good_build_marker(settings: Settings) -> Path:
    return dbt_dir(settings) / "last_build_is_good"


def _build_arguments(*, select: str | None = None, unit_tests: bool = False) -> list[str]:
    selection = [] if select is None else ["--select", *select.split()]
    exclusion = [] if unit_tests else ["--exclude-resource-type", "unit_test"]
    return ["build", *selection, *exclusion]


def _build(settings: Settings, lock: int, arguments: Sequence[str], *, whole: bool) -> BuildReport:
    """Build under the lock; the marts may be published only when nothing in them is left from a failed build."""
    Landing(settings.landing_dir).prepare()
    marker = _good_build_marker(settings)
    becomes_good = whole or marker.exists()
    marker.unlink(missing_ok=True)
    report = _run(settings, arguments, lock=lock)
    if becomes_good:
        write_text_atomic(marker, "")
    return report


def _run(settings: Settings, arguments: Sequence[str], *, lock: int) -> BuildReport:
    started_s = time.monotonic()
    run_dbt(settings, arguments, lock=lock)
    nodes = node_results(settings, _table_rows(settings.warehouse_path))
    report = BuildReport(nodes, time.monotonic() - started_s)
    for node in report.warnings:
        logger.warning("%s: %s", node.name, node.message)
    logger.info("dbt %s: %d nodes in %.1f s", arguments[0], len(nodes), report.seconds)
    return report


def _table_rows(warehouse_path: Path) -> dict[tuple[str, str], int]:
    with duckdb.connect(warehouse_path, read_only=True) as connection:
        found = connection.execute("SELECT schema_name, table_name, estimated_size FROM duckdb_tables()").fetchall()
    return {(schema, table): int(size) for schema, table, size in found}


def _mart_nodes(settings: Settings) -> dict[str, Mapping[str, Any]]:
    """Return the marts that the project has now, by table, with their descriptions."""
    manifest = json.loads(manifest_path(settings).read_bytes())
    nodes = manifest["nodes"].values()
    marts = [node for node in nodes if node["resource_type"] == "model" and node["schema"] == MARTS]
    return {node["name"]: node for node in sorted(marts, key=lambda node: str(node["name"]))}


def _copy_marts(warehouse_path: Path, target: Path, nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Write the marts into a new DuckDB file, hashed and commented; return the rows of each."""
    with duckdb.connect(":memory:") as connection:
        connection.create_function("keyed_hash", _hash_text, ["VARCHAR"], "VARCHAR")
        connection.execute(f"ATTACH {_literal(warehouse_path)} AS warehouse (READ_ONLY)")
        connection.execute(f"ATTACH {_literal(target)} AS published (STORAGE_VERSION '{STORAGE_VERSION}')")
        rows = {name: _copy_mart(connection, node) for name, node in nodes.items()}
        connection.execute("DETACH published")
    return rows


def _copy_mart(connection: duckdb.DuckDBPyConnection, node: Mapping[str, Any]) -> int:
    name = node["name"]
    source, target = f"warehouse.{MARTS}.{name}", f"published.main.{name}"
    columns = list(node["columns"])
    _require_key(connection, source, PSEUDONYMS.intersection(columns))
    selected = ", ".join(_published_column(column) for column in columns)
    connection.execute(f"CREATE TABLE {target} AS SELECT {selected} FROM {source}")  # noqa: S608 (names of our own models)
    connection.execute(f"COMMENT ON TABLE {target} IS {_literal(node['description'])}")
    for column in columns:
        description = node["columns"][column]["description"]
        connection.execute(f'COMMENT ON COLUMN {target}."{column}" IS {_literal(description)}')
    row = connection.execute(f"SELECT count(*) FROM {target}").fetchone()  # noqa: S608 (as above)
    return int(row[0]) if row else 0


def _published_column(column: str) -> str:
    if column in PSEUDONYMS:
        return f'keyed_hash("{column}") AS "{column}"'
    if column in MAY_HOLD_A_VIN:
        is_vin = f"regexp_matches(upper(\"{column}\"), '{VIN_PATTERN}')"
        return f'CASE WHEN {is_vin} THEN keyed_hash("{column}") ELSE "{column}" END AS "{column}"'
    return f'"{column}"'


def _require_key(connection: duckdb.DuckDBPyConnection, table: str, columns: frozenset[str]) -> None:
    """Ask for the hash key by name before DuckDB would need it: an error inside a query would be hard to read."""
    for column in sorted(columns):
        if connection.execute(f'SELECT 1 FROM {table} WHERE "{column}" IS NOT NULL LIMIT 1').fetchone():  # noqa: S608 (names of our own models)
            secret(KEY_VARIABLE)


def _hash_text(text: str) -> str:
    return keyed_hash(text)


def _literal(value: object) -> str:
    """Write a value as an SQL text literal."""
    return "'" + str(value).replace("'", "''") + "'"
