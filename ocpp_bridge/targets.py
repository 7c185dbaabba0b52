"""What each connector should be given so that all together stay within the limits. Pure.

A plan normally fits as it is. It does not when a limit was lowered after it was made, when a station that may hold
something else is out of reach, or where a plan's end meets the fallbacks. Then power above the fallbacks is shared
down in proportion, to each connector's minimum (around a period's beginning, where clocks differ, those that go up
wait for those that go down); only if that is not enough do the least deserving lose theirs, and
only after that are fallbacks themselves taken, one connector after the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ocpp_bridge.curves import TOLERANCE_KW, Curve, RunningTotal, minus, steps
from ocpp_bridge.holdings import ConnectorKey


@dataclass(frozen=True, slots=True)
class Demand:
    """What a reachable connector would draw if it were given its plan: reserved kW over time, for ever.

    ``patient_kw`` is the same if it began each higher period only when others have surely ended theirs.
    """

    wanted_kw: Curve
    patient_kw: Curve
    fallback_kw: Curve
    least_kw: float
    scopes: tuple[str | None, ...]


def share_out(
    demands: Mapping[ConnectorKey, Demand], available_kw: Mapping[str | None, Curve], *, now_s: float
) -> dict[ConnectorKey, Curve]:
    """Return each connector's curve, never above what it wants, within what is available from now on.

    Args:
        demands: Connectors that can be told something, most deserving first.
        available_kw: Per scope (None: the site), what the limits leave to these connectors.
        now_s: The present.
    """
    curves = {key: demand.wanted_kw for key, demand in demands.items()}
    for scope in sorted(available_kw, key=lambda name: (name is None, name or "")):
        members = [key for key, demand in demands.items() if scope in demand.scopes]
        _fit_scope(curves, members, demands, available_kw[scope], now_s)
    return curves


def _fit_scope(
    curves: dict[ConnectorKey, Curve],
    members: Sequence[ConnectorKey],
    demands: Mapping[ConnectorKey, Demand],
    available: Curve,
    now_s: float,
) -> None:
    total = RunningTotal()
    for key in members:
        total.replace(None, curves[key])
    left = minus(available, total.curve())
    if all(left.at(edge) >= -TOLERANCE_KW for edge in left.edges(now_s)):
        return
    # Where one connector takes over from another what is left does not change, so each one's own edges count.
    rests = (curve for key in members for curve in (demands[key].fallback_kw, demands[key].patient_kw))
    parts = [left, *(curves[key] for key in members), *rests]
    edges = sorted({edge for curve in parts for edge in curve.edges(now_s)})
    columns = [[curves[key].at(edge) for key in members] for edge in edges]
    for k, edge in enumerate(edges):
        if left.at(edge) < -TOLERANCE_KW:
            columns[k] = _fit_instant(columns[k], [demands[key] for key in members], available.at(edge), edge)
    for row, key in enumerate(members):
        curves[key] = steps([(edge, column[row]) for edge, column in zip(edges, columns, strict=True)])


def _fit_instant(values: Sequence[float], demands: Sequence[Demand], available: float, at_s: float) -> list[float]:
    """Return values whose sum is at most what is available; where patience is enough, nobody loses more."""
    patient = [min(value, demand.patient_kw.at(at_s)) for value, demand in zip(values, demands, strict=True)]
    if sum(patient) <= available:
        return patient
    return shrink([Want(value, demand, at_s) for value, demand in zip(patient, demands, strict=True)], available)


@dataclass(frozen=True, slots=True)
class Want:
    """What one connector would draw at an instant, of which its fallback is taken last."""

    value: float
    demand: Demand
    at_s: float

    @property
    def floor(self) -> float:
        """The part of it that is its fallback."""
        return min(self.value, self.demand.fallback_kw.at(self.at_s))


def shrink(wants: Sequence[Want], available: float) -> list[float]:
    """Return values no higher than wanted whose sum is at most what is available; the first are served best."""
    floors = [want.floor for want in wants]
    if sum(floors) > available:
        return _one_after_the_other(wants, available)
    low, high = 0, len(wants)
    while low < high:  # how many, of the most deserving, can have more than their floor and at least their minimum
        middle = (low + high + 1) // 2
        if _scaled(wants, floors, available, middle) is None:
            high = middle - 1
        else:
            low = middle
    return _scaled(wants, floors, available, low) or floors


def _scaled(wants: Sequence[Want], floors: Sequence[float], available: float, count: int) -> list[float] | None:
    """Scale what the first ``count`` want above their floors and minimums; None if those alone are too much."""
    kept = [
        max(floor, min(want.value, want.demand.least_kw)) if k < count and want.value > floor else floor
        for k, (want, floor) in enumerate(zip(wants, floors, strict=True))
    ]
    above = [
        max(0.0, want.value - low) if k < count else 0.0 for k, (want, low) in enumerate(zip(wants, kept, strict=True))
    ]
    room = available - sum(kept)
    if room < 0:
        return None
    factor = min(1.0, room / sum(above)) if sum(above) > TOLERANCE_KW else 1.0
    return [low + more * factor for low, more in zip(kept, above, strict=True)]


def _one_after_the_other(wants: Sequence[Want], available: float) -> list[float]:
    left = max(0.0, available)
    given: list[float] = []
    for want in wants:
        share = min(want.floor, left)
        share = share if share >= want.demand.least_kw - TOLERANCE_KW else 0.0
        given.append(share)
        left -= share
    return given
