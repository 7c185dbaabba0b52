"""The warehouse: the one place that opens the DuckDB file, always under a kernel lock.

dbt builds it in a child process that inherits the lock and dies with us; analysts get a finished copy of the marts by
atomic rename and never touch the file itself. The warehouse is a cache: delete it, build again, and the marts are
equal. Nothing here imports Dagster, and nothing else may open the file.
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from core.files import sha256_hex, write_atomic, write_bytes_atomic, write_text_atomic
from core.landing import Landing
from core.locks import file_lock
from core.pseudonyms import KEY_VARIABLE, keyed_hash
from core.settings import Settings, secret

logger = logging.getLogger(__name__)

DBT_PROJECT_DIR: Final = Path(__file__).resolve().parent.parent / "dbt_project"
MARTS: Final = "marts"
STORAGE_VERSION: Final = "v1.2.0"
"""Clients from DuckDB 1.2 on can read the published copy."""

PSEUDONYMS: Final = frozenset({"vin", "token", "driver_id", "user_id"})
"""Columns of people and vehicles that leave the warehouse only as keyed hashes, in whichever mart they occur."""

VIN_PATTERN: Final = r"(^|[^A-Z0-9])[A-HJ-NPR-Z0-9]{17}($|[^A-Z0-9])"
MAY_HOLD_A_VIN: Final = frozenset({"vehicle_id", "subject_id"})
"""Columns of our own identifiers, which are a VIN where somebody configured them so."""


class WarehouseError(RuntimeError):
    """The warehouse cannot do what it was asked; the message says why and what to do."""


class BuildError(WarehouseError):
    """dbt did not get through; the message names what failed."""


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What became of one dbt node.

    ``schema`` and ``name`` are the table's place (and the Dagster key of a model or seed); ``rows`` is NULL for tests,
    ``failures`` for everything else.
    """

    unique_id: str
    kind: str
    schema: str
    name: str
    status: str
    seconds: float
    rows: int | None = None
    failures: int | None = None
    message: str | None = None


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
        core.locks.LockTimeoutError: another process works on the warehouse.
    """
    with _locked(settings) as lock:
        return _build(settings, lock, _build_arguments(select=select, unit_tests=unit_tests), whole=select is None)


def rebuild(settings: Settings) -> BuildReport:
    """Delete the warehouse and build it again.

    Raises:
        BuildError: as ``build``.
    """
    with _locked(settings) as lock:
        for path in settings.warehouse_path.parent.glob(f"{settings.warehouse_path.name}*"):
            path.unlink()
        return _build(settings, lock, _build_arguments(), whole=True)


def run_unit_tests(settings: Settings) -> BuildReport:
    """Run the models' unit tests against the types of an already built warehouse.

    Raises:
        BuildError: a unit test failed.
    """
    with _locked(settings) as lock:
        return _run_dbt(settings, lock, ["test", "--select", "test_type:unit"])


def publish(settings: Settings) -> PublishReport:
    """Put a finished copy of the marts in place by atomic rename; who has the old one open keeps reading it.

    Identifiers of people and vehicles become keyed hashes; nothing but marts is copied.

    Raises:
        WarehouseError: the last build did not get through.
        core.settings.MissingSecretError: there are identifiers to hash, and no key.
    """
    started_s = time.monotonic()
    nodes = _mart_nodes(settings)
    with _locked(settings):
        if not _good_build_marker(settings).exists():
            raise WarehouseError("the warehouse holds no finished build; build it again, then publish")
        path = settings.published_path
        for leftover in path.parent.glob(f".{path.name}.*"):
            leftover.unlink()
        rows: dict[str, int] = {}
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
    """Return the dbt manifest of the project as it is now, parsing the project if it changed.

    This is what Dagster loads its assets from. The file is named after the project's content.

    Raises:
        BuildError: the project does not parse.
    """
    folder = _dbt_dir(settings) / "manifest"
    path = folder / f"{_project_hash()}.json"
    if not path.exists():
        with file_lock(folder / "parse.lock", inheritable=True) as lock:
            if not path.exists():
                _run_child(settings, lock, ["parse"], target=folder)
                write_bytes_atomic(path, (folder / "manifest.json").read_bytes())
    return path


def dbt_environment(settings: Settings, *, target: Path | None = None) -> dict[str, str]:
    """Return the environment that the dbt project needs: where things are, and nothing phones home."""
    return {
        **os.environ,
        "DEPOTWISE_LANDING_DIR": str(settings.landing_dir.resolve()),
        "DEPOTWISE_WAREHOUSE_PATH": str(settings.warehouse_path.resolve()),
        "DBT_PROJECT_DIR": str(DBT_PROJECT_DIR),
        "DBT_PROFILES_DIR": str(DBT_PROJECT_DIR),
        "DBT_TARGET_PATH": str((target or _dbt_dir(settings) / "target").resolve()),
        "DBT_LOG_PATH": str((_dbt_dir(settings) / "logs").resolve()),
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def _locked(settings: Settings) -> Iterator[int]:
    lock_path = settings.warehouse_path.with_suffix(".lock")
    with file_lock(lock_path, inheritable=True) as lock:
        yield lock


def _dbt_dir(settings: Settings) -> Path:
    return settings.warehouse_path.parent / "dbt"


def _good_build_marker(settings: Settings) -> Path:
    return _dbt_dir(settings) / "last_build_is_good"


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
    report = _run_dbt(settings, lock, arguments)
    if becomes_good:
        write_text_atomic(marker, "")
    return report


def _run_dbt(settings: Settings, lock: int, arguments: Sequence[str]) -> BuildReport:
    started_s = time.monotonic()
    results_path = _dbt_dir(settings) / "target" / "run_results.json"
    results_path.unlink(missing_ok=True)
    _run_child(settings, lock, arguments, results_path=results_path)
    nodes = _node_results(results_path, _table_rows(settings.warehouse_path))
    report = BuildReport(nodes, time.monotonic() - started_s)
    for node in report.warnings:
        logger.warning("%s: %s", node.name, node.message)
    logger.info("dbt %s: %d nodes in %.1f s", arguments[0], len(nodes), report.seconds)
    return report


def _run_child(
    settings: Settings,
    lock: int,
    arguments: Sequence[str],
    *,
    target: Path | None = None,
    results_path: Path | None = None,
) -> None:
    """Run dbt in a child that holds our lock while it lives and dies when we do."""
    if not DBT_PROJECT_DIR.is_dir():
        raise BuildError(f"{DBT_PROJECT_DIR} is missing; run from a checkout of the project, installed with `-e .`")
    _dbt_dir(settings).mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.dbt_child", str(os.getpid()), "--quiet", *arguments],
        env=dbt_environment(settings, target=target),
        cwd=DBT_PROJECT_DIR.parent,
        pass_fds=(lock,),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(_failure_message(done, results_path, log=_dbt_dir(settings) / "logs" / "dbt.log"))


def _failure_message(done: subprocess.CompletedProcess[str], results_path: Path | None, *, log: Path) -> str:
    """Say what failed: the first nodes in words, or, when dbt did not get that far, the end of its output."""
    failed: list[NodeResult] = []
    if results_path is not None and results_path.exists():
        failed = [node for node in _node_results(results_path, {}) if node.status in {"error", "fail"}]
    if failed:
        reasons = [f"{node.name}: {(node.message or node.status).strip()}" for node in failed[:5]]
        more = [f"and {len(failed) - 5} more"] if len(failed) > 5 else []
        return "\n".join([f"dbt failed on {len(failed)} nodes (log: {log})", *reasons, *more])
    output = (done.stdout + done.stderr).strip().splitlines()[-15:]
    return "\n".join([f"dbt ended with {done.returncode} (log: {log})", *output])


def _node_results(results_path: Path, rows: Mapping[tuple[str, str], int]) -> tuple[NodeResult, ...]:
    document = json.loads(results_path.read_text(encoding="utf-8"))
    return tuple(_node_result(result, rows) for result in document["results"])


def _node_result(result: Mapping[str, Any], rows: Mapping[tuple[str, str], int]) -> NodeResult:
    unique_id: str = result["unique_id"]
    kind = unique_id.split(".", maxsplit=1)[0]
    place = (result.get("relation_name") or "").replace('"', "").split(".")
    is_table = kind in {"model", "seed"} and len(place) == 3
    schema, name = (place[1], place[2]) if is_table else ("", unique_id.split(".")[2])
    return NodeResult(
        unique_id,
        kind,
        schema,
        name,
        status=result["status"],
        seconds=float(result["execution_time"]),
        rows=rows.get((schema, name)) if is_table else None,
        failures=None if is_table else result.get("failures"),
        message=result.get("message"),
    )


def _table_rows(warehouse_path: Path) -> dict[tuple[str, str], int]:
    with duckdb.connect(warehouse_path, read_only=True) as connection:
        found = connection.execute("SELECT schema_name, table_name, estimated_size FROM duckdb_tables()").fetchall()
    return {(schema, table): int(size) for schema, table, size in found}


def _project_hash() -> str:
    files = sorted(path for path in DBT_PROJECT_DIR.rglob("*") if path.is_file())
    content = b"".join(str(path.relative_to(DBT_PROJECT_DIR)).encode() + path.read_bytes() for path in files)
    return sha256_hex(content)[:16]


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
        connection.execute(f"ATTACH {_text(warehouse_path)} AS warehouse (READ_ONLY)")
        connection.execute(f"ATTACH {_text(target)} AS published (STORAGE_VERSION '{STORAGE_VERSION}')")
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
    connection.execute(f"COMMENT ON TABLE {target} IS {_text(node['description'])}")
    for column in columns:
        description = node["columns"][column]["description"]
        connection.execute(f'COMMENT ON COLUMN {target}."{column}" IS {_text(description)}')
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


def _text(value: object) -> str:
    """Write a value as an SQL text literal."""
    return "'" + str(value).replace("'", "''") + "'"
