"""How much energy the next duty needs, and so what state of charge a vehicle must leave with.

Pure functions over what vehicles were seen to use; the required SoC always names its owner: dispatch, or the duty's
90 % energy need plus the site's reserve.
"""

from dataclasses import dataclass

import polars as pl

NEED_QUANTILE = 0.9
FEWEST_DAYS = 5
UNKNOWN_MARGIN = 1.35
"""On the reference consumption of a vehicle without history: a laden winter day (reference/interfaces §6.5)."""

CHARGE_MARGIN = 0.015
"""Share of what has yet to be charged, or was only counted, by which a battery may differ from its papers."""

CLASS_KWH_PER_KM = {"car": 0.18, "van": 0.28, "truck": 1.0, "bus": 1.2, "unknown": 0.3}
"""Typical consumption at 20 °C, where a vehicle has neither history nor a reference of its own."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """The SoC to leave with, in percent, who asked for it, and the energy need behind it (None: dispatch said so).

    ``margin_pp`` is planned on top of it (``margin_pp()``).
    """

    soc_pct: float
    owner: str
    energy_need_kwh: float | None
    margin_pp: float = 0.0

    @property
    def target_pct(self) -> float:
        """The SoC that is planned for."""
        return min(100.0, self.soc_pct + self.margin_pp)


def margin_pp(*, missing_pp: float, counted_pp: float) -> float:
    """Return what is planned on top of a required SoC, in points: for a battery unlike its papers.

    It melts as the vehicle is charged, so that no peak is driven up at the end for what was doubtful in the evening.
    The error of readings lies within the point that readiness tolerates.

    Args:
        missing_pp: What is to be charged yet.
        counted_pp: What the charger has counted since the reading that the SoC rests on.
    """
    return CHARGE_MARGIN * (max(missing_pp, 0.0) + max(counted_pp, 0.0))


def consumption_p90(days: pl.DataFrame) -> pl.DataFrame:
    """Return the 90 % quantile of daily consumption per vehicle: ``vehicle_id``, ``kwh_per_km``.

    Vehicles seen on fewer than five days with energy and distance are left out.

    Args:
        days: ``vehicle_id``, ``distance_km``, ``energy_kwh`` per vehicle and operating day.
    """
    per_km = pl.col("energy_kwh") / pl.col("distance_km")
    return (
        days.filter(pl.col("distance_km") > 1, pl.col("energy_kwh") > 0)
        .group_by("vehicle_id")
        .agg(per_km.quantile(NEED_QUANTILE, "linear").alias("kwh_per_km"), pl.len().alias("days"))
        .filter(pl.col("days") >= FEWEST_DAYS)
        .select("vehicle_id", "kwh_per_km")
        .sort("vehicle_id")
    )


def required_soc(
    *,
    dispatch_soc_pct: float | None,
    distance_km: float | None,
    kwh_per_km: float,
    usable_kwh: float,
    reserve_soc_pct: float,
) -> Requirement:
    """Return the SoC that a vehicle must leave with: what its duty needs plus the reserve, or more if dispatch says so.

    Args:
        dispatch_soc_pct: What dispatch demands; None leaves it to the platform.
        distance_km: Planned distance of the duty; None when nobody knows it.
        kwh_per_km: Consumption that is exceeded on one day in ten.
        usable_kwh: Usable energy of the battery today.
        reserve_soc_pct: The site's reserve.
    """
    if distance_km is None:
        soc_pct = 100.0 if dispatch_soc_pct is None else dispatch_soc_pct
        return Requirement(soc_pct, "no distance known" if dispatch_soc_pct is None else "dispatch", None)
    need_kwh = distance_km * kwh_per_km
    duty_pct = min(100.0, 100 * need_kwh / usable_kwh + reserve_soc_pct)
    if dispatch_soc_pct is not None and dispatch_soc_pct >= duty_pct:
        return Requirement(dispatch_soc_pct, "dispatch", need_kwh)
    return Requirement(duty_pct, "duty P90 + reserve", need_kwh)
