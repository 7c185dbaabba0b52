"""What follows what: when the first job of a chain succeeds, the jobs per site start.

The chain itself is ``jobs.chain``, the one that ``depotwise run`` loops over.
"""

from collections.abc import Iterator

import dagster as dg

from orchestration.jobs import chain, ingest_job, plan_job, refresh_job, report_job
from orchestration.schedules import CHAIN_TAG, SITES_TAG

FOLLOWERS = {"plan": plan_job, "report": report_job}


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[ingest_job, refresh_job],
    request_jobs=list(FOLLOWERS.values()),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts the jobs per site once their data is in.",
)
def plan_after_data_sensor(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request the per-site jobs of the chain that the finished run belongs to."""
    run = context.dagster_run
    name, sites = run.tags.get(CHAIN_TAG), run.tags.get(SITES_TAG)
    if not name or not sites:
        yield dg.SkipReason(f"run {run.run_id} belongs to no chain")
        return
    _, per_site = chain(name, needs_training=False)  # type: ignore[arg-type]  # the tag is written by our schedules
    for job in per_site:
        for site_id in sites.split(","):
            yield dg.RunRequest(
                run_key=f"{run.run_id}-{job}-{site_id}",
                job_name=job,
                partition_key=site_id,
                run_config=dict(run.run_config),
                tags={CHAIN_TAG: name, SITES_TAG: site_id},
            )


SENSORS = (plan_after_data_sensor,)
