"""What Dagster is told: every asset by its place, what jobs hold, what starts when, what follows what."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from core.settings import Settings
from orchestration.jobs import SITES, Chain, chain, run_config
from orchestration.sensors import FIRST_TAG, SENSORS, plan_after_data_sensor

SNAPSHOT = Path(__file__).with_name("asset_keys.txt")


def job_keys(definitions: dg.Definitions, job: str) -> set[str]:
    keys = definitions.resolve_job_def(job).asset_layer.selected_asset_keys
    return {key.to_user_string() for key in keys}


def test_asset_keys_are_the_ones_agreed(definitions: dg.Definitions) -> None:
    """A renamed asset loses its history: change the list on purpose, one line a key."""
    keys = sorted(key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys())
    assert keys == SNAPSHOT.read_text(encoding="utf-8").split()


def test_every_asset_says_what_it_is(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    silent = [key.to_user_string() for key in graph.materializable_asset_keys if not graph.get(key).description]
    assert silent == []


def test_refresh_builds_marts_and_plan_does_not(definitions: dg.Definitions) -> None:
    refresh, plan, ingest, marts = (job_keys(definitions, job) for job in ("refresh", "plan", "ingest", "marts"))
    assert {"raw/trip", "marts/fct_trip", "published/marts"} <= refresh
    assert refresh == ingest | marts
    assert plan == {
        "raw/forecast",
        "raw/plan",
        "raw/plan_vehicle",
        "raw/plan_interval",
        "raw/profile_state",
        "reports/operations_page",
    }
    assert {key for key in refresh if key.startswith("raw/")} == ingest


def test_batch_expectations_block_the_marts_and_never_a_plan(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    blocking = [key for key in graph.asset_check_keys if graph.get_check_spec(key).blocking]
    assert "trip_batch_as_declared" in {key.name for key in blocking}
    jobs = ("refresh", "marts", "ingest")
    steps = {job: {node.name for node in definitions.resolve_job_def(job).nodes} for job in jobs}
    assert any("trip_batch_as_declared" in step for step in steps["refresh"])
    assert any("trip_batch_as_declared" in step for step in steps["marts"])
    assert not any("as_declared" in step for step in steps["ingest"])


def test_nightly_runs_at_each_sites_local_time(definitions: dg.Definitions, settings: Settings) -> None:
    from orchestration.steps.workplace import Workplace

    schedules = {schedule.name: schedule for schedule in definitions.schedules or []}
    for site in Workplace(settings).registry.sites:
        schedule = schedules[f"nightly_{site.site_id.replace('-', '_')}_schedule"]
        assert schedule.execution_timezone == site.timezone
        assert schedule.cron_schedule == f"{site.nightly_at.minute} {site.nightly_at.hour} * * *"


def test_a_schedule_pins_its_run_to_the_scheduled_instant(definitions: dg.Definitions) -> None:
    schedule = next(one for one in definitions.schedules or [] if one.name == "intraday_schedule")
    at = datetime(2026, 2, 9, 14, 15, tzinfo=UTC)
    requests = schedule.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=at)).run_requests
    assert requests is not None
    [request] = requests
    assert request.run_config == run_config(at, "intraday")
    assert request.tags["depotwise/chain"] == "intraday"


@pytest.mark.parametrize(
    ("name", "training", "expected"),
    [
        ("nightly", False, Chain(("ingest",), ("plan",), ("marts",))),
        ("nightly", True, Chain(("ingest",), ("train", "plan"), ("marts",))),
        ("intraday", False, Chain(("ingest",), ("plan",))),
        ("train", False, Chain((), ("train",))),
        ("report", False, Chain(("refresh",), ("report",))),
    ],
)
def test_chains(name: str, training: bool, expected: Chain) -> None:
    assert chain(name, needs_training=training) == expected  # type: ignore[arg-type]


CONFIG = run_config(datetime(2026, 2, 9, 14, tzinfo=UTC), "nightly")
FIRST = "8e8e8e8e-0000-4000-8000-000000000000"


def requests_of(
    sensor: dg.SensorDefinition, run: dg.DagsterRun, instance: dg.DagsterInstance, event: dg.DagsterEventType
) -> list[dg.RunRequest]:
    happened = dg.DagsterEvent(event.value, run.job_name)
    context = dg.build_run_status_sensor_context(sensor.name, happened, instance, run)
    return [answer for answer in sensor(context) if isinstance(answer, dg.RunRequest)]


def test_the_sensor_plans_each_site_of_the_chain_with_the_same_instant(definitions: dg.Definitions) -> None:
    tags = {"depotwise/chain": "nightly", "depotwise/sites": "north,south"}
    run = dg.DagsterRun(job_name="ingest", run_id=FIRST, run_config=CONFIG, tags=tags)
    with dg.DagsterInstance.ephemeral() as instance:
        requests = requests_of(plan_after_data_sensor, run, instance, dg.DagsterEventType.RUN_SUCCESS)
    assert [(request.job_name, request.partition_key) for request in requests] == [("plan", "north"), ("plan", "south")]
    assert all(dict(request.run_config) == CONFIG for request in requests)


def test_marts_are_built_once_the_last_site_is_planned_or_could_not_be(definitions: dg.Definitions) -> None:
    tags = {"depotwise/chain": "nightly", "depotwise/sites": "north,south", FIRST_TAG: FIRST}
    on_success, on_failure = (one for one in SENSORS if one.name.startswith("marts_after"))
    with dg.DagsterInstance.ephemeral() as instance:
        north, south = (
            dg.DagsterRun(job_name="plan", run_config=CONFIG, tags=tags, status=status)
            for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
        )
        instance.add_run(north)
        assert requests_of(on_success, north, instance, dg.DagsterEventType.RUN_SUCCESS) == []
        instance.add_run(south)
        [request] = requests_of(on_failure, south, instance, dg.DagsterEventType.RUN_FAILURE)
        assert request.job_name == "marts"
        assert dict(request.run_config) == CONFIG
        instance.add_run(dg.DagsterRun(job_name="marts", tags=dict(request.tags)))
        assert requests_of(on_success, north, instance, dg.DagsterEventType.RUN_SUCCESS) == []


def test_partitions_are_sites_only(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    partitioned = {graph.get(key).partitions_def for key in graph.materializable_asset_keys} - {None}
    assert partitioned == {SITES}
