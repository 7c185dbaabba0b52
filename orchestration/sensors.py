"""What follows what: after the first job of a chain the jobs per site start, and after those what closes the chain.

The chain itself is ``jobs.chain``, the one that ``depotwise run`` loops over.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from core.settings import Settings
from ingestion.registry import ConfigurationError
from orchestration.jobs import Chain, chain, ingest_job, marts_job, plan_job, refresh_job, report_job, run_config
from orchestration.schedules import CHAIN_TAG, SITES_TAG
from orchestration.steps.events import watch
from orchestration.steps.overrides import unplanned_sites
from orchestration.steps.workplace import Workplace

FIRST_TAG = "depotwise/first_run"
FOLLOWERS = {"plan": plan_job, "report": report_job}
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
Requests = Iterator[dg.RunRequest | dg.SkipReason]


def _chain_of(run: dg.DagsterRun) -> Chain:
    return chain(run.tags[CHAIN_TAG], needs_training=False)  # type: ignore[arg-type]  # the tag is written by our schedules


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[ingest_job, refresh_job],
    request_jobs=list(FOLLOWERS.values()),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts the jobs per site once their data is in.",
)
def plan_after_data_sensor(context: dg.RunStatusSensorContext) -> Requests:
    """Request the per-site jobs of the chain that the finished run belongs to."""
    run = context.dagster_run
    name, sites = run.tags.get(CHAIN_TAG), run.tags.get(SITES_TAG)
    if not name or not sites:
        yield dg.SkipReason(f"run {run.run_id} belongs to no chain")
        return
    for job in _chain_of(run).per_site:
        for site_id in sites.split(","):
            yield dg.RunRequest(
                run_key=f"{run.run_id}-{job}-{site_id}",
                job_name=job,
                partition_key=site_id,
                run_config=dict(run.run_config),
                tags={CHAIN_TAG: name, SITES_TAG: sites, FIRST_TAG: run.run_id},
            )


def _closing_sensor(status: dg.DagsterRunStatus) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name=f"marts_after_plan_{status.value.lower()}_sensor",
        run_status=status,
        monitored_jobs=[plan_job],
        request_jobs=[marts_job],
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Builds the marts once the last site of a nightly chain is planned, or could not be.",
    )
    def close(context: dg.RunStatusSensorContext) -> Requests:
        run = context.dagster_run
        first = run.tags.get(FIRST_TAG)
        after = _chain_of(run).after if first else ()
        if first is None or not after:
            yield dg.SkipReason(f"run {run.run_id} belongs to no chain that goes on")
            return
        of_chain = {FIRST_TAG: first}
        ended = context.instance.get_runs_count(dg.RunsFilter(job_name="plan", tags=of_chain, statuses=ENDED))
        if ended < len(run.tags[SITES_TAG].split(",")):
            yield dg.SkipReason("other sites are being planned still")
            return
        for job in after:
            if context.instance.get_runs_count(dg.RunsFilter(job_name=job, tags=of_chain)) == 0:
                yield dg.RunRequest(
                    run_key=f"{first}-{job}", job_name=job, run_config=dict(run.run_config), tags=of_chain
                )

    return close


@dg.sensor(
    job=plan_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Plans a site anew when an operator has overridden something since its last plan.",
)
def plan_after_override_sensor(context: dg.SensorEvaluationContext) -> Requests:  # noqa: ARG001 - Dagster's signature
    """Request a plan, as of now, for every site with a decision that no plan knows yet."""
    try:
        workplace = Workplace(Settings())
        sites = [site.site_id for site in workplace.registry.sites]
    except (ConfigurationError, FileNotFoundError) as error:
        yield dg.SkipReason(f"no configuration: {error}")
        return
    now = datetime.now(UTC)
    waiting = unplanned_sites(workplace, sites=sites, as_of=now)
    for site_id, decision in waiting.items():
        yield dg.RunRequest(
            run_key=f"override-{decision}", partition_key=site_id, run_config=run_config(now, "override")
        )
    if not waiting:
        yield dg.SkipReason("every override is in a plan")


@dg.sensor(
    job=ingest_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ingests and plans a site anew when a vehicle has plugged in or left.",
)
def plan_after_plug_in_sensor(context: dg.SensorEvaluationContext) -> Requests:
    """Request ingest and plan, as of now, for the sites whose bridges tell of it since the last look."""
    try:
        workplace = Workplace(Settings())
        watched = watch(workplace, json.loads(context.cursor or "{}"))
    except (ConfigurationError, FileNotFoundError) as error:
        yield dg.SkipReason(f"no configuration: {error}")
        return
    cursor = json.dumps(watched.cursors, sort_keys=True)
    context.update_cursor(cursor)
    if watched.sites:
        now = datetime.now(UTC)
        yield dg.RunRequest(
            run_key=f"plug-in-{cursor}",
            run_config=run_config(now, "plug_in"),
            tags={CHAIN_TAG: "intraday", SITES_TAG: ",".join(watched.sites)},
        )
    else:
        yield dg.SkipReason("; ".join(watched.errors) or "nobody has plugged in or left")


SENSORS = (
    plan_after_override_sensor,
    plan_after_plug_in_sensor,
    plan_after_data_sensor,
    _closing_sensor(dg.DagsterRunStatus.SUCCESS),
    _closing_sensor(dg.DagsterRunStatus.FAILURE),
)
