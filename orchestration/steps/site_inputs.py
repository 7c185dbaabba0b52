"""A site's limits, prices, other load and peaks so far over a horizon, read from landing as of an instant."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.landing import Landing
from core.time_grid import SLOT_HOURS, local_date, local_day, slot_starts
from ingestion.registry import Registry
from ingestion.registry.models import DemandCharge, Site, Window
from ml.forecasting import forecast_power
from ml.targets import BASE_LOAD, PV, RUNG_DEFAULT, Target
from planning.model import PriceTier, SoftLimit
from planning.site_signals import LoadForecast, Signal, carbon_signal, load_forecast, price_signal, site_import

HISTORY = timedelta(days=35)
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PeakCharge:
    """A demand charge over the horizon: the slots that count, and the peak that is already paid for this month."""

    name: str
    price_per_kw: float
    so_far_kw: float
    slots: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class PowerSource:
    """What forecast a site's power: the forecaster promoted for it, its version, and the newest reading it knew."""

    name: str
    version: str
    newest_input_at: datetime | None


@dataclass(frozen=True, slots=True)
class SiteInputs:
    """What a plan needs to know of a site besides its vehicles; arrays are per slot.

    ``price`` is None when no price is known: then only power matters; ``carbon`` (kg/kWh) where no intensity is known
    or asked for. ``load_sources`` says of other load and of solar output what forecast them, and what was newest in
    that (None: the configured typical load).
    """

    start_at: datetime
    slots: int
    import_limit_kw: Array
    price: Signal | None
    load: LoadForecast
    peak_charges: tuple[PeakCharge, ...]
    price_tiers: tuple[PriceTier, ...] = ()
    soft_limits: tuple[SoftLimit, ...] = ()
    carbon: Signal | None = None
    load_sources: Mapping[str, PowerSource | None] = field(default_factory=dict)


def read_site_inputs(
    landing: Landing,
    registry: Registry,
    *,
    site_id: str,
    as_of: datetime,
    start_at: datetime,
    slots: int,
    with_peaks: bool = True,
    models_dir: Path | None = None,
) -> SiteInputs:
    """Return what was known at ``as_of`` of a site's next slots.

    Args:
        landing: The landing zone.
        registry: The configuration.
        site_id: Site.
        as_of: Nothing that became available later is used.
        start_at: Start of slot 0.
        slots: Number of slots.
        with_peaks: The month's peaks as well.
        models_dir: Folder of the models that forecast other load and solar output; without it, and where nothing was
            ever metered, they are quantiles of the same quarter-hour, or what the configuration says.
    """
    site = registry.site(site_id)
    starts = slot_starts(start_at, slots)
    prices = landing.read("price", as_of=as_of, since=start_at - timedelta(days=10))
    load = landing.read("site_load", as_of=as_of, since=start_at - HISTORY).filter(pl.col("site_id") == site_id)
    expected = load_forecast(
        load, start_at=start_at, slots=slots, timezone=site.timezone, typical_load_kw=site.base_load_kw
    )
    sources: Mapping[str, PowerSource | None] = {}
    if models_dir is not None and expected.history_days:
        rows = forecast_power(landing, site_id=site_id, as_of=as_of, models_dir=models_dir, starts=starts)
        expected, sources = with_forecasts(expected, rows)
    limit_kw = np.array(registry.import_limit_kw(site_id, starts), dtype=float)
    imported = _imported(landing, registry, site, load, as_of=as_of) if with_peaks else None
    return SiteInputs(
        start_at=start_at,
        slots=slots,
        import_limit_kw=limit_kw,
        price=price_signal(
            prices.filter(pl.col("series_id") == site.tariff.price_zone),
            start_at=start_at,
            slots=slots,
            markup_per_kwh=site.tariff.markup_per_kwh,
        ),
        load=expected,
        peak_charges=() if imported is None else _peak_charges(site, imported, starts, as_of=as_of),
        price_tiers=() if imported is None else _price_tiers(site, imported),
        soft_limits=tuple(
            SoftLimit(soft.name, _within(soft, site, starts, soft.limit_kw, limit_kw), soft.price_per_kwh)
            for soft in site.soft_limits
        ),
        carbon=_carbon(landing, site, as_of=as_of, start_at=start_at, slots=slots),
        load_sources=sources,
    )


def with_forecasts(expected: LoadForecast, rows: pl.DataFrame) -> tuple[LoadForecast, Mapping[str, PowerSource | None]]:
    """Return other load and solar output as forecast, and what forecast each; what nobody metered stays as expected.

    Args:
        expected: Without forecasts.
        rows: See ``ml.forecasting.forecast_power``: a row of both targets for each slot.
    """
    base, sun = _forecast_of(rows, BASE_LOAD), _forecast_of(rows, PV)
    if base is not None:
        expected = replace(expected, base_load_kw=base["q50"].to_numpy(), base_load_high_kw=base["q95"].to_numpy())
    if sun is not None:
        expected = replace(expected, pv_kw=sun["q50"].to_numpy(), pv_low_kw=sun["q05"].to_numpy())
    return expected, {BASE_LOAD.name: _source_of(base), PV.name: _source_of(sun)}


