"""What a killed process leaves in Dagster: runs that would last for ever, and slots that nobody gives back."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from core.settings import Settings
from orchestration.dead_runs import PROCESS_TAG, alive, alone, end_dead_runs

POOL = "duckdb_writer"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def running(instance: dg.DagsterInstance, tags: dict[str, str]) -> str:
    """Make a run that has started and holds the slot of a step."""
    run = dg.DagsterRun(job_name="refresh", status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.add_run(run)
    instance.event_log_storage.set_concurrency_slots(POOL, 1)
    instance.event_log_storage.claim_concurrency_slot(POOL, run.run_id, "dbt_models")
    return run.run_id


def slots_held(instance: dg.DagsterInstance) -> int:
    return len(instance.event_log_storage.get_concurrency_info(POOL).claimed_slots)


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_whose_process_is_gone_ends_and_gives_its_slot_back(instance: dg.DagsterInstance, home: Settings) -> None:
    killed = f"""
import os, signal
from pathlib import Path
from core.settings import Settings
from orchestration.dead_runs import alive
with alive(Settings(home=Path({str(home.home)!r}))) as tags:
    print(*tags.values(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    name = subprocess.run([sys.executable, "-c", killed], capture_output=True, text=True, check=False).stdout.strip()
    run_id = running(instance, {PROCESS_TAG: name})
    assert end_dead_runs(instance, home) == [run_id]
    assert status(instance, run_id) is dg.DagsterRunStatus.FAILURE
    assert slots_held(instance) == 0
    assert end_dead_runs(instance, home) == []


def test_a_run_whose_process_lives_is_left_alone(instance: dg.DagsterInstance, home: Settings) -> None:
    with alive(home) as tags:
        run_id = running(instance, dict(tags))
        assert end_dead_runs(instance, home) == []
        assert status(instance, run_id) is dg.DagsterRunStatus.STARTED
        assert slots_held(instance) == 1
    assert end_dead_runs(instance, home) == [run_id]


def test_what_dagster_launched_is_dead_only_where_no_dagster_runs(instance: dg.DagsterInstance, home: Settings) -> None:
    run_id = running(instance, {})
    assert end_dead_runs(instance, home) == []
    with alone(home):
        assert end_dead_runs(instance, home, is_alone=True) == [run_id]
    assert slots_held(instance) == 0
