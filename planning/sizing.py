"""How many chargers, how much grid, battery and PV a fleet needs: the least depot that is ready often enough.

Pure. Recorded nights (who came back when, with how much to charge, and left when) are charged again in depots of other
sizes, by a rule that people can follow: a connector is given to whoever leaves first and is free again when that
vehicle is charged and somebody is there to re-plug, or when it leaves; power goes to whoever has least slack. What a
rule can do, the planner can. Weeks are resampled to say how sure the answer is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from planning.model import BoolArray, FloatArray, IntArray

SLOTS, SLOT_HOURS = 96, 0.25
TAPER_SHARE = 0.95
"""Share of the full power that a battery takes on average up to its target."""

READY_SHARE = 0.02
"""A vehicle is ready that lacks at most this share of what it had to charge."""

BATTERY_EFFICIENCY = 0.9
BATTERY_HOURS = 2.0
RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Night:
    """A night of a fleet, from noon to noon: columns [N] over vehicles, slots counted from noon.

    ``departure_slot`` is the first slot that a vehicle is gone in; ``need_kwh`` and ``max_kw`` are grid-side.
    ``week`` names the week that it is resampled with.
    """

    week: str
    vehicle_ids: tuple[str, ...]
    is_dc: BoolArray
    arrival_slot: IntArray
    departure_slot: IntArray
    need_kwh: FloatArray
    max_kw: FloatArray

    def take(self, rows: Sequence[int] | IntArray) -> "Night":
        """Return the night of some of its vehicles; one may be taken more than once."""
        chosen = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            vehicle_ids=tuple(self.vehicle_ids[row] for row in chosen),
            is_dc=self.is_dc[chosen],
            arrival_slot=self.arrival_slot[chosen],
            departure_slot=self.departure_slot[chosen],
            need_kwh=self.need_kwh[chosen],
            max_kw=self.max_kw[chosen],
        )


@dataclass(frozen=True, slots=True)
class Depot:
    """A depot's size. ``grid_kw`` is what vehicles may draw of the connection; PV feeds vehicles and battery first."""

    ac_chargers: int
    dc_chargers: int
    grid_kw: float
    battery_kwh: float = 0.0
    pv_kwp: float = 0.0


@dataclass(frozen=True, slots=True)
class Prices:
    """What a unit costs to build; powers of one charger by type."""

    ac_charger: float = 2500.0
    dc_charger: float = 35000.0
    grid_per_kw: float = 250.0
    battery_per_kwh: float = 400.0
    pv_per_kwp: float = 900.0
    ac_kw: float = 11.0
    dc_kw: float = 100.0

    def of(self, depot: Depot) -> float:
        """Return what a depot costs."""
        return (
            depot.ac_chargers * self.ac_charger
            + depot.dc_chargers * self.dc_charger
            + depot.grid_kw * self.grid_per_kw
            + depot.battery_kwh * self.battery_per_kwh
            + depot.pv_kwp * self.pv_per_kwp
        )


@dataclass(frozen=True, slots=True)
class Site:
    """What does not depend on size: when somebody is there to re-plug, and PV output per kWp, [96] each from noon."""

    attended: BoolArray
    pv_kw_per_kwp: FloatArray


@dataclass(frozen=True, slots=True)
class Judged:
    """A depot on recorded nights: share ready, its 5 % bound over resampled weeks, and how sure the target is met."""

    depot: Depot
    cost: float
    ready_pct: float
    ready_low_pct: float
    confidence_pct: float
    peak_kw: float


@dataclass(frozen=True, slots=True)
class Sized:
    """The least depot for a target, the curve of readiness against investment, and how many nights it rests on."""

    best: Judged
    curve: tuple[Judged, ...]
    nights: int
    weeks: int
    vehicles: float


