"""What every provider's door does before it answers: a rate limit on wall time, and faults by a seeded plan."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from simulator.scenario import Faults
from simulator.world.chance import share


class Verdict(Enum):
    """How a request is treated."""

    SERVE = "serve"
    TOO_MANY = "too_many"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of the present window.

    ``reset_s`` is its end in epoch seconds of the simulated clock, like the Date header beside it.
    """

    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int

    @property
    def headers(self) -> dict[str, str]:
        """The X-Rate-Limit headers of an answer."""
        return {
            "X-Rate-Limit-Limit": str(self.limit),
            "X-Rate-Limit-Remaining": str(self.remaining),
            "X-Rate-Limit-Reset": str(self.reset_s),
        }


class Gate:
    """Counts requests in windows of wall time and decides which of them fail.

    The plan goes by the number of the request, so that a retry meets the next decision.
    """

    def __init__(
        self,
        name: str,
        *,
        seed: int,
        faults: Faults,
        limit: int,
        window_s: float,
        now: Callable[[], datetime],
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._name, self._seed, self._faults = name, seed, faults
        self._limit, self._window_s, self._now, self._wall_s = limit, window_s, now, wall_s
        self._window = -1
        self._used = 0
        self._requests = 0

    def admit(self) -> tuple[Verdict, Allowance]:
        """Count a request and say how it is treated."""
        now_s = self._wall_s()
        window = int(now_s / self._window_s)
        if window != self._window:
            self._window, self._used = window, 0
        self._used += 1
        self._requests += 1
        rest_s = max(1, math.ceil((window + 1) * self._window_s - now_s))
        left = max(0, self._limit - self._used)
        allowance = Allowance(self._limit, left, int(self._now().timestamp()) + rest_s, rest_s)
        return self._verdict(), allowance

    def _verdict(self) -> Verdict:
        chance = share(self._seed, "http", self._name, self._requests)
        if self._used > self._limit or chance < self._faults.http_429_share:
            return Verdict.TOO_MANY
        return Verdict.BROKEN if chance > 1 - self._faults.http_500_share else Verdict.SERVE
