"""The same relaxation, for large fleets: a master programme of the site's size, and vehicles that answer prices.

The fleet is cut into blocks. The master mixes load profiles that a block has answered with (any mix of feasible
profiles is feasible, taper included) and prices every slot; every vehicle's best response to the prices gives new
profiles, and the master's objective plus all that the responses still gain is a proven lower bound.

Three things make it converge in about ten rounds instead of a hundred. The first prices come from a sample of the
fleet. The master may buy and sell load at prices just beside the first ones, so that its prices stay where they mean
something; where it does so in earnest, the margin widens. And in every other round each block sees prices with a little
noise of its own, for otherwise all blocks would rush to the same slots.
"""

import logging
from dataclasses import dataclass

import numpy as np

from planning.model import FloatArray, IntArray, Problem
from planning.optimiser.program import OpenProgram, Program, Solution
from planning.optimiser.response import FleetResponse
from planning.optimiser.result import Relaxation
from planning.optimiser.sample import sampled_prices
from planning.optimiser.scope import Scope
from planning.optimiser.site import Site, add_site, cost_without_vehicles

BLOCKS = 80
GAP = 5e-4
MAX_ROUNDS = 80
MARGIN = 0.1
MARGIN_PER_KWH = 0.002
NOISE = 0.02
WIDENING = 100.0
NEARLY_CONVERGED = 0.5
NEARLY_BALANCED = 1e-6  # driving more of it out takes the dual simplex three times as long
FIRST_NOISY_ROUNDS = 3
SEED = 20261122


logger = logging.getLogger(__name__)


class NotConvergedError(RuntimeError):
    """The gap was not closed in the rounds allowed."""


@dataclass(slots=True)
class _Profiles:
    """Responses so far: energies [N, T] of each round, and the master's columns that belong to them [rounds][B]."""

    energies: list[FloatArray]
    columns: list[IntArray]

    def mixed(self, values: FloatArray, block: IntArray) -> FloatArray:
        """Return the mix [N, T] of all responses that the master's values say."""
        mix = np.zeros_like(self.energies[0])
        for energy, column in zip(self.energies, self.columns, strict=True):
            share = values[column]
            if (share > 1e-12).any():
                mix += share[block][:, None] * energy
        return mix