def _forecast_of(rows: pl.DataFrame, target: Target) -> pl.DataFrame | None:
    """Return a target's rows by slot; None where nothing was ever known of it."""
    mine = rows.filter(pl.col("target") == target.name).sort("subject_id")
    return None if (mine["rung"] == RUNG_DEFAULT).all() else mine


def _source_of(rows: pl.DataFrame | None) -> PowerSource | None:
    if rows is None:
        return None
    newest = rows["newest_input_at"].max()
    return PowerSource(rows["name"][0], rows["model_version"][0], newest if isinstance(newest, datetime) else None)


def _imported(
    landing: Landing, registry: Registry, site: Site, load: pl.DataFrame, *, as_of: datetime
) -> pl.DataFrame | None:
    """Return the site's import of the month so far by slot; None where no rule of the tariff asks for it."""
    if not (site.tariff.demand_charges or site.tariff.price_tiers):
        return None
    month_start, _ = local_day(as_of.astimezone(ZoneInfo(site.timezone)).date().replace(day=1), site.timezone)
    stations = [connector.station_id for connector in registry.connectors_of(site.site_id)]
    meters = landing.read("meter_value", as_of=as_of, since=month_start).filter(pl.col("station_id").is_in(stations))
    return site_import(meters, load.filter(pl.col("start_at") >= month_start))


def _peak_charges(
    site: Site, imported: pl.DataFrame, starts: list[datetime], *, as_of: datetime
) -> tuple[PeakCharge, ...]:
    """Return the demand charges of each month that the slots lie in; of one that has not begun no peak is paid for."""
    history = imported.filter(~pl.col("is_estimated"))  # a peak that was not metered would be taken as paid for
    months = np.array([local_date(start, site.timezone).replace(day=1) for start in starts])
    this_month = local_date(as_of, site.timezone).replace(day=1)
    charges = []
    for month in dict.fromkeys(months.tolist()):
        known = history if month == this_month else history.clear()
        in_month = np.flatnonzero(months == month)
        for charge in site.tariff.demand_charges:
            name = charge.name if month == months[0] else f"{charge.name} from {month}"
            charges.append(_peak_charge(charge, name, site, known, starts, in_month))
    return tuple(charges)


def _peak_charge(
    charge: DemandCharge,
    name: str,
    site: Site,
    history: pl.DataFrame,
    starts: list[datetime],
    in_month: NDArray[np.int64],
) -> PeakCharge:
    """Return the charge over slots of one month, with the highest metered import within its window."""
    if charge.from_time is None:
        counted, slots = history["import_kw"], in_month
    else:
        inside = _in_window(pl.Series("start_at", starts, pl.Datetime("us", "UTC")), charge, site.timezone)
        slots = np.intersect1d(np.flatnonzero(inside.to_numpy()), in_month)
        counted = history.filter(_in_window(history["start_at"], charge, site.timezone))["import_kw"]
    peak = counted.max()
    everywhere = charge.from_time is None and len(in_month) == len(starts)
    so_far_kw = float(peak) if isinstance(peak, float) else 0.0
    return PeakCharge(name, charge.price_per_kw, so_far_kw, None if everywhere else slots)


def _price_tiers(site: Site, imported: pl.DataFrame) -> tuple[PriceTier, ...]:
    """Return the tiers with what the month has drawn so far, estimated import included."""
    so_far_kwh = max(0.0, float(imported["import_kw"].sum()) * SLOT_HOURS)
    return tuple(
        PriceTier(tier.name, tier.above_kwh, so_far_kwh, tier.surcharge_per_kwh) for tier in site.tariff.price_tiers
    )


def _carbon(landing: Landing, site: Site, *, as_of: datetime, start_at: datetime, slots: int) -> Signal | None:
    if site.tariff.carbon is None:
        return None
    known = landing.read("carbon_intensity", as_of=as_of, since=start_at - timedelta(days=8))
    return carbon_signal(known.filter(pl.col("region_id") == site.tariff.carbon.region), start_at=start_at, slots=slots)


def _within(window: Window, site: Site, starts: list[datetime], inside: float, outside: Array) -> Array:
    """Return a value in the slots of a window and others outside, [T]."""
    if window.from_time is None:
        return np.full(len(starts), inside)
    is_inside = _in_window(pl.Series("start_at", starts, pl.Datetime("us", "UTC")), window, site.timezone)
    return np.where(is_inside.to_numpy(), inside, outside)


def _in_window(instants: pl.Series, window: Window, timezone: str) -> pl.Series:
    """Say which instants lie in a local window, which may pass midnight."""
    clock_times = instants.dt.convert_time_zone(timezone).dt.time()
    begin, end = window.from_time or time(0), window.to_time or time(0)
    after, before = clock_times >= begin, clock_times < end
    return after & before if begin < end else after | before
