"""A site's forecasts as of the run's instant."""

import dagster as dg
import polars as pl

from ml.forecasting import recent_facts
from orchestration.ingest_assets import entity_spec, raw_key
from orchestration.jobs import SITES
from orchestration.resources import WorkplaceResource
from orchestration.steps.forecast import forecast

DEPS = tuple(raw_key(name) for name in ("trip", "vehicle_snapshot", "duty", "weather"))


@dg.multi_asset(
    specs=[entity_spec("forecast", group="forecasts", deps=(*DEPS, dg.AssetKey(["ml", "forecaster"])))],
    partitions_def=SITES,
    name="forecast_site",
)
def site_forecast(context: dg.AssetExecutionContext, workplace: WorkplaceResource) -> dg.MaterializeResult[None]:
    """Forecast return time and SoC at arrival, with intervals and the rung each rests on."""
    opened, as_of = workplace.open(), workplace.instant(context)
    rows = forecast(
        opened,
        recent_facts(opened.landing, site_id=context.partition_key, as_of=as_of, models_dir=opened.settings.models_dir),
    )
    rungs = dict(rows["rung"].cast(pl.String).value_counts().sort("rung").iter_rows())
    names = dict(rows["name"].value_counts().sort("name").iter_rows())
    return dg.MaterializeResult(
        raw_key("forecast"),
        metadata={
            "dagster/row_count": rows.height,
            "rungs": dg.MetadataValue.json(rungs),
            "forecasters": dg.MetadataValue.json(names),
        },
    )
