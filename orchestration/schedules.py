"""When jobs run: nightly at each site's local time, intraday every 15 minutes, training weekly and on drift.

A schedule starts the first job of a chain, pinned to the scheduled instant; ``sensors.py`` goes on from there.
"""

from collections.abc import Iterable

import dagster as dg

from core.settings import Settings
from core.time_grid import to_utc
from ingestion.registry import ConfigurationError
from ingestion.registry.models import Site
from orchestration.jobs import JobName, chain, run_config
from orchestration.steps.forecast import drifted_sites
from orchestration.steps.workplace import Workplace

CHAIN_TAG = "depotwise/chain"
SITES_TAG = "depotwise/sites"


def schedules() -> list[dg.ScheduleDefinition]:
    """Return the schedules of the configured sites; without a configuration there is nothing to schedule."""
    try:
        sites = Workplace(Settings()).registry.sites
    except (ConfigurationError, FileNotFoundError):
        return []
    if not sites:
        return []
    return [
        *(_nightly(site) for site in sites),
        _schedule("intraday", "intraday", "*/15 * * * *", sites, "UTC"),
        _schedule("train_weekly", "train", "0 11 * * 0", sites, sites[0].timezone),
        _train_on_drift([site.site_id for site in sites], sites[0].timezone),
    ]


def _train_on_drift(site_ids: list[str], timezone: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="train_on_drift_schedule",
        job_name="train",
        cron_schedule="30 10 * * *",
        execution_timezone=timezone,
        description="Trains sites whose forecasts err more than when they were judged; the numbers are stored.",
    )
    def start(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        at = to_utc(context.scheduled_execution_time)
        drifted = drifted_sites(Workplace(Settings()), sites=site_ids, as_of=at)
        if not drifted:
            return dg.SkipReason("no forecast errs more than when it was judged")
        return [
            dg.RunRequest(
                run_key=f"drift-{at.isoformat()}-{site_id}",
                run_config=run_config(at, "drift"),
                tags={CHAIN_TAG: "train", SITES_TAG: site_id},
                partition_key=site_id,
            )
            for site_id in drifted
        ]

    return start


def _nightly(site: Site) -> dg.ScheduleDefinition:
    cron = f"{site.nightly_at.minute} {site.nightly_at.hour} * * *"
    return _schedule(f"nightly_{site.site_id.replace('-', '_')}", "nightly", cron, [site], site.timezone)


def _schedule(name: str, job: JobName, cron: str, sites: Iterable[Site], timezone: str) -> dg.ScheduleDefinition:
    jobs = chain(job, needs_training=False)
    site_ids = [site.site_id for site in sites]
    first = (*jobs.before, *jobs.per_site)[0]

    @dg.schedule(
        name=f"{name}_schedule",
        job_name=first,
        cron_schedule=cron,
        execution_timezone=timezone,
        description=f"Starts {job} for {', '.join(site_ids)}.",
    )
    def start(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        at = to_utc(context.scheduled_execution_time)
        tags = {CHAIN_TAG: job, SITES_TAG: ",".join(site_ids)}
        keys: list[str | None] = [None] if jobs.before else list(site_ids)
        return [
            dg.RunRequest(
                run_key=f"{job}-{at.isoformat()}-{key}", run_config=run_config(at, job), tags=tags, partition_key=key
            )
            for key in keys
        ]

    return start
