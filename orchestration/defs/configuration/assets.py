"""The configuration as rows, in versions."""

from collections.abc import Iterator

import dagster as dg

from orchestration.ingest_assets import entity_spec, raw_key
from orchestration.resources import WorkplaceResource
from orchestration.steps.ingest import land_configuration

ENTITIES = ("site", "connector", "vehicle", "assignment", "duty", "source_contract")


@dg.multi_asset(specs=[entity_spec(name, group="configuration") for name in ENTITIES], name="land_configuration")
def configuration(
    context: dg.AssetExecutionContext, workplace: WorkplaceResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Land what is new or has changed in the configuration folder."""
    opened = workplace.open()
    report = land_configuration(opened, as_of=workplace.instant(context))
    registry = opened.registry
    context.log.info(
        "%d sites, %d connectors, %d vehicles, %d duties: %d rows are new or changed",
        *map(len, (registry.sites, registry.connectors, registry.vehicles, registry.duties)),
        report.landed,
    )
    for name in ENTITIES:
        rows = opened.landing.read(name).height
        yield dg.MaterializeResult(raw_key(name), metadata={"dagster/row_count": rows, "records_landed": report.landed})
