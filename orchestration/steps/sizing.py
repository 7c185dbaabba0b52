"""From recorded duty cycles to the depot that they need: ``depotwise.size/1``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, time, timedelta
from typing import Any

import numpy as np
import polars as pl

from core.time_grid import SLOT, local_date, local_instant
from ingestion.registry.models import Vehicle
from ml.dataset import KnownFacts
from ml.fleet import fleet_facts
from orchestration.steps.workplace import Workplace
from planning.requirements import CLASS_KWH_PER_KM, UNKNOWN_MARGIN
from planning.sizing import SLOTS, Depot, Judged, Night, Prices, Site, Sized, grown, size, steps
from planning.vehicles import DEFAULT_EFFICIENCY

SCHEMA = "depotwise.size/1"
HISTORY = timedelta(days=400)
PLUG_IN = timedelta(minutes=15)
UNPLUG = timedelta(minutes=15)
NOON = time(12)
PV_HOURS = (8.0, 16.0)
PV_PEAK_SHARE = 0.35
"""A clear day's output of a kWp at noon in the darker half of the year, which is when fleets need most."""


@dataclass(frozen=True, slots=True)
class SizeOptions:
    """What is asked: the target in percent of departures, fleets by year (number of vehicles), unit prices.

    ``attended`` is from when to when (local) somebody is there to re-plug.
    """

    target_pct: float = 99.0
    fleets: Mapping[str, int] = field(default_factory=dict)
    prices: Prices = field(default_factory=Prices)
    attended: tuple[time, time] = (time(5), time(22))
    seed: int = 1


def size_site(workplace: Workplace, *, site_id: str, as_of: datetime, options: SizeOptions) -> dict[str, Any]:
    """Return the ``depotwise.size/1`` document of a site from the nights known at an instant.

    Raises:
        ValueError: no night was recorded.
        ml.fleet.UnknownSiteError: the site was not known then.
    """
    nights = recorded_nights(workplace, site_id=site_id, as_of=as_of)
    site = Site(_attended(options.attended), _pv_shape())
    prices = options.prices

    def sized(vehicles: int | None) -> Sized:
        fleet = nights if vehicles is None else grown(nights, vehicles, seed=options.seed)
        return size(fleet, site, prices, target_pct=options.target_pct, seed=options.seed)

    now = sized(None)
    later = {year: sized(vehicles) for year, vehicles in sorted(options.fleets.items())}
    there = installed(workplace, site_id)
    return {
        "schema": SCHEMA,
        "site_id": site_id,
        "currency": workplace.registry.site(site_id).currency,
        "target_pct": options.target_pct,
        "nights": now.nights,
        "weeks": now.weeks,
        "prices": asdict(prices),
        "installed": asdict(there),
        "now": _sized(now),
        "years": {year: {"vehicles": options.fleets[year], **_sized(one)} for year, one in later.items()},
        "steps": [
            {"year": year, "depot": asdict(depot), "cost": round(cost, 2)}
            for year, depot, cost in steps(there, {"now": now, **later}, prices)
        ],
    }


def recorded_nights(workplace: Workplace, *, site_id: str, as_of: datetime) -> list[Night]:
    """Return every night between two duties of a site's vehicles, with what the first of them used.

    A vehicle that comes back and leaves again within a day belongs to the night of its return's noon; one that stays
    longer needs no charger that night that it could not have another time. Energy is what the vehicle counted, else
    what its SoC fell by, else its distance at the consumption of its class on a cold day.
    """
    facts = fleet_facts(KnownFacts(workplace.landing, as_of=as_of, since=as_of - HISTORY), site_id=site_id)
    vehicles = {vehicle.vehicle_id: vehicle for vehicle in workplace.registry.vehicles_of(site_id)}
    cycles = facts.cycles.sort("vehicle_id", "operating_date").with_columns(
        next_departure_at=pl.col("departed_at").shift(-1).over("vehicle_id")
    )
    closed = cycles.filter(
        pl.col("returned_at").is_not_null(),
        pl.col("next_departure_at") > pl.col("returned_at"),
        pl.col("next_departure_at") - pl.col("returned_at") < timedelta(days=1),
    )
    by_night: dict[datetime, list[tuple[Vehicle, int, int, float]]] = {}
    for row in closed.iter_rows(named=True):
        vehicle = vehicles.get(row["vehicle_id"])
        need_kwh = None if vehicle is None else _need_kwh(vehicle, row)
        if vehicle is None or need_kwh is None or need_kwh <= 0:
            continue
        noon = _noon_before(row["returned_at"], facts.timezone)
        first = int(np.ceil((row["returned_at"] + PLUG_IN - noon) / SLOT))
        last = min(SLOTS, int((row["next_departure_at"] - UNPLUG - noon) / SLOT))
        if first < last:
            by_night.setdefault(noon, []).append((vehicle, first, last, need_kwh))
    return [_night(noon, entries) for noon, entries in sorted(by_night.items())]


