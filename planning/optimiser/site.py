"""The site's part of every programme: import, export, demand charges, the stationary battery, group limits.

Knows no vehicles: whoever calls puts their load into the rows of the balance and of the groups.
"""

from dataclasses import dataclass

import numpy as np

from planning.model import FloatArray, IntArray, PriceTier, Problem
from planning.optimiser.program import Program

EXCESS_FACTOR = 10.0  # a kWh over the limit costs this many times a kWh short: only what no plan can avoid is worth it


@dataclass(frozen=True, slots=True)
class Site:
    """Rows and columns of the site in a programme.

    ``balance`` [T]: import - export - load of vehicles - battery = other load. ``groups``: one array [T] a group.
    ``paid`` is what has to be taken off the objective to give a bound: the demand charges' peaks so far, and what a
    site could earn that imports and exports at once (see ``_phantom``). ``is_exact`` is False where the programme had
    to differ from the problem, so that its objective bounds nothing.
    """

    balance: IntArray
    groups: tuple[IntArray, ...]
    charge: IntArray | None
    discharge: IntArray | None
    paid: float
    is_exact: bool

    def battery_kw(self, values: FloatArray) -> FloatArray | None:
        """Return the stationary battery's power [T], positive when charging."""
        if self.charge is None or self.discharge is None:
            return None
        power: FloatArray = values[self.charge] - values[self.discharge]
        return power


def add_site(program: Program, problem: Problem) -> Site:
    """Add the site to a programme."""
    hours, other = problem.slot_hours, problem.other_load_kw
    feed_in, most, is_convex = _export_terms(problem)
    imported = program.columns(problem.slots, cost=problem.import_price_per_kwh * hours, high=problem.grid_limit_kw)
    exported = program.columns(problem.slots, cost=-feed_in * hours, high=most)
    balance = program.rows(problem.slots, low=other, high=other)
    program.put(balance, imported, 1.0)
    program.put(balance, exported, -1.0)
    over = other > problem.grid_limit_kw
    if over.any():
        priority = float(problem.fleet.priority.max(initial=1.0))
        cost = EXCESS_FACTOR * hours * max(1.0, problem.shortfall_price_per_kwh) * priority
        excess = program.columns(int(over.sum()), cost=cost)
        program.put(balance[over], excess, 1.0)
    paid = sum(_add_demand_charge(program, problem, row, imported) for row in range(len(problem.demand_charges)))
    paid += sum(_add_tier(program, problem, tier, imported) for tier in problem.price_tiers)
    paid += _phantom(problem)
    for soft in problem.soft_limits:
        over_kw = program.columns(problem.slots, cost=soft.price_per_kwh * hours)
        above = program.rows(problem.slots, low=-soft.limit_kw)
        program.put(above, over_kw, 1.0)
        program.put(above, imported, -1.0)
    charge, discharge = _add_battery(program, problem, balance)
    groups = tuple(program.rows(problem.slots, high=group.limit_kw) for group in problem.groups)
    return Site(balance, groups, charge, discharge, paid, is_exact=is_convex and not over.any())


def cost_without_vehicles(problem: Problem) -> float:
    """Return the least that the site costs with nobody charging; what is above it, vehicles cause."""
    program = Program()
    site = add_site(program, problem)
    return program.solve(solver="simplex").objective - site.paid


def _phantom(problem: Problem) -> float:
    """Return what importing and exporting at once could earn where export pays more.

    No site can do that, so no bound need allow for it; but a bound that does not is above that of a linear programme
    that knows no better, and whoever compares the two would take it for wrong.
    """
    earns = np.maximum(problem.feed_in_per_kwh - problem.import_price_per_kwh, 0.0)
    return float((earns * problem.grid_limit_kw).sum() * problem.slot_hours)


def _export_terms(problem: Problem) -> tuple[FloatArray, FloatArray, bool]:
    """Return the price of export and its bound per slot, and whether both are the problem's own.

    Where export pays more than import costs, a linear programme would do both at once without end. Only where the site
    can export at all does that matter; there the price of import is taken for both, which is on the safe side.
    """
    battery_kw = 0.0 if problem.battery is None else problem.battery.max_power_kw
    if problem.discharge is not None:
        battery_kw += float(problem.discharge.max_kw.sum())
    most = np.maximum(battery_kw - problem.other_load_kw, 0.0)
    feed_in = np.full(problem.slots, problem.feed_in_per_kwh)
    pays_too_much = (feed_in > problem.import_price_per_kwh) & (most > 0)
    return np.where(pays_too_much, problem.import_price_per_kwh, feed_in), most, not pays_too_much.any()


def _add_demand_charge(program: Program, problem: Problem, row: int, imported: IntArray) -> float:
    charge = problem.demand_charges[row]
    peak = program.columns(1, cost=charge.price_per_kw, low=charge.so_far_kw)
    slots = imported if charge.slots is None else imported[charge.slots]
    above = program.rows(len(slots), low=0.0)
    program.put(above, peak, 1.0)
    program.put(above, slots, -1.0)
    return charge.price_per_kw * charge.so_far_kw


def _add_tier(program: Program, problem: Problem, tier: PriceTier, imported: IntArray) -> float:
    """Add the kWh beyond a tier's amount; return what those before the first slot cost, which is paid."""
    before = max(0.0, tier.so_far_kwh - tier.above_kwh)
    beyond = program.columns(1, cost=tier.surcharge_per_kwh, low=before)
    row = program.rows(1, low=tier.so_far_kwh - tier.above_kwh)
    program.put(row, beyond, 1.0)
    program.put(row, imported, -problem.slot_hours)
    return tier.surcharge_per_kwh * before


def _add_battery(program: Program, problem: Problem, balance: IntArray) -> tuple[IntArray | None, IntArray | None]:
    spec = problem.battery
    if spec is None:
        return None, None
    slots, hours = problem.slots, problem.slot_hours
    charge = program.columns(slots, high=spec.max_power_kw)
    discharge = program.columns(slots, high=spec.max_power_kw)
    least = np.zeros(slots)
    least[-1] = spec.start_kwh
    stored = program.columns(slots, low=least, high=spec.capacity_kwh)
    program.put(balance, charge, -1.0)
    program.put(balance, discharge, 1.0)
    begin = np.zeros(slots)
    begin[0] = spec.start_kwh
    step = program.rows(slots, low=begin, high=begin)
    program.put(step, stored, 1.0)
    program.put(step[1:], stored[:-1], -1.0)
    program.put(step, charge, -hours * spec.charge_efficiency)
    program.put(step, discharge, hours / spec.discharge_efficiency)
    return charge, discharge
