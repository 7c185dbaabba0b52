"""Writes prices, weather and site load as their providers' files: day-ahead table, Open-Meteo answer, meter export."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from core.files import write_text_atomic
from core.time_grid import format_instant
from simulator.output.config_folder import PRICE_ZONE
from simulator.scenario import TIMEZONE
from simulator.world.fleet import Site
from simulator.world.history import World
from simulator.world.market import QUARTER, price_series

LOAD_FILE = "site_load.csv"
LOAD_HEADER = "site_id,start_at,end_at,base_load_kw,pv_kw"


def write_signals(world: World, folder: Path) -> None:
    """Write all signal files below ``folder``, as they are known at the live start."""
    write_text_atomic(folder / "day_ahead.csv", _prices(world))
    for site in world.fleet.sites:
        write_text_atomic(folder / f"weather-{site.site_id}.json", _weather(world, site))
    write_load(world, folder / LOAD_FILE)


def write_load(world: World, path: Path) -> None:
    """Write the meters' export up to the live start."""
    lines = load_lines(world, world.scenario.history_start_at, world.scenario.live_start_at)
    write_text_atomic(path, "\n".join([LOAD_HEADER, *lines]) + "\n")


def load_lines(world: World, begin_at: datetime, end_at: datetime) -> list[str]:
    """Return the meter's quarter-hours that ended after ``begin_at`` and up to ``end_at``, by time and site."""
    first = int((begin_at - world.scenario.history_start_at) / QUARTER)
    last = int((end_at - world.scenario.history_start_at) / QUARTER)
    return [_load_line(world, site, slot) for slot in range(first, last) for site in world.fleet.sites]


def _load_line(world: World, site: Site, slot: int) -> str:
    load = world.loads[site.site_id]
    start_at = load.start_at + slot * QUARTER
    instants = f"{format_instant(start_at)},{format_instant(start_at + QUARTER)}"
    return f"{site.site_id},{instants},{load.base_kw[slot]:.2f},{load.pv_kw[slot]:.2f}"


def _prices(world: World) -> str:
    zone = ZoneInfo(TIMEZONE)
    lines = ["Country,Datetime (UTC),Datetime (Local),Price (EUR/MWhe)"]
    for at, price in price_series(world.scenario):
        lines.append(f"{PRICE_ZONE},{at:%Y-%m-%d %H:%M:%S},{at.astimezone(zone):%Y-%m-%d %H:%M:%S},{price:.2f}")
    return "\n".join(lines) + "\n"


def _weather(world: World, site: Site) -> str:
    """Return an Open-Meteo answer: what was observed up to the live start, and the forecast after it."""
    weather = world.weather[site.site_id]
    hours = [weather.start_at + timedelta(hours=k) for k in range(len(weather.known_c))]
    answer = {
        "latitude": round(site.place.latitude, 2),
        "longitude": round(site.place.longitude, 2),
        "elevation": 38.0,
        "generationtime_ms": 0.21,
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "timezone_abbreviation": "GMT",
        "hourly_units": {"time": "iso8601", "temperature_2m": "°C"},
        "hourly": {
            "time": [f"{at:%Y-%m-%dT%H:%M}" for at in hours],
            "temperature_2m": [float(value) for value in weather.known_c],
        },
    }
    return json.dumps(answer, ensure_ascii=False) + "\n"
