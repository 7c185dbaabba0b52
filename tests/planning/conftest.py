"""Small depots made by hand, and the public planning benchmark where it is there."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from planning.documents import problem_from_record
from planning.model import Problem

Record = dict[str, Any]


def vehicle_record(name: str = "van-01", **changes: object) -> Record:
    return {
        "vehicle_id": name,
        "arrival_slot": 0,
        "departure_slot": 8,
        "battery_kwh": 60.0,
        "start_soc_pct": 50.0,
        "required_soc_pct": 70.0,
        "current_type": "ac",
        "max_power_kw": 11.0,
        "min_power_kw": 4.14,
        "taper_power_kw": 11.0,
        "taper_knee_soc_pct": 95.0,
        "taper_end_fraction": 0.2,
        "efficiency": 0.9,
        "priority": 1,
        "plugged_connector": None,
        "transaction_id": None,
        **changes,
    }


def connector_record(index: int, **changes: object) -> Record:
    return {
        "index": index,
        "station_id": f"CP-{index}",
        "connector_id": 1,
        "current_type": "ac",
        "max_kw": 22.0,
        "group_id": None,
        **changes,
    }


def problem_record(vehicles: list[Record], *, slots: int = 8, **changes: object) -> Record:
    return {
        "schema": "depotwise.planning_problem/1",
        "site_id": "north",
        "currency": "EUR",
        "start_at": "2026-02-10T18:00:00Z",
        "slot_minutes": 15,
        "slots": slots,
        "grid_limit_kw": [100.0] * slots,
        "base_load_kw": [10.0] * slots,
        "pv_kw": [0.0] * slots,
        "price_per_kwh": [0.2] * slots,
        "feed_in_per_kwh": 0.05,
        "demand_charges": [{"name": "month", "price_per_kw": 10.0, "so_far_kw": 30.0, "slots": None}],
        "shortfall_price_per_kwh": 100.0,
        "battery": None,
        "connectors": None,
        "groups": [],
        "enforce_min_power": False,
        "vehicles": vehicles,
        **changes,
    }


@pytest.fixture(scope="session")
def records() -> SimpleNamespace:
    """Makers of JSON objects: ``vehicle``, ``connector`` and ``problem``, each with changes by keyword."""
    return SimpleNamespace(vehicle=vehicle_record, connector=connector_record, problem=problem_record)


@pytest.fixture(scope="session")
def depot() -> Callable[..., Problem]:
    """Make a problem of some vehicles (dictionaries of changes) and of changes to the site."""

    def make(*vehicles: Record, **changes: object) -> Problem:
        named = [vehicle_record(f"van-{row:02d}", **vehicle) for row, vehicle in enumerate(vehicles)]
        return problem_from_record(problem_record(named, **changes))

    return make


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"planbench_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def bench(shared_dir: Path) -> SimpleNamespace:
    """The public benchmark's scripts as modules: ``generate``, ``reference`` and ``check``."""
    folder = shared_dir / "planbench"
    return SimpleNamespace(**{name: _load(folder / f"{name}.py") for name in ("generate", "reference", "check")})
