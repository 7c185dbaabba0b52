"""Charger logs of all sources, which stations are connected, and the match of transactions to vehicles."""

import dagster as dg

from orchestration.ingest_assets import entity_spec, ingest_assets, raw_key
from orchestration.resources import WorkplaceResource
from orchestration.steps.ingest import match_transactions
from orchestration.steps.stations import land_links

LOGGED = ("charging_transaction", "meter_value", "connector_status")

charging = ingest_assets(group="charging", kinds=("ocpp_bridge", "ocpp_files", "vdv463"), entities=LOGGED)


@dg.multi_asset(specs=[entity_spec("station_link", group="charging")], name="ask_bridges")
def station_link(context: dg.AssetExecutionContext, workplace: WorkplaceResource) -> dg.MaterializeResult[None]:
    """Ask every bridge which of its stations are connected; one that is down stops nothing."""
    report = land_links(workplace.open(), as_of=workplace.instant(context))
    return dg.MaterializeResult(raw_key("station_link"), metadata={"dagster/row_count": report.landed})


MATCH_DEPS = tuple(raw_key(name) for name in ("charging_transaction", "vehicle_snapshot", "trip", "assignment"))


@dg.multi_asset(specs=[entity_spec("session_match", group="charging", deps=MATCH_DEPS)], name="match_sessions")
def session_match(context: dg.AssetExecutionContext, workplace: WorkplaceResource) -> dg.MaterializeResult[None]:
    """Say which vehicle each recent transaction charges, how sure we are, and why."""
    matches = match_transactions(workplace.open(), as_of=workplace.instant(context))
    unmatched = matches.filter(matches["vehicle_id"].is_null()).height
    if unmatched:
        context.log.warning("%d transactions match no vehicle: guests, or unknown tokens", unmatched)
    methods = dict(matches["method"].value_counts().sort("method").iter_rows())
    return dg.MaterializeResult(
        raw_key("session_match"),
        metadata={
            "dagster/row_count": matches.height,
            "unmatched": unmatched,
            "methods": dg.MetadataValue.json(methods),
        },
    )
