"""Fallbacks that do not fit together at once, in turns: daily windows of connectors that do fit. Pure.

Windows are times of the UTC day and never overlap, clocks included: between two of them lie two minutes for nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86_400
GAP_S: Final = 60


@dataclass(frozen=True, slots=True)
class Window:
    """A part of every UTC day, in seconds after midnight."""

    start_s: int
    end_s: int


@dataclass(frozen=True, slots=True)
class Share:
    """A connector's fallback and the limits (site: None, group) that it counts against."""

    fallback_kw: float
    scopes: tuple[str | None, ...]


def windows(shares: Sequence[Share], limits_kw: Mapping[str | None, float]) -> list[Window | None]:
    """Return each connector's window; None where it may always have its fallback.

    Raises:
        ValueError: a single fallback exceeds a limit, so that no turn helps.
    """
    turns: list[dict[str | None, float]] = []
    places = [_place(share, turns, limits_kw) for share in shares]
    if len(turns) <= 1:
        return [None] * len(shares)
    length_s = DAY_S // len(turns)
    return [Window(k * length_s + GAP_S, (k + 1) * length_s - GAP_S) for k in places]


def _place(share: Share, turns: list[dict[str | None, float]], limits_kw: Mapping[str | None, float]) -> int:
    """Put a connector into the first turn that has room for it."""
    for scope in share.scopes:
        if share.fallback_kw > limits_kw[scope] + 1e-9:
            raise ValueError(
                f"a fallback of {share.fallback_kw:g} kW alone exceeds the limit of {limits_kw[scope]:g} kW"
            )
    free = [k for k, taken in enumerate(turns) if _has_room(taken, share, limits_kw)]
    if not free:
        turns.append({})
    place = free[0] if free else len(turns) - 1
    for scope in share.scopes:
        turns[place][scope] = turns[place].get(scope, 0.0) + share.fallback_kw
    return place


def _has_room(taken: Mapping[str | None, float], share: Share, limits_kw: Mapping[str | None, float]) -> bool:
    return all(taken.get(scope, 0.0) + share.fallback_kw <= limits_kw[scope] + 1e-9 for scope in share.scopes)
