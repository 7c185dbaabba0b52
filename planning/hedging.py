"""Plan for what is expected or less, as long as what could come instead can still be served from the next re-plan on.

Margin that a plan holds is not free: a peak that was driven up for vehicles that then need less is paid for, while one
that is planned too low can be raised when they are there. So each plan leans as little to the careful side as it may:
it is taken where, after its relaxed plan's next slots, the careful requests can still all be met under limits alone,
whatever that costs. Where a limit binds, nothing but the careful side passes, and margin is held as before.

What is uncertain is paid for where it is cheap: room under a peak that is reached anyway is used early (``creep``), and
what single vehicles may lack beyond what is firmly planned is charged into what then is left of it (``spare``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from planning.assembly import Assembled, assemble
from planning.creep import at_known_charges, expecting_creep
from planning.fallback import SocEstimate
from planning.feasibility import measure
from planning.model import FloatArray, Plan, Problem
from planning.optimiser.relaxation import relax
from planning.optimiser.scope import free_scope
from planning.site_state import SiteState, VehicleRequest
from planning.spare import with_spare

LEANINGS = (-0.4, 0.0, 0.5)
"""Shares of the way from the expected to the careful side that are tried before the whole way is gone.

The first is less than is expected: a peak that turns out too low can be raised, one that was too high is paid for."""

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
    """Return the plan that leans least to the careful side and leaves it possible, with what it has to spare."""
    assembled, leaning = _leaning_least(guarded(site), requests, as_of=as_of)
    problem = assembled.problem
    bound = relax(problem, free_scope(problem)).lower_bound
    plan = at_known_charges(problem, planner(expecting_creep(problem)), lower_bound=bound)
    spare_pp = {request.spec.vehicle_id: request.spare_pp for request in requests}
    return Hedged(assembled, with_spare(problem, plan, spare_pp), leaning)


def _leaning_least(site: SiteState, requests: Sequence[VehicleRequest], *, as_of: datetime) -> tuple[Assembled, float]:
    """Return the problem that leans least to the careful side and leaves it possible, and how far it leans."""
    careful = assemble(site, requests, as_of=as_of)
    if not any(request.expected for request in requests):
        return careful, 1.0
    unavoidable_kwh = _short_kwh(careful.problem)
    for share in LEANINGS:
        assembled = assemble(site, [leant(request, share, as_of=as_of) for request in requests], as_of=as_of)
        if _short_kwh(careful.problem, after=assembled.problem) <= unavoidable_kwh + EQUAL_KWH:
            return assembled, share
    return careful, 1.0


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


def leant(request: VehicleRequest, share: float, *, as_of: datetime) -> VehicleRequest:
    """Return a request whose arrival and SoC lie so far from the expected towards the careful side, or away from it.

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
            at=max(as_of, expected.arrival_at + share * (arrival.at - expected.arrival_at)),
            source=f"{arrival.source}, {share:+.0%} of that, as the limits leave room for the rest",
        ),
        soc=_between(request.soc, expected.soc_pct, share),
    )


def _between(careful: SocEstimate, expected_pct: float, share: float) -> SocEstimate:
    return replace(careful, soc_pct=min(100.0, expected_pct + share * (careful.soc_pct - expected_pct)))


def _short_kwh(problem: Problem, after: Problem | None = None) -> float:
    """Return what must be missing at departure whatever it costs, ``after`` the first slots of another's plan."""
    scope = free_scope(problem)
    ceiling = scope.ceiling_kw if after is None else _behind(problem, scope.ceiling_kw, after)
    relaxed = relax(_under_limits_alone(problem), scope.narrowed(ceiling, None))
    return float(measure(problem, relaxed.power_kw, relaxed.battery_kw).shortfall_kwh.sum())


def _behind(problem: Problem, ceiling_kw: FloatArray, leant: Problem) -> FloatArray:
    """Return ceilings [N, T] that allow what another problem's relaxed plan gives in its first slots, then anything."""
    leant = expecting_creep(leant)
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
