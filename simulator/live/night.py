"""The live night as a loop over simulated time: people come and go, batteries charge, vehicles report.

Who comes when is the world's truth; what flows is what the charge points allow. One loop moves everything in steps of
a simulated minute, so that a held clock holds the depot and a fast one costs little.
"""

import asyncio
import heapq
import json
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from core.clock import Clock
from core.files import write_text_atomic
from core.time_grid import format_instant
from simulator.charge_point.connector import Plugged
from simulator.charge_point.station import Station
from simulator.live.site_meter import SiteMeter
from simulator.providers.telematics import ChargeRecord, Telematics
from simulator.world.bays import Stay
from simulator.world.fleet import Vehicle
from simulator.world.history import World, drive_home
from simulator.world.people import Drive
from simulator.world.telemetry import CHARGING_EVERY, PARKED_EVERY, legs_of

log = logging.getLogger(__name__)

TICK = timedelta(minutes=1)
POLL_S = 0.02
GUEST_STOP_SOC = 0.9
NIGHT_FILE = "night.json"


class Night:
    """The depot from the live start on.

    Invariants: ``reached_at`` never passes the clock; nothing happens before it is reached.
    """

    def __init__(
        self, world: World, stations: dict[str, Station], telematics: Telematics, meter: SiteMeter, folder: Path
    ) -> None:
        self._world, self._stations, self._telematics = world, stations, telematics
        self._meter, self._folder = meter, folder
        self.reached_at = world.scenario.live_start_at
        self._soc = dict(world.soc_at_live_start)
        self._plugged: dict[int, tuple[Stay, Plugged, float]] = {}
        self._reported: dict[int, tuple[datetime, float]] = {}
        self._departures: list[dict[str, Any]] = []
        self._numbers = count()
        self._events: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._schedule()

    def now(self, clock: Clock) -> datetime:
        """Return the present as providers know it: the clock, but not ahead of what has happened."""
        return min(clock.now(), self.reached_at)

    async def run(self, clock: Clock) -> None:
        """Follow the clock until cancelled."""
        while True:
            while self.reached_at + TICK <= clock.now():
                self.step()
                await asyncio.sleep(0)  # the stations' links and the APIs take their turn
            await asyncio.sleep(POLL_S)

    def step(self) -> None:
        """Move the depot on by one tick."""
        at = self.reached_at + TICK
        while self._events and self._events[0][0] <= at:
            happens_at, _, happen = heapq.heappop(self._events)
            happen(happens_at)
        for station in self._stations.values():
            station.tick(at, TICK)
        self._report_vehicles(at)
        self._telematics.release(at)
        self._meter.step(at, self._stations)
        self.reached_at = at

    def outcome(self) -> dict[str, Any]:
        """Return what became of the night so far, for tests and benchmarks: departures and the sites' peaks."""
        return {
            "schema": "depotwise.simulator.night/1",
            "reached_at": format_instant(self.reached_at),
            "departures": self._departures,
            "sites": self._meter.outcome(),
        }

    def write_outcome(self) -> None:
        """Write the outcome beside the scenario."""
        write_text_atomic(self._folder / NIGHT_FILE, json.dumps(self.outcome(), indent=1) + "\n")

    def _schedule(self) -> None:
        start, end = self._world.scenario.live_start_at, self._world.scenario.signals_end_at
        out = {driven.drive.vehicle.index for driven in self._world.homecoming}
        for vehicle in self._world.fleet.vehicles:
            if vehicle.index not in out:
                self._reported[vehicle.index] = (start, 0.0)
        for driven in self._world.homecoming:
            self._at(driven.drive.return_at, self._come_home(driven.drive.vehicle, driven.soc_after))
        for drive in self._world.drives:
            if start <= drive.departure_at:
                self._at(drive.departure_at, self._depart(drive))
        for stay in self._world.stays:
            if start <= stay.wish.plug_at < end:
                self._at(stay.wish.plug_at, self._plug(stay))
                self._at(stay.wish.unplug_at, self._unplug(stay))

    def _at(self, at: datetime, happen: Callable[[datetime], None]) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), happen))

    def _come_home(self, vehicle: Vehicle, soc: float) -> Callable[[datetime], None]:
        def happen(at: datetime) -> None:
            self._soc[vehicle.index] = soc
            self._reported[vehicle.index] = (at, 0.0)

        return happen

    def _depart(self, drive: Drive) -> Callable[[datetime], None]:
        """Let a vehicle leave with what it has; its whole way is known now, its records arrive as it drives."""

        def happen(at: datetime) -> None:
            vehicle = drive.vehicle
            driven = drive_home(drive, self._soc[vehicle.index])
            self._departures.append(
                {
                    "vehicle_id": vehicle.vehicle_id,
                    "site_id": vehicle.site_id,
                    "departure_at": format_instant(at.replace(microsecond=0)),
                    "soc_pct": round(100 * driven.soc_before, 2),
                    "needed_kwh": round(drive.energy_kwh, 2),
                    "away_kwh": round(driven.away_kwh, 2),
                }
            )
            witness = self._telematics.witnesses[vehicle.index]
            legs = witness.with_odometer(legs_of(self._world.scenario, driven))
            for sample in witness.driving(legs):
                self._telematics.observe(sample)
            if vehicle.model.vehicle_class == "van":
                self._telematics.drove(legs, driver_id=drive.duty.driver.driver_id)
            self._reported.pop(vehicle.index, None)
            self._at(drive.return_at, self._come_home(vehicle, driven.soc_after))

        return happen

    def _plug(self, stay: Stay) -> Callable[[datetime], None]:
        def happen(at: datetime) -> None:
            vehicle, guest = stay.wish.vehicle, stay.wish.guest
            soc = self._soc[vehicle.index] if vehicle else (guest.soc if guest else 0.0)
            plugged = Plugged(
                token=stay.token,
                battery=stay.battery,
                max_kw=stay.max_kw,
                phases=stay.phases,
                soc=soc,
                plugged_at=at,
                stop_soc=1.0 if vehicle else GUEST_STOP_SOC,
            )
            self._stations[stay.connector.station_id].plug_in(stay.connector.connector_id, plugged)
            if vehicle:
                self._plugged[vehicle.index] = (stay, plugged, soc)
                self._observe(vehicle, at, "plugged", power_kw=0.0)

        return happen

    def _unplug(self, stay: Stay) -> Callable[[datetime], None]:
        def happen(at: datetime) -> None:
            station, vehicle = self._stations[stay.connector.station_id], stay.wish.vehicle
            charged_kwh = station.outlets[stay.connector.connector_id].charged_kwh
            plugged = station.unplug(stay.connector.connector_id, at)
            if vehicle:
                _, _, soc_before = self._plugged.pop(vehicle.index)
                self._soc[vehicle.index] = plugged.soc
                self._observe(vehicle, at, "unplugged", power_kw=0.0)
                if vehicle.model.vehicle_class == "van" and charged_kwh > 0:
                    self._telematics.charged(_charge_record(vehicle, plugged, at, soc_before, charged_kwh))

        return happen

    def _report_vehicles(self, at: datetime) -> None:
        """Let parked and charging vehicles report when something changes, and now and then."""
        for vehicle in self._world.fleet.vehicles:
            before = self._reported.get(vehicle.index)
            if before is None:
                continue
            power_kw = self._power_kw(vehicle)
            reported_at, reported_kw = before
            idle_every = PARKED_EVERY[vehicle.model.vehicle_class]
            if (power_kw > 0) != (reported_kw > 0):
                trigger = "charging_started" if power_kw > 0 else "charging_stopped"
                self._observe(vehicle, at, trigger, power_kw=power_kw)
            elif at - reported_at >= (CHARGING_EVERY if power_kw > 0 else idle_every):
                self._observe(vehicle, at, "timer", power_kw=power_kw)

    def _power_kw(self, vehicle: Vehicle) -> float:
        if vehicle.index not in self._plugged:
            return 0.0
        connector = self._plugged[vehicle.index][0].connector
        return self._stations[connector.station_id].outlets[connector.connector_id].power_kw

    def _observe(self, vehicle: Vehicle, at: datetime, trigger: str, *, power_kw: float) -> None:
        plugged = self._plugged.get(vehicle.index)
        soc = plugged[1].soc if plugged else self._soc[vehicle.index]
        sample = self._telematics.witnesses[vehicle.index].at_depot(
            at,
            trigger,
            100 * soc,
            is_plugged=plugged is not None,
            charging_kw=vehicle.battery.losses.to_terminal_kw(power_kw) if power_kw > 0 else 0.0,
        )
        self._telematics.observe(sample)
        self._reported[vehicle.index] = (at, power_kw)


def make_stations(world: World, registers_kwh: dict[int, float]) -> dict[str, Station]:
    """Return the charge points of all sites, by id, their meters where the history left them."""
    ids: Iterable[str] = sorted({connector.station_id for connector in world.fleet.connectors})
    return {
        station_id: Station(
            station_id,
            [connector for connector in world.fleet.connectors if connector.station_id == station_id],
            registers_kwh,
        )
        for station_id in ids
    }


def _charge_record(
    vehicle: Vehicle, plugged: Plugged, at: datetime, soc_before: float, charged_kwh: float
) -> ChargeRecord:
    return ChargeRecord(
        vehicle=vehicle,
        started_at=plugged.plugged_at,
        ended_at=at,
        soc_start_pct=100 * soc_before,
        soc_end_pct=100 * plugged.soc,
        grid_kwh=charged_kwh,
        stored_kwh=(plugged.soc - soc_before) * plugged.battery.capacity_kwh,
        peak_kw=plugged.max_kw,
    )
