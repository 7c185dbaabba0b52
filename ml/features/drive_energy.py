"""Knowledge of consumption: SoC per kilometre as earlier drives told it, plain and by temperature.

``pp_per_km`` rises linearly below 20 °C. The slope is learnt by least squares, weighted by distance, and held by a
prior: before a vehicle was ever seen in the cold it is what electric cars usually need there. Sums over all drives that
were known to be over make it an as-of statistic.
"""

from typing import Final

import polars as pl

from ml.dataset import as_of_join

COLUMNS: Final = ("temperature_c", "cold_k", "mean_pp_per_km", "pp_per_km_at_temperature", "usual_drop_pp")
MILD_C: Final = 20.0
USUAL_RISE_PER_K: Final = 0.015
"""Consumption at 0 °C is about 30 % above that at 20 °C: what fleet statistics of electric cars say."""
PRIOR_K2: Final = 100.0
"""The prior weighs as much as one drive ten kelvin from the others."""


def add(rows: pl.DataFrame, finished: pl.DataFrame) -> pl.DataFrame:
    """Add consumption as known at ``predicted_at``, of the vehicle, else of everybody.

    Args:
        rows: Questions with vehicle_id, everyone, temperature_c and the history of drives.
        finished: Drives that are over, with known_at, temperature_c, distance_km, drop_pp, vehicle_id, everyone.
    """
    cold = (MILD_C - pl.col("temperature_c")).clip(lower_bound=0).fill_null(0.0)
    told = finished.filter(pl.col("distance_km") > 0, pl.col("drop_pp").is_not_null())
    told = told.with_columns(cold_k=cold).sort("known_at", "vehicle_id")
    asked = rows.with_columns(cold_k=cold)
    for group in ("vehicle_id", "everyone"):
        sums = told.select(group, "known_at", *(total.cum_sum().over(group) for total in _totals(group)))
        asked = as_of_join(asked, sums, by=[group], known="known_at")
    mean = pl.coalesce(_mean("vehicle_id"), _mean("everyone"))
    warm = pl.coalesce(_at_temperature("vehicle_id"), _at_temperature("everyone"))
    named = asked.with_columns(mean_pp_per_km=mean, pp_per_km_at_temperature=warm)
    usual_km = pl.coalesce("vehicle_distance_km_median", "everyone_distance_km_median")
    return named.with_columns(usual_drop_pp=usual_km * pl.col("pp_per_km_at_temperature")).drop(
        f"{group}_{name}" for group in ("vehicle_id", "everyone") for name in ("n", "w", "c", "cc", "y", "cy")
    )


def _totals(group: str) -> list[pl.Expr]:
    """Return what is summed up: drives, km, and km-weighted moments of cold and consumption."""
    km, cold, drop = pl.col("distance_km"), pl.col("cold_k"), pl.col("drop_pp")
    values = {"n": km.is_not_null(), "w": km, "c": km * cold, "cc": km * cold**2, "y": drop, "cy": cold * drop}
    return [value.cast(pl.Float64).alias(f"{group}_{name}") for name, value in values.items()]


def _mean(group: str) -> pl.Expr:
    return pl.col(f"{group}_y") / pl.col(f"{group}_w")


def _at_temperature(group: str) -> pl.Expr:
    n, w, c, cc, y, cy = (pl.col(f"{group}_{name}") for name in ("n", "w", "c", "cc", "y", "cy"))
    usual = USUAL_RISE_PER_K * y / (w + USUAL_RISE_PER_K * c)
    held = PRIOR_K2 * w / n
    slope = (cy - c * y / w + held * usual) / (cc - c * c / w + held)
    return (y - slope * c) / w + slope * pl.col("cold_k")
