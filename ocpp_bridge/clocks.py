"""How far a station's clock may be off, by the time stamps in what it sends. Pure.

A message is stamped before it arrives, so a stamp that is ahead of our clock is proof of a clock that is at least as
far ahead; one behind may be a slow clock or an old message. Stations set their clocks by ours now and then: being right
is therefore always counted as possible, too.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from core.time_grid import parse_instant

STEP_S: Final = 15.0
PROMPT_S: Final = 14.0
"""The promptest of several messages is assumed to be no older than this, whole seconds included."""
SAMPLES_NEEDED: Final = 5
WINDOW_S: Final = 3600.0
WORTH_TELLING_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class ClockBounds:
    """A station's clock is at most ``early_s`` ahead of ours and at most ``late_s`` behind."""

    early_s: float
    late_s: float


UNKNOWN: Final = ClockBounds(60.0, 60.0)


@dataclass(slots=True)
class ClockWatch:
    """Takes a station's stamps. ``_best`` holds (arrival, seconds ahead), falling in seconds: a sliding maximum."""

    bounds: ClockBounds = UNKNOWN
    _best: deque[tuple[float, float]] = field(default_factory=deque)
    _count: int = 0

    @property
    def ahead_s(self) -> float | None:
        """How far the clock is ahead at least (negative: it seems to be behind); None if too little is known."""
        return self._best[0][1] if self._count >= SAMPLES_NEEDED else None

    def note(self, stamp: datetime, now: datetime) -> None:
        """Take the stamp of a message that has just arrived."""
        now_s, ahead_s = now.timestamp(), stamp.timestamp() - now.timestamp()
        while self._best and (self._best[-1][1] <= ahead_s or self._best[-1][0] > now_s):
            self._best.pop()
        self._best.append((now_s, ahead_s))
        while self._best[0][0] < now_s - WINDOW_S:
            self._best.popleft()
        self._count += 1
        known_s = self.ahead_s
        if known_s is not None:
            self.bounds = ClockBounds(_step(max(0.0, known_s) + PROMPT_S), _step(max(0.0, -known_s)))
        else:
            self.bounds = ClockBounds(max(UNKNOWN.early_s, _step(ahead_s + PROMPT_S)), UNKNOWN.late_s)

    def forget(self) -> None:
        """The station booted: its clock starts anew."""
        self._best.clear()
        self._count = 0
        self.bounds = UNKNOWN


def _step(seconds: float) -> float:
    """Round up to whole steps, at least one: bounds that move with every message would have plans sent anew."""
    return max(1, math.ceil(seconds / STEP_S)) * STEP_S


def newest_stamp(payload: Mapping[str, Any]) -> datetime | None:
    """Return the latest instant that a message of a station says it is of; None if it says none."""
    found = [payload.get("timestamp")]
    values = payload.get("meterValue")
    found += [one.get("timestamp") for one in values if isinstance(one, dict)] if isinstance(values, list) else []
    instants = [instant for stamp in found if (instant := _instant(stamp)) is not None]
    return max(instants, default=None)


def _instant(stamp: object) -> datetime | None:
    if not isinstance(stamp, str):
        return None
    try:
        return parse_instant(stamp)
    except (ValueError, OverflowError):
        return None
