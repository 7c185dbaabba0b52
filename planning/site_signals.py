"""What a site's slots cost and carry besides charging: prices, other load, solar output, peaks so far.

Pure functions over rows that were known at ``as_of``. Where a signal ends before the horizon does, a stated rule goes
on, and says for how many slots: the same quarter-hour of the latest day that is known.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.time_grid import SLOT, SLOT_HOURS

Array = NDArray[np.float64]
DAY_SLOTS = 96
CARBON_STEP, CARBON_STEPS = timedelta(minutes=5), 3
"""Intensities come for five minutes or longer: a slot has that of its three steps."""
LONGEST_GAP = timedelta(minutes=20)
"""Between readings further apart nobody knows in which slot energy flowed."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A value per slot, and how many slots at the end rest on the rule rather than on data."""

    values: Array
    assumed_slots: int


def price_signal(prices: pl.DataFrame, *, start_at: datetime, slots: int, markup_per_kwh: float) -> Signal | None:
    """Return the energy price per slot (currency/kWh), day-ahead plus mark-up; None when no price is known at all.

    Beyond the published prices, the same time of the latest published day counts.

    Args:
        prices: Rows of entity ``price`` of one series.
        start_at: Start of slot 0.
        slots: Number of slots.
        markup_per_kwh: Fees and levies.
    """
    if prices.is_empty():
        return None
    grid = _grid(start_at - timedelta(days=7), slots + 7 * DAY_SLOTS)
    known = grid.join_asof(
        prices.select("start_at", "end_at", "price_per_kwh").sort("start_at"), on="start_at", strategy="backward"
    ).select(pl.when(pl.col("start_at") < pl.col("end_at")).then("price_per_kwh"))
    series = known.to_series().to_numpy().astype(float)
    assumed = int(np.isnan(series[-slots:]).sum())
    filled = _repeat_days(series)[-slots:]
    filled = np.where(np.isnan(filled), float(prices["price_per_kwh"].median()), filled)  # type: ignore[arg-type]
    return Signal(filled + markup_per_kwh, assumed)


def carbon_signal(intensity: pl.DataFrame, *, start_at: datetime, slots: int) -> Signal | None:
    """Return the carbon intensity of import per slot (kg/kWh); None when none is known at all.

    What was measured or last forecast counts; beyond it, the same time of the latest day.

    Args:
        intensity: Rows of entity ``carbon_intensity`` of one region.
        start_at: Start of slot 0.
        slots: Number of slots.
    """
    if intensity.is_empty():
        return None
    latest = intensity.sort("start_at", "issued_at").unique("start_at", keep="last", maintain_order=True)
    begin, count = start_at - timedelta(days=7), (slots + 7 * DAY_SLOTS) * CARBON_STEPS
    steps = pl.DataFrame(
        {"start_at": pl.datetime_range(begin, begin + (count - 1) * CARBON_STEP, CARBON_STEP, eager=True)}
    ).with_columns(pl.col("start_at").cast(latest.schema["start_at"]))
    joined = steps.join_asof(
        latest.select("start_at", "end_at", "emissions_gco2e_per_kwh"), on="start_at", strategy="backward"
    )
    known = joined.select(pl.when(pl.col("start_at") < pl.col("end_at")).then("emissions_gco2e_per_kwh"))
    grams = known.to_series().to_numpy().astype(float).reshape(-1, CARBON_STEPS)
    is_known = ~np.isnan(grams)
    with np.errstate(invalid="ignore"):
        series = np.where(is_known, grams, 0.0).sum(axis=1) / is_known.sum(axis=1)
    filled = _repeat_days(series)[-slots:]
    usual = float(latest["emissions_gco2e_per_kwh"].median())  # type: ignore[arg-type]
    return Signal(np.where(np.isnan(filled), usual, filled) / 1000, int(np.isnan(series[-slots:]).sum()))


def _repeat_days(series: Array) -> Array:
    """Fill gaps with the value one day earlier, day after day."""
    filled = series.copy()
    for k in range(DAY_SLOTS, len(filled), DAY_SLOTS):
        part = slice(k, min(k + DAY_SLOTS, len(filled)))
        before = filled[part.start - DAY_SLOTS : part.stop - DAY_SLOTS]
        filled[part] = np.where(np.isnan(filled[part]), before, filled[part])
    return filled


@dataclass(frozen=True, slots=True)
class LoadForecast:
    """Other load and solar output per slot (kW): expected, and on the careful side for the limit."""

    base_load_kw: Array
    base_load_high_kw: Array
    pv_kw: Array
    pv_low_kw: Array
    history_days: int


