"""When each vehicle comes back and with what, as a plan takes it: between the median and the careful side.

How far each vehicle is moved from its median is decided for the fleet: ``planning.uncertainty`` says which share of
the margins covers all of them together.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import hypot
from typing import Any

import numpy as np
import polars as pl

from planning.fallback import IMPLAUSIBLE_PP, Reading
from planning.uncertainty import pooled_share

CAREFUL_LEVEL = 0.9
"""Return times at this quantile and SoC at its complement are a vehicle's careful side."""

SILENT_LEVEL = 0.07
"""Quantile of SoC that a vehicle of which nothing will be told is planned for: a choice between cost and readiness."""

LOWEST_LEVEL = 0.025

SOC_FIELDS = ("median_soc_pct", "low_soc_pct", "silent_soc_pct", "lowest_soc_pct", "high_soc_pct")


@dataclass(frozen=True, slots=True)
class ReturnForecast:
    """When a vehicle comes back and with what: median and careful side, and the share of caution that a plan takes.

    Of a vehicle of which nothing will be told ``silent_soc_pct`` is planned for, and what it may lack down to
    ``lowest_soc_pct`` is charged where that drives no peak up. Beyond ``high_soc_pct`` a reading is not believed.
    """

    median_at: datetime
    late_at: datetime
    median_soc_pct: float | None
    low_soc_pct: float | None
    rung: int
    newest_input_at: datetime | None
    name: str
    high_soc_pct: float | None = None
    silent_soc_pct: float | None = None
    lowest_soc_pct: float | None = None
    caution: float = 1.0

    @property
    def planned_at(self) -> datetime:
        """The return that is planned for."""
        return self.median_at + self.caution * self.lateness

    @property
    def planned_soc_pct(self) -> float | None:
        """The SoC at arrival that is planned for."""
        if self.low_soc_pct is None or self.median_soc_pct is None:
            return self.low_soc_pct
        return self.median_soc_pct - self.caution * self.missing_pct

    @property
    def lateness(self) -> timedelta:
        """How much later than the median the careful side is."""
        return max(self.late_at - self.median_at, timedelta(0))

    @property
    def missing_pct(self) -> float:
        """How much lower than the median the careful SoC is, in points."""
        return max(0.0, (self.median_soc_pct or 0.0) - (self.low_soc_pct or 0.0))


def at_least(forecast: ReturnForecast, least_pct: float) -> ReturnForecast:
    """Return the forecast with no SoC below what any vehicle of its kind came back with."""
    return _each_soc(forecast, lambda soc_pct: max(soc_pct, least_pct))


def narrowed(forecast: ReturnForecast, heard: Reading, used_pp: Callable[[float], float]) -> ReturnForecast:
    """Return the forecast of a vehicle that is back, narrowed by what it told last on the road.

    The forecast made on the road and what was told less the way home are two estimates of one SoC: the middle lies
    between them by their spreads, and the spread is that of two that err independently (inverse variances). As a rule
    it came with no more than it told, and with no less than the way home leaves of that; its highest SoC stays, as some
    are charged on their way. What the forecast does not hold possible is not believed.

    Args:
        forecast: Made before it came.
        heard: What it told last.
        used_pp: What it used from then on, in points, by the chance that it was no more.
    """
    if heard.soc_pct > (100.0 if forecast.high_soc_pct is None else forecast.high_soc_pct) + IMPLAUSIBLE_PP:
        return forecast
    middle = _between(forecast, heard, used_pp)
    least_pct = max(0.0, heard.soc_pct - used_pp(1 - LOWEST_LEVEL))
    within = _each_soc(middle, lambda soc_pct: min(max(soc_pct, least_pct), heard.soc_pct))
    return replace(within, high_soc_pct=forecast.high_soc_pct, newest_input_at=heard.observed_at)


