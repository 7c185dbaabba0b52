"""Which stations are connected: bridges are asked with every ingest, as a log of frames cannot tell who is silent."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from core.landing import LandingReport
from core.schema import INSTANT
from core.settings import MissingSecretError
from core.time_grid import parse_instant
from orchestration.bridge_client import BridgeClient, BridgeError
from orchestration.steps.workplace import Workplace

logger = logging.getLogger(__name__)

SOURCE = "bridge"
LINK = {"station_id": pl.String(), "is_connected": pl.Boolean(), "observed_at": INSTANT}


def land_links(workplace: Workplace, *, as_of: datetime) -> LandingReport:
    """Ask every site's bridge which stations are connected, and land what has changed.

    A bridge that does not answer stops nothing: what was known of its stations stays.
    """
    bridges = {site.bridge.url: site.bridge for site in workplace.registry.sites if site.bridge is not None}
    report = LandingReport(0, 0)
    for bridge in bridges.values():
        try:
            with BridgeClient.open(bridge) as client:
                rows = links_of(client.stations(), as_of=as_of)
        except (BridgeError, MissingSecretError) as error:
            logger.warning("which stations are connected stays as it was: %s", error)
            continue
        report += workplace.landing.append("station_link", rows, source=SOURCE)
    return report


def links_of(stations: Sequence[Mapping[str, Any]], *, as_of: datetime) -> pl.DataFrame:
    """Return rows of ``station_link`` from a bridge's stations, as of an instant.

    Connected stations are so since they connected, others are not since they were last heard. One that has not been
    heard since the bridge began says nothing, and what is later than ``as_of`` is left to a later run.
    """
    told = [
        (one["station_id"], one["connected"], one["since"] if one["connected"] else one["last_seen_at"])
        for one in stations
    ]
    rows = [(name, connected, parse_instant(at)) for name, connected, at in told if at is not None]
    links = pl.DataFrame(rows, schema=LINK, orient="row").filter(pl.col("observed_at") <= as_of)
    return links.with_columns(available_at="observed_at", ingested_at=pl.lit(as_of, INSTANT))
