"""What contenders were worth: readiness over the departures that could be made ready, kWh short, peak, cost, carbon."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np

from planning.feasibility import measure
from planning.model import FloatArray, Problem
from planning.replay.loop import Departure, Played
from planning.replay.world import World
from planning.site_state import SiteState
from planning.vehicles import fleet_of

READY_TOLERANCE_PCT = 1.0
FORESIGHT = "perfect_foresight"


@dataclass(frozen=True, slots=True)
class Score:
    """A contender on one span; cost is what the vehicles caused, over a site without them.

    ``infeasible`` is how many departures perfect foresight did not make ready: where not all can be, which of them stay
    behind is the contender's choice, so only their number is left out of ``ready_pct``.
    ``over_limit_kw`` is the most by which the import exceeded its limit. ``emissions_kgco2e`` is None where the carbon
    intensity is unknown.
    """

    contender: str
    departures: int
    infeasible: int
    ready: int
    short_kwh: float
    charged_kwh: float
    peak_kw: float
    over_limit_kw: float
    energy_cost: float
    demand_cost: float
    emissions_kgco2e: float | None
    plans: int
    profiles: int
    profiles_unchanged: int

    @property
    def cost(self) -> float:
        """Energy and demand."""
        return self.energy_cost + self.demand_cost

    @property
    def ready_pct(self) -> float | None:
        """Share of the departures that could be made ready that were; None where there was none."""
        feasible = self.departures - self.infeasible
        return 100 * self.ready / feasible if feasible else None


def is_ready(departure: Departure) -> bool:
    """Say whether a vehicle left with its required SoC, less the point that readiness tolerates."""
    return departure.soc_pct >= departure.required_soc_pct - READY_TOLERANCE_PCT


def infeasible_of(foresight: Played) -> int:
    """Return how many departures perfect foresight did not make ready."""
    return sum(not is_ready(departure) for departure in foresight.departures)


def score(world: World, played: Played, infeasible: int) -> Score:
    """Return what a contender was worth on a world.

    Args:
        world: The world that was played.
        played: What the contender made of it.
        infeasible: How many departures do not count.
    """
    site = world.settled
    extra = played.charging_kw + played.battery_kw
    figures, alone = (
        measure(_load_only(site, extra), _nobody(site), None),
        measure(_load_only(site, np.zeros(site.slots)), _nobody(site), None),
    )
    hours = site.slot_minutes / 60
    carbon = world.carbon_g_per_kwh
    return Score(
        contender=played.contender,
        departures=len(played.departures),
        infeasible=infeasible,
        ready=min(sum(map(is_ready, played.departures)), len(played.departures) - infeasible),
        short_kwh=fsum(departure.short_kwh for departure in played.departures if not is_ready(departure)),
        charged_kwh=float(played.charging_kw.sum()) * hours,
        peak_kw=figures.peak_kw,
        over_limit_kw=max(0.0, float((figures.import_kw - site.grid_limit_kw).max())),
        energy_cost=figures.cost.energy - alone.cost.energy,
        demand_cost=figures.cost.demand - alone.cost.demand,
        emissions_kgco2e=None if carbon is None else float((extra * carbon).sum()) * hours / 1000,
        plans=played.plans,
        profiles=played.profiles,
        profiles_unchanged=played.profiles_unchanged,
    )


def total(scores: Sequence[Score]) -> Score:
    """Return several spans of one contender as one: sums, and the highest peak."""
    emissions = [one.emissions_kgco2e for one in scores]
    return Score(
        contender=scores[0].contender,
        departures=sum(one.departures for one in scores),
        infeasible=sum(one.infeasible for one in scores),
        ready=sum(one.ready for one in scores),
        short_kwh=fsum(one.short_kwh for one in scores),
        charged_kwh=fsum(one.charged_kwh for one in scores),
        peak_kw=max(one.peak_kw for one in scores),
        over_limit_kw=max(one.over_limit_kw for one in scores),
        energy_cost=fsum(one.energy_cost for one in scores),
        demand_cost=fsum(one.demand_cost for one in scores),
        emissions_kgco2e=None if None in emissions else fsum(value or 0.0 for value in emissions),
        plans=sum(one.plans for one in scores),
        profiles=sum(one.profiles for one in scores),
        profiles_unchanged=sum(one.profiles_unchanged for one in scores),
    )


def above_foresight_pct(totals: Mapping[str, Score], name: str) -> float | None:
    """Return how much more a contender's charging cost than perfect foresight's; None without one to compare."""
    best = totals.get(FORESIGHT)
    return None if best is None or best.cost <= 0 else 100 * (totals[name].cost / best.cost - 1)


def _nobody(site: SiteState) -> FloatArray:
    return np.zeros((0, site.slots))


def _load_only(site: SiteState, extra_kw: FloatArray) -> Problem:
    """Return the site with charging as part of its load, so that the oracle prices it."""
    return Problem(
        site_id=site.site_id,
        currency=site.currency,
        start_at=site.start_at,
        slot_minutes=site.slot_minutes,
        grid_limit_kw=site.grid_limit_kw,
        base_load_kw=site.base_load_kw + extra_kw,
        pv_kw=site.pv_kw,
        price_per_kwh=site.price_per_kwh,
        feed_in_per_kwh=site.feed_in_per_kwh,
        demand_charges=site.demand_charges,
        shortfall_price_per_kwh=site.shortfall_price_per_kwh,
        battery=None,
        connectors=None,
        groups=(),
        enforce_min_power=False,
        fleet=fleet_of([]),
    )
