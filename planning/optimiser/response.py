"""What each vehicle would do if every slot had a price: exact, for the whole fleet at once.

A vehicle whose taper cannot bind fills its cheapest slots. One whose taper can bind solves a dynamic programme over its
SoC whose value function is piecewise linear, with all its kinks on the points from which full power leads exactly to
its target, to the start of the taper, or to a full battery. In the coordinate in which charging at full power is a
shift by one, these points form a lattice that every slot maps into itself; so the slopes between them are all there is
to carry from slot to slot, and the answer has no discretisation error.

With mu(s) the worth of energy at SoC s after a slot, f(s) the SoC after charging at full power and p the slot's price:
before the slot the worth is min(mu(s), p) + f'(s) · max(mu(f(s)) - p, 0).
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from planning.model import BoolArray, FloatArray, IntArray, Problem
from planning.optimiser.monolith import may_overfill, shortfall_prices, tapered_rows
from planning.optimiser.scope import Scope
from planning.taper import charging_curve

MAX_DOMAINS = 400
THREADS = 2
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
        order, ranked = orders[sees], np.take_along_axis(prices, orders, axis=1)[sees]
        # Whatever costs more than the shortfall is better left out.
        offered = np.take_along_axis(self.slot_kwh, order, axis=1) * (ranked < self.shortfall_price[:, None])
        filled = np.minimum(np.cumsum(offered, axis=1), self.need_kwh[:, None])
        taken = np.zeros_like(filled)
        np.put_along_axis(taken, order, np.diff(filled, axis=1, prepend=0.0), axis=1)
        return taken


@dataclass(frozen=True, slots=True)
class TaperedVehicles:
    """Vehicles [n] with their lattices: ``points`` [S + 1, n] of SoC from the top down, ``worth`` [S, n] at departure.

    ``segment_fall`` is f' on the segments between points. From ``soc`` full power leads to the lesser of
    ``soc + step`` and ``fall · soc + rise``. ``chains`` is by how many segments f shifts.
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

    def respond(self, prices: FloatArray, sees: IntArray) -> FloatArray:
        """Return the energies [n, T] at prices [K, T] per kWh, of which each vehicle sees the one given [n]."""
        closed = np.where(self.allowed, prices[sees], np.inf)
        soc, taken = self.start.copy(), np.zeros(closed.shape)
        for slot, wanted in self._thresholds(np.ascontiguousarray(closed.T)):
            full = np.minimum(soc + self.step, self.fall * soc + self.rise)
            after = np.where(self.allowed[:, slot], np.maximum(soc, np.minimum(wanted, full)), soc)
            taken[:, slot] = (after - soc) / self.gain_per_kwh
            soc = after
        return taken

    def _thresholds(self, price: FloatArray) -> list[tuple[int, FloatArray]]:
        """Return, slot by slot, the SoC [n] up to which charging is worth its price [T, n]."""
        is_open = self.allowed.any(axis=0)
        slots = np.flatnonzero(is_open)
        mu, before, above = self.worth.copy(), np.empty_like(self.worth), np.empty_like(self.worth)
        everyone, thresholds = np.arange(len(self.rows)), []
        shift, fall = self.chains, self.segment_fall[self.chains :]
        for slot in slots[::-1].tolist():
            np.minimum(mu, price[slot], out=before)
            np.subtract(mu, before, out=above)
            # Worth falls with SoC, so the segments that are worth less than the price lie on top.
            too_dear = np.add.reduce((above <= 0).view(np.uint8), axis=0, dtype=np.uint16)
            thresholds.append((slot, self.points[too_dear, everyone]))
            np.multiply(above[:-shift], fall, out=above[:-shift])
            before[shift:] += above[:-shift]
            mu, before = before, mu
        return thresholds[::-1]


class FleetResponse:
    """The best response of all vehicles of a problem within a scope; its threads end with it."""

    def __init__(self, problem: Problem, scope: Scope) -> None:
        self.need_kwh, self.shortfall_price = problem.fleet.need_kwh, shortfall_prices(problem)
        self._shape = (problem.fleet.size, problem.slots)
        is_tapered = tapered_rows(problem)
        can_charge = (scope.ceiling_kw > 0).any(axis=1)
        tapered = np.flatnonzero(is_tapered & can_charge)
        # Vehicles of equal depth share a chunk, so that none carries another's lattice.
        depth = problem.fleet.need_kwh / np.maximum(scope.ceiling_kw.max(axis=1, initial=0.0), 1e-6)
        ordered = tapered[np.argsort(depth[tapered], kind="stable")]
        chunks = [ordered[begin : begin + CHUNK] for begin in range(0, len(ordered), CHUNK)]
        self._tapered: list[TaperedVehicles] = [_tapered(problem, scope, rows) for rows in chunks]
        self._flat = _flat(problem, scope, np.flatnonzero(~is_tapered))
        self._pool = ThreadPoolExecutor(max_workers=THREADS)

    def respond(self, prices: FloatArray, sees: IntArray) -> FloatArray:
        """Return every vehicle's energies [N, T] in kWh at prices [K, T] per kWh, of which each sees the one given [N].

        Vehicles that see the same prices share what can be said of prices alone, such as their order.
        """
        taken = np.zeros(self._shape)

        def answer(part: FlatVehicles | TaperedVehicles) -> None:
            taken[part.rows] = part.respond(prices, sees[part.rows])

        # NumPy lets go of the interpreter while it works on large arrays, and no two parts share a row.
        list(self._pool.map(answer, [*self._tapered, self._flat]))
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
        segment_fall=np.where(middle < full.bend, 1.0, fall),
        chains=chains,
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
    domains = [np.sort(np.array(bases), axis=0)[::-1]]
    while (domains[-1][0] > start).any() and len(domains) < MAX_DOMAINS:
        domains.append(full.before(domains[-1]))
    return np.concatenate(domains), len(bases)
