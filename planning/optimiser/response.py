"""What each vehicle would do if every slot had a price: exact, for the whole fleet at once.

A vehicle whose taper cannot bind fills its cheapest slots. One whose taper can bind solves a dynamic programme over its
SoC whose value function is piecewise linear, with all its kinks on the points from which full power leads exactly to
its target, to the start of the taper, or to a full battery. In the coordinate in which charging at full power is a
shift by one, these points form a lattice that every slot maps into itself; so the slopes between them are all there is
to carry from slot to slot, and the answer has no discretisation error.

With mu(s) the worth of energy at SoC s after a slot, f(s) the SoC after charging at full power and p the slot's price:
before the slot the worth is min(mu(s), p) + f'(s) · max(mu(f(s)) - p, 0).
"""

from dataclasses import dataclass

import numpy as np

from planning.model import BoolArray, FloatArray, IntArray, Problem
from planning.optimiser.monolith import may_overfill, shortfall_prices, tapered_rows
from planning.optimiser.scope import Scope
from planning.taper import charging_curve

MAX_DOMAINS = 400
CHUNK = 768  # vehicles whose slopes fit into the processor's cache together


@dataclass(frozen=True, slots=True)
class FlatVehicles:
    """Vehicles [n] that take the cheapest slots of their stay, up to their need."""

    rows: IntArray
    slot_kwh: FloatArray
    need_kwh: FloatArray
    shortfall_price: FloatArray

    def respond(self, prices: FloatArray, sees: IntArray) -> FloatArray:
        """Return the energies [n, T] at prices [K, T] per kWh, of which each vehicle sees the one given [n]."""
        orders = np.argsort(prices, axis=1)
        ranked = np.take_along_axis(prices, orders, axis=1)[sees]
        # The cheapest first, as places in a flat array, which is read and written in a third of the time.
        order = orders[sees] + (np.arange(len(self.rows)) * prices.shape[1])[:, None]
        # Whatever costs more than the shortfall is better left out.
        offered = self.slot_kwh.ravel()[order] * (ranked < self.shortfall_price[:, None])
        filled = np.minimum(np.cumsum(offered, axis=1), self.need_kwh[:, None])
        filled[:, 1:] -= filled[:, :-1].copy()
        taken: FloatArray = np.empty_like(filled)
        taken.ravel()[order] = filled
        return taken


