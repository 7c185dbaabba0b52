"""dbt's models as assets, its data tests as checks, and the published copy of the marts.

dbt runs in the warehouse's own child process, under its lock; what it did is reported here node by node.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from core.settings import Settings
from orchestration import warehouse
from orchestration.defs.transformation.translator import SETTINGS, PlaceTranslator
from orchestration.resources import WorkplaceResource

MANIFEST = warehouse.manifest_path(Settings())


@dbt_assets(
    manifest=MANIFEST,
    exclude="resource_type:unit_test",
    dagster_dbt_translator=PlaceTranslator(SETTINGS),
    name="dbt_models",
    pool="duckdb_writer",
)
def dbt_models(context: dg.AssetExecutionContext, workplace: WorkplaceResource) -> Iterator[Any]:
    """Build what is selected: raw views, staging, intermediate, marts, and their tests."""
    select = None
    if context.is_subset:
        select = " ".join(sorted(key.path[-1] for key in context.selected_asset_keys))
    report = warehouse.build(workplace.open().settings, select=select)
    checks = {(spec.name): spec.asset_key for spec in context.assets_def.check_specs}
    selected = context.selected_asset_keys
    for node in report.nodes:
        if (key := dg.AssetKey([node.schema, node.name])) in selected:
            yield dg.MaterializeResult(key, metadata=_model_metadata(node))
    for node in report.nodes:
        if node.kind == "test" and checks.get(node.name) in selected:
            yield dg.AssetCheckResult(
                passed=node.status in {"pass", "warn"},
                asset_key=checks[node.name],
                check_name=node.name,
                severity=dg.AssetCheckSeverity.WARN if node.status == "warn" else dg.AssetCheckSeverity.ERROR,
                metadata={"failures": node.failures or 0},
            )


def _model_metadata(node: warehouse.NodeResult) -> dict[str, Any]:
    counts = {} if node.rows is None else {"dagster/row_count": node.rows}
    return {**counts, "seconds": node.seconds}


@dg.asset(
    key=["published", "marts"],
    group_name="publishing",
    deps=[key for key in dbt_models.keys if key.path[0] == warehouse.MARTS],
    kinds={"duckdb"},
    pool="duckdb_writer",
)
def published_marts(workplace: WorkplaceResource) -> dg.MaterializeResult[None]:
    """Put a finished, pseudonymised copy of the marts in place for analysts, by atomic rename."""
    report = warehouse.publish(workplace.open().settings)
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(str(report.path)),
            "rows": dg.MetadataValue.json(dict(report.rows)),
            "dagster/row_count": sum(report.rows.values()),
        }
    )
