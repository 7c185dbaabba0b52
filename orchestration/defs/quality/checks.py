"""Blocking expectations on what was just landed, made from the entities' declarations; freshness on data time.

A blocking check stops the marts, never a plan: plans read landing and work with the evidence they find.
"""

from datetime import timedelta

import dagster as dg
import polars as pl

from ingestion.quality.expectations import validate
from orchestration.ingest_assets import raw_key
from orchestration.resources import WorkplaceResource

BATCH = timedelta(days=2)
"""The rows that a batch can have touched: late data comes within it, or is history that was judged when it landed."""

JUDGED = (
    "vehicle_snapshot",
    "trip",
    "charging_transaction",
    "meter_value",
    "connector_status",
    "session_match",
    "price",
    "weather",
    "site_load",
)
TIMED = {
    "vehicle_snapshot": ("rfms_v4", "geotab"),
    "meter_value": ("ocpp_bridge", "ocpp_files"),
    "price": ("day_ahead",),
}


def expectation_check(entity: str) -> dg.AssetChecksDefinition:
    """Make the check that judges an entity's newest batch."""

    @dg.asset_check(
        asset=raw_key(entity),
        name=f"{entity}_batch_as_declared",
        blocking=True,
        description="Keys are unique, required values are there, numbers are possible: as the entity declares.",
    )
    def check(context: dg.AssetCheckExecutionContext, workplace: WorkplaceResource) -> dg.AssetCheckResult:
        opened, as_of = workplace.open(), workplace.instant(context)
        verdict = validate(entity, opened.landing.read(entity, since=as_of - BATCH))
        return dg.AssetCheckResult(
            passed=verdict.success,
            metadata={
                "rows": verdict.rows,
                "expectations": verdict.evaluated,
                "failed": dg.MetadataValue.json([str(failure) for failure in verdict.failed]),
            },
        )

    return check


def freshness_check(entity: str, kinds: tuple[str, ...]) -> dg.AssetChecksDefinition:
    """Make the check that compares the newest observation of each source with what its contract promises."""

    @dg.asset_check(
        asset=raw_key(entity),
        name=f"{entity}_is_fresh",
        description="The newest observation of every source is within its contract; judged on data time, not on runs.",
    )
    def check(context: dg.AssetCheckExecutionContext, workplace: WorkplaceResource) -> dg.AssetCheckResult:
        opened, as_of = workplace.open(), workplace.instant(context)
        rows = opened.landing.scan(entity).filter(pl.col("available_at") <= as_of)
        newest = dict(rows.group_by("source").agg(pl.col("observed_at").max()).collect().iter_rows())
        late = {}
        for source in opened.registry.sources:
            if source.kind not in kinds or source.source_id not in newest:
                continue
            age_min = (as_of - newest[source.source_id]).total_seconds() / 60
            if age_min > source.freshness_min:
                late[source.source_id] = f"{age_min:.0f} min old, promised {source.freshness_min:.0f}; {source.contact}"
        return dg.AssetCheckResult(
            passed=not late, severity=dg.AssetCheckSeverity.WARN, metadata={"late": dg.MetadataValue.json(late)}
        )

    return check


CHECKS = [expectation_check(entity) for entity in JUDGED]
FRESHNESS = [freshness_check(entity, kinds) for entity, kinds in TIMED.items()]