@dataclass(frozen=True, slots=True)
class TaperedVehicles:
    """Vehicles [n] with their lattices: ``points`` [S + 1, n] of SoC from the top down, ``worth`` [S, n] at departure.

    ``segment_fall`` is f' on the segments between points, 1 from segment ``bent`` on. From ``soc`` full power leads to
    the lesser of ``soc + step`` and ``fall · soc + rise``. ``chains`` is by how many segments f shifts.
    """

    rows: IntArray
    allowed: BoolArray
    start: FloatArray
    step: FloatArray
    fall: FloatArray
    rise: FloatArray
    gain_per_kwh: FloatArray
    points: FloatArray
    worth: FloatArray
    segment_fall: FloatArray
    chains: int
    bent: int

    def respond(self, prices: FloatArray, sees: IntArray) -> FloatArray:
        """Return the energies [n, T] at prices [K, T] per kWh, of which each vehicle sees the one given [n]."""
        slots = np.flatnonzero(self.allowed.any(axis=0))
        is_open = np.ascontiguousarray(self.allowed[:, slots].T)
        wanted = self._thresholds(np.where(is_open, prices[:, slots][sees].T, np.inf))
        wanted[~is_open] = 0.0
        path = np.empty((len(slots) + 1, len(self.rows)))
        path[0] = self.start
        for place, most in enumerate(wanted):
            soc, after = path[place], path[place + 1]
            np.minimum(soc + self.step, self.fall * soc + self.rise, out=after)
            np.minimum(after, most, out=after)
            np.maximum(after, soc, out=after)
        taken = np.zeros(self.allowed.shape)
        taken[:, slots] = (np.diff(path, axis=0) / self.gain_per_kwh).T
        return taken

    def _thresholds(self, price: FloatArray) -> FloatArray:
        """Return the SoC [t, n] up to which charging is worth its price [t, n] in each slot."""
        segments, shift, bent = len(self.worth), self.chains, self.bent
        too_dear = np.empty(price.shape, dtype=np.uint16)
        # What no slot has reached yet is worth what it was at departure: each slot reaches one shift deeper.
        depths = np.minimum(self._uniform_from() + shift * np.arange(len(price), 0, -1), segments)
        mu, before = self.worth.copy(), self.worth.copy()
        for place in range(len(price) - 1, -1, -1):
            depth, slot_price = depths[place], price[place]
            now, new = mu[:depth], before[:depth]
            np.minimum(now, slot_price, out=new)
            # Worth falls with SoC, so the segments that are worth less than the price lie on top.
            np.add.reduce((now == new).view(np.uint8), axis=0, dtype=np.uint16, out=too_dear[place])
            new[shift:bent] += (now[: bent - shift] - new[: bent - shift]) * self.segment_fall[shift:bent]
            # The same where nothing falls: of what a segment and the one above it are worth and the price, the middle.
            np.maximum(new[bent:], now[bent - shift : depth - shift], out=new[bent:])
            mu, before = before, mu
        places = np.where(too_dear == depths[:, None], segments, too_dear)
        return self.points[places, np.arange(len(self.rows))]

    def _uniform_from(self) -> int:
        """Return the segment from which on all are worth the same at departure, and f' is 1."""
        differs = np.flatnonzero((self.worth != self.worth[-1]).any(axis=1))
        return max(self.bent, int(differs[-1]) + 1 if len(differs) else 0)


