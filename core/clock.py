"""The clock, which is an argument everywhere: wall time, or a simulated time that runs at a rate.

A simulated clock may be driven through a small file, so that several processes share one time and one driver can
hold it still. Only entry points make clocks; logic takes ``as_of``.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from core.files import write_text_atomic
from core.time_grid import format_instant, parse_instant, to_utc


class Clock(Protocol):
    """Something that knows what time it is."""

    def now(self) -> datetime:
        """Return the present instant in UTC."""

    async def sleep(self, duration: timedelta) -> None:
        """Wait until this clock has advanced by the duration."""


class WallClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return datetime.now(UTC)

    async def sleep(self, duration: timedelta) -> None:
        """Wait for the duration."""
        await asyncio.sleep(max(0.0, duration.total_seconds()))


@dataclass(frozen=True, slots=True)
class Anchor:
    """At ``wall_s`` (epoch seconds of the machine) it was ``at``, and simulated time runs ``rate`` times as fast."""

    at: datetime
    wall_s: float
    rate: float

    def now(self) -> datetime:
        """Return the simulated instant."""
        return self.at + timedelta(seconds=(time.time() - self.wall_s) * self.rate)


class SimulatedClock:
    """A clock that starts at an instant and runs at a rate; with a file, it follows whoever writes the file.

    Invariants: time never runs backwards for a reader; a rate of 0 holds it still.
    """

    POLL_S = 0.02

    def __init__(self, start_at: datetime, rate: float, *, file: Path | None = None) -> None:
        self._anchor = Anchor(to_utc(start_at), time.time(), rate)
        self._file = file
        self._latest = self._anchor.at

    def now(self) -> datetime:
        """Return the simulated instant in UTC."""
        if self._file is not None and self._file.exists():
            self._anchor = read_anchor(self._file)
        self._latest = max(self._latest, self._anchor.now())
        return self._latest

    async def sleep(self, duration: timedelta) -> None:
        """Wait until simulated time has advanced by the duration."""
        until = self.now() + duration
        while (now := self.now()) < until:
            rate = self._anchor.rate
            ahead_s = (until - now).total_seconds() / rate if rate > 0 else self.POLL_S
            # A followed clock may be held or sped up at any moment, so it is looked at often.
            await asyncio.sleep(min(ahead_s, self.POLL_S) if self._file else ahead_s)


def drive_clock(file: Path, *, at: datetime, rate: float) -> None:
    """Set the time and rate of all clocks that follow the file."""
    anchor = {"at": format_instant(at), "wall_s": time.time(), "rate": rate}
    write_text_atomic(file, json.dumps(anchor))


def read_anchor(file: Path) -> Anchor:
    """Read what ``drive_clock`` wrote.

    Raises:
        ValueError: the file is no clock file.
    """
    raw = json.loads(file.read_text(encoding="utf-8"))
    return Anchor(parse_instant(raw["at"]), float(raw["wall_s"]), float(raw["rate"]))
