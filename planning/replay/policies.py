"""Who decides what each charger may give in the next slot: the planner, or a simple rule. All go through one mill.

Whatever decides, the same assembly makes the problem and the same publication makes the orders, so that limits,
minimum powers and the fallbacks of idle connectors bind everybody alike; uncontrolled charging alone knows no limit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import numpy as np

from planning.assembly import assemble
from planning.baselines import RULES, Depot, assignment_and_scope
from planning.drafts import Drafter
from planning.hedging import hedge
from planning.model import Plan, Problem, SolverReport
from planning.optimiser.scope import curve_of
from planning.publication import to_publication
from planning.site_state import ConnectorKey, SiteState, VehicleRequest
from planning.solve import plan_of

Planner = Callable[[Problem], Plan]


@dataclass(frozen=True, slots=True)
class Orders:
    """Limits (kW) of the connectors for the slot that begins; a connector that is not named falls back."""

    limit_kw: Mapping[ConnectorKey, float]
    periods: Mapping[ConnectorKey, tuple[tuple[datetime, float], ...]] = field(default_factory=dict)
    battery_kw: float = 0.0


class Policy(Protocol):
    """Decides for one slot, seeing the site, the requests and the instant, and nothing else."""

    def __call__(self, site: SiteState, requests: Sequence[VehicleRequest], at: datetime) -> Orders:
        """Return the orders for the slot that begins at ``at``."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Follows a planner's plan of the whole horizon, as far as it is not planned anew.

    A rule is not hedged: it plans for the careful side. Who knows all that will be has nothing to be hedged against.
    """

    planner: Planner
    is_hedged: bool = True

    def __call__(self, site: SiteState, requests: Sequence[VehicleRequest], at: datetime) -> Orders:
        """Return the plan's orders, as they would be published."""
        if self.is_hedged:
            hedged = hedge(site, requests, as_of=at, planner=self.planner)
            assembled, plan = hedged.assembled, hedged.plan
        else:
            assembled = assemble(site, requests, as_of=at)
            plan = self.planner(assembled.problem)
        publication = to_publication(plan, assembled.problem, site, plan_id="replay", as_of=at)
        entries = {(entry.station_id, entry.connector_id): entry.periods for entry in publication.connectors}
        return Orders(
            limit_kw={key: periods[0].limit_kw for key, periods in entries.items()},
            periods={
                key: tuple((period.start_at, period.limit_kw) for period in periods) for key, periods in entries.items()
            },
            battery_kw=0.0 if plan.battery_kw is None else float(plan.battery_kw[0]),
        )


def uncontrolled(site: SiteState, requests: Sequence[VehicleRequest], at: datetime) -> Orders:  # noqa: ARG001
    """Let everybody who is plugged in draw what the connector gives, whatever the limit."""
    return Orders({item.key: item.max_kw for item in site.connectors if item.transaction_id is not None})


@dataclass(frozen=True, slots=True)
class RulePlanner:
    """The plan of one of ``baselines.RULES``, without reasons: nobody reads them here."""

    rule: str

    def __call__(self, problem: Problem) -> Plan:
        """Return the rule's plan."""
        assignment, scope = assignment_and_scope(problem)
        powers = np.round(RULES[self.rule](Depot(problem, scope, curve_of(problem))), 5)
        battery = None if problem.battery is None else np.zeros(problem.slots)
        return plan_of(problem, (powers, battery), assignment, SolverReport(self.rule, 0.0, None, "rule"))


def policy_of(rule: str) -> Policy:
    """Return a rule's policy; ``optimiser`` is the planner, and ``foresight`` the planner of one who knows all."""
    if rule in ("optimiser", "foresight"):
        return Planned(Drafter(), is_hedged=rule == "optimiser")
    return uncontrolled if rule == "uncontrolled" else Planned(RulePlanner(rule), is_hedged=False)


def with_peak_so_far(site: SiteState, peaks_kw: Mapping[str, float]) -> SiteState:
    """Return a site whose demand charges have already seen these peaks, by name."""
    charges = tuple(
        replace(charge, so_far_kw=max(charge.so_far_kw, peaks_kw.get(charge.name, 0.0)))
        for charge in site.demand_charges
    )
    return replace(site, demand_charges=charges)
