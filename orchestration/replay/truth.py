"""Reads the truth that a simulated depot wrote beside itself (``truth.json``); a recorded depot has none.

Nothing of it reaches a policy: it says what really happens in a replay, where landing knows it only roughly.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from core.time_grid import parse_instant
from planning.replay.batteries import BenchBattery
from planning.site_state import ConnectorKey

SCHEMA = "depotwise.simulator.truth/1"
TRACE_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Plug:
    """A plug-in as it was; ``soc_pct`` is the SoC at it and then every hour, empty where nobody knows it."""

    site_id: str
    vehicle_id: str | None
    connector: ConnectorKey
    plugged_at: datetime
    unplugged_at: datetime
    soc_pct: tuple[float, ...]

    def soc_from(self, at: datetime) -> float | None:
        """Return the SoC at an instant of the stay, or at plug-in if that is later."""
        if not self.soc_pct:
            return None
        hours = max(timedelta(0), at - self.plugged_at) / TRACE_EVERY
        return float(np.interp(hours, np.arange(len(self.soc_pct)), self.soc_pct))


@dataclass(frozen=True, slots=True)
class Truth:
    """Every plug-in, when each vehicle really left on a date's duty, and its battery."""

    plugs: tuple[Plug, ...]
    departures: dict[tuple[str, datetime], datetime]
    batteries: dict[str, BenchBattery]

    @classmethod
    def read(cls, path: Path) -> "Truth":
        """Read a truth file.

        Raises:
            ValueError: the file is none.
        """
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw.get("schema") != SCHEMA or not all("bench" in entry for entry in raw["vehicles"]):
            raise ValueError(f"{path} is no {SCHEMA} with batteries; prepare the simulated depot again")
        return cls(
            plugs=tuple(_plug(entry) for entry in raw["stays"]),
            departures={
                (entry["vehicle_id"], parse_instant(entry["planned_departure_at"])): parse_instant(
                    entry["departure_at"]
                )
                for entry in raw["drives"]
            },
            batteries={entry["vehicle_id"]: _battery(entry) for entry in raw["vehicles"]},
        )


def _plug(entry: dict[str, Any]) -> Plug:
    return Plug(
        site_id=entry["site_id"],
        vehicle_id=entry["vehicle_id"],
        connector=(entry["station_id"], entry["connector_id"]),
        plugged_at=parse_instant(entry["plug_at"]),
        unplugged_at=parse_instant(entry["unplug_at"]),
        soc_pct=tuple(entry["soc_pct"] or ()),
    )


def _battery(entry: dict[str, Any]) -> BenchBattery:
    bench = entry["bench"]
    return BenchBattery(
        capacity_kwh=entry["capacity_kwh"],
        soc=np.array(bench["soc_pct"]) / 100,
        limit_kw=np.array(bench["limit_kw"]),
        power_kw=np.array([0.0, *bench["power_kw"]]),
        stored_kw=np.array([[0.0, *row] for row in bench["stored_kw"]]),
    )
