"""``depotwise.run/1``: what a run came to, for scripts and for the last screen."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from core.time_grid import format_instant
from orchestration.jobs import RunRecord
from orchestration.steps.night import NightResult, best_rule, policy_total
from orchestration.steps.report import page_path
from orchestration.steps.workplace import Workplace
from reporting.summary import night_summary

ROW_KEYS = {
    "read": "records_read",
    "landed": "records_landed",
    "duplicates": "records_duplicate",
    "quarantined": "records_quarantined",
}


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run besides its sites' nights."""

    job: str
    as_of: datetime
    run_id: str
    seconds: float
    rows: Mapping[str, int] = field(default_factory=dict)


def rows_of(records: Iterable[RunRecord]) -> dict[str, int]:
    """Return the balance of source records over the runs of a chain; every ingest counts once."""
    rows: Counter[str] = Counter()
    for record in records:
        ingests = {metadata["ingest"]: metadata for metadata in record.metadata.values() if "records_read" in metadata}
        for metadata in ingests.values():
            rows.update({key: metadata[name] for key, name in ROW_KEYS.items()})
    return {key: rows[key] for key in ROW_KEYS}


def run_document(workplace: Workplace, facts: RunFacts, nights: Sequence[NightResult]) -> dict[str, Any]:
    """Return the ``depotwise.run/1`` document of a run; figures that nobody knows are None."""
    infeasible = frozenset[Any]().union(*(night.infeasible for night in nights))
    readiness = night_summary(*(night.view for night in nights), infeasible=infeasible)
    return {
        "schema": "depotwise.run/1",
        "job": facts.job,
        "as_of": format_instant(facts.as_of),
        "run_id": facts.run_id,
        "seconds": round(facts.seconds, 1),
        "rows": {key: facts.rows.get(key, 0) for key in ROW_KEYS},
        "readiness": readiness,
        **_comparison(nights, readiness["ready_pct"]),
        "emissions_kgco2e": None,
        "profiles": profile_counts(workplace, nights),
        **_paths(workplace),
    }


def _comparison(nights: Sequence[NightResult], ready_pct: float | None) -> dict[str, Any]:
    if not nights:
        nothing = ("peak_kw", "limit_kw", "uncontrolled_peak_kw", "fcfs_ready_pct", "best_rule_ready_pct")
        keys = ("currency", "total", "uncontrolled_total", "best_rule", "best_rule_total")
        return {"cost": dict.fromkeys(keys), **dict.fromkeys(nothing)}
    uncontrolled, fcfs = policy_total(nights, "uncontrolled"), policy_total(nights, "fcfs")
    foresight = policy_total(nights, "perfect_foresight")
    best = best_rule(nights, ready_pct=ready_pct or 0.0)
    return {
        "cost": {
            "currency": nights[0].view.currency,
            "total": round(sum(night.cost for night in nights), 2),
            "uncontrolled_total": round(uncontrolled.cost, 2),
            "best_rule": best.policy,
            "best_rule_total": round(best.cost, 2),
            "perfect_foresight_total": round(foresight.cost, 2),
        },
        "peak_kw": round(sum(night.peak_kw for night in nights), 1),
        "limit_kw": round(sum(night.limit_kw for night in nights), 1),
        "uncontrolled_peak_kw": round(uncontrolled.peak_kw, 1),
        "fcfs_ready_pct": round(fcfs.ready_pct, 2),
        "best_rule_ready_pct": round(best.ready_pct, 2),
    }


def profile_counts(workplace: Workplace, nights: Sequence[NightResult]) -> dict[str, int]:
    """Count published entries by the furthest that they got, from the first of the nights on."""
    empty = {"sent": 0, "accepted": 0, "verified": 0, "rejected": 0}
    if not nights:
        return empty
    begin = min(night.view.span.start_at for night in nights)
    states = workplace.landing.read("profile_state", since=begin)
    entries = states.group_by("plan_id", "station_id", "connector_id").agg(pl.col("state").unique())

    def reached(*names: str) -> int:
        return entries.filter(pl.col("state").list.set_intersection(list(names)).list.len() > 0).height

    sent = ("sent", "accepted", "verified", "rejected", "expired", "superseded", "transaction_changed")
    return {
        "sent": reached(*sent),
        "accepted": reached("accepted", "verified"),
        "verified": reached("verified"),
        "rejected": reached("rejected"),
    }


def _paths(workplace: Workplace) -> dict[str, str | None]:
    settings = workplace.settings
    return {
        "warehouse": _relative(settings.warehouse_path),
        "published": _relative(settings.published_path),
        "page": _relative(page_path(settings)),
    }


def _relative(path: Path) -> str | None:
    return os.path.relpath(path) if path.exists() else None
