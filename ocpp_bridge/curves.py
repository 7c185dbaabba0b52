"""Power over time as steps: the arithmetic that limits, plans and holdings share.

Pure. Times are epoch seconds (UTC), so that step edges compare exactly; ``-inf`` as a value means "says nothing here",
which loses against everything in ``upper``. Nothing here knows OCPP, a connector or a clock.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

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
    return _combine(curves, max)


def lower(*curves: Curve) -> Curve:
    """Return the lowest of the curves at every instant."""
    return _combine(curves, min)


def total(*curves: Curve) -> Curve:
    """Return the sum of the curves at every instant."""
    return _combine(curves, sum)


def minus(left: Curve, right: Curve) -> Curve:
    """Return the difference of two curves at every instant."""
    return _combine((left, right), lambda pair: pair[0] - pair[1])


def exceeds(curve: Curve, ceiling: Curve, *, since_s: float) -> float | None:
    """Return the first instant from ``since_s`` on at which the curve is above the ceiling, or None."""
    for edge in sorted({*curve.edges(since_s), *ceiling.edges(since_s)}):
        if curve.at(edge) > ceiling.at(edge) + TOLERANCE_KW:
            return edge
    return None


def _combine(curves: Sequence[Curve], choose: Callable[[list[float]], float]) -> Curve:
    if len(curves) == 1:
        return curves[0]
    edges = sorted({start for curve in curves for start in curve.starts})
    positions = [0] * len(curves)
    pairs: list[tuple[float, float]] = []
    for edge in edges:
        for k, curve in enumerate(curves):
            while positions[k] + 1 < len(curve.starts) and curve.starts[positions[k] + 1] <= edge:
                positions[k] += 1
        pairs.append(
            (edge, choose([curve.values[position] for curve, position in zip(curves, positions, strict=True)]))
        )
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