def size(nights: Sequence[Night], site: Site, prices: Prices, *, target_pct: float, seed: int = 1) -> Sized:
    """Return the cheapest depot of those tried that is ready as often as the target asks.

    Every size of the battery is tried with the least chargers and the least grid that reach the target with it; PV is
    tried with each. A target that chargers for everybody cannot reach is lowered to what they reach.

    Raises:
        ValueError: there is no night with a vehicle.
    """
    known = [night for night in nights if len(night.vehicle_ids)]
    if not known:
        raise ValueError("no night with a vehicle that came back and left again was recorded")
    judge = _Judge(known, site, prices, target_pct, seed)
    candidates = [judge.least(battery_kwh, pv_kwp) for battery_kwh in judge.batteries for pv_kwp in judge.pv]
    best = min(candidates, key=lambda depot: (prices.of(depot), depot.battery_kwh, depot.pv_kwp))
    curve = tuple(judge(one) for one in _ladder(best))
    vehicles = float(np.mean([len(night.vehicle_ids) for night in known]))
    return Sized(judge(best), curve, len(known), len({night.week for night in known}), vehicles)


def grown(nights: Sequence[Night], vehicles: int, *, seed: int = 1) -> list[Night]:
    """Return the nights of a fleet of another size: vehicles drawn from those recorded, the same ones every night."""
    names = sorted({name for night in nights for name in night.vehicle_ids})
    drawn = np.random.default_rng(seed).permutation(len(names))
    chosen = [names[drawn[k % len(names)]] for k in range(vehicles)]
    found = []
    for night in nights:
        rows = {name: row for row, name in enumerate(night.vehicle_ids)}
        found.append(night.take([rows[name] for name in chosen if name in rows]))
    return found


@dataclass(frozen=True, slots=True)
class _Batch:
    """Several nights as columns [M, N], those with fewer vehicles filled up with vehicles that never come."""

    is_dc: BoolArray
    arrival_slot: IntArray
    departure_slot: IntArray
    need_kwh: FloatArray
    max_kw: FloatArray
    is_real: BoolArray

    @classmethod
    def of(cls, nights: Sequence[Night]) -> "_Batch":
        """Return nights as one batch."""
        most = max(len(night.vehicle_ids) for night in nights)

        def filled(column: str, fill: float) -> FloatArray:
            rows = [np.pad(np.asarray(getattr(night, column), dtype=np.float64),
                           (0, most - len(night.vehicle_ids)), constant_values=fill) for night in nights]  # fmt: skip
            return np.array(rows).reshape(len(nights), most)

        return cls(
            is_dc=filled("is_dc", 0.0) > 0,
            arrival_slot=filled("arrival_slot", SLOTS).astype(np.int64),
            departure_slot=filled("departure_slot", SLOTS).astype(np.int64),
            need_kwh=filled("need_kwh", 0.0),
            max_kw=filled("max_kw", 1.0),
            is_real=filled("arrival_slot", SLOTS) < SLOTS,
        )


def charge(nights: Sequence[Night], depot: Depot, site: Site, prices: Prices) -> tuple[list[BoolArray], list[float]]:
    """Charge nights in a depot; return who is ready [N] and the highest draw from the grid, of each night."""
    batch = _Batch.of(nights)
    ready, peaks = _charged(batch, depot, site, prices)
    return [row[real] for row, real in zip(ready, batch.is_real, strict=True)], peaks.tolist()


def _charged(batch: _Batch, depot: Depot, site: Site, prices: Prices) -> tuple[BoolArray, FloatArray]:
    """Charge a batch; return who is ready [M, N] and the peaks [M]."""
    yard = _Yard(batch, depot, site, prices)
    for slot in range(SLOTS):
        yard.step(slot)
    ready: BoolArray = yard.missing_kwh <= READY_SHARE * batch.need_kwh + 1e-6
    return ready, yard.peak_kw


