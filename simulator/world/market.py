"""Day-ahead-like prices, and what the rest of a site draws and its roof gives."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from simulator.scenario import TIMEZONE, Scenario
from simulator.world.chance import stream
from simulator.world.fleet import Site

HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)
HOURLY_EUR_PER_MWH = (
    72, 66, 62, 60, 64, 78, 104, 128, 132, 116, 102, 94, 90, 92, 98, 108, 126, 152, 158, 144, 122, 104, 92, 80,
)  # fmt: skip
WEEKEND_SHARE = 0.84
LOAD_PROFILE = (
    0.70, 0.68, 0.68, 0.70, 0.85, 1.00, 1.10, 1.20, 1.25, 1.25, 1.25, 1.20,
    1.15, 1.20, 1.20, 1.15, 1.15, 1.10, 1.05, 0.95, 0.90, 0.85, 0.80, 0.75,
)  # fmt: skip


@dataclass(frozen=True)
class SiteLoad:
    """Quarter-hours of one site from ``start_at``: mean load without chargers, and solar output."""

    start_at: datetime
    base_kw: NDArray[np.float64]
    pv_kw: NDArray[np.float64]

    def base_load_kw(self, instant: datetime) -> float:
        """Return the load of the rest of the site; the first or last one beyond the ends."""
        return float(self.base_kw[self._slot(instant)])

    def _slot(self, instant: datetime) -> int:
        return min(max(int((instant - self.start_at) / QUARTER), 0), len(self.base_kw) - 1)


def price_series(scenario: Scenario) -> list[tuple[datetime, float]]:
    """Return (start of the hour, EUR/MWh) from the history's start to the last published day."""
    zone = ZoneInfo(TIMEZONE)
    hours = int((scenario.signals_end_at - scenario.history_start_at) / HOUR)
    chance = stream(scenario.seed, "prices")
    days: dict[date, tuple[float, float]] = {}
    series = []
    for k in range(hours):
        at = scenario.history_start_at + k * HOUR
        local = at.astimezone(zone)
        # A windy day is cheap and flat, a calm one dear and peaky; very windy nights go below zero.
        wind, level = days.setdefault(local.date(), (float(chance.normal(0, 18)), float(chance.normal(1.0, 0.12))))
        shape = HOURLY_EUR_PER_MWH[local.hour] * level * (WEEKEND_SHARE if local.weekday() >= 5 else 1.0)
        series.append((at, round(shape - wind * (2.2 if local.hour < 6 else 1.0) + float(chance.normal(0, 4)), 2)))
    return series


def make_site_load(scenario: Scenario, site: Site) -> SiteLoad:
    """Make a site's other load and solar output for the history and the live night."""
    slots = int((scenario.signals_end_at - scenario.history_start_at) / QUARTER)
    zone = ZoneInfo(TIMEZONE)
    local = [(scenario.history_start_at + k * QUARTER).astimezone(zone) for k in range(slots)]
    chance = stream(scenario.seed, "load", site.site_id)
    profile = np.array([LOAD_PROFILE[at.hour] * (0.75 if at.weekday() >= 5 else 1.0) for at in local])
    base_kw = site.base_load_kw * profile / 1.02 * (1 + 0.06 * chance.normal(size=slots))
    height = np.array([np.sin(np.pi * (at.hour + at.minute / 60 - 8) / 8.5) for at in local])
    clouds = {day: float(chance.beta(0.8, 2.0)) for day in sorted({at.date() for at in local})}
    sun = np.clip(height, 0, None) * np.array([clouds[at.date()] for at in local])
    return SiteLoad(scenario.history_start_at, np.maximum(base_kw, 0.0).round(2), np.round(0.45 * site.pv_kwp * sun, 2))
