"""Which assets a job makes, and the one function that runs jobs in process.

``ingest``, ``marts`` and ``refresh`` (both) are unpartitioned; ``plan``, ``train`` and ``report`` run once for each
site. ``nightly`` is ingest, train where no model is fresh, plan for each site, then marts; ``intraday`` is ingest, then
plan for each site. A plan reads landing and never waits for dbt, and marts that are built last hold tonight's plans
too, so that the same instant again finds nothing to add.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Literal

import dagster as dg

from core.settings import Settings
from core.time_grid import format_instant
from orchestration.dead_runs import alive, end_dead_runs
from orchestration.instance import prepare_instance
from orchestration.steps.workplace import Workplace

SITES = dg.DynamicPartitionsDefinition(name="site")
INGESTED_GROUPS = ("configuration", "telematics", "charging", "signals")
JobName = Literal["nightly", "intraday", "train", "report"]

INGESTED = dg.AssetSelection.groups(*INGESTED_GROUPS) & dg.AssetSelection.key_prefixes("raw")
ingest_job = dg.define_asset_job(
    "ingest",
    selection=INGESTED.without_checks(),
    description="Sources into landing: what a plan needs, and nothing that could keep it waiting.",
)
MARTS = dg.AssetSelection.tag("depotwise/layer", "dbt") | dg.AssetSelection.groups("publishing")
marts_job = dg.define_asset_job(
    "marts",
    selection=MARTS | dg.AssetSelection.all_asset_checks(),
    description="Judge what has landed, build the marts, publish them for analysts.",
)
refresh_job = dg.define_asset_job(
    "refresh",
    selection=INGESTED | MARTS,
    description="Ingest, build the marts, publish them for analysts.",
)
train_job = dg.define_asset_job(
    "train",
    selection=dg.AssetSelection.groups("training"),
    description="Fit forecasts of a site, and promote them only where they beat the best baseline.",
)
plan_job = dg.define_asset_job(
    "plan",
    selection=dg.AssetSelection.groups("forecasts", "plans", "publication", "reports"),
    description="Forecast, plan, publish and report for a site.",
)
report_job = dg.define_asset_job(
    "report",
    selection=dg.AssetSelection.groups("reports"),
    description="The operations page of a site.",
)
JOBS = (ingest_job, marts_job, refresh_job, train_job, plan_job, report_job)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One Dagster run of a chain: its job, its id, and the metadata of what it materialised."""

    job: str
    run_id: str
    site_id: str | None
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)


class JobFailedError(RuntimeError):
    """A run of the chain failed; what landed before stays, and the same command starts it again."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Jobs in order: those that run once ``before``, those ``per_site``, those that run once ``after`` all sites."""

    before: tuple[str, ...]
    per_site: tuple[str, ...]
    after: tuple[str, ...] = ()


def chain(name: JobName, *, needs_training: bool) -> Chain:
    """Return the jobs of a chain."""
    match name:
        case "nightly":
            return Chain(("ingest",), ("train", "plan") if needs_training else ("plan",), ("marts",))
        case "intraday":
            return Chain(("ingest",), ("plan",))
        case "train":
            return Chain((), ("train",))
        case "report":
            return Chain(("refresh",), ("report",))


def run_config(as_of: datetime, trigger: str) -> dict[str, Any]:
    """Return the run configuration that pins a run to what was known at ``as_of``."""
    return {
        "resources": {"workplace": {"config": {"as_of": format_instant(as_of), "trigger": trigger}}},
        # Everything is in the instance's event log; the terminal shows what somebody must act on.
        "loggers": {"console": {"config": {"log_level": "ERROR"}}},
    }


def run_job(
    name: JobName,
    *,
    settings: Settings,
    as_of: datetime,
    sites: Sequence[str] | None = None,
    needs_training: bool = False,
) -> list[RunRecord]:
    """Run a chain of jobs in process, recorded in Dagster's instance, for all sites or some.

    What fails for one site keeps neither the other sites from their plans nor analysts from their marts.

    Raises:
        JobFailedError: runs failed; the message names each job, site and step.
        ingestion.registry.ConfigurationError: the configuration has mistakes.
    """
    prepare_instance(settings)
    known = [site.site_id for site in Workplace(settings).registry.sites]
    chosen = known if sites is None else list(sites)
    jobs = chain(name, needs_training=needs_training)
    config = run_config(as_of, name)
    failures = []
    with dg.DagsterInstance.get() as instance, alive(settings) as tags:
        end_dead_runs(instance, settings)
        instance.add_dynamic_partitions("site", known)
        records = [_execute(job, instance, config, None, tags) for job in jobs.before]
        rest = [(job, site_id) for site_id in chosen for job in jobs.per_site] + [(job, None) for job in jobs.after]
        for job, site_id in rest:
            try:
                records.append(_execute(job, instance, config, site_id, tags))
            except JobFailedError as error:
                failures.append(str(error))
    if failures:
        raise JobFailedError("\n".join(failures))
    return records


@cache
def job_definition(name: str) -> dg.JobDefinition:
    """Return a job with all its assets. The first one takes seconds: Dagster is imported, and dbt reads its project."""
    return _definitions().resolve_job_def(name)


@cache
def _definitions() -> dg.Definitions:
    from orchestration.definitions import defs  # noqa: PLC0415 (the definitions import this module)

    return defs()


def _execute(
    job: str, instance: dg.DagsterInstance, config: dict[str, Any], site_id: str | None, tags: Mapping[str, str]
) -> RunRecord:
    result = job_definition(job).execute_in_process(
        instance=instance, run_config=config, partition_key=site_id, raise_on_error=False, tags=tags
    )
    if not result.success:
        failed = [event.step_key or job for event in result.all_events if event.is_failure]
        where = f" for {site_id}" if site_id else ""
        raise JobFailedError(
            f"{job}{where} failed in {', '.join(dict.fromkeys(failed))} (run {result.run_id}); "
            "see `depotwise ui` for its log; what landed stays, start the same command again"
        )
    metadata = {
        event.materialization.asset_key.to_user_string(): {
            key: value.value for key, value in event.materialization.metadata.items() if hasattr(value, "value")
        }
        for event in result.get_asset_materialization_events()
    }
    return RunRecord(job, result.run_id, site_id, metadata)
