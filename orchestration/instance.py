"""Dagster's own storage and settings: below HOME/dagster, with telemetry and sign-up windows off."""

import os
import sqlite3
from pathlib import Path

from sqlalchemy import Engine, event

from core.files import write_text_atomic
from core.settings import Settings

DAGSTER_YAML = """\
# Written by depotwise; your own settings go into the workspace's environment, not here.
telemetry: {enabled: false}
nux: {enabled: false}
concurrency:
  pools: {default_limit: 1, granularity: op}
  runs: {max_concurrent_runs: 2}
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 60
"""

QUIET_TOOLS = {"DAGSTER_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


def prepare_instance(settings: Settings) -> Path:
    """Write dagster.yaml where it is missing or old, set ``DAGSTER_HOME``, and return the folder."""
    folder = settings.dagster_dir.resolve()
    path = folder / "dagster.yaml"
    if not path.exists() or path.read_text(encoding="utf-8") != DAGSTER_YAML:
        write_text_atomic(path, DAGSTER_YAML)
    os.environ.update(QUIET_TOOLS | {"DAGSTER_HOME": str(folder)})
    return folder


def spare_syncs() -> None:
    """Let this process's run logs be written without waiting for the disk: for what is thrown away afterwards.

    Dagster opens, syncs and closes its SQLite files for every event, which on a slow disk is half the time of a nightly
    job. A killed process loses nothing by it; a power cut may spoil the log of runs, so lasting homes keep the syncs.
    """
    if not event.contains(Engine, "connect", _without_syncs):
        event.listen(Engine, "connect", _without_syncs)


def _without_syncs(connection: object, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("pragma synchronous = off")
