"""A site's forecasters: what was fitted, what it was compared with, and which one is used."""

import dagster as dg

from orchestration.jobs import SITES
from orchestration.resources import WorkplaceResource
from orchestration.steps.forecast import latest_drift, train
from orchestration.steps.model_cards import model_cards


@dg.asset(
    key=["ml", "forecaster"],
    group_name="training",
    partitions_def=SITES,
    deps=[["raw", name] for name in ("trip", "vehicle_snapshot", "duty", "assignment", "weather", "vehicle")],
    kinds={"lightgbm", "polars"},
)
def forecaster(context: dg.AssetExecutionContext, workplace: WorkplaceResource) -> dg.MaterializeResult[None]:
    """Fit quantile models of return time and SoC at arrival; promote each only where it beats the best baseline."""
    place = workplace.open()
    report = train(place, site_id=context.partition_key, as_of=workplace.instant(context))
    for target, name in sorted(report.promoted.items()):
        context.log.info("%s of %s is forecast by %s", target, report.site_id, name)
    return dg.MaterializeResult(
        metadata={
            "promoted": dg.MetadataValue.json(report.promoted),
            "decisions": dg.MetadataValue.json({card["target"]: card["promotion"] for card in report.cards}),
            "cards": dg.MetadataValue.json({card["target"]: card for card in report.cards}),
            "figures": dg.MetadataValue.md(model_cards(report.cards)),
            "drift": dg.MetadataValue.json(latest_drift(place, site_id=context.partition_key)),
            "was_stored": report.was_stored,
        }
    )