def _between(forecast: ReturnForecast, heard: Reading, used_pp: Callable[[float], float]) -> ReturnForecast:
    """Return a forecast between itself and what the way home leaves, narrower than either."""
    median_pct, low_pct = forecast.median_soc_pct, forecast.low_soc_pct
    if median_pct is None or low_pct is None:
        return forecast
    own, way = median_pct - low_pct, used_pp(CAREFUL_LEVEL) - used_pp(0.5)
    share = way**2 / (own**2 + way**2) if own > 0 else 1.0
    middle_pct = share * median_pct + (1 - share) * (heard.soc_pct - used_pp(0.5))

    def below(soc_pct: float | None, level: float) -> float | None:
        """Return the quantile of both estimates together."""
        return (
            None if soc_pct is None else middle_pct - _together(median_pct - soc_pct, used_pp(1 - level) - used_pp(0.5))
        )

    return replace(
        forecast,
        median_soc_pct=middle_pct,
        low_soc_pct=below(low_pct, 1 - CAREFUL_LEVEL),
        silent_soc_pct=below(forecast.silent_soc_pct, SILENT_LEVEL),
        lowest_soc_pct=below(forecast.lowest_soc_pct, LOWEST_LEVEL),
    )


def _together(one: float, other: float) -> float:
    """Return the margin of the mean of two independent estimates, weighted by the inverse of their variances."""
    return one * other / hypot(one, other) if one > 0 and other > 0 else 0.0


def _each_soc(forecast: ReturnForecast, change: Callable[[float], float]) -> ReturnForecast:
    """Return the forecast with every SoC that it knows changed."""
    known = {name: getattr(forecast, name) for name in SOC_FIELDS}
    changed: dict[str, Any] = {name: change(soc_pct) for name, soc_pct in known.items() if soc_pct is not None}
    return replace(forecast, **changed)


def return_forecasts(rows: pl.DataFrame) -> dict[str, ReturnForecast]:
    """Return the forecast of each vehicle's next return from rows of entity ``forecast`` of one ``predicted_at``."""
    soc = {
        row["subject_id"]: row for row in rows.filter(pl.col("target") == "soc_at_arrival_pct").iter_rows(named=True)
    }
    found: dict[str, ReturnForecast] = {}
    returns = rows.filter(pl.col("target") == "return_at").sort("vehicle_id", "q50", "subject_id")
    for row in returns.iter_rows(named=True):
        arrival = soc.get(row["subject_id"], {})
        found.setdefault(
            row["vehicle_id"],
            ReturnForecast(
                median_at=row["predicted_at"] + timedelta(hours=row["q50"]),
                late_at=row["predicted_at"] + timedelta(hours=row["q90"]),
                median_soc_pct=arrival.get("q50"),
                low_soc_pct=arrival.get("q10"),
                rung=max(row["rung"], arrival.get("rung", row["rung"])),
                newest_input_at=row["newest_input_at"],
                name=row["name"],
                high_soc_pct=arrival.get("q975"),
                silent_soc_pct=_silent_soc_pct(arrival),
                lowest_soc_pct=arrival.get("q025"),
            ),
        )
    return found


def _silent_soc_pct(arrival: Mapping[str, Any]) -> float | None:
    """Return the quantile of a SoC forecast that silent vehicles are planned for, between the two next to it."""
    if not arrival:
        return None
    return float(np.interp(SILENT_LEVEL, (0.05, 0.1), (arrival["q05"], arrival["q10"])))


def with_fleet_caution(
    returns: Mapping[str, ReturnForecast], *, out: Collection[str], battery_kwh: Mapping[str, float]
) -> dict[str, ReturnForecast]:
    """Give every forecast the share of its margins that covers the vehicles that are out together.

    Args:
        returns: By vehicle.
        out: Vehicles that are out now: the others' forecasts play no part in tonight's need.
        battery_kwh: Usable energy by vehicle.
    """
    margins = [
        forecast.missing_pct / 100 * battery_kwh[vehicle_id]
        for vehicle_id, forecast in returns.items()
        if vehicle_id in out
    ]
    share = pooled_share(margins, level=CAREFUL_LEVEL)
    return {vehicle_id: replace(forecast, caution=share) for vehicle_id, forecast in returns.items()}
