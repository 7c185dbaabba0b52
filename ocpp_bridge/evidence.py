"""What is known about whether a station really does what it accepted: the rungs of the evidence ladder. Pure.

Accepted is not applied. Above it: the composite schedule that the station computes, the power that it says it offers,
and the power that is metered. A lower rung never hides that a higher one contradicts it.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from ocpp_bridge.curves import Curve, steps
from ocpp_bridge.holdings import Held
from ocpp_bridge.metering import Sample
from ocpp_bridge.outbox import Evidence
from ocpp_bridge.profiles import Wiring, kw_per_unit
from ocpp_bridge.protocol import Composite

SAMPLES_NEEDED: Final = 3
SETTLING_S: Final = 60.0
SHARE_TOLERANCE: Final = 0.01
METER_TOLERANCE: Final = 0.05
METER_SLACK_KW: Final = 0.3
EDGE_S: Final = 90.0
PHASE_ON_A: Final = 3.0
PHASE_OFF_A: Final = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """A rung that was reached (``agrees``), or that contradicts the profile."""

    evidence: Evidence
    agrees: bool
    detail: str | None = None


def check_composite(
    composite: Composite, held: Held, wiring: Wiring, *, asked_at_s: float, duration_s: float
) -> Finding:
    """Compare a composite schedule with the profile, in the middle of each of the profile's periods.

    Lower is fine: the station knows reasons that we do not. A negative limit is how some stations say "none".
    """
    unit_kw = kw_per_unit(composite.unit, wiring)
    told = steps([(asked_at_s + start, limit * unit_kw) for start, limit in composite.periods])
    expected, profile = held.reserved_kw, held.profile
    end_s = min(asked_at_s + duration_s, held.expires_s)
    for instant in _middles(expected, asked_at_s, end_s):
        limit, found = expected.at(instant), told.at(instant)
        slack = max(0.1 * kw_per_unit("A", wiring) if composite.unit != profile.unit else 0.0, limit * SHARE_TOLERANCE)
        if found < 0 or found > limit + slack + 1e-6:
            what = "no limit" if found < 0 else f"{found:.2f} kW"
            return Finding(
                Evidence.COMPOSITE, agrees=False, detail=f"the station reports {what} where {limit:.2f} kW was set"
            )
    return Finding(Evidence.COMPOSITE, agrees=True)


def _middles(curve: Curve, since_s: float, end_s: float) -> list[float]:
    edges = [*(edge for edge in curve.edges(since_s) if edge < end_s), end_s]
    spans = [(start, end) for start, end in pairwise(edges) if end - start >= 2 * EDGE_S]
    return [(start + end) / 2 for start, end in spans] or [since_s]


@dataclass(slots=True)
class Watch:
    """Watches one connector's meter against the limit that it accepted."""

    limit_kw: float | None = None
    since_s: float = 0.0
    below: int = 0
    above: int = 0
    phases: deque[int] = field(default_factory=lambda: deque(maxlen=SAMPLES_NEEDED))

    def judge(
        self, sample: Sample, limit_kw: float | None, *, offered_kw: float | None, now_s: float
    ) -> Finding | None:
        """Take a sample; return a finding when enough samples in a row say the same."""
        if limit_kw is None:
            return None
        if self.limit_kw is None or abs(limit_kw - self.limit_kw) > 1e-6:
            self.limit_kw, self.since_s, self.below, self.above = limit_kw, now_s, 0, 0
        if now_s - self.since_s < SETTLING_S:
            return None
        ceiling = limit_kw * (1 + METER_TOLERANCE) + METER_SLACK_KW
        if sample.power_kw is not None:
            return self._metered(sample.power_kw, ceiling, limit_kw)
        if offered_kw is not None and offered_kw <= ceiling:
            return Finding(Evidence.OFFERED, agrees=True)
        return None

    def _metered(self, power_kw: float, ceiling: float, limit_kw: float) -> Finding | None:
        self.above = self.above + 1 if power_kw > ceiling else 0
        # A vehicle that draws little proves nothing about a limit far above.
        telling = power_kw >= 0.5 * limit_kw
        self.below = 0 if power_kw > ceiling else self.below + telling
        if self.above >= SAMPLES_NEEDED:
            text = f"{power_kw:.2f} kW is metered where {limit_kw:.2f} kW was set"
            return Finding(Evidence.METERED, agrees=False, detail=text)
        return Finding(Evidence.METERED, agrees=True) if self.below >= SAMPLES_NEEDED else None

    def phases_used(self, sample: Sample, *, expected: "ExpectedPhases | None" = None) -> int | None:
        """Return how many phases the vehicle surely uses, once enough samples in a row agree; None until then.

        Currents per phase show it directly. A total power shows it only for a vehicle that is said to use fewer:
        it draws as much as that number of phases carries at its limit, and one sample of more disproves it.
        """
        if len(sample.current_a) >= 3:
            vote = _phases_on(sample.current_a)
        elif expected is not None and sample.power_kw is not None and expected.limit_kw > 0:
            if sample.power_kw > 1.1 * expected.limit_kw:
                self.phases.clear()
                return expected.lines
            vote = expected.phases if sample.power_kw >= 0.8 * expected.limit_kw else None
        else:
            return None
        if vote is None:
            self.phases.clear()
            return None
        self.phases.append(vote)
        return vote if self.phases.count(vote) == SAMPLES_NEEDED else None


@dataclass(frozen=True, slots=True)
class ExpectedPhases:
    """What a vehicle is said to use of a connector's lines, and the power that this carries at its present limit."""

    phases: int
    lines: int
    limit_kw: float


def _phases_on(current_a: Mapping[str, float]) -> int | None:
    on = sum(current >= PHASE_ON_A for current in current_a.values())
    off = sum(current < PHASE_OFF_A for current in current_a.values())
    return on if on and on + off >= 3 else None
