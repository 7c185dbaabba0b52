"""Power over time as steps: the arithmetic that limits, plans and holdings share.

Pure. Times are epoch seconds (UTC), so that step edges compare exactly; ``-inf`` as a value means "says nothing here",
which loses against everything in ``upper``. Nothing here knows OCPP, a connector or a clock.
"""

import math
import operator
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from itertools import pairwise

SILENT = -math.inf
TOLERANCE_KW = 1e-6


@dataclass(frozen=True, slots=True)
class Curve:
    """Steps: ``values[k]`` holds from ``starts[k]`` until ``starts[k + 1]``, the last one for ever.

    Invariants: ``starts`` ascend strictly and begin at ``-inf``; neighbouring values differ.
    """

    starts: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, instant_s: float) -> float:
        """Return the value that holds at an instant."""
        return self.values[bisect_right(self.starts, instant_s) - 1]

    def edges(self, since_s: float) -> list[float]:
        """Return ``since_s`` and every later instant at which the value changes."""
        return [since_s, *(start for start in self.starts if start > since_s)]

    def until(self, end_s: float, then: float = SILENT) -> "Curve":
        """Return the same curve up to ``end_s`` and a constant from there on."""
        kept = [(start, value) for start, value in zip(self.starts, self.values, strict=True) if start < end_s]
        return steps([*kept, (end_s, then)])

    def since(self, start_s: float, before: float = SILENT) -> "Curve":
        """Return a constant before ``start_s`` and the same curve from there on."""
        later = [(start, value) for start, value in zip(self.starts, self.values, strict=True) if start > start_s]
        return steps([(-math.inf, before), (start_s, self.at(start_s)), *later])

    def map(self, change: Callable[[float], float]) -> "Curve":
        """Return the curve with every value changed."""
        return steps(list(zip(self.starts, (change(value) for value in self.values), strict=True)))

    def scaled(self, factor: float) -> "Curve":
        """Return the curve times a factor."""
        return self if factor == 1 else self.map(lambda value: value * factor)

    def delayed(self, seconds: float) -> "Curve":
        """Return the same curve, so many seconds later."""
        return Curve(tuple(start + seconds for start in self.starts), self.values)

    def widened(self, early_s: float, late_s: float) -> "Curve":
        """Return the most that may hold where a clock that is up to so far ahead or behind follows the curve."""
        return _slide(self, late_s, early_s, max)

    def narrowed(self, early_s: float, late_s: float) -> "Curve":
        """Return the most that a clock up to so far ahead or behind may follow without ever exceeding the curve."""
        return _slide(self, early_s, late_s, min)


def constant(value: float) -> Curve:
    """Return a curve that never changes."""
    return Curve((-math.inf,), (value,))


def steps(pairs: Sequence[tuple[float, float]]) -> Curve:
    """Return the curve of ascending ``(start, value)`` pairs; the first value also holds before its start."""
    starts: list[float] = []
    values: list[float] = []
    for start, value in pairs:
        if not values:
            starts.append(-math.inf)
            values.append(value)
        elif value != values[-1]:
            starts.append(start)
            values.append(value)
    return Curve(tuple(starts), tuple(values))


def from_instants(periods: Iterable[tuple[datetime, float]]) -> Curve:
    """Return the curve of ascending ``(instant, value)`` pairs."""
    return steps([(start.timestamp(), value) for start, value in periods])


def upper(*curves: Curve) -> Curve:
    """Return the highest of the curves at every instant."""
    return reduce(lambda left, right: _merge(left, right, max), curves)


def lower(*curves: Curve) -> Curve:
    """Return the lowest of the curves at every instant."""
    return reduce(lambda left, right: _merge(left, right, min), curves)


def minus(left: Curve, right: Curve) -> Curve:
    """Return the difference of two curves at every instant."""
    return _merge(left, right, operator.sub)


def exceeds(curve: Curve, ceiling: Curve, *, since_s: float) -> float | None:
    """Return the first instant from ``since_s`` on at which the curve is above the ceiling, or None."""
    for edge in sorted({*curve.edges(since_s), *ceiling.edges(since_s)}):
        if curve.at(edge) > ceiling.at(edge) + TOLERANCE_KW:
            return edge
    return None


def _merge(left: Curve, right: Curve, choose: Callable[[float, float], float]) -> Curve:
    """Walk along the edges of both curves at once."""
    edges, values = [-math.inf], [choose(left.values[0], right.values[0])]
    i, j = 1, 1
    left_starts, right_starts = (*left.starts, math.inf), (*right.starts, math.inf)
    while (edge := min(left_starts[i], right_starts[j])) < math.inf:
        i += left_starts[i] == edge
        j += right_starts[j] == edge
        value = choose(left.values[i - 1], right.values[j - 1])
        if value != values[-1]:
            edges.append(edge)
            values.append(value)
    return Curve(tuple(edges), tuple(values))


def _slide(curve: Curve, before_s: float, after_s: float, choose: Callable[[float, float], float]) -> Curve:
    """Return the extreme of the curve between ``before_s`` earlier and ``after_s`` later, at every instant."""
    if len(curve.starts) == 1 or not (before_s or after_s):
        return curve
    later = curve.starts[1:]
    edges = sorted({*(start - after_s for start in later), *(start + before_s for start in later)})
    pairs = [(-math.inf, curve.values[0])]
    for edge, following in pairwise([*edges, edges[-1] + 1]):
        between = (edge + following) / 2  # where rounding cannot take it across an edge
        first, last = (bisect_right(curve.starts, between + shift) - 1 for shift in (-before_s, after_s))
        pairs.append((edge, reduce(choose, curve.values[first : last + 1])))
    return steps(pairs)


class RunningTotal:
    """The sum of many curves, kept up to date as single ones change.

    Curves that share their edges (plans share slot starts) make the sum cheap however many they are.
    """

    def __init__(self) -> None:
        self._base = 0.0
        self._deltas: dict[float, tuple[float, int]] = {}
        self._curve: Curve | None = None

    def replace(self, old: Curve | None, new: Curve | None) -> None:
        """Take one curve out of the sum and put another one in."""
        if old is not None:
            self._apply(old, -1)
        if new is not None:
            self._apply(new, 1)
        self._curve = None

    def curve(self) -> Curve:
        """Return the sum."""
        if self._curve is None:
            level = self._base
            pairs = [(-math.inf, level)]
            for edge in sorted(self._deltas):
                level += self._deltas[edge][0]
                pairs.append((edge, level))
            self._curve = steps(pairs)
        return self._curve

    def _apply(self, curve: Curve, sign: int) -> None:
        self._base += sign * curve.values[0]
        for k in range(1, len(curve.starts)):
            delta, uses = self._deltas.get(curve.starts[k], (0.0, 0))
            change = (delta + sign * (curve.values[k] - curve.values[k - 1]), uses + sign)
            if change[1] == 0:
                del self._deltas[curve.starts[k]]
            else:
                self._deltas[curve.starts[k]] = change
