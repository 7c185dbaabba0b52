"""The fallback ladder for a vehicle's state of charge: the best evidence that is there, named and dated.

Rungs, best first: 1 fresh telematics (or the station's own reading of the battery); 2 stale telematics of a vehicle
that has stood still since; 3 energy that the charger counted on top of an older reading; 4 the forecast at arrival;
5 history of the vehicle, its duty or its class; 6 the site's conservative default. On the lower rungs, too, what the
charger has counted since plug-in is added. Which rung was used is part of every plan, so that its accuracy can be
measured. A reading that is fresh and wrong is worse than none: one that shows more at plug-in than the way back can
have left is not believed, nor one that stands still while the charger counts. What a DC station reads of the battery
comes by the cable, and goes before what the vehicle sends round by its maker.

Vehicles tell whole percents. One point of a bus is 4 kWh, and a plan that learns of it shortly before the departure
has to find them at once. So all readings of a stay are weighed together against what the charger counted between them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

DEFAULT_SOC_PCT = 20.0
"""Rung 6: low enough that a vehicle nobody knows anything of is charged first rather than forgotten."""


FORECAST_RUNG = 4
"""From here on nothing but a forecast or a rule speaks of the battery."""

CHARGER = "charger"
"""Source of readings that a DC station has of the battery itself."""

IMPLAUSIBLE_PP = 5.0
"""A reading at plug-in this far above the forecast's highest quantile is a frozen value, not a short way."""

ROUNDING_PP = 12**-0.5
"""Standard error of a whole percent."""

GAIN_ERROR = 0.03
"""Standard error of what a counted kWh is believed to add, as a share: of efficiency and capacity together."""

STUCK_PP, STUCK_SHARE = 3.0, 0.25
"""Readings that rose by less than this share of what the charger counted for, once that is so many points."""

AGREE_PP = 1.5
"""Readings that a charge's course misses by more than this are not all of one course; the newest counts alone."""


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
    in, or the meter is silent), ``counted_kwh`` since it was plugged in. ``forecast_soc_pct`` is the forecast at
    arrival on the careful side with its own rung (4 or 5), ``forecast_high_soc_pct`` its highest quantile.
    ``arrival_soc_pct`` is what the vehicle showed when it was plugged in. ``moved_since`` says that the vehicle has
    driven since the reading. ``earlier`` are the readings of the same stay and source before it: each its SoC in
    percent, and the energy counted since it was taken.
    """

    reading: Reading | None = None
    charged_kwh: float | None = None
    moved_since: bool = False
    forecast_soc_pct: float | None = None
    forecast_rung: int = 4
    forecast_at: datetime | None = None
    forecast_high_soc_pct: float | None = None
    arrival_soc_pct: float | None = None
    counted_kwh: float | None = None
    earlier: tuple[tuple[float, float], ...] = ()

    @property
    def is_contradicted(self) -> bool:
        """Say whether the vehicle showed more at plug-in than the forecast leaves possible, and nobody else knows."""
        is_own = self.reading is not None and self.reading.source != CHARGER
        if not is_own or self.arrival_soc_pct is None or self.forecast_high_soc_pct is None:
            return False
        return self.arrival_soc_pct > self.forecast_high_soc_pct + IMPLAUSIBLE_PP

    def is_stuck(self, gain_pct_per_kwh: float) -> bool:
        """Say whether the readings of the stay stand still while the charger counts; a full battery's may."""
        if self.reading is None or not self.earlier or self.charged_kwh is None or self.reading.soc_pct >= 100:
            return False
        first_pct, since_kwh = self.earlier[0]
        gained_pp = (since_kwh - self.charged_kwh) * gain_pct_per_kwh
        return gained_pp >= STUCK_PP and self.reading.soc_pct - first_pct < STUCK_SHARE * gained_pp


@dataclass(frozen=True, slots=True)
class SocEstimate:
    """The state of charge that a plan works with, in percent; its rung, its source, and when that was true.

    ``counted_pp`` of it the charger has counted since.
    """

    soc_pct: float
    rung: int
    source: str
    observed_at: datetime | None
    counted_pp: float = 0.0


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
    reading, gain = evidence.reading, 100 * efficiency / usable_kwh
    if reading is None or evidence.moved_since or evidence.is_contradicted or evidence.is_stuck(gain):
        return _without_reading(evidence, gain)
    fresh = as_of - reading.observed_at <= fresh_within
    if evidence.charged_kwh or (evidence.earlier and evidence.charged_kwh is not None):
        soc_pct = min(100.0, _by_all_readings(evidence, reading.soc_pct, gain))
        rung, source = (1, reading.source) if fresh else (3, f"{reading.source} + charger meter")
        return SocEstimate(soc_pct, rung, source, reading.observed_at, gain * (evidence.charged_kwh or 0.0))
    return SocEstimate(reading.soc_pct, 1 if fresh else 2, reading.source, reading.observed_at)


def _by_all_readings(evidence: SocEvidence, newest_pct: float, gain_pct_per_kwh: float) -> float:
    """Return the SoC on the course of charging, in percent per counted kWh, that the readings of a stay fit best.

    Least squares over the SoC now and the error of the gain, each reading and the gain with its standard error. A
    battery that is full takes no more, so readings of 100 % say nothing of the course.
    """
    charged_kwh = evidence.charged_kwh or 0.0
    alone = newest_pct + gain_pct_per_kwh * charged_kwh
    told = np.array([pair for pair in (*evidence.earlier, (newest_pct, charged_kwh)) if pair[0] < 100]).reshape(-1, 2)
    if len(told) < 2 or newest_pct >= 100:
        return alone
    gained_pct = gain_pct_per_kwh * told[:, 1]
    # Unknown: the SoC now, and the gain's error in its standard errors.
    readings = np.column_stack([np.ones(len(told)), -GAIN_ERROR * gained_pct]) / ROUNDING_PP
    system = np.vstack([readings, [0.0, 1.0]])
    wanted = np.append((told[:, 0] + gained_pct) / ROUNDING_PP, 0.0)
    found = np.linalg.lstsq(system, wanted, rcond=None)[0]
    misses_pp = ROUNDING_PP * np.abs(readings @ found - wanted[:-1])
    return float(found[0]) if misses_pp.max() <= AGREE_PP else alone


def _without_reading(evidence: SocEvidence, gain_pct_per_kwh: float) -> SocEstimate:
    """Return the forecast at arrival or the default, and what the charger has counted since."""
    gained_pct = (evidence.counted_kwh or 0.0) * gain_pct_per_kwh
    meter = " + charger meter" if gained_pct > 0 else ""
    doubt = "; its own reading contradicts it" if evidence.is_contradicted else ""
    doubt = doubt or ("; its reading stands still" if evidence.is_stuck(gain_pct_per_kwh) else "")
    if evidence.forecast_soc_pct is not None:
        source = "forecast at arrival" if evidence.forecast_rung <= 4 else "history"
        soc_pct = min(100.0, evidence.forecast_soc_pct + gained_pct)
        rung, source = max(4, evidence.forecast_rung), f"{source}{meter}{doubt}"
        return SocEstimate(soc_pct, rung, source, evidence.forecast_at, gained_pct)
    return SocEstimate(min(100.0, DEFAULT_SOC_PCT + gained_pct), 6, f"site default{meter}", None, gained_pct)
