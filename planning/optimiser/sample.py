"""Prices to start from: the relaxation of a small sample that stands for the whole fleet, exact but for the taper.

Eighty vehicles in the fleet's own proportions put the price of every slot close to where the whole fleet will have it.
"""

from dataclasses import replace

import numpy as np

from planning.model import FloatArray, Problem
from planning.optimiser.monolith import solve_monolith
from planning.optimiser.scope import NO_GROUP, Scope

SAMPLE_SIZE = 80


def sampled_prices(problem: Problem, scope: Scope) -> FloatArray:
    """Return the price of load per slot, [T] per kWh, at the optimum of a sample; groups and taper are left out."""
    fleet = problem.fleet
    order = np.lexsort((fleet.need_kwh, fleet.departure_slot, fleet.is_dc))
    places = (np.arange(SAMPLE_SIZE) + 0.5) * fleet.size / SAMPLE_SIZE
    rows = order[np.unique(places.astype(np.int64))]
    scale = float(fleet.need_kwh[rows].sum() / max(fleet.need_kwh.sum(), 1e-9))
    small = Scope(scope.ceiling_kw[rows], np.full(len(rows), NO_GROUP))
    part = problem.with_fleet(rows)
    # The taper hardly moves the price of the site, and would take half of the time.
    untapered = replace(part, fleet=replace(part.fleet, taper_knee_soc_pct=np.full(len(rows), 100.0)))
    return solve_monolith(_scaled(untapered, scale), small, solver="simplex").slot_price


def _scaled(problem: Problem, scale: float) -> Problem:
    """Return the problem of a site that is as much smaller as its fleet."""
    battery = problem.battery
    return replace(
        problem,
        grid_limit_kw=problem.grid_limit_kw * scale,
        base_load_kw=problem.base_load_kw * scale,
        pv_kw=problem.pv_kw * scale,
        demand_charges=tuple(replace(charge, so_far_kw=charge.so_far_kw * scale) for charge in problem.demand_charges),
        soft_limits=tuple(replace(soft, limit_kw=soft.limit_kw * scale) for soft in problem.soft_limits),
        price_tiers=tuple(
            replace(tier, above_kwh=tier.above_kwh * scale, so_far_kwh=tier.so_far_kwh * scale)
            for tier in problem.price_tiers
        ),
        battery=None
        if battery is None
        else replace(
            battery,
            capacity_kwh=battery.capacity_kwh * scale,
            max_power_kw=battery.max_power_kw * scale,
            start_kwh=battery.start_kwh * scale,
        ),
        groups=(),
    )