class _Yard:
    """A batch of nights in one depot, slot by slot."""

    def __init__(self, batch: _Batch, depot: Depot, site: Site, prices: Prices) -> None:
        self.batch, self.depot, self.site = batch, depot, site
        self.missing_kwh = batch.need_kwh.copy()
        self.peak_kw = np.zeros(len(batch.need_kwh))
        self._holds = np.zeros(batch.need_kwh.shape, dtype=np.bool_)
        self._cap_kw = TAPER_SHARE * np.minimum(batch.max_kw, np.where(batch.is_dc, prices.dc_kw, prices.ac_kw))
        self._stored_kwh = np.full(len(batch.need_kwh), depot.battery_kwh)

    def step(self, slot: int) -> None:
        """Let a slot pass."""
        batch = self.batch
        here = (batch.arrival_slot <= slot) & (slot < batch.departure_slot)
        wants = here & (self.missing_kwh > 1e-9)
        attended = bool(self.site.attended[slot])
        self._holds &= wants if attended else here
        may_plug = wants & ~self._holds & (attended | (batch.arrival_slot == slot))
        for is_dc, count in ((False, self.depot.ac_chargers), (True, self.depot.dc_chargers)):
            of_type = batch.is_dc == is_dc
            free = np.maximum(count - (self._holds & of_type).sum(axis=1), 0)
            queue = may_plug & of_type
            self._holds |= queue & (_ranks(np.where(queue, batch.departure_slot, 2 * SLOTS)) < free[:, None])
        self._give(slot, self._holds & wants)

    def _give(self, slot: int, drawing: BoolArray) -> None:
        batch, depot = self.batch, self.depot
        wanted = np.where(drawing, np.minimum(self._cap_kw, self.missing_kwh / SLOT_HOURS), 0.0)
        pv_kw = depot.pv_kwp * float(self.site.pv_kw_per_kwp[slot])
        battery_kw = np.minimum(depot.battery_kwh / BATTERY_HOURS, self._stored_kwh / SLOT_HOURS)
        slack = batch.departure_slot - slot - self.missing_kwh / np.maximum(self._cap_kw, 1e-9) / SLOT_HOURS
        order = np.argsort(slack, axis=1, kind="stable")
        queue = np.take_along_axis(wanted, order, axis=1)
        room = (depot.grid_kw + pv_kw + battery_kw)[:, None]
        served = np.minimum(queue, np.maximum(room - (np.cumsum(queue, axis=1) - queue), 0.0))
        given = np.empty_like(wanted)
        np.put_along_axis(given, order, served, axis=1)
        self.missing_kwh = np.maximum(self.missing_kwh - given * SLOT_HOURS, 0.0)
        self._balance(given.sum(axis=1), pv_kw)

    def _balance(self, vehicles_kw: FloatArray, pv_kw: float) -> None:
        """Let PV give first, then the grid, then the battery, which the rest of grid and PV charges again."""
        depot = self.depot
        net_kw = vehicles_kw - pv_kw
        from_battery = np.maximum(net_kw - depot.grid_kw, 0.0)
        spare_kw = np.minimum(np.maximum(depot.grid_kw - net_kw, 0.0), depot.battery_kwh / BATTERY_HOURS)
        room_kwh = (depot.battery_kwh - self._stored_kwh) / BATTERY_EFFICIENCY
        into_kw = np.where(from_battery > 0, 0.0, np.minimum(spare_kw, room_kwh / SLOT_HOURS))
        self._stored_kwh = self._stored_kwh + (into_kw * BATTERY_EFFICIENCY - from_battery) * SLOT_HOURS
        self.peak_kw = np.maximum(self.peak_kw, net_kw - from_battery + into_kw)


def _ranks(values: IntArray) -> IntArray:
    """Return the place of each value in its row, the smallest first, [M, N]."""
    order = np.argsort(values, axis=1, kind="stable")
    ranks: IntArray = np.argsort(order, axis=1, kind="stable")
    return ranks


