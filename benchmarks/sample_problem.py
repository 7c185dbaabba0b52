"""Small ``planning_problem/1`` documents made by hand: the one place that pictures and tests take them from."""

from typing import Any

Record = dict[str, Any]


def vehicle_record(name: str = "van-01", **changes: object) -> Record:
    """Return a van that needs a fifth of its 60 kWh within two hours, with changes."""
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
    """Return an AC connector of 22 kW, with changes."""
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
    """Return a site of 100 kW with 10 kW of other load, one price and one demand charge, with changes."""
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
