"""The operations page."""

import dagster as dg

from orchestration.ingest_assets import raw_key
from orchestration.jobs import SITES
from orchestration.resources import WorkplaceResource
from orchestration.steps.report import write_operations_page


@dg.asset(
    key=["reports", "operations_page"],
    group_name="reports",
    partitions_def=SITES,
    deps=[raw_key("plan"), raw_key("plan_vehicle"), raw_key("plan_interval"), raw_key("profile_state")],
    kinds={"html"},
)
def operations_page(context: dg.AssetExecutionContext, workplace: WorkplaceResource) -> dg.MaterializeResult[None]:
    """Write the page that operators read at 05:00; it holds all sites, as known when this one was planned."""
    path = write_operations_page(workplace.open(), as_of=workplace.instant(context))
    return dg.MaterializeResult(metadata={"page": dg.MetadataValue.path(str(path)), "bytes": path.stat().st_size})
