"""The sites' own meters during the live night: they append quarter-hours of other load, and remember the truth."""

from datetime import datetime
from pathlib import Path
from typing import Any

from simulator.charge_point.station import Station
from simulator.output.signals import load_lines, write_load
from simulator.world.history import World
from simulator.world.market import QUARTER


class SiteMeter:
    """Follows the night tick by tick; the load file, begun anew, grows by a line per site and quarter-hour."""

    def __init__(self, world: World, load_file: Path) -> None:
        self._world, self._load_file = world, load_file
        write_load(world, load_file)
        self._written_to = world.scenario.live_start_at
        self._site_of = {connector.station_id: connector.site_id for connector in world.fleet.connectors}
        self._peak_kw = {site.site_id: 0.0 for site in world.fleet.sites}
        self._over_limit_min = dict.fromkeys(self._peak_kw, 0)
        self._energy_kwh = dict.fromkeys(self._peak_kw, 0.0)

    def step(self, at: datetime, stations: dict[str, Station]) -> None:
        """Take one tick of a minute in."""
        power_kw = dict.fromkeys(self._peak_kw, 0.0)
        for station in stations.values():
            power_kw[self._site_of[station.station_id]] += station.power_kw()
        local = at.astimezone(self._world.zone)
        for site in self._world.fleet.sites:
            vehicles_kw = power_kw[site.site_id]
            import_kw = vehicles_kw + self._world.loads[site.site_id].base_load_kw(at)
            self._peak_kw[site.site_id] = max(self._peak_kw[site.site_id], import_kw)
            self._energy_kwh[site.site_id] += vehicles_kw / 60
            is_over = import_kw > site.import_limit_kw(local.hour * 60 + local.minute) + 1e-6
            self._over_limit_min[site.site_id] += int(is_over)
        if at - self._written_to >= QUARTER:
            self._append(at)

    def outcome(self) -> list[dict[str, Any]]:
        """Return the night's peaks, for tests and benchmarks."""
        return [
            {
                "site_id": site_id,
                "peak_import_kw": round(peak_kw, 2),
                "minutes_over_limit": self._over_limit_min[site_id],
                "vehicles_kwh": round(self._energy_kwh[site_id], 2),
            }
            for site_id, peak_kw in self._peak_kw.items()
        ]

    def _append(self, at: datetime) -> None:
        end_at = self._written_to + (at - self._written_to) // QUARTER * QUARTER
        lines = load_lines(self._world, self._written_to, end_at)
        with self._load_file.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        self._written_to = end_at