class FleetResponse:
    """The best response of all vehicles of a problem within a scope."""

    def __init__(self, problem: Problem, scope: Scope) -> None:
        self.need_kwh, self.shortfall_price = problem.fleet.need_kwh, shortfall_prices(problem)
        self._shape = (problem.fleet.size, problem.slots)
        is_tapered = tapered_rows(problem)
        can_charge = (scope.ceiling_kw > 0).any(axis=1)
        tapered = np.flatnonzero(is_tapered & can_charge)
        # Vehicles of equal depth share a chunk, so that none carries another's lattice.
        depth = problem.fleet.need_kwh / np.maximum(scope.ceiling_kw.max(axis=1, initial=0.0), 1e-6)
        ordered = tapered[np.argsort(depth[tapered], kind="stable")]
        chunks = np.array_split(ordered, -(-len(ordered) // CHUNK)) if len(ordered) else []
        self._parts: list[FlatVehicles | TaperedVehicles] = [_tapered(problem, scope, rows) for rows in chunks]
        self._parts.append(_flat(problem, scope, np.flatnonzero(~is_tapered)))

    def respond(self, prices: FloatArray, sees: IntArray) -> FloatArray:
        """Return every vehicle's energies [N, T] in kWh at prices [K, T] per kWh, of which each sees the one given [N].

        Vehicles that see the same prices share what can be said of prices alone, such as their order.
        """
        taken = np.zeros(self._shape)
        for part in self._parts:
            taken[part.rows] = part.respond(prices, sees[part.rows])
        return taken

    def shortfall_cost(self, taken_kwh: FloatArray) -> FloatArray:
        """Return what the energy that is missing costs, [N]."""
        missing: FloatArray = np.maximum(self.need_kwh - taken_kwh.sum(axis=1), 0.0)
        return missing * self.shortfall_price


def _flat(problem: Problem, scope: Scope, rows: IntArray) -> FlatVehicles:
    slot_kwh = scope.ceiling_kw[rows] * problem.slot_hours
    return FlatVehicles(rows, slot_kwh, problem.fleet.need_kwh[rows], shortfall_prices(problem)[rows])


def _tapered(problem: Problem, scope: Scope, rows: IntArray) -> TaperedVehicles:
    """Build the lattices of some vehicles."""
    part = problem.with_fleet(rows)
    ceiling = scope.ceiling_kw[rows]
    curve = charging_curve(part.fleet, problem.slot_hours, max_power_kw=ceiling.max(axis=1, initial=0.0))
    gain, start = curve.gain, part.fleet.start_soc_pct / 100
    fall = 1 / (1 + curve.taper_kw * curve.slope * gain)
    rise = gain * curve.taper_kw * (1 + curve.slope * curve.knee) * fall
    full = _FullPower(step=gain * np.maximum(curve.cap_kw, 1e-9), fall=fall, rise=rise)
    required = np.maximum(part.fleet.required_soc_pct / 100, start)
    points, chains = _lattice(full, start, required, overfill=may_overfill(problem))
    middle = (points[:-1] + points[1:]) / 2
    segment_fall = np.where(middle < full.bend, 1.0, fall)
    falls = np.flatnonzero((segment_fall < 1).any(axis=1))
    return TaperedVehicles(
        rows=rows,
        allowed=ceiling > 0,
        start=start,
        step=full.step,
        fall=fall,
        rise=rise,
        gain_per_kwh=gain / problem.slot_hours,
        points=points,
        worth=np.where(middle < required, shortfall_prices(problem)[rows], 0.0),
        segment_fall=segment_fall,
        chains=chains,
        bent=max(chains, int(falls[-1]) + 1 if len(falls) else 0),
    )


@dataclass(frozen=True, slots=True)
class _FullPower:
    """The map from the SoC before a slot to that after charging at full power, [n]."""

    step: FloatArray
    fall: FloatArray
    rise: FloatArray

    @property
    def bend(self) -> FloatArray:
        """SoC before a slot from which the taper binds; beyond any where there is none."""
        is_tapered = self.fall < 1
        spread = np.where(is_tapered, 1 - self.fall, 1.0)
        return np.where(is_tapered, (self.rise - self.step) / spread, 9.0)

    @property
    def limit(self) -> FloatArray:
        """SoC that full power approaches and never reaches."""
        is_tapered = self.fall < 1
        return np.where(is_tapered, self.rise / np.where(is_tapered, 1 - self.fall, 1.0), 9.0)

    def after(self, soc: FloatArray) -> FloatArray:
        return np.minimum(soc + self.step, self.fall * soc + self.rise)

    def before(self, soc: FloatArray) -> FloatArray:
        return np.where(soc <= self.bend + self.step, soc - self.step, (soc - self.rise) / self.fall)

    def moved_below(self, soc: FloatArray, top: FloatArray) -> FloatArray:
        """Return the point of the chain through ``soc`` that lies in the domain just below ``top``."""
        low, moved = self.before(top), soc.copy()
        for _ in range(MAX_DOMAINS):
            after = self.after(moved)
            rises = (moved <= low) & (after <= top) & (after > moved)
            if not rises.any():
                break
            moved = np.where(rises, after, moved)
        for _ in range(MAX_DOMAINS):
            is_above = moved > top
            if not is_above.any():
                break
            moved = np.where(is_above, self.before(moved), moved)
        return moved


def _lattice(full: _FullPower, start: FloatArray, required: FloatArray, *, overfill: bool) -> tuple[FloatArray, int]:
    """Return the lattice's points [S + 1, n] from the top down to the start, and how many chains it has.

    Charging ends at the target, unless some energy is paid for taking it (``overfill``); then at a full battery.
    """
    reachable = full.limit - 1e-6
    top = np.maximum(np.minimum(1.0 if overfill else required, reachable), start)
    bases = [top, full.moved_below(np.minimum(full.bend, top), top)]
    if overfill:
        bases.append(full.moved_below(np.minimum(required, reachable), top))
    first = np.sort(np.array(bases), axis=0)[::-1]
    # A domain to shift from even where nobody needs anything.
    domains = [first, full.before(first)]
    while (domains[-1][0] > start).any() and len(domains) < MAX_DOMAINS:
        domains.append(full.before(domains[-1]))
    return np.concatenate(domains), len(bases)
