"""Configurations and publications for the runs. Plain JSON-like data, written by hand: no code of the bridge."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core.time_grid import format_instant

Json = dict[str, Any]
TOKEN = "a token for runs on loopback only"  # noqa: S105  no secret: such bridges live for minutes
FALLBACK_KW, LEAST_KW, HARDWARE_KW = 4.2, 4.14, 22.08


def instant(epoch_s: float) -> str:
    """Return epoch seconds as text."""
    return format_instant(datetime.fromtimestamp(epoch_s, tz=UTC))


def configuration(state_dir: Path, station_ids: Iterable[str], *, limit_kw: float, **changes: Any) -> Json:  # noqa: ANN401
    """Return a ``bridge.yaml`` of stations with one post of 32 A each, on free ports of loopback."""
    connector = {
        "connector_id": 1,
        "current_type": "ac",
        "phases": 3,
        "max_kw": HARDWARE_KW,
        "min_kw": LEAST_KW,
        "fallback_kw": FALLBACK_KW,
    }
    return {
        "listeners": [{"host": "127.0.0.1", "port": 0, "security_profile": 0}],
        "http": {"host": "127.0.0.1", "port": 0},
        "state_dir": str(state_dir),
        "site": {"site_id": "north", "ev_limit_kw": limit_kw},
        "stations": [{"station_id": name, "connectors": [connector]} for name in station_ids],
        **changes,
    }


def entry(
    station_id: str,
    limits_kw: Sequence[float],
    *,
    start_s: float,
    transaction_id: str | int | None = None,
    vehicle_phases: int | None = None,
    slot: timedelta = timedelta(minutes=15),
) -> Json:
    """Return a connector's entry in a publication."""
    return {
        "station_id": station_id,
        "connector_id": 1,
        "group_id": None,
        "current_type": "ac",
        "nominal_voltage_v": 230,
        "connector_phases": 3,
        "vehicle_phases": vehicle_phases,
        "max_kw": HARDWARE_KW,
        "min_kw": LEAST_KW,
        "fallback_kw": FALLBACK_KW,
        "transaction_id": transaction_id,
        "vehicle_id": None,
        "periods": [
            {"start_at": instant(start_s + k * slot.total_seconds()), "limit_kw": limit}
            for k, limit in enumerate(limits_kw)
        ],
    }


def publication(plan_id: str, entries: Sequence[Json], *, as_of_s: float, end_s: float, limit_kw: float) -> Json:
    """Return a publication."""
    return {
        "schema": "depotwise.publication/1",
        "plan_id": plan_id,
        "site_id": "north",
        "as_of": instant(as_of_s),
        "valid_until": instant(end_s),
        "dry_run": False,
        "ev_limit_kw": [{"start_at": instant(as_of_s), "limit_kw": limit_kw}],
        "groups": [],
        "connectors": list(entries),
    }
