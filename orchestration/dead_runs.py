"""Runs whose process was killed: Dagster shows them as running for ever, and they keep their places in its queues.

A run in process holds a kernel lock while it lives, which death releases; so the dead can be told from the living, and
the next run tidies up after them. Steps need no tidying: what they landed stays, and they are simply run again.
"""

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from core.locks import LockTimeoutError, file_lock
from core.settings import Settings

LOGGER = logging.getLogger(__name__)
PROCESS_TAG = "depotwise/process"
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@contextmanager
def alive(settings: Settings) -> Iterator[Mapping[str, str]]:
    """Yield the tags for runs of this process, which count as alive as long as the block runs."""
    name = uuid.uuid4().hex
    path = _lock_path(settings, name)
    with file_lock(path):
        try:
            yield {PROCESS_TAG: name}
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Keep another user interface off this home while this process lives, whatever program it becomes.

    Raises:
        core.locks.LockTimeoutError: there is one.
    """
    with file_lock(settings.dagster_dir / "ui.lock", timeout_s=0, inheritable=True):
        yield


def end_dead_runs(instance: dg.DagsterInstance, settings: Settings, *, is_alone: bool = False) -> list[str]:
    """Mark runs whose process has died as failed, give their places in queues back, and return their ids.

    Args:
        instance: Dagster's instance.
        settings: Where the locks of processes lie.
        is_alone: No Dagster runs on this instance, so that what one launched, and never finished, is dead too.
    """
    dead = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        name = run.tags.get(PROCESS_TAG)
        if not (is_alone if name is None else _is_dead(_lock_path(settings, name))):
            continue
        LOGGER.warning("run %s of %s was killed before it ended", run.run_id, run.job_name)
        instance.report_run_failed(run, "Its process was killed before it ended; the same command starts it again.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        dead.append(run.run_id)
    return dead


def _lock_path(settings: Settings, name: str) -> Path:
    return settings.dagster_dir / "processes" / f"{name}.lock"


def _is_dead(path: Path) -> bool:
    if not path.exists():
        return True
    try:
        with file_lock(path, timeout_s=0):
            path.unlink(missing_ok=True)
            return True
    except LockTimeoutError:
        return False