def load_forecast(
    site_load: pl.DataFrame, *, start_at: datetime, slots: int, timezone: str, typical_load_kw: float
) -> LoadForecast:
    """Forecast other load and PV from the same local quarter-hour of the days known so far.

    Workdays and weekends are kept apart where both are known. Expected is the median; the careful side is the 95 %
    (load) and 5 % (PV) quantile. Without history the configured typical load counts, a fifth higher on the careful
    side.

    Args:
        site_load: Rows of entity ``site_load`` of one site.
        start_at: Start of slot 0.
        slots: Number of slots.
        timezone: IANA zone of the site.
        typical_load_kw: Configured typical load.
    """
    grid = _with_local_time(_grid(start_at, slots), timezone)
    history = _with_local_time(site_load.select("start_at", "base_load_kw", "pv_kw"), timezone)
    kinds = _quantiles(history, ["quarter", "is_weekend"])
    anyday = _quantiles(history, ["quarter"])
    joined = grid.join(kinds, on=["quarter", "is_weekend"], how="left", maintain_order="left").join(
        anyday, on="quarter", how="left", maintain_order="left", suffix="_any"
    )
    fallback = {"base": typical_load_kw, "base_high": 1.2 * typical_load_kw, "pv": 0.0, "pv_low": 0.0}
    column = {
        name: joined.select(pl.coalesce(name, f"{name}_any", pl.lit(value))).to_series().to_numpy().astype(float)
        for name, value in fallback.items()
    }
    days = site_load["start_at"].dt.date().n_unique()
    return LoadForecast(column["base"], column["base_high"], column["pv"], column["pv_low"], days)


def _quantiles(history: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    return history.group_by(by).agg(
        pl.col("base_load_kw").median().alias("base"),
        pl.col("base_load_kw").quantile(0.95, "linear").alias("base_high"),
        pl.col("pv_kw").median().alias("pv"),
        pl.col("pv_kw").quantile(0.05, "linear").alias("pv_low"),
    )


def _with_local_time(frame: pl.DataFrame, timezone: str) -> pl.DataFrame:
    local = pl.col("start_at").dt.convert_time_zone(timezone)
    return frame.with_columns(
        (local.dt.hour().cast(pl.Int32) * 4 + local.dt.minute() // 15).alias("quarter"),
        (local.dt.weekday() >= 6).alias("is_weekend"),
    )


def _grid(start_at: datetime, slots: int) -> pl.DataFrame:
    starts = pl.datetime_range(start_at, start_at + SLOT * (slots - 1), SLOT, time_unit="us", eager=True)
    return pl.DataFrame({"start_at": starts})


def site_import(meter_values: pl.DataFrame, site_load: pl.DataFrame) -> pl.DataFrame:
    """Return the site's import per slot: ``start_at``, ``base_load_kw``, ``ev_kw``, ``import_kw``, ``is_estimated``.

    Charging is what the connectors' energy registers rose by, interpolated at the slots' edges: a power sample on an
    edge would count for both sides of it. A slot without other load is left out, for its import is unknown; one is
    estimated where a connector's energy is spread over a gap in its readings, and tells nothing of peaks.

    Args:
        meter_values: Rows of entity ``meter_value`` of the site's connectors.
        site_load: Rows of entity ``site_load`` of the site.
    """
    net = pl.col("base_load_kw") - pl.col("pv_kw").fill_null(0) + pl.col("ev_kw").fill_null(0)
    return (
        site_load.filter(pl.col("base_load_kw").is_not_null())
        .join(_charging_power(meter_values), on="start_at", how="left")
        .with_columns(net.clip(lower_bound=0).alias("import_kw"), pl.col("is_estimated").fill_null(value=False))
        .select("start_at", "base_load_kw", "ev_kw", "import_kw", "is_estimated")
        .sort("start_at")
    )


def _charging_power(meter_values: pl.DataFrame) -> pl.DataFrame:
    """Return the mean power of all connectors per slot: ``start_at``, ``ev_kw``, ``is_estimated``."""
    by = ["station_id", "connector_id"]
    registers = meter_values.filter(pl.col("energy_register_kwh").is_not_null()).select(
        *by, pl.col("observed_at").alias("at"), "energy_register_kwh", pl.lit(value=False).alias("is_edge")
    )
    first, last = pl.col("at").min().dt.truncate("15m"), pl.col("at").max()
    edges = (
        registers.group_by(by)
        .agg(pl.datetime_ranges(first, last + SLOT, SLOT).first().alias("at"))
        .explode("at")
        .select(*by, "at", pl.lit(None, pl.Float64).alias("energy_register_kwh"), pl.lit(value=True).alias("is_edge"))
    )
    known = pl.concat([registers, edges]).sort(*by, "at", "is_edge")
    # Before the first reading and after the last nothing is known to have flowed; a meter that begins anew gives none.
    register = pl.col("energy_register_kwh").interpolate_by("at").over(by)
    read_at = pl.when(~pl.col("is_edge")).then("at")
    filled = known.with_columns(
        register.forward_fill().over(by).backward_fill().over(by).alias("register_kwh"),
        (read_at.shift(-1).backward_fill() - read_at.forward_fill()).over(by).alias("gap"),
    )
    risen = (pl.col("register_kwh").shift(-1) - pl.col("register_kwh")).over(by).clip(lower_bound=0)
    return (
        filled.with_columns(pl.col("gap").max().over(*by, pl.col("at").dt.truncate("15m")))
        .filter("is_edge")
        .with_columns((risen / SLOT_HOURS).alias("power_kw"))
        .group_by(pl.col("at").alias("start_at"))
        .agg(
            pl.col("power_kw").sum().alias("ev_kw"),
            ((pl.col("gap") > LONGEST_GAP) & (pl.col("power_kw") > 0)).any().alias("is_estimated"),
        )
    )
