"""A night in hindsight: what the simple rules, and perfect foresight, would have made of what really happened.

The real arrivals, departures and states of charge become one problem; every policy is scored on it by the oracle.
Prices and limits are those that were in force; vehicles share connectors as they really did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor

import numpy as np

from planning.assembly import idle_reserve_kw
from planning.baselines import RULES, baseline
from planning.model import BoolArray, Connector, Connectors, Plan, Problem
from planning.site_state import ConnectorKey, CurrentType, SiteState, VehicleSpec
from planning.solve import solve
from planning.vehicles import Row, fleet_of

READY_TOLERANCE_PCT = 1.0
FORESIGHT = "perfect_foresight"
"""Name of the optimum over all that really happened."""


@dataclass(frozen=True, slots=True)
class Stay:
    """What really happened to one vehicle: plugged in, with which SoC, gone when, with how much needed.

    ``connector``: where it stood, so that what it left idle is known.
    ``connector_max_kw`` and ``connector_min_kw`` are those of the connector it stood at.
    """

    spec: VehicleSpec
    plugged_in_at: datetime
    departed_at: datetime
    start_soc_pct: float
    required_soc_pct: float
    current_type: CurrentType
    connector_max_kw: float
    connector_min_kw: float
    group_id: str | None = None
    connector: ConnectorKey | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """How a policy would have done: share of vehicles ready, cost without shortfalls, peak of the import, kWh short."""

    policy: str
    ready: int
    departures: int
    cost: float
    peak_kw: float
    shortfall_kwh: float

    @property
    def ready_pct(self) -> float:
        """Share of the departures that were ready."""
        return 100 * self.ready / self.departures if self.departures else 100.0


@dataclass(frozen=True, slots=True)
class Hindsight:
    """Scores by policy (the rules of ``baselines`` and ``perfect_foresight``), and who could not be made ready."""

    scores: dict[str, Score]
    infeasible: tuple[str, ...]
    problem: Problem

    def best_rule(self, *, ready_pct: float) -> Score:
        """Return the cheapest simple rule among those as ready as the plan; the readiest where none is.

        ``uncontrolled`` is no rule one could follow where it breaks the site's limit, so it does not count then.
        """
        limit = float(self.problem.grid_limit_kw.max())
        lawful = [score for name, score in self.scores.items() if name != FORESIGHT and score.peak_kw <= limit + 1e-2]
        as_ready = [score for score in lawful if score.ready_pct >= ready_pct - 1e-9]
        if as_ready:
            return min(as_ready, key=lambda score: (score.cost, score.policy))
        return min(lawful, key=lambda score: (-score.ready_pct, score.cost, score.policy))


def hindsight(site: SiteState, stays: Sequence[Stay]) -> Hindsight:
    """Score every simple rule and perfect foresight on what really happened.

    Args:
        site: Limits, prices and the measured load over the night. Whoever controls it leaves room for its margin, and
            for what connectors nobody stands at may let anybody draw: rules and foresight as plans.
        stays: One per departure, in any order; a vehicle may come twice.
    """
    return judged(hindsight_problem(site, stays))


def judged(problem: Problem) -> Hindsight:
    """Score every simple rule and the optimum on a problem, be it of what happened or of what is expected."""
    plans = {name: baseline(problem, name) for name in RULES}
    plans[FORESIGHT] = solve(problem)
    infeasible = np.flatnonzero(~is_ready(problem, plans[FORESIGHT]))
    return Hindsight(
        scores={name: score(problem, name, plan) for name, plan in plans.items()},
        infeasible=tuple(problem.fleet.vehicle_ids[row] for row in infeasible),
        problem=problem,
    )


def score(problem: Problem, policy: str, plan: Plan) -> Score:
    """Return how a plan of the hindsight problem does."""
    fleet = problem.fleet
    missing_pct = np.maximum(fleet.required_soc_pct - plan.end_soc_pct, 0.0)
    return Score(
        policy=policy,
        ready=int(is_ready(problem, plan).sum()),
        departures=fleet.size,
        cost=plan.cost.energy + plan.cost.demand,
        peak_kw=plan.peak_kw,
        shortfall_kwh=float((missing_pct / 100 * fleet.battery_kwh / fleet.efficiency).sum()),
    )


def is_ready(problem: Problem, plan: Plan) -> BoolArray:
    """Say which vehicles leave with their required SoC, less the point that readiness tolerates, [N]."""
    ready: BoolArray = plan.end_soc_pct >= problem.fleet.required_soc_pct - READY_TOLERANCE_PCT
    return ready


def hindsight_problem(site: SiteState, stays: Sequence[Stay]) -> Problem:
    """Return the problem of what really happened; each stay has a connector of its own, in its real group."""
    ordered = _ordered(stays)
    holds = [(stay.connector, *_window(site, stay)) for stay in ordered if stay.connector is not None]
    kept_free_kw = idle_reserve_kw(site, holds).sum(axis=0) + site.safety_margin_kw
    rows = [_row(site, place, stay) for place, stay in enumerate(ordered)]
    items = tuple(
        Connector(place, stay.spec.vehicle_id, 1, stay.current_type == "dc", stay.connector_max_kw, stay.group_id)
        for place, stay in enumerate(ordered)
    )
    return Problem(
        site_id=site.site_id,
        currency=site.currency,
        start_at=site.start_at,
        slot_minutes=site.slot_minutes,
        grid_limit_kw=np.maximum(site.grid_limit_kw - kept_free_kw, 0.0),
        base_load_kw=site.base_load_kw,
        pv_kw=site.pv_kw,
        price_per_kwh=site.price_per_kwh,
        feed_in_per_kwh=site.feed_in_per_kwh,
        demand_charges=site.demand_charges,
        shortfall_price_per_kwh=site.shortfall_price_per_kwh,
        battery=site.battery,
        connectors=Connectors(items, np.zeros(site.slots, dtype=np.bool_)),
        groups=site.groups,
        enforce_min_power=True,
        fleet=fleet_of(rows),
    )


def _ordered(stays: Sequence[Stay]) -> list[Stay]:
    return sorted(stays, key=lambda stay: (stay.spec.vehicle_id, stay.plugged_in_at))


def _window(site: SiteState, stay: Stay) -> tuple[int, int]:
    """Return the first whole slot of a stay, and the one in which it ends."""
    slot = timedelta(minutes=site.slot_minutes)
    arrival = max(0, ceil((stay.plugged_in_at - site.start_at) / slot))
    return arrival, max(arrival, floor((stay.departed_at - site.start_at) / slot))


def _row(site: SiteState, place: int, stay: Stay) -> Row:
    arrival, departure = _window(site, stay)
    own = stay.spec.ac_max_kw if stay.current_type == "ac" else stay.spec.dc_max_kw
    top = stay.connector_max_kw if own is None else min(own, stay.connector_max_kw)
    return Row(
        spec=stay.spec,
        current_type=stay.current_type,
        arrival_slot=arrival,
        departure_slot=departure,
        start_soc_pct=stay.start_soc_pct,
        required_soc_pct=stay.required_soc_pct,
        max_kw=top,
        min_kw=stay.connector_min_kw,
        bay=place,
    )
