"""A site's plan as of the run's instant, and its publication to the bridge."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from orchestration.ingest_assets import entity_spec, raw_key
from orchestration.jobs import SITES
from orchestration.resources import WorkplaceResource
from orchestration.steps.plan import SitePlan, plan_site, publication_of
from orchestration.steps.publish import publish
from planning.documents import plan_record, problem_record
from planning.remedies import in_words
from reporting.plan_plot import plan_markdown

PLAN_ENTITIES = ("plan", "plan_vehicle", "plan_interval")
DEPS = tuple(
    raw_key(name)
    for name in ("forecast", "duty", "session_match", "meter_value", "vehicle_snapshot", "price", "site_load")
)


@dg.multi_asset(
    specs=[entity_spec(name, group="plans", deps=DEPS) for name in PLAN_ENTITIES],
    partitions_def=SITES,
    name="plan_site",
)
def site_plan(context: dg.AssetExecutionContext, workplace: WorkplaceResource) -> Iterator[dg.MaterializeResult[None]]:
    """Plan charging by departure with what was known at the run's instant; there is always a plan."""
    opened = workplace.open()
    planned = plan_site(
        opened, site_id=context.partition_key, as_of=workplace.instant(context), trigger=workplace.trigger
    )
    for vehicle_id, reason in zip(planned.plan.vehicle_ids, planned.plan.reasons, strict=True):
        if reason is not None:
            context.log.warning("%s: %s", vehicle_id, reason.text)
    for remedy in planned.plan.remedies:
        context.log.warning("would mend the night: %s", in_words(remedy))
    for name in PLAN_ENTITIES:
        yield dg.MaterializeResult(raw_key(name), metadata=_metadata(planned))


def _metadata(planned: SitePlan) -> dict[str, Any]:
    plan = planned.plan
    picture = plan_markdown(problem_record(planned.problem), plan_record(plan, ""))
    return {
        "plan_id": planned.plan_id,
        "vehicles": len(plan.vehicle_ids),
        "ready_vehicles": int(plan.is_ready.sum()),
        "short_vehicles": int((~plan.is_ready).sum()),
        "cost": round(plan.cost.total, 2),
        "peak_kw": round(plan.peak_kw, 1),
        "solver": plan.solver.name,
        "solver_seconds": round(plan.solver.seconds, 3),
        "remedies": dg.MetadataValue.md("\n".join(f"- {in_words(remedy)}" for remedy in plan.remedies)),
        "picture": dg.MetadataValue.md(picture),
    }


@dg.multi_asset(
    specs=[entity_spec("profile_state", group="publication", deps=[raw_key("plan")])],
    partitions_def=SITES,
    name="publish_plan",
)
def publication(context: dg.AssetExecutionContext, workplace: WorkplaceResource) -> dg.MaterializeResult[None]:
    """Hand the plan to the site's bridge and land what its chargers answered; a bridge that is down stops nothing."""
    opened, as_of = workplace.open(), workplace.instant(context)
    report = publish(opened, publication_of(opened, site_id=context.partition_key, as_of=as_of), as_of=as_of)
    if report.error:
        context.log.error("plan %s was not published: %s", report.plan_id, report.error)
    return dg.MaterializeResult(
        raw_key("profile_state"),
        metadata={
            "plan_id": report.plan_id,
            "connectors": dg.MetadataValue.json(dict(report.states)),
            "error": report.error or "",
        },
    )
