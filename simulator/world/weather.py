"""Outside temperature per site and hour: what it was, and what the forecast of the live start says it will be."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from simulator.scenario import Scenario
from simulator.world.chance import stream

HOUR = timedelta(hours=1)
MEAN_C, DIURNAL_C, WEATHER_SD_C, PERSISTENCE = 2.0, 2.2, 2.8, 0.985
FORECAST_ERROR_C_PER_DAY = 1.2
FACTOR_TABLE = (
    (-20, 1.95),
    (-10, 1.60),
    (-5, 1.45),
    (0, 1.32),
    (5, 1.20),
    (10, 1.10),
    (15, 1.03),
    (20, 1.0),
    (30, 1.08),
)
HEAVY_FLATTENING = 0.6  # heavy vehicles feel the cold less


@dataclass(frozen=True)
class Weather:
    """Hourly temperatures of one site from ``start_at``; ``known_c`` holds the forecast after the live start."""

    start_at: datetime
    true_c: NDArray[np.float64]
    known_c: NDArray[np.float64]

    def temperature_c(self, instant: datetime) -> float:
        """Return the true temperature of the hour; the first or last one beyond the ends."""
        hour = int((instant - self.start_at) / HOUR)
        return float(self.true_c[min(max(hour, 0), len(self.true_c) - 1)])


def make_weather(scenario: Scenario, site_id: str) -> Weather:
    """Make a site's weather: slow winter weather shared by the sites, a daily swing, a little of its own."""
    hours = int((scenario.signals_end_at - scenario.history_start_at) / HOUR)
    shared = _persistent_noise(scenario.seed, "weather", hours=hours) * WEATHER_SD_C
    own = _persistent_noise(scenario.seed, "weather", site_id, hours=hours) * 0.6
    swing = -DIURNAL_C * np.cos(2 * np.pi * (np.arange(hours) - 3) / 24)
    true_c = MEAN_C + shared + own + swing
    lead_h = np.arange(hours) - (scenario.live_start_at - scenario.history_start_at) / HOUR
    error = _persistent_noise(scenario.seed, "forecast", site_id, hours=hours)
    known_c = true_c + error * FORECAST_ERROR_C_PER_DAY * np.clip(lead_h, 0, None) / 24
    return Weather(scenario.history_start_at, np.round(true_c, 1), np.round(known_c, 1))


def temperature_factor(temperature_c: float, *, is_heavy: bool) -> float:
    """Return energy per km at a temperature relative to 20 °C."""
    degrees, factors = zip(*FACTOR_TABLE, strict=True)
    factor = float(np.interp(temperature_c, degrees, factors))
    return 1 + (factor - 1) * HEAVY_FLATTENING if is_heavy else factor


def _persistent_noise(seed: int, *labels: object, hours: int) -> NDArray[np.float64]:
    """Return noise of mean 0 and variance 1 that remembers its last hours (first-order autoregressive)."""
    shocks = stream(seed, *labels).normal(size=hours)
    values = np.empty(hours)
    values[0] = shocks[0]
    for k in range(1, hours):
        values[k] = PERSISTENCE * values[k - 1] + np.sqrt(1 - PERSISTENCE**2) * shocks[k]
    normed: NDArray[np.float64] = (values - values.mean()) / values.std()
    return normed