def _noon_before(at: datetime, timezone: str) -> datetime:
    day = local_date(at, timezone)
    noon = local_instant(day, NOON, timezone)
    return noon if noon <= at else local_instant(day - timedelta(days=1), NOON, timezone)


def _need_kwh(vehicle: Vehicle, row: Mapping[str, Any]) -> float | None:
    battery_kwh = vehicle.usable_kwh * (100.0 if vehicle.soh_pct is None else vehicle.soh_pct) / 100
    per_km = vehicle.reference_kwh_per_km or CLASS_KWH_PER_KM[vehicle.vehicle_class]
    used = row["energy_kwh"]
    if used is None and row["drop_pp"] is not None:
        used = row["drop_pp"] / 100 * battery_kwh
    if used is None and row["distance_km"] is not None:
        used = row["distance_km"] * per_km * UNKNOWN_MARGIN
    efficiency = vehicle.efficiency or DEFAULT_EFFICIENCY["dc" if _is_dc(vehicle) else "ac"]
    return None if used is None else float(min(used, battery_kwh)) / efficiency


def _is_dc(vehicle: Vehicle) -> bool:
    """Say whether a vehicle charges on DC at its depot: where it cannot on AC, or is heavy."""
    return vehicle.dc_max_kw is not None and (vehicle.ac_max_kw is None or vehicle.vehicle_class in ("truck", "bus"))


def _night(noon: datetime, entries: Sequence[tuple[Vehicle, int, int, float]]) -> Night:
    year, week, _ = noon.isocalendar()
    vehicles = [entry[0] for entry in entries]
    own_kw = [vehicle.dc_max_kw if _is_dc(vehicle) else vehicle.ac_max_kw for vehicle in vehicles]
    return Night(
        week=f"{year}-W{week:02d}",
        vehicle_ids=tuple(vehicle.vehicle_id for vehicle in vehicles),
        is_dc=np.array([_is_dc(vehicle) for vehicle in vehicles], dtype=np.bool_),
        arrival_slot=np.array([entry[1] for entry in entries], dtype=np.int64),
        departure_slot=np.array([entry[2] for entry in entries], dtype=np.int64),
        need_kwh=np.array([entry[3] for entry in entries], dtype=np.float64),
        max_kw=np.array([np.inf if kw is None else kw for kw in own_kw], dtype=np.float64),
    )


def installed(workplace: Workplace, site_id: str) -> Depot:
    """Return what a site's configuration says is there; the grid is its lowest limit less the typical load."""
    site, connectors = workplace.registry.site(site_id), workplace.registry.connectors_of(site_id)
    limit_kw = site.lowest_import_limit_kw
    return Depot(
        ac_chargers=sum(connector.current_type == "ac" for connector in connectors),
        dc_chargers=sum(connector.current_type == "dc" for connector in connectors),
        grid_kw=max(0.0, limit_kw - site.base_load_kw - site.safety_margin_kw),
        battery_kwh=site.battery.capacity_kwh if site.battery else 0.0,
        pv_kwp=site.pv_kwp,
    )


def _attended(hours: tuple[time, time]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    clock = (12 + np.arange(SLOTS) / 4) % 24
    begin, end = (one.hour + one.minute / 60 for one in hours)
    return (clock >= begin) & (clock < end) if begin < end else (clock >= begin) | (clock < end)


def _pv_shape() -> np.ndarray[Any, np.dtype[np.float64]]:
    clock = (12 + np.arange(SLOTS) / 4 + 0.125) % 24
    begin, end = PV_HOURS
    return PV_PEAK_SHARE * np.clip(np.sin(np.pi * (clock - begin) / (end - begin)), 0.0, None) * (clock < end)


def _sized(sized: Sized) -> dict[str, Any]:
    return {
        "vehicles_per_night": round(sized.vehicles, 1),
        **_judged(sized.best),
        "curve": [_judged(one) for one in sized.curve],
    }


def _judged(one: Judged) -> dict[str, Any]:
    return {
        "depot": asdict(one.depot),
        "cost": round(one.cost, 2),
        "ready_pct": round(one.ready_pct, 2),
        "ready_low_pct": round(one.ready_low_pct, 2),
        "confidence_pct": round(one.confidence_pct, 1),
        "peak_kw": round(one.peak_kw, 1),
    }
