"""How ingestion shows in Dagster: one multi-asset a group, whose keys are the canonical entities it lands.

Keep parsing and landing out: they are steps.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from core.entities import ENTITIES
from orchestration.resources import WorkplaceResource
from orchestration.steps.ingest import IngestSummary, ingest_sources


def entity_spec(name: str, *, group: str, deps: Sequence[dg.AssetKey] = ()) -> dg.AssetSpec:
    """Return the asset of a canonical entity; its key is its place, ``raw.<entity>``."""
    entity = ENTITIES[name]
    return dg.AssetSpec(
        raw_key(name),
        group_name=group,
        description=entity.description,
        kinds={"parquet", "polars"},
        deps=list(deps),
        metadata={
            "dagster/column_schema": dg.TableSchema(
                columns=[
                    dg.TableColumn(column, str(declared.dtype), declared.description)
                    for column, declared in entity.all_columns.items()
                ]
            ),
            "key": ", ".join(entity.key),
            "restricted": entity.restricted,
        },
    )


def raw_key(name: str) -> dg.AssetKey:
    """Return the asset key of a canonical entity."""
    return dg.AssetKey(["raw", name])


def ingest_assets(*, group: str, kinds: Sequence[str], entities: Sequence[str]) -> dg.AssetsDefinition:
    """Make the multi-asset that ingests all sources of some kinds."""

    @dg.multi_asset(
        name=f"ingest_{group}",
        specs=[entity_spec(name, group=group) for name in entities],
        can_subset=False,
    )
    def ingest(context: dg.AssetExecutionContext, workplace: WorkplaceResource) -> Any:  # noqa: ANN401 (Dagster inspects it)
        summary = ingest_sources(workplace.open(), kinds=kinds, as_of=workplace.instant(context))
        for failure in summary.failures:
            context.log.error("%s failed, tell %s: %s", failure.source_id, failure.owner, failure.message)
        for name in entities:
            metadata = {**ingest_metadata(summary, name), "ingest": f"{group}@{context.run_id}"}
            yield dg.MaterializeResult(raw_key(name), metadata=metadata)

    return ingest


def ingest_metadata(summary: IngestSummary, entity: str) -> Mapping[str, Any]:
    """Return what is worth reading of an ingest: counts, reasons, and sources that failed."""
    rows = summary.rows
    return {
        "landed_rows": summary.landed_rows(entity),
        "records_read": rows.read,
        "records_landed": rows.landed,
        "records_duplicate": rows.duplicates,
        "records_quarantined": rows.quarantined,
        "quarantine_reasons": dg.MetadataValue.json(dict(summary.reasons)),
        "failed_sources": dg.MetadataValue.json([failure.source_id for failure in summary.failures]),
    }
