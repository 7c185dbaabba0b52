"""The demo's night: time runs a quarter of an hour, is held, and what happened in it is answered with a new plan."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from core.time_grid import SLOT
from orchestration.demo.clock_drive import DrivenClock
from orchestration.steps.events import Cursors, watch
from orchestration.steps.ingest import ingest_events
from orchestration.steps.plan import PlanOutcome, plan_and_publish
from orchestration.steps.workplace import Workplace

LOGGER = logging.getLogger(__name__)
LONGEST_WITHOUT_PLAN = timedelta(hours=1)
PATIENCE_S = 1.5
"""Time is held while a plan is published: a charger that first waits for another's reduction to begin cannot answer."""


@dataclass
class NightLog:
    """What the night's re-plans did: plans per site, profiles by state, source records by fate."""

    plans: Counter[str] = field(default_factory=Counter)
    profiles: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)


def live_through(
    workplace: Workplace,
    clock: DrivenClock,
    *,
    until: datetime,
    progress: Callable[[datetime, NightLog], None],
) -> NightLog:
    """Let the night pass, re-planning a site when a vehicle plugs in or leaves, and at least every hour."""
    log = NightLog()
    planned_at = dict.fromkeys((site.site_id for site in workplace.registry.sites), clock.now)
    cursors: Cursors = watch(workplace, {}).cursors
    while clock.now < until:
        clock.run(min(SLOT, until - clock.now))
        watched = watch(workplace, cursors)
        cursors = watched.cursors
        due = dict.fromkeys(_overdue(planned_at, clock.now), "intraday") | dict.fromkeys(watched.sites, "plug_in")
        if due:
            rows = ingest_events(workplace, as_of=clock.now).rows
            log.rows.update({key: getattr(rows, key) for key in ("read", "landed", "duplicates", "quarantined")})
        for site_id, outcome in _plan_all(workplace, due, clock.now):
            planned_at[site_id] = clock.now
            log.plans[site_id] += 1
            log.profiles.update(outcome.published.states)
        progress(clock.now, log)
    return log


def _plan_all(workplace: Workplace, due: Mapping[str, str], as_of: datetime) -> list[tuple[str, PlanOutcome]]:
    """Plan sites side by side: each waits for its own chargers' answers."""

    def plan(site: tuple[str, str]) -> tuple[str, PlanOutcome]:
        site_id, trigger = site
        return site_id, plan_and_publish(
            workplace, site_id=site_id, as_of=as_of, trigger=trigger, patience_s=PATIENCE_S
        )

    with ThreadPoolExecutor() as pool:
        return list(pool.map(plan, sorted(due.items())))


def _overdue(planned_at: dict[str, datetime], now: datetime) -> Iterable[str]:
    return [site_id for site_id, at in planned_at.items() if now - at >= LONGEST_WITHOUT_PLAN]
