"""Who holds which connector, and when.

A vehicle holds one connector over one interval; it is plugged in at its arrival or while somebody is there, unplugged
at its departure or while somebody is there. Where connectors are fewer than vehicles, some are shared by two, one
after the other. Powers are none of this module's business: it gives everybody as many times the slots that they would
need at full power (the stretch) as it can.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from planning.model import NO_CONNECTOR, Assignment, BoolArray, Connector, FloatArray, IntArray, Problem
from planning.taper import charging_curve, full_power_slots

STRETCHES = (8.0, 6.0, 5.0, 4.0, 3.5, 3.0, 2.6, 2.3, 2.0, 1.8, 1.6, 1.45, 1.3, 1.2, 1.1, 1.0)


class Preference(NamedTuple):
    """Who should come first on a shared connector, beside whoever can be done early: weights, in slots.

    ``power`` of those that charge fast, who are of more use late, when few share the limit; ``departure`` of those that
    leave late, who can use the morning.
    """

    power: float
    departure: float


# In the order of how often each was the best on the public benchmark; the first is usually within 3 % of the bound.
PREFERENCES = (Preference(0, 3), Preference(20, 1), Preference(0, 0), Preference(20, 0), Preference(0, 1))


class Pair(NamedTuple):
    """Two vehicles, by row, that share a connector one after the other."""

    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Stays:
    """What the matching needs of each vehicle [N], and the slots [T] in which somebody can re-plug.

    ``lateness`` is what a preference adds to the slot by which a vehicle is ranked.
    """

    arrival: IntArray
    departure: IntArray
    core: IntArray
    attended: BoolArray
    lateness: FloatArray

    def earliest_release(self, rows: IntArray, stretch: float) -> FloatArray:
        """Return the first slot in which each vehicle can hand its connector over; infinite if it cannot."""
        done = self.arrival[rows] + np.ceil(stretch * self.core[rows]).astype(np.int64)
        slots = np.append(np.flatnonzero(self.attended), -1)
        at = np.searchsorted(slots[:-1], done)
        release = np.where(at < len(slots) - 1, slots[at], np.inf).astype(np.float64)
        # Its driver takes it away at the latest, if it has had its time by then.
        leaves = np.where(self.departure[rows] >= done, self.departure[rows], np.inf)
        return np.minimum(release, leaves)

    def latest_start(self, rows: IntArray, stretch: float) -> FloatArray:
        """Return the last slot in which each vehicle can be plugged in and still have its time; -1 if none is."""
        latest = self.departure[rows] - np.ceil(stretch * self.core[rows]).astype(np.int64)
        slots = np.append(np.flatnonzero(self.attended), -1)
        start = slots[np.searchsorted(slots[:-1], latest, side="right") - 1]
        # Whoever arrives plugs in, whether or not somebody else is there.
        own = np.where(self.arrival[rows] <= latest, self.arrival[rows], -1)
        return np.maximum(np.where(start >= self.arrival[rows], start, -1), own).astype(np.float64)


def core_slots(problem: Problem) -> IntArray:
    """Return how many slots each vehicle needs at full power to reach its target, [N]; T + 1 if it never does.

    Slots in which its connector has something else to give come on top.
    """
    fleet = problem.fleet
    curve = charging_curve(fleet, problem.slot_hours)
    slots = full_power_slots(curve, fleet.start_soc_pct / 100, fleet.required_soc_pct / 100, problem.slots)
    return slots if problem.reserved_kw is None else slots + (problem.reserved_kw > 0).sum(axis=1)


def assign(problem: Problem, preference: Preference = PREFERENCES[0], *, shake: FloatArray | None = None) -> Assignment:
    """Return who holds which connector; a vehicle that finds none, or needs none, holds none.

    Args:
        problem: A problem with connectors.
        preference: Who should come first.
        shake: Slots [N] to add to each vehicle's rank, for a search that tries other orders.
    """
    assert problem.connectors is not None
    fleet = problem.fleet
    shaken = np.zeros(fleet.size) if shake is None else shake
    fastest = max(float(fleet.max_power_kw.max(initial=0.0)), 1e-9)
    stays = Stays(
        arrival=fleet.arrival_slot,
        departure=fleet.departure_slot,
        core=core_slots(problem),
        attended=problem.connectors.attended,
        lateness=preference.power * fleet.max_power_kw / fastest + preference.departure * fleet.departure_slot + shaken,
    )
    chains: dict[int, list[int]] = {}
    for is_dc in (False, True):
        items = [item for item in problem.connectors.items if item.is_dc == is_dc]
        chains |= _chains(problem, stays, items, np.flatnonzero(fleet.is_dc == is_dc))
    return _holds(stays, chains)


def _chains(problem: Problem, stays: Stays, items: list[Connector], rows: IntArray) -> dict[int, list[int]]:
    """Return, for each connector of one current type, the vehicles that hold it, in their order."""
    fleet = problem.fleet
    plugged, bay = fleet.plugged_connector, fleet.bay_connector
    needs = (stays.core[rows] > 0) | (plugged[rows] != NO_CONNECTOR)
    rows = rows[needs]
    chains: dict[int, list[int]] = {int(plugged[row]): [int(row)] for row in rows if plugged[row] != NO_CONNECTOR}
    in_bays = rows[(bay[rows] != NO_CONNECTOR) & (plugged[rows] == NO_CONNECTOR)]
    for row in in_bays[np.argsort(stays.arrival[in_bays], kind="stable")]:
        chains.setdefault(int(bay[row]), []).append(int(row))
    reserved = set(bay[bay != NO_CONNECTOR].tolist())
    free = [item for item in items if item.index not in chains and item.index not in reserved]
    others = np.setdiff1d(rows[plugged[rows] == NO_CONNECTOR], in_bays)
    guests = np.array([chain[0] for index, chain in chains.items() if index not in reserved], dtype=np.int64)
    pairs = match_pairs(stays, guests, others, len(others) - len(free))
    follower = {pair.first: pair.second for pair in pairs}
    for chain in chains.values():
        if chain[0] in follower:
            chain.append(follower.pop(chain[0]))
    followers = {pair.second for pair in pairs}
    leaders = [int(row) for row in others if int(row) not in followers]
    groups = [[row, follower[row]] if row in follower else [row] for row in leaders]
    return chains | _place(fleet.max_power_kw, stays, groups, free)


def _place(top_kw: FloatArray, stays: Stays, groups: list[list[int]], free: list[Connector]) -> dict[int, list[int]]:
    """Give the strongest connectors to those that can use them; those who need most time come first."""
    by_need = sorted(groups, key=lambda chain: (-len(chain), -max(stays.core[row] for row in chain), chain))
    kept = by_need[: len(free)]
    by_power = sorted(kept, key=lambda chain: (-max(top_kw[row] for row in chain), chain))
    strongest = sorted(free, key=lambda item: (-item.max_kw, item.index))
    return {item.index: chain for item, chain in zip(strongest, by_power, strict=False)}


def match_pairs(stays: Stays, plugged: IntArray, others: IntArray, wanted: int) -> list[Pair]:
    """Return pairs that share a connector, as many as are wanted or can be, with the largest stretch.

    Args:
        stays: What is known of the vehicles.
        plugged: Rows of vehicles that are plugged in on arrival: they can only come first.
        others: Rows of vehicles that have no connector yet.
        wanted: How many of the others must come second.
    """
    if wanted <= 0:
        return []
    best: list[Pair] = []
    for stretch in STRETCHES:
        pairs = _match(stays, plugged, others, wanted, stretch)
        if len(pairs) > len(best):
            best = pairs
        if len(best) == wanted:
            break
    return best


def _match(stays: Stays, plugged: IntArray, others: IntArray, wanted: int, stretch: float) -> list[Pair]:
    """Match those who can leave early with those who can start late.

    One can follow another exactly when the other's earliest release is no later than its own latest start, so that
    matching both in sorted order finds as many pairs as there are.
    """
    candidates = np.concatenate([plugged, others])
    release = stays.earliest_release(candidates, stretch)
    start = stays.latest_start(candidates, stretch)
    # Those who come first are done early and could not start late.
    order = np.argsort(release + start + stays.lateness[candidates], kind="stable")
    is_plugged = np.arange(len(candidates)) < len(plugged)
    first = order[:wanted]
    rest = order[wanted:][~is_plugged[order[wanted:]]]
    second = rest[np.argsort(start[rest], kind="stable")][-wanted:]
    first = first[np.argsort(release[first], kind="stable")]
    pairs, at = [], 0
    for follower in second:
        if at < len(first) and release[first[at]] <= start[follower]:
            pairs.append(Pair(int(candidates[first[at]]), int(candidates[follower])))
            at += 1
    return pairs


def _holds(stays: Stays, chains: dict[int, list[int]]) -> Assignment:
    size = len(stays.arrival)
    connector, plug, unplug = (np.full(size, NO_CONNECTOR, dtype=np.int64) for _ in range(3))
    for index, chain in chains.items():
        begin = int(stays.arrival[chain[0]])
        for place, row in enumerate(chain):
            follower = chain[place + 1] if place + 1 < len(chain) else None
            end, next_begin = _hand_over(stays, row, begin, follower)
            if begin < end:
                connector[row], plug[row], unplug[row] = index, begin, end
            begin = next_begin
    return Assignment(connector, plug, unplug)


def _hand_over(stays: Stays, row: int, begin: int, follower: int | None) -> tuple[int, int]:
    """Return when the holder is unplugged and when its follower is plugged in, so that the worse off is best off."""
    departure = int(stays.departure[row])
    if follower is None:
        return departure, departure
    arrival, leaves = int(stays.arrival[follower]), int(stays.departure[follower])
    if departure <= arrival:
        return departure, arrival
    by_hand = np.flatnonzero(stays.attended)
    slots = by_hand[(by_hand > begin) & (by_hand < min(departure, leaves))]
    starts = np.maximum(slots, arrival)
    starts = np.where(starts == slots, starts, arrival)
    ends = np.append(slots, departure)
    nexts = np.append(starts, _next_attended(by_hand, departure))
    worth = np.minimum(
        (ends - begin) / max(1, stays.core[row]),
        (leaves - nexts) / max(1, stays.core[follower]),
    )
    best = int(np.argmax(worth))
    return int(ends[best]), int(nexts[best])


def _next_attended(by_hand: IntArray, slot: int) -> int:
    at = int(np.searchsorted(by_hand, slot))
    return int(by_hand[at]) if at < len(by_hand) else np.iinfo(np.int64).max // 2
