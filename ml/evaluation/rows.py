"""The rows of a backtest: finished questions of a target with all that could be known when each was asked.

Which questions a target poses is decided here by what the set tells; forecasting and counting are elsewhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from core.landing import Landing
from ml.dataset import KnownFacts
from ml.drives import drive_questions, drives
from ml.features import plug_in_habit
from ml.features.pipeline import cycle_features, drive_features, session_features
from ml.fleet import FleetFacts, fleet_facts, site_timezone
from ml.plug_ins import plug_in_questions, plug_ins, with_waiting
from ml.questions import closed_questions
from ml.sessions import charging_sessions, session_questions
from ml.site_power import power_rows
from ml.targets import (
    CYCLE_TARGETS,
    PLUG_IN_DELAY,
    POWER_TARGETS,
    SESSION_TARGETS,
    SOC_AFTER_DRIVE,
    SOC_AT_ARRIVAL,
    Target,
    with_actual,
)

TARGETS: Final[Mapping[str, Target]] = {
    target.name: target for target in (*CYCLE_TARGETS, *SESSION_TARGETS, PLUG_IN_DELAY, *POWER_TARGETS)
}
EVENT_ENTITIES: Final = ("trip", "vehicle_snapshot", "charging_transaction", "site_load")


class BacktestError(ValueError):
    """What was asked for cannot be backtested on these rows."""


@dataclass(frozen=True, slots=True)
class BacktestRows:
    """Finished rows with features and ``actual``, sorted by ``predicted_at``; the target that they answer.

    ``ordinals``: rows may be counted instead of dated.
    """

    rows: pl.DataFrame
    target: Target
    timezone: str
    ordinals: bool = False


def backtest_rows(landing: Landing, target: str) -> BacktestRows:
    """Return all finished rows of a target.

    Raises:
        BacktestError: there is no such target, or the landing zone holds no facts of the kind that it is about.
    """
    if target not in TARGETS:
        raise BacktestError(f"there is no target {target!r}; there are {', '.join(TARGETS)}")
    chosen = TARGETS[target]
    known = KnownFacts(landing, as_of=_end_of_knowledge(landing))
    rows_of, what = _source(chosen)
    asked = rows_of(known, chosen)
    finished = with_actual(asked.rows, asked.target, as_of=known.as_of).filter(pl.col("actual").is_not_null())
    if finished.is_empty():
        raise BacktestError(f"{target} needs {what} that tell it, and this set holds none")
    return BacktestRows(finished.sort("predicted_at", "row_key"), asked.target, asked.timezone, asked.ordinals)


def _source(target: Target) -> tuple[Callable[[KnownFacts, Target], BacktestRows], str]:
    """Return what makes a target's rows, and of what."""
    if target in SESSION_TARGETS:
        return _session_rows, "finished charging sessions"
    if target in POWER_TARGETS:
        return _power_rows, "metered slots of a site"
    if target is PLUG_IN_DELAY:
        return _plug_in_rows, "returns that were followed by a plug-in"
    return _vehicle_rows, "finished trips"


def _end_of_knowledge(landing: Landing) -> datetime:
    newest = [landing.scan(name).select(pl.col("available_at").max()).collect().item() for name in EVENT_ENTITIES]
    known = [instant for instant in newest if isinstance(instant, datetime)]
    if not known:
        raise BacktestError("nothing was landed: neither trips nor snapshots nor charging sessions nor a site's load")
    # A day is over at the local midnight after its last trip: two days later everything is settled.
    return max(known) + timedelta(days=2)


def _session_rows(known: KnownFacts, target: Target) -> BacktestRows:
    timezone = site_timezone(known, site_id=None)
    sessions = charging_sessions(
        known.versions("charging_transaction"), known.versions("session_match"), timezone=timezone
    )
    return BacktestRows(session_features(session_questions(sessions), timezone=timezone), target, timezone)


def _power_rows(known: KnownFacts, target: Target) -> BacktestRows:
    timezone = site_timezone(known, site_id=None)
    return BacktestRows(power_rows(known, target.name, site_id=None, timezone=timezone), target, timezone)


def _plug_in_rows(known: KnownFacts, target: Target) -> BacktestRows:
    facts = fleet_facts(known, site_id=None)
    sessions = charging_sessions(
        known.versions("charging_transaction"), known.versions("session_match"), timezone=facts.timezone
    )
    events = plug_ins(sessions, facts.snapshots)
    asked = plug_in_questions(facts.cycles, events, timezone=facts.timezone).with_columns(everyone=pl.lit("all"))
    return BacktestRows(plug_in_habit.add(with_waiting(asked, events)), target, facts.timezone)


def _vehicle_rows(known: KnownFacts, target: Target) -> BacktestRows:
    """Return the cycles as asked about at their departure; of a source that knows no depot, its drives for the SoC."""
    facts = fleet_facts(known, site_id=None)
    if target is SOC_AT_ARRIVAL and not facts.cycles["tells_returns"].any():
        return _drive_rows(known, facts)
    asked = closed_questions(facts).filter(pl.col("stage") == "departure")
    return BacktestRows(cycle_features(asked, facts), target, facts.timezone)


def _drive_rows(known: KnownFacts, facts: FleetFacts) -> BacktestRows:
    snapshots = known.versions("vehicle_snapshot")
    questions = drive_questions(drives(known.versions("trip"), snapshots, timezone=facts.timezone))
    rows = drive_features(questions, snapshots, facts.weather, timezone=facts.timezone)
    return BacktestRows(rows, SOC_AFTER_DRIVE, facts.timezone, ordinals=True)
