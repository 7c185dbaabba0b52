"""The fallback ladder for a vehicle's state of charge: the best evidence that is there, named and dated.

Rungs, best first: 1 fresh telematics (or the station's own reading of the battery); 2 stale telematics of a vehicle
that has stood still since; 3 energy that the charger counted on top of an older reading; 4 the forecast at arrival;
5 history of the vehicle, its duty or its class; 6 the site's conservative default. Which rung was used is part of every
plan, so that its accuracy can be measured.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

DEFAULT_SOC_PCT = 20.0
"""Rung 6: low enough that a vehicle nobody knows anything of is charged first rather than forgotten."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A state of charge that somebody measured, in percent, and when."""

    soc_pct: float
    observed_at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class SocEvidence:
    """All that is known of a vehicle's state of charge at one instant.

    ``charged_kwh`` is grid-side energy that its charger has counted since ``reading`` was taken (None: not plugged
    in, or the meter is silent). ``forecast_soc_pct`` is the forecast at arrival with its own rung (4 or 5).
    ``moved_since`` says that the vehicle has driven since the reading.
    """

    reading: Reading | None = None
    charged_kwh: float | None = None
    moved_since: bool = False
    forecast_soc_pct: float | None = None
    forecast_rung: int = 4
    forecast_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SocEstimate:
    """The state of charge that a plan works with, in percent; its rung, its source, and when that was true."""

    soc_pct: float
    rung: int
    source: str
    observed_at: datetime | None


def estimate_soc(
    evidence: SocEvidence, *, as_of: datetime, fresh_within: timedelta, usable_kwh: float, efficiency: float
) -> SocEstimate:
    """Return the best estimate that the evidence allows.

    Args:
        evidence: What is known.
        as_of: When.
        fresh_within: A reading no older than this counts as fresh.
        usable_kwh: Usable energy of the battery today.
        efficiency: Grid to battery.
    """
    reading = evidence.reading
    if reading is None or evidence.moved_since:
        return _without_reading(evidence)
    fresh = as_of - reading.observed_at <= fresh_within
    if evidence.charged_kwh:
        gained_pct = 100 * evidence.charged_kwh * efficiency / usable_kwh
        soc_pct = min(100.0, reading.soc_pct + gained_pct)
        rung, source = (1, reading.source) if fresh else (3, f"{reading.source} + charger meter")
        return SocEstimate(soc_pct, rung, source, reading.observed_at)
    return SocEstimate(reading.soc_pct, 1 if fresh else 2, reading.source, reading.observed_at)


def _without_reading(evidence: SocEvidence) -> SocEstimate:
    if evidence.forecast_soc_pct is not None:
        source = "forecast at arrival" if evidence.forecast_rung <= 4 else "history"
        return SocEstimate(evidence.forecast_soc_pct, max(4, evidence.forecast_rung), source, evidence.forecast_at)
    return SocEstimate(DEFAULT_SOC_PCT, 6, "site default", None)
