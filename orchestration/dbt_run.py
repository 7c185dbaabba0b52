"""Running dbt on the warehouse: environment, child process, and what became of each node.

The project folder is only read; everything dbt writes lies below HOME/warehouse/dbt. Nothing here opens the DuckDB
file or knows when dbt may run: that is ``orchestration.warehouse``, which holds the lock.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.files import sha256_hex, write_bytes_atomic
from core.settings import Settings

PROJECT_DIR: Final = Path(__file__).resolve().parent.parent / "dbt_project"
QUIET: Final = ("--quiet", "--log-level-file", "info")
"""Nothing on the terminal, and no debug log: writing it costs a tenth of a build's time."""

FAILED: Final = frozenset({"error", "fail", "runtime error"})


class WarehouseError(RuntimeError):
    """The warehouse cannot do what it was asked; the message says why and what to do."""


class BuildError(WarehouseError):
    """dbt did not get through; the message names what failed."""


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What became of one dbt node.

    ``schema`` and ``name`` are the table's place (and the Dagster key of a model or seed); ``rows`` is None for tests
    and views, ``failures`` for everything but tests.
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


def dbt_dir(settings: Settings) -> Path:
    """Return the folder of all that dbt writes, the DuckDB file apart."""
    return settings.warehouse_path.parent / "dbt"


def manifest_file(settings: Settings) -> Path:
    """Return where the manifest of the project as it is now is kept: named after the project's content."""
    return dbt_dir(settings) / "manifests" / f"{_project_hash()}.json"


def dbt_environment(settings: Settings) -> dict[str, str]:
    """Return the environment that the dbt project needs: where things are, and nothing phones home."""
    return {
        **os.environ,
        "DEPOTWISE_LANDING_DIR": str(settings.landing_dir.resolve()),
        "DEPOTWISE_WAREHOUSE_PATH": str(settings.warehouse_path.resolve()),
        "DBT_PROJECT_DIR": str(PROJECT_DIR),
        "DBT_PROFILES_DIR": str(PROJECT_DIR),
        "DBT_TARGET_PATH": str((dbt_dir(settings) / "target").resolve()),
        "DBT_LOG_PATH": str((dbt_dir(settings) / "logs").resolve()),
        "DO_NOT_TRACK": "1",
    }


def run_dbt(settings: Settings, arguments: Sequence[str], *, lock: int) -> None:
    """Run dbt in a child that holds the lock's descriptor while it lives, and dies when we do.

    The manifest is kept under its project's name, because dbt overwrites its own in place; it is also there when the
    project parses and a model fails.

    Raises:
        BuildError: dbt failed, with what failed in words.
    """
    if not PROJECT_DIR.is_dir():
        raise BuildError(f"{PROJECT_DIR} is missing; run from a checkout of the project, installed with `-e .`")
    manifest = manifest_file(settings)
    target = dbt_dir(settings) / "target"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("run_results.json", "manifest.json"):
        (target / name).unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.dbt_child", str(os.getpid()), *QUIET, *arguments],
        env=dbt_environment(settings),
        cwd=PROJECT_DIR.parent,
        pass_fds=(lock,),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if (target / "manifest.json").exists() and not manifest.exists():
        write_bytes_atomic(manifest, (target / "manifest.json").read_bytes())
    if done.returncode != 0:
        raise BuildError(_failure_message(settings, done))


def node_results(settings: Settings, rows: Mapping[tuple[str, str], int]) -> tuple[NodeResult, ...]:
    """Return what became of the nodes of the last run, in dbt's order; none where it did not get that far.

    Args:
        settings: Where dbt ran.
        rows: Rows by schema and table, as they are now.
    """
    path = dbt_dir(settings) / "target" / "run_results.json"
    if not path.exists():
        return ()
    return tuple(_node_result(result, rows) for result in json.loads(path.read_bytes())["results"])


def _node_result(result: Mapping[str, Any], rows: Mapping[tuple[str, str], int]) -> NodeResult:
    unique_id: str = result["unique_id"]
    kind = unique_id.split(".", maxsplit=1)[0]
    place = (result.get("relation_name") or "").replace('"', "").split(".")
    is_table = kind in {"model", "seed"} and len(place) == 3
    # A unit test's id ends in the model and its own name, a data test's in its name and a hash.
    schema, name = (place[1], place[2]) if is_table else ("", unique_id.split(".")[3 if kind == "unit_test" else 2])
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


def _failure_message(settings: Settings, done: subprocess.CompletedProcess[str]) -> str:
    """Say what failed: the first nodes in words, or, when dbt did not get that far, the end of its output."""
    log = dbt_dir(settings) / "logs" / "dbt.log"
    failed = [node for node in node_results(settings, {}) if node.status in FAILED]
    if failed:
        reasons = [f"{node.name}: {(node.message or node.status).strip()}" for node in failed[:5]]
        more = [f"and {len(failed) - 5} more"] if len(failed) > 5 else []
        return "\n".join([f"dbt failed on {len(failed)} nodes (log: {log})", *reasons, *more])
    output = (done.stdout + done.stderr).strip().splitlines()[-15:]
    return "\n".join([f"dbt ended with {done.returncode} (log: {log})", *output])


def _project_hash() -> str:
    files = sorted(path for path in PROJECT_DIR.rglob("*") if path.is_file())
    content = b"".join(str(path.relative_to(PROJECT_DIR)).encode() + path.read_bytes() for path in files)
    return sha256_hex(content)[:16]