class _Judge:
    """Judges depots on the same nights; each depot once."""

    def __init__(self, nights: Sequence[Night], site: Site, prices: Prices, target_pct: float, seed: int) -> None:
        self._nights, self._site, self._prices, self._seed = nights, site, prices, seed
        self._batch = _Batch.of(nights)
        self._known: dict[Depot, Judged] = {}
        self._target_pct = target_pct
        need = max(float(night.need_kwh.sum()) for night in nights)
        self.batteries = sorted({0.0, *(10.0 * round(share * need / 10) for share in (0.1, 0.25))})
        self.pv = (0.0, 10.0 * ceil(need / 5 / 10))
        self._most = self._everybody()
        self._target_pct = min(target_pct, self(self._most).ready_pct)

    def __call__(self, depot: Depot) -> Judged:
        """Return a depot's judgement."""
        if depot not in self._known:
            self._known[depot] = self._judged(depot)
        return self._known[depot]

    def least(self, battery_kwh: float, pv_kwp: float) -> Depot:
        """Return the cheaper of two: the least chargers and then the least grid, or the least grid and then chargers.

        Between them lie depots with a little more grid than the least; those are tried as well.
        """
        most = replace(self._most, battery_kwh=battery_kwh, pv_kwp=pv_kwp)
        first = self._least_grid(self._least_chargers(most))
        barely = self._least_grid(most)
        spread = first.grid_kw - barely.grid_kw
        between = [replace(most, grid_kw=float(ceil(barely.grid_kw + share * spread))) for share in (0.0, 0.25, 0.5)]
        return min([first, *map(self._least_chargers, between)], key=self._prices.of)

    def _least_chargers(self, depot: Depot) -> Depot:
        fewer = self._smallest(depot.dc_chargers, lambda count: replace(depot, dc_chargers=count))
        return self._smallest(fewer.ac_chargers, lambda count: replace(fewer, ac_chargers=count))

    def _least_grid(self, depot: Depot) -> Depot:
        return self._smallest(ceil(depot.grid_kw), lambda kw: replace(depot, grid_kw=float(kw)))

    def _smallest(self, most: int, depot_of: Callable[[int], Depot]) -> Depot:
        low, high = 0, most
        while low < high:
            middle = (low + high) // 2
            if self(depot_of(middle)).ready_pct >= self._target_pct - 1e-9:
                high = middle
            else:
                low = middle + 1
        return depot_of(high)

    def _everybody(self) -> Depot:
        """Return the depot in which everybody has a charger and all may draw at once."""
        ac = max(int((~night.is_dc).sum()) for night in self._nights)
        dc = max(int(night.is_dc.sum()) for night in self._nights)
        return Depot(ac, dc, float(ceil(ac * self._prices.ac_kw + dc * self._prices.dc_kw)))

    def _judged(self, depot: Depot) -> Judged:
        ready, peaks = _charged(self._batch, depot, self._site, self._prices)
        by_week: dict[str, list[int]] = {}
        for night, is_ready, is_real in zip(self._nights, ready, self._batch.is_real, strict=True):
            counts = by_week.setdefault(night.week, [0, 0])
            counts[0] += int((is_ready & is_real).sum())
            counts[1] += int(is_real.sum())
        counted = np.array([by_week[week] for week in sorted(by_week)], dtype=np.float64)
        drawn = np.random.default_rng(self._seed).integers(len(counted), size=(RESAMPLES, len(counted)))
        shares = 100 * counted[drawn, 0].sum(axis=1) / counted[drawn, 1].sum(axis=1)
        return Judged(
            depot=depot,
            cost=self._prices.of(depot),
            ready_pct=100 * float(counted[:, 0].sum() / counted[:, 1].sum()),
            ready_low_pct=float(np.quantile(shares, 0.05)),
            confidence_pct=100 * float((shares >= self._target_pct - 1e-9).mean()),
            peak_kw=float(peaks.max()),
        )


def _ladder(best: Depot) -> list[Depot]:
    """Return depots from half of the best to a quarter more, the best among them."""

    def scaled(share: float) -> Depot:
        return Depot(
            ceil(share * best.ac_chargers),
            ceil(share * best.dc_chargers),
            float(ceil(share * best.grid_kw)),
            best.battery_kwh,
            best.pv_kwp,
        )

    return [scaled(share) for share in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)] + [best, scaled(1.1), scaled(1.25)]


def steps(now: Depot, later: Mapping[str, Sized], prices: Prices) -> list[tuple[str, Depot, float]]:
    """Return the roadmap: what to add for each year, and what that costs; nothing that was built is taken away.

    Args:
        now: What is there already.
        later: The sizes by year, in order.
        prices: Unit prices.
    """
    built, found = now, []
    for year, sized in later.items():
        wanted = sized.best.depot
        after = Depot(
            max(built.ac_chargers, wanted.ac_chargers),
            max(built.dc_chargers, wanted.dc_chargers),
            max(built.grid_kw, wanted.grid_kw),
            max(built.battery_kwh, wanted.battery_kwh),
            max(built.pv_kwp, wanted.pv_kwp),
        )
        found.append((year, after, prices.of(after) - prices.of(built)))
        built = after
    return found
