"""Writes ``truth.json``: what really happened and will happen, for tests, benchmarks and replays alone."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from core.files import write_text_atomic
from core.time_grid import format_instant
from simulator.world.battery import Battery
from simulator.world.bays import Stay
from simulator.world.charging import Session
from simulator.world.history import Driven, World
from simulator.world.people import Drive

BENCH_SOC_PCT = tuple(range(0, 101, 5))
BENCH_POWER_SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
TRACE_EVERY_STEPS = 12
"""A stay's SoC is written every hour."""


def write_truth(world: World, path: Path) -> None:
    """Write drives, plug-ins, what every battery takes on a test bench, and the SoC at the live start."""
    driven = {_key(one.drive): one for one in world.driven}
    sessions = {id(session.stay): session for session in world.sessions}
    truth = {
        "schema": "depotwise.simulator.truth/1",
        "vehicles": [
            {
                "vehicle_id": vehicle.vehicle_id,
                "capacity_kwh": round(vehicle.battery.capacity_kwh, 3),
                "bench": _bench(vehicle.battery, vehicle.max_kw),
                "soc_at_live_start_pct": round(100 * world.soc_at_live_start[vehicle.index], 3),
            }
            for vehicle in world.fleet.vehicles
        ],
        "drives": [_drive(drive, driven.get(_key(drive))) for drive in world.drives],
        "stays": [_stay(stay, sessions.get(id(stay))) for stay in world.stays],
    }
    write_text_atomic(path, json.dumps(truth, separators=(",", ":")) + "\n")


def _drive(drive: Drive, driven: Driven | None) -> dict[str, Any]:
    return {
        "vehicle_id": drive.vehicle.vehicle_id,
        "block_id": drive.vehicle.block.block_id,
        "driver_id": drive.duty.driver.driver_id,
        "operating_date": drive.duty.operating_date.isoformat(),
        "planned_departure_at": _at(drive.duty.planned_departure_at),
        "planned_return_at": _at(drive.duty.planned_return_at),
        "departure_at": _at(drive.departure_at),
        "return_at": _at(drive.return_at),
        "distance_km": round(drive.distance_km, 3),
        "energy_kwh": round(drive.energy_kwh, 4),
        "expected_kwh": round(drive.expected_kwh, 4),
        "residual_lateness_min": round(drive.residual_min, 2),
        "soc_at_departure_pct": round(100 * driven.soc_before, 3) if driven else None,
        "soc_at_arrival_pct": round(100 * driven.soc_after, 3) if driven else None,
        "away_kwh": round(driven.away_kwh, 4) if driven else None,
    }


def _bench(battery: Battery, max_kw: float) -> dict[str, Any]:
    """Return what a test bench would find: the grid power that the battery takes, and what of a power is stored."""
    shares = [soc_pct / 100 for soc_pct in BENCH_SOC_PCT]
    powers = [share * max_kw for share in BENCH_POWER_SHARES]
    return {
        "soc_pct": list(BENCH_SOC_PCT),
        "limit_kw": [round(battery.grid_limit_kw(min(soc, 0.9999)), 4) for soc in shares],
        "power_kw": [round(power, 4) for power in powers],
        "stored_kw": [
            [round(battery.stored_kw(soc, battery.losses.to_terminal_kw(power)), 4) for power in powers]
            for soc in shares
        ],
    }


def _stay(stay: Stay, session: Session | None) -> dict[str, Any]:
    """Return a plug-in; ``soc_pct`` is the SoC at it and then every hour, NULL where the history has not come to it."""
    vehicle = stay.wish.vehicle
    return {
        "site_id": stay.wish.site_id,
        "vehicle_id": vehicle.vehicle_id if vehicle else None,
        "station_id": stay.connector.station_id,
        "connector_id": stay.connector.connector_id,
        "is_own_bay": bool(vehicle and vehicle.home == stay.connector.index),
        "plug_at": _at(stay.wish.plug_at),
        "unplug_at": _at(stay.wish.unplug_at),
        "soc_pct": _trace(session) if session else None,
    }


def _trace(session: Session) -> list[float]:
    hourly = session.socs[TRACE_EVERY_STEPS - 1 :: TRACE_EVERY_STEPS]
    return [round(100 * soc, 2) for soc in (session.soc_at_plug, *hourly)]


def _key(drive: Drive) -> tuple[str, str]:
    return drive.vehicle.vehicle_id, drive.duty.operating_date.isoformat()


def _at(instant: datetime) -> str:
    return format_instant(instant.replace(microsecond=0))
