"""Knowledge of physics: how far the vehicle still has to go, what a km costs it, and what that takes off its SoC.

Energy per km times the distance that is left, over the battery's usable energy (SoH included); SoC alone would read a
cold day, a hilly route and a worn battery as one.
"""

from typing import Final

import polars as pl

from ml.history import first_known

COLUMNS: Final = (
    "soc_base_pct",
    "expected_km",
    "remaining_km",
    "expected_kwh_per_km",
    "expected_drop_pp",
    "usable_kwh",
)


def add(rows: pl.DataFrame, vehicles: pl.DataFrame) -> pl.DataFrame:
    """Add the SoC it starts from, the distance left, the energy per km, and the drop in SoC that follows.

    Args:
        rows: Rows with history, live state and duty plan.
        vehicles: usable_kwh (SoH included) and reference_kwh_per_km per vehicle.
    """
    battery = vehicles.select("vehicle_id", "usable_kwh", "reference_kwh_per_km")
    groups = ("vehicle", "model", "class", "site")
    usual_km = first_known("vehicle_weekday_distance_km_median", *(f"{group}_distance_km_median" for group in groups))
    per_km = pl.coalesce(
        first_known("vehicle_kwh_per_km_median", least=3), "reference_kwh_per_km", first_known(*_medians("kwh_per_km"))
    )
    per_km_pp = pl.coalesce(100 * per_km / pl.col("usable_kwh"), first_known(*_medians("pp_per_km")))
    usual_drop = first_known("vehicle_weekday_drop_pp_median", *_medians("drop_pp"))
    return (
        rows.join(battery, on="vehicle_id", how="left", maintain_order="left")
        .with_columns(
            soc_base_pct=pl.coalesce("soc_now_pct", first_known(*_medians("soc_departure_pct"))),
            expected_km=pl.coalesce("planned_distance_km", usual_km),
            expected_kwh_per_km=per_km,
        )
        .with_columns(remaining_km=(pl.col("expected_km") - pl.col("km_so_far").fill_null(0.0)).clip(lower_bound=0.0))
        .with_columns(expected_drop_pp=pl.coalesce(per_km_pp * pl.col("remaining_km"), usual_drop))
    )


def _medians(value: str) -> list[str]:
    return [f"{group}_{value}_median" for group in ("vehicle", "model", "class", "site")]
