"""Writes the configuration folder of the platform, in the format of docs/architecture.md, and the bridges' files.

Figures are what an operator would know: nominal capacities, estimated health, planned distances. The truth deviates.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from core.files import write_text_atomic
from core.time_grid import format_instant
from simulator.output.secrets import (
    BRIDGE_TOKEN,
    GEOTAB_PASSWORD,
    GEOTAB_USER,
    RFMS_TOKEN,
    password_hash,
)
from simulator.providers.geotab import DATABASE
from simulator.scenario import TIMEZONE
from simulator.world.fleet import Connector, Site, Vehicle
from simulator.world.history import SAFETY_KW, World, dispatch_target
from simulator.world.people import Duty

LOCALHOST = "127.0.0.1"
PRICE_ZONE = "DEMO"
GEOFENCE_M = 250
CONTRACTS = {
    "rfms-heavy": ("Vehicle manufacturer", 75, 5, "plans use the last known SoC moved forward, then history"),
    "geotab-vans": ("Fleet data team", 300, 5, "plans use the last known SoC moved forward, then history"),
    "frames": ("Charging operations", 1440, 1, "sessions of the past are missing; charging goes on"),
    "bridge": ("Charging operations", 15, 1, "sessions are known late; charging goes on under safe defaults"),
    "prices": ("Energy purchasing", 1440, 15, "plans use the prices of the day before"),
    "weather": ("Energy purchasing", 180, 15, "forecasts use the season's usual temperature"),
    "load": ("Facility management", 60, 5, "plans use the site's typical load"),
}


def write_config(world: World, folder: Path, *, clock_file: Path) -> None:
    """Write all files of the configuration below ``folder``.

    Raises:
        core.settings.MissingSecretError: ``DEPOTWISE_STATION_SECRET`` is not set.
    """
    _write_yaml(folder / "sites.yaml", {"sites": [_site(world, k) for k in range(len(world.fleet.sites))]})
    _write_yaml(folder / "sources.yaml", {"sources": list(_sources(world))})
    _write_table(folder / "connectors.csv", [_connector(connector) for connector in world.fleet.connectors])
    _write_table(folder / "vehicles.csv", [_vehicle(world, vehicle) for vehicle in world.fleet.vehicles])
    _write_table(folder / "tokens.csv", list(_tokens(world)))
    _write_table(folder / "assignments.csv", list(_assignments(world)))
    _write_table(folder / "duties.csv", [_duty(world, duty) for duty in world.duties])
    for k, site in enumerate(world.fleet.sites):
        _write_yaml(folder / f"bridge-{site.site_id}.yaml", _bridge(world, k, folder, clock_file))


def _site(world: World, index: int) -> dict[str, Any]:
    site = world.fleet.sites[index]
    http = world.scenario.ports.bridge_http(index)
    return {
        "site_id": site.site_id,
        "name": site.place.name,
        "timezone": TIMEZONE,
        "currency": "EUR",
        "position": {"latitude": site.place.latitude, "longitude": site.place.longitude},
        "geofence_radius_m": GEOFENCE_M,
        "import_limit": [
            {"from": f"{minute // 60:02d}:{minute % 60:02d}", "limit_kw": limit_kw}
            for minute, limit_kw in site.import_limit
        ],
        "groups": _groups(site),
        "tariff": {
            "price_zone": PRICE_ZONE,
            "markup_per_kwh": 0.08,
            "feed_in_per_kwh": 0.05,
            "demand_charges": [{"name": "month", "price_per_kw": 10.0, "from": None, "to": None}],
        },
        "base_load_kw": site.base_load_kw,
        "pv_kwp": site.pv_kwp,
        "battery": None,
        "reserve_soc_pct": world.scenario.difficulty.reserve_soc_pct,
        "safety_margin_kw": SAFETY_KW,
        "nightly_at": "14:00",
        "bridge": {"url": f"http://{LOCALHOST}:{http}", "token_env": BRIDGE_TOKEN},
    }


def _groups(site: Site) -> list[dict[str, Any]]:
    return [{"group_id": group_id, "limit_kw": limit_kw} for group_id, limit_kw in site.groups]


def _sources(world: World) -> Iterable[dict[str, Any]]:
    scenario = world.scenario
    start = scenario.history_start_at
    rfms = {"url": f"http://{LOCALHOST}:{scenario.ports.rfms}/rfms", "credentials": {"token_env": RFMS_TOKEN}}
    yield _source("rfms-heavy", "rfms_v4", CONTRACTS["rfms-heavy"], start, **rfms)
    account = {"database": DATABASE, "user_env": GEOTAB_USER, "password_env": GEOTAB_PASSWORD}
    geotab = {"url": f"http://{LOCALHOST}:{scenario.ports.geotab}", "credentials": account}
    yield _source("geotab-vans", "geotab", CONTRACTS["geotab-vans"], start, **geotab)
    yield _source("prices", "day_ahead", CONTRACTS["prices"], start, path="../signals/day_ahead.csv")
    yield _source("site-load", "site_load", CONTRACTS["load"], start, path="../signals/site_load.csv")
    for index, site in enumerate(world.fleet.sites):
        of_site = {"site_id": site.site_id}
        frames = of_site | {"path": f"../history/frames/{site.site_id}"}
        yield _source(f"frames-{site.site_id}", "ocpp_files", CONTRACTS["frames"], start, **frames)
        bridge = of_site | {
            "url": f"http://{LOCALHOST}:{scenario.ports.bridge_http(index)}",
            "credentials": {"token_env": BRIDGE_TOKEN},
        }
        live = scenario.live_start_at
        yield _source(f"bridge-{site.site_id}", "ocpp_bridge", CONTRACTS["bridge"], live, **bridge)
        weather = of_site | {"path": f"../signals/weather-{site.site_id}.json"}
        yield _source(f"weather-{site.site_id}", "weather", CONTRACTS["weather"], start, **weather)


def _source(
    source_id: str, kind: str, contract: tuple[str, int, int, str], start_at: datetime, **place: object
) -> dict[str, Any]:
    owner, freshness_min, latency_min, on_failure = contract
    contact = f"{owner.lower().replace(' ', '.')}@example.org"
    return {
        "source_id": source_id,
        "kind": kind,
        **place,
        "start_at": format_instant(start_at),
        "owner": owner,
        "contact": contact,
        "freshness_min": freshness_min,
        "latency_min": latency_min,
        "on_failure": on_failure,
    }


def _connector(connector: Connector) -> dict[str, Any]:
    return {
        "station_id": connector.station_id,
        "connector_id": connector.connector_id,
        "evse_id": f"DE*DEP*E{connector.index + 1:04d}",
        "site_id": connector.site_id,
        "group_id": connector.group_id or "",
        "current_type": connector.current_type,
        "phases": connector.phases,
        "nominal_voltage_v": connector.nominal_voltage_v,
        "max_kw": connector.max_kw,
        "min_kw": connector.min_kw,
        "fallback_kw": connector.fallback_kw,
    }


def _vehicle(world: World, vehicle: Vehicle) -> dict[str, Any]:
    model, home = vehicle.model, world.fleet.connectors[vehicle.home]
    is_van = model.vehicle_class == "van"
    return {
        "vehicle_id": vehicle.vehicle_id,
        "vin": vehicle.vin,
        "source_id": "geotab-vans" if is_van else "rfms-heavy",
        "source_ref": vehicle.device_id if is_van else vehicle.vin,
        "site_id": vehicle.site_id,
        "model": model.name,
        "vehicle_class": model.vehicle_class,
        "usable_kwh": model.usable_kwh,
        "soh_pct": round(100 * vehicle.soh),
        "ac_max_kw": model.ac_max_kw,
        "dc_max_kw": model.dc_max_kw,
        "phases": model.phases,
        "taper_power_kw": model.taper_power_kw,
        "taper_knee_soc_pct": model.taper_knee_soc_pct,
        "taper_end_fraction": model.taper_end_fraction,
        "efficiency": model.efficiency,
        "reference_kwh_per_km": model.kwh_per_km,
        "home_station_id": home.station_id,
        "home_connector_id": home.connector_id,
    }


def _tokens(world: World) -> Iterable[dict[str, Any]]:
    since = format_instant(world.scenario.history_start_at - timedelta(days=1))
    for vehicle in world.fleet.vehicles:
        yield {"token": vehicle.token, "vehicle_id": vehicle.vehicle_id, "valid_from": since, "valid_to": ""}


def _assignments(world: World) -> Iterable[dict[str, Any]]:
    """Yield who drives what: one row for each run of days with the same driver, to the next day with another."""
    for vehicle in world.fleet.vehicles:
        duties = [duty for duty in world.duties if duty.vehicle is vehicle]
        runs = [(driver_id, list(run)) for driver_id, run in groupby(duties, key=lambda duty: duty.driver.driver_id)]
        starts = [run[0].operating_date for _, run in runs]
        for (driver_id, _), start, end in zip(runs, starts, [*starts[1:], None], strict=True):
            yield {
                "vehicle_id": vehicle.vehicle_id,
                "driver_id": driver_id,
                "block_id": vehicle.block.block_id,
                "valid_from": start.isoformat(),
                "valid_to": end.isoformat() if end else "",
            }


def _duty(world: World, duty: Duty) -> dict[str, Any]:
    """Return a line of duties.csv; dispatch states a target for buses and leaves the others to the platform."""
    vehicle, zone = duty.vehicle, ZoneInfo(TIMEZONE)
    is_bus = vehicle.model.vehicle_class == "bus"
    target_pct = 5 * round(20 * dispatch_target(world, vehicle, duty)) if is_bus else ""
    return {
        "block_id": vehicle.block.block_id,
        "operating_date": duty.operating_date.isoformat(),
        "site_id": vehicle.site_id,
        "vehicle_id": vehicle.vehicle_id,
        "planned_departure": duty.planned_departure_at.astimezone(zone).strftime("%Y-%m-%dT%H:%M"),
        "planned_return": duty.planned_return_at.astimezone(zone).strftime("%Y-%m-%dT%H:%M"),
        "distance_km": duty.distance_km,
        "route_id": vehicle.block.route_id,
        "min_target_soc_pct": target_pct,
    }


def _bridge(world: World, index: int, folder: Path, clock_file: Path) -> dict[str, Any]:
    site, ports = world.fleet.sites[index], world.scenario.ports
    connectors = world.fleet.connectors_of(site.site_id)
    highest_kw = max(limit_kw for _, limit_kw in site.import_limit)
    return {
        "listeners": [{"host": LOCALHOST, "port": ports.bridge_ws(index), "security_profile": 1}],
        "http": {"host": LOCALHOST, "port": ports.bridge_http(index)},
        "state_dir": str(folder.parent / f"bridge-{site.site_id}"),
        "site": {"site_id": site.site_id, "ev_limit_kw": highest_kw - SAFETY_KW},
        "groups": _groups(site),
        "clock": {"start_at": format_instant(world.scenario.live_start_at), "rate": 0, "file": str(clock_file)},
        "stations": [
            {
                "station_id": station_id,
                "password_hash": password_hash(station_id),
                "upstream": None,
                "connectors": [_bridge_connector(connector) for connector in group],
            }
            for station_id, group in groupby(connectors, key=lambda connector: connector.station_id)
        ],
    }


def _bridge_connector(connector: Connector) -> dict[str, Any]:
    return {
        "connector_id": connector.connector_id,
        "current_type": connector.current_type,
        "phases": connector.phases,
        "nominal_voltage_v": connector.nominal_voltage_v,
        "max_kw": connector.max_kw,
        "min_kw": connector.min_kw,
        "fallback_kw": connector.fallback_kw,
        "group_id": connector.group_id,
    }


def _write_yaml(path: Path, document: dict[str, Any]) -> None:
    write_text_atomic(path, yaml.safe_dump(document, sort_keys=False, width=120))


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(path, buffer.getvalue())
