"""What the simulator says of the depot it made: where its files are, when its night begins and ends."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

from core.time_grid import parse_instant


@dataclass(frozen=True, slots=True)
class Scenario:
    """A prepared depot: its folder and the live night."""

    folder: Path
    start_at: datetime
    end_at: datetime
    zone: ZoneInfo

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``python -m simulator prepare`` wrote."""
        raw = json.loads((folder / "scenario.json").read_text(encoding="utf-8"))
        zone = ZoneInfo(raw["timezone"])
        return cls(folder, parse_instant(raw["start_at"]), parse_instant(raw["end_at"]), zone)

    @property
    def config_dir(self) -> Path:
        """The configuration that the simulator wrote."""
        return self.folder / "config"

    @property
    def clock_file(self) -> Path:
        """The file that all clocks follow."""
        return self.folder / "clock.json"

    @property
    def bridge_configs(self) -> list[Path]:
        """The bridges' configurations, one per site."""
        return sorted(self.config_dir.glob("bridge-*.yaml"))
