"""Plan for what is expected, as long as what could come instead can still be served from the next re-plan on.

Margin that a plan holds is not free: a peak that was driven up for vehicles that then need less is paid for, while one
that is planned too low can be raised when they are there. So each plan leans as little to the careful side as it may:
it is taken where, after its relaxed plan's next slots, the careful requests can still all be met under limits alone,
whatever that costs. Where a limit binds, nothing but the careful side passes, and margin is held as before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from planning.assembly import Assembled, assemble
from planning.fallback import SocEstimate
from planning.feasibility import measure
from planning.model import FloatArray, Plan, Problem
from planning.optimiser.relaxation import relax
from planning.optimiser.scope import free_scope
from planning.site_state import SiteState, VehicleRequest

LEANINGS = (0.0, 0.5)
"""Shares of the way from the expected to the careful side that are tried before the whole way is gone."""

COMMITTED_SLOTS = 2
"""What a plan does in these slots is done before another can be known to be better."""

GUARD = 0.5
"""Share of the way from the expected to the careful other load that is counted on in the next slot."""

RESERVE = 0.05
"""Share of the room under the limits that stays free in the trial: it knows no minimum power and no connectors."""

EQUAL_KWH = 0.01
"""Shortfalls this close are the same."""


@dataclass(frozen=True, slots=True)
class Hedged:
    """A plan, the problem it answers, and how far that leans from the expected (0) to the careful side (1)."""

    assembled: Assembled
    plan: Plan
    leaning: float


def hedge(
    site: SiteState, requests: Sequence[VehicleRequest], *, as_of: datetime, planner: Callable[[Problem], Plan]
) -> Hedged:
    """Return the plan that leans least to the careful side and leaves it possible."""
    site = guarded(site)
    careful = assemble(site, requests, as_of=as_of)
    if not any(request.expected for request in requests):
        return Hedged(careful, planner(careful.problem), 1.0)
    unavoidable_kwh = _short_kwh(careful.problem)
    for share in LEANINGS:
        assembled = assemble(site, [leant(request, share) for request in requests], as_of=as_of)
        if _short_kwh(careful.problem, after=assembled.problem) <= unavoidable_kwh + EQUAL_KWH:
            return Hedged(assembled, planner(assembled.problem), share)
    return Hedged(careful, planner(careful.problem), 1.0)


def guarded(site: SiteState) -> SiteState:
    """Return a site whose next slot has more other load than expected, where a peak costs something.

    A plan that fills every slot to the peak so far raises it whenever the load is a little above its median, and fills
    up to the new one after that: the peak would climb all night by what chance adds, though nobody needs it.
    """
    if site.base_load_high_kw is None or not site.demand_charges:
        return site
    base_kw = site.base_load_kw.copy()
    base_kw[0] += GUARD * max(0.0, float(site.base_load_high_kw[0] - base_kw[0]))
    return replace(site, base_load_kw=base_kw)


def leant(request: VehicleRequest, share: float) -> VehicleRequest:
    """Return a request whose arrival and SoC lie so far from the expected towards the careful side.

    One that is not expected any more has no arrival short of the careful side: limits keep room for it, but no peak is
    paid for it before it is there. Of one that is plugged in, the SoC alone is not known yet.
    """
    expected, arrival = request.expected, request.arrival
    if expected is None or share >= 1.0:
        return request
    if request.plugged_at is not None:
        return replace(request, soc=_between(request.soc, expected.soc_pct, share))
    if arrival is None:
        return request
    if expected.arrival_at is None:
        return replace(request, arrival=None)
    return replace(
        request,
        arrival=replace(
            arrival,
            at=expected.arrival_at + share * (arrival.at - expected.arrival_at),
            source=f"{arrival.source}, of which {share:.0%}, as the limits leave room for the rest",
        ),
        soc=_between(request.soc, expected.soc_pct, share),
    )


def _between(careful: SocEstimate, expected_pct: float, share: float) -> SocEstimate:
    return replace(careful, soc_pct=expected_pct + share * (careful.soc_pct - expected_pct))


def _short_kwh(problem: Problem, after: Problem | None = None) -> float:
    """Return what must be missing at departure whatever it costs, ``after`` the first slots of another's plan."""
    scope = free_scope(problem)
    ceiling = scope.ceiling_kw if after is None else _behind(problem, scope.ceiling_kw, after)
    relaxed = relax(_under_limits_alone(problem), scope.narrowed(ceiling, None))
    return float(measure(problem, relaxed.power_kw, relaxed.battery_kw).shortfall_kwh.sum())


def _behind(problem: Problem, ceiling_kw: FloatArray, leant: Problem) -> FloatArray:
    """Return ceilings [N, T] that allow what another problem's relaxed plan gives in its first slots, then anything."""
    power_kw = relax(leant, free_scope(leant)).power_kw
    rows = {vehicle_id: row for row, vehicle_id in enumerate(leant.fleet.vehicle_ids)}
    ceiling = ceiling_kw.copy()
    for row, vehicle_id in enumerate(problem.fleet.vehicle_ids):
        if vehicle_id in rows:
            given = power_kw[rows[vehicle_id], :COMMITTED_SLOTS]
            ceiling[row, :COMMITTED_SLOTS] = np.minimum(ceiling[row, :COMMITTED_SLOTS], given)
    return ceiling


def _under_limits_alone(problem: Problem) -> Problem:
    """Return a problem in which nothing but being short costs much."""
    room = np.maximum(problem.grid_limit_kw - problem.other_load_kw, 0.0)
    groups = tuple(replace(group, limit_kw=group.limit_kw * (1 - RESERVE)) for group in problem.groups)
    return replace(
        problem,
        grid_limit_kw=problem.grid_limit_kw - RESERVE * room,
        demand_charges=(),
        groups=groups,
    )
