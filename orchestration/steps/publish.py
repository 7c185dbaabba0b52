"""Hands a publication to the site's bridge, waits a little for the chargers' answers, and lands what they were."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from core.publication import Publication
from core.time_grid import parse_instant
from orchestration.bridge_client import SETTLED, BridgeClient, BridgeError
from orchestration.steps.workplace import Workplace

PATIENCE_S = 20.0
POLL_S = 0.2
CLOCK_TOLERANCE = timedelta(hours=1)
"""How much a bridge's clock may be behind ours."""


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What became of a publication: connectors by state, or why it was not handed over."""

    plan_id: str
    states: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None


def publish(
    workplace: Workplace, publication: Publication, *, as_of: datetime, patience_s: float = PATIENCE_S
) -> PublishReport:
    """Publish and wait until every connector has answered, or patience ends; a bridge that is down is no error here.

    Chargers hold their safe default meanwhile, and the next plan is published as if nothing had happened. What became
    of a plan is landed once: published again, after a kill or for an instant long past, it changes nothing.
    """
    bridge = workplace.registry.site(publication.site_id).bridge
    if bridge is None:
        return PublishReport(publication.plan_id, error="the site has no bridge")
    try:
        with BridgeClient.open(bridge) as client:
            client.publish(publication)
            status = _settled(client, publication.plan_id, patience_s)
    except BridgeError as error:
        return PublishReport(publication.plan_id, error=str(error))
    if not _has_landed(workplace, publication):
        land_states(workplace, publication.site_id, status, as_of=as_of)
    return PublishReport(publication.plan_id, Counter(entry["state"] for entry in status["connectors"]))


def _settled(client: BridgeClient, plan_id: str, patience_s: float) -> Mapping[str, Any]:
    deadline = time.monotonic() + patience_s
    while True:
        status = client.publication(plan_id)
        if all(entry["state"] in SETTLED for entry in status["connectors"]) or time.monotonic() > deadline:
            return status
        time.sleep(POLL_S)


def _has_landed(workplace: Workplace, publication: Publication) -> bool:
    states = workplace.landing.read("profile_state", since=publication.as_of - CLOCK_TOLERANCE)
    return states.filter(pl.col("plan_id") == publication.plan_id).height > 0


def land_states(workplace: Workplace, site_id: str, status: Mapping[str, Any], *, as_of: datetime) -> None:
    """Land the states of a publication's connectors, each observed when the bridge saw it."""
    rows = [
        {
            "plan_id": status["plan_id"],
            "site_id": site_id,
            "station_id": entry["station_id"],
            "connector_id": entry["connector_id"],
            "state": entry["state"],
            "evidence": entry["evidence"],
            "detail": entry["detail"],
            "observed_at": parse_instant(entry["updated_at"]),
            "available_at": parse_instant(entry["updated_at"]),
            "ingested_at": as_of,
        }
        for entry in status["connectors"]
    ]
    if rows:
        workplace.landing.append("profile_state", pl.DataFrame(rows, infer_schema_length=None), source="bridge")
