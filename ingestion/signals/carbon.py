"""Carbon intensity of grid electricity, in gCO2 per kWh: measured, or forecast with the instant it was issued.

Two layouts: marginal rates with the forecasts issued beside them (``time, moer, f1 … f36``, kgCO2/kWh), and
a plain table of averages (``Time, Carbon Intensity``, gCO2/kWh, intervals of any length).
"""

from datetime import timedelta
from typing import Final

import polars as pl

from ingestion.columns import Check, Reading, check, number, offset_instant, said
from ingestion.providers.base import RECORD

FIVE_MINUTES: Final = timedelta(minutes=5)
LONGEST: Final = timedelta(hours=1)  # a longer gap in a table of averages is a gap, not a long interval
FORECASTS: Final = tuple(f"f{k}" for k in range(1, 37))
GRAMS_PER_KILOGRAM: Final = 1000
ROW: Final = (
    "region_id", "start_at", "end_at", "issued_at", "emissions_gco2e_per_kwh", "basis", "kind", "observed_at",
    "available_at",
)  # fmt: skip

CHECKS: Final = (
    Check("no_start_at", pl.col("start_at").is_null(), said("time is {}", "time_text")),
    Check("no_emissions", pl.col("emissions_gco2e_per_kwh").is_null(), said("{} is {}", "cell", "value_text")),
)


def read_marginal(records: pl.DataFrame, *, region_id: pl.Expr, latency: timedelta) -> Reading:
    """Turn lines of measured and forecast marginal rates into rows, the measured one of each line first.

    A forecast ``fk`` of a line holds for the five minutes that begin k steps after the line's time, when it was issued.
    """
    cells = records.select(RECORD, region_id.alias("region_id"), "time", "moer", *FORECASTS).unpivot(
        index=[RECORD, "region_id", "time"], variable_name="cell", value_name="value_text"
    )
    steps = pl.col("cell").replace_strict({"moer": 0, **{name: k for k, name in enumerate(FORECASTS, start=1)}})
    issued = cells.with_columns(issued_at=offset_instant("time"), time_text=pl.col("time"))
    typed = issued.with_columns(
        start_at=pl.col("issued_at") + steps * FIVE_MINUTES,
        emissions_gco2e_per_kwh=number("value_text") * GRAMS_PER_KILOGRAM,
        basis=pl.lit("marginal"),
        kind=pl.when(pl.col("cell") == "moer").then(pl.lit("measured")).otherwise(pl.lit("forecast")),
        observed_at=pl.col("issued_at"),
    ).with_columns(end_at=pl.col("start_at") + FIVE_MINUTES, available_at=pl.col("issued_at") + latency)
    rows, rejected = check(typed, CHECKS, entity="carbon_intensity")
    return Reading(records, {"carbon_intensity": rows.select(RECORD, *ROW)}, rejected)


def read_average(records: pl.DataFrame, *, region_id: str, latency: timedelta) -> Reading:
    """Turn a table of averages (UTC) into rows; an interval ends where the next one begins."""
    start = pl.col("Time").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
    typed = records.with_columns(
        start_at=start.dt.replace_time_zone("UTC"),
        emissions_gco2e_per_kwh=number("Carbon Intensity"),
        time_text=pl.col("Time"),
        cell=pl.lit("Carbon Intensity"),
        value_text=pl.col("Carbon Intensity"),
        region_id=pl.lit(region_id),
        basis=pl.lit("average"),
        kind=pl.lit("measured"),
    )
    rows, rejected = check(typed, CHECKS, entity="carbon_intensity")
    starts = rows.select("start_at").unique().sort("start_at")
    length = pl.col("start_at").shift(-1) - pl.col("start_at")
    usual = pl.when(length <= LONGEST).then(length).fill_null(strategy="forward")
    ends = starts.with_columns(end_at=pl.col("start_at") + usual)
    timed = rows.join(ends, on="start_at", maintain_order="left").with_columns(
        issued_at=pl.col("start_at"), observed_at=pl.col("start_at"), available_at=pl.col("start_at") + latency
    )
    return Reading(records, {"carbon_intensity": timed.select(RECORD, *ROW)}, rejected)
