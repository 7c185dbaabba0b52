"""The demo's clock: all programs follow one file, and the demo lets time run or holds it."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from core.clock import drive_clock


@dataclass
class DrivenClock:
    """A clock file and the instant it is held at.

    Invariants: between calls time stands still, so what a plan costs in seconds on a slow machine costs no simulated
    minutes; ``run`` lets it pass at ``rate``.
    """

    file: Path
    now: datetime
    rate: float

    def hold(self) -> None:
        """Make everybody see the present instant, and no other."""
        drive_clock(self.file, at=self.now, rate=0.0)

    def run(self, duration: timedelta) -> None:
        """Let simulated time pass, then hold it at the end."""
        drive_clock(self.file, at=self.now, rate=self.rate)
        time.sleep(duration.total_seconds() / self.rate)
        self.now += duration
        self.hold()
