"""The demo's night: time runs a quarter of an hour, is held, and what happened in it is answered with a new plan."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from core.time_grid import SLOT
from orchestration.bridge_client import BridgeClient
from orchestration.demo.clock_drive import DrivenClock
from orchestration.steps.ingest import ingest_events
from orchestration.steps.plan import PlanOutcome, plan_and_publish
from orchestration.steps.workplace import Workplace

LOGGER = logging.getLogger(__name__)
REASONS_TO_PLAN = frozenset({"plugged", "unplugged", "transaction_started", "transaction_ended"})
LONGEST_WITHOUT_PLAN = timedelta(hours=1)
PATIENCE_S = 4.0
"""Time is held while a plan is published: a charger that first waits for another's reduction to begin cannot answer."""


@dataclass
class NightLog:
    """What the night's re-plans did: plans per site, profiles by state, source records by fate."""

    plans: Counter[str] = field(default_factory=Counter)
    profiles: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)


@dataclass
class EventWatch:
    """Which sites had events that call for a new plan, since it was last asked."""

    workplace: Workplace
    cursors: dict[str, str | int | None] = field(default_factory=dict)

    def sites_to_plan(self) -> dict[str, str]:
        """Return the sites with such events and what to call the trigger."""
        found = {}
        for site in self.workplace.registry.sites:
            if site.bridge is None:
                continue
            with BridgeClient.open(site.bridge) as client:
                answer = client.events(self.cursors.get(site.site_id))
            self.cursors[site.site_id] = answer["next"]
            if any(event["type"] in REASONS_TO_PLAN for event in answer["events"]):
                found[site.site_id] = "plug_in"
        return found


def live_through(
    workplace: Workplace,
    clock: DrivenClock,
    *,
    until: datetime,
    progress: Callable[[datetime, NightLog], None],
) -> NightLog:
    """Let the night pass, re-planning a site when a vehicle plugs in or leaves, and at least every hour."""
    log, watch = NightLog(), EventWatch(workplace)
    planned_at = dict.fromkeys((site.site_id for site in workplace.registry.sites), clock.now)
    watch.sites_to_plan()
    while clock.now < until:
        clock.run(min(SLOT, until - clock.now))
        due = dict.fromkeys(_overdue(planned_at, clock.now), "intraday") | watch.sites_to_plan()
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