class Master:
    """The restricted master programme: the site, one convexity row a block, and load to be bought and sold beside it.

    Invariants: columns are only ever added; bought and sold load is possible only between ``open_market`` and
    ``close_market``.
    """

    def __init__(self, problem: Problem, block: IntArray, group: IntArray, price: FloatArray) -> None:
        program = Program()
        self.site: Site = add_site(program, problem)
        self.blocks = int(block.max()) + 1
        self._convexity = program.rows(self.blocks, low=1.0, high=1.0)
        self._bought = program.columns(problem.slots)
        self._sold = program.columns(problem.slots)
        program.put(self.site.balance, self._bought, 1.0)
        program.put(self.site.balance, self._sold, -1.0)
        self._hours = problem.slot_hours
        self._rows = np.concatenate([self.site.balance, *self.site.groups, self._convexity])
        self._order = np.argsort(block, kind="stable")
        self._starts = np.searchsorted(block[self._order], np.arange(self.blocks))
        self._group, self._group_count = group, len(problem.groups)
        self._price, self._margin = price, np.tile(MARGIN * np.abs(price) + MARGIN_PER_KWH, 2)
        self._open: OpenProgram = program.open(solver="simplex")
        self.open_market()

    @property
    def market(self) -> IntArray:
        """Columns of load bought, then sold, [2 T]."""
        return np.concatenate([self._bought, self._sold])

    def open_market(self) -> None:
        """Let load be bought and sold at the margins around the price."""
        slots = len(self._price)
        costs = np.concatenate([self._price + self._margin[:slots], self._margin[slots:] - self._price]) * self._hours
        self._open.set_costs(self.market, costs)
        self._open.set_upper_bounds(self.market, np.inf)

    def close_market(self) -> None:
        """Let vehicles alone be the load."""
        self._open.set_upper_bounds(self.market, 0.0)

    def widen(self, traded_kw: FloatArray, *, everywhere: bool) -> None:
        """Widen the margin wherever load is bought or sold [2 T], or on the whole side on which it is."""
        is_traded = traded_kw.reshape(2, -1) > 1e-6
        if everywhere:
            is_traded |= is_traded.any(axis=1, keepdims=True)
        self._margin = np.where(is_traded.ravel(), WIDENING * self._margin, self._margin)
        self.open_market()

    def add(self, energy_kwh: FloatArray, shortfall_cost: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
        """Add one profile per block; return columns, costs [B] and loads [B, balance and group rows] in kW."""
        ordered, group = energy_kwh[self._order], self._group[self._order]
        parts = [ordered] + [np.where((group == row)[:, None], ordered, 0.0) for row in range(self._group_count)]
        loads = np.concatenate([np.add.reduceat(part, self._starts, axis=0) for part in parts], axis=1) / self._hours
        costs = np.add.reduceat(shortfall_cost[self._order], self._starts)
        slots = energy_kwh.shape[1]
        # The balance counts load as negative, groups as positive.
        signed = np.concatenate([-loads[:, :slots], loads[:, slots:], np.eye(self.blocks)], axis=1)
        return self._open.add_columns(costs, signed, self._rows), costs, loads

    def solve(self) -> Solution:
        """Solve what is there."""
        return self._open.solve()

    def prices(self, solution: Solution) -> tuple[FloatArray, FloatArray]:
        """Return the price of load per kWh, [1 + groups, T] in the rows of ``add``, and the worth of each block [B]."""
        rows = [solution.row_duals[self.site.balance]] + [-solution.row_duals[group] for group in self.site.groups]
        return np.array(rows) / self._hours, solution.row_duals[self._convexity]


@dataclass(frozen=True, slots=True)
class _Views:
    """What vehicles see one price: those of a block [V] in a group [V]. ``of`` [N] says which view is whose."""

    block: IntArray
    group: IntArray
    of: IntArray

    @classmethod
    def by(cls, block: IntArray, group: IntArray) -> "_Views":
        views, of = np.unique(np.stack([block, group]), axis=1, return_inverse=True)
        return cls(views[0], views[1], of.ravel())


@dataclass(slots=True)
class _Search:
    """The state of one decomposition."""

    problem: Problem
    block: IntArray
    views: _Views
    response: FleetResponse
    master: Master
    profiles: _Profiles
    noise: np.random.Generator
    without_vehicles: float
    bound: float = -np.inf

    def gap(self, objective: float) -> float:
        """Return how far an objective may be from the optimum, as a share of what the vehicles cost."""
        return (objective - self.bound) / max(abs(objective - self.without_vehicles), 1e-6)

    def answer(self, price: FloatArray, *, noise: float = 0.0) -> tuple[FloatArray, FloatArray]:
        """Add the fleet's response to prices [1 + groups, T]; return costs [B] and loads as ``take`` does."""
        block, group = self.views.block, self.views.group
        seen = price[0] + np.zeros((len(block), 1))
        if len(price) > 1:
            in_group = group >= 0
            seen[in_group] += price[1 + group[in_group]]
        if noise:
            spread = self.noise.uniform(1 - noise, 1 + noise, (int(block.max()) + 1, self.problem.slots))
            seen = np.maximum(seen * spread[block], np.minimum(seen, 0.0))
        return self.take(self.response.respond(seen, self.views.of))

    def take(self, energy: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Add profiles [N, T] in kWh; return their costs [B] and loads [B, balance and group rows] in kW."""
        columns, costs, loads = self.master.add(energy, self.response.shortfall_cost(energy))
        self.profiles.energies.append(energy)
        self.profiles.columns.append(columns)
        return costs, loads


def solve_decomposed(problem: Problem, scope: Scope, *, start_price: FloatArray | None = None) -> Relaxation:
    """Return powers within ``GAP`` of the relaxation's optimum, with the bound that proves it.

    Args:
        problem: The problem.
        scope: Where the vehicles may charge.
        start_price: Price of load per slot [T] to begin with, from a plan of nearly the same; a sample's where None.

    Raises:
        NotConvergedError: the gap was not closed in ``MAX_ROUNDS``.
    """
    search = _begin(problem, scope, sampled_prices(problem, scope) if start_price is None else start_price)
    for round_number in range(MAX_ROUNDS):
        solution = search.master.solve()
        price, worth = search.master.prices(solution)
        if round_number % 2 == 0:
            search.answer(price, noise=NOISE)
            continue
        costs, loads = search.answer(price)
        gained = costs + loads @ price.ravel() * problem.slot_hours - worth
        search.bound = max(search.bound, solution.objective + float(np.minimum(gained, 0.0).sum()))
        final = _try_to_finish(search, solution, float(-gained.sum()))
        if final is not None:
            logger.debug("%d vehicles: %d rounds", problem.fleet.size, round_number)
            return _relaxation(search, final)
    raise NotConvergedError(f"the gap is still open after {MAX_ROUNDS} rounds")


def _begin(problem: Problem, scope: Scope, price: FloatArray) -> _Search:
    """Return a search with the profiles of nobody charging and of everybody answering the first prices."""
    block = _blocks(problem, scope)
    master = Master(problem, block, scope.group, price)
    noise = np.random.default_rng(SEED)
    response = FleetResponse(problem, scope)
    without = cost_without_vehicles(problem) + master.site.paid
    views = _Views.by(block, scope.group)
    search = _Search(problem, block, views, response, master, _Profiles([], []), noise, without)
    search.take(np.zeros((problem.fleet.size, problem.slots)))
    first = np.zeros((1 + len(problem.groups), problem.slots))
    first[0] = price
    for noise_level in (0.0, *[NOISE] * FIRST_NOISY_ROUNDS):
        search.answer(first, noise=noise_level)
    return search


def _blocks(problem: Problem, scope: Scope) -> IntArray:
    """Return each vehicle's block: vehicles of like stays share one, which makes a block's profiles worth mixing."""
    fleet = problem.fleet
    order = np.lexsort((fleet.arrival_slot, fleet.departure_slot, fleet.is_dc, scope.group))
    block = np.empty(fleet.size, dtype=np.int64)
    block[order] = np.arange(fleet.size) * min(BLOCKS, fleet.size) // fleet.size
    return block


def _try_to_finish(search: _Search, solution: Solution, open_gap: float) -> Solution | None:
    """Return the master's optimum without bought or sold load, if it is close enough to the bound."""
    master = search.master
    traded = solution.values[master.market]
    load = sum(float(energy.sum()) for energy in search.profiles.energies[1:2]) / search.problem.slot_hours
    if traded.sum() <= NEARLY_BALANCED * load:
        master.close_market()
        closed = master.solve()
        if search.gap(closed.objective) <= GAP:
            return closed
        master.open_market()
    open_share = open_gap / max(abs(solution.objective - search.without_vehicles), 1e-6)
    if traded.sum() > 0 and open_share <= NEARLY_CONVERGED:
        # Converged and still trading: a stationary battery can carry what is bought from slot to slot, one a round.
        master.widen(traded, everywhere=open_share <= GAP)
    return None


def _relaxation(search: _Search, solution: Solution) -> Relaxation:
    site = search.master.site
    price, _ = search.master.prices(solution)
    return Relaxation(
        power_kw=search.profiles.mixed(solution.values, search.block) / search.problem.slot_hours,
        battery_kw=site.battery_kw(solution.values),
        lower_bound=search.bound - site.paid if site.is_exact else None,
        slot_price=price[0],
        name="decomposition",
        status=f"within {100 * max(search.gap(solution.objective), 0.0):.4f} % of what the vehicles cost",
    )
