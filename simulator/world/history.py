"""The world of a scenario: everything that is true, and the history of charging before the live night.

Drives and plug-ins come from ``people`` and ``bays``; here the batteries are carried through all of it, so that the
SoC before, plus what was charged, less what was driven, is always the SoC after.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar
from zoneinfo import ZoneInfo

from simulator.scenario import TIMEZONE, Scenario
from simulator.world.bays import Stay, make_stays
from simulator.world.chance import share
from simulator.world.charging import STEP, Session, by_departure, charge_step
from simulator.world.fleet import Fleet, Site, Vehicle, build_fleet, required_share
from simulator.world.fleet_catalogue import winter_factor
from simulator.world.market import SiteLoad, make_site_load
from simulator.world.people import Drive, Duty, make_drives, make_duties
from simulator.world.weather import Weather, make_weather

T = TypeVar("T")
SAFETY_KW = 2.0
EMPTY_SOC = 0.04  # below it a vehicle goes to a public charger before it comes home
PARKED_TARGET = 0.80
STARTING_SOC = 0.85


@dataclass(frozen=True, slots=True)
class Driven:
    """A drive with the battery's side of it; ``away_kwh`` was charged on the way, because the tour needed it."""

    drive: Drive
    soc_before: float
    soc_after: float
    away_kwh: float


@dataclass(frozen=True)
class World:
    """A scenario's truth. ``drives`` reach to the morning after the live night, ``driven`` to the live start."""

    scenario: Scenario
    fleet: Fleet
    weather: dict[str, Weather]
    loads: dict[str, SiteLoad]
    duties: list[Duty]
    drives: list[Drive]
    stays: list[Stay]
    sessions: list[Session] = field(default_factory=list)
    driven: list[Driven] = field(default_factory=list)
    soc_at_live_start: dict[int, float] = field(default_factory=dict)

    @cached_property
    def homecoming(self) -> list[Driven]:
        """Drives that are going on at the live start, to their end."""
        start = self.scenario.live_start_at
        return [
            drive_home(drive, self.soc_at_live_start[drive.vehicle.index])
            for drive in self.drives
            if drive.departure_at < start <= drive.return_at
        ]

    @cached_property
    def zone(self) -> ZoneInfo:
        """The depots' time zone."""
        return ZoneInfo(TIMEZONE)

    def vehicles_limit_kw(self, site: Site, at: datetime) -> float:
        """Return what all vehicles together may draw: the import limit less other load and a margin."""
        local = at.astimezone(self.zone)
        import_kw = site.import_limit_kw(local.hour * 60 + local.minute)
        return max(0.0, import_kw - self.loads[site.site_id].base_load_kw(at) - SAFETY_KW)


def build_world(scenario: Scenario) -> World:
    """Build the scenario's world and run its history."""
    fleet = build_fleet(scenario)
    weather = {site.site_id: make_weather(scenario, site.site_id) for site in fleet.sites}
    loads = {site.site_id: make_site_load(scenario, site) for site in fleet.sites}
    dates = scenario.dates
    duties = make_duties(scenario, fleet, [*dates, dates[-1] + timedelta(days=1)])
    drives = [drive for drive in make_drives(scenario, duties, weather) if drive.duty.operating_date <= dates[-1]]
    stays = make_stays(scenario, fleet, duties, drives)
    world = World(scenario, fleet, weather, loads, duties, drives, stays)
    for site in fleet.sites:
        _run_site(world, site)
    return world


def dispatch_target(world: World, vehicle: Vehicle, duty: Duty | None) -> float:
    """Return the SoC (0 to 1) that dispatch asks for a duty, from nominal figures and the winter's usual cold."""
    if duty is None:
        return PARKED_TARGET
    energy_kwh = duty.distance_km * vehicle.model.kwh_per_km * winter_factor(vehicle.model.vehicle_class)
    return required_share(energy_kwh, vehicle.model.usable_kwh * vehicle.soh, world.scenario.difficulty)


def _run_site(world: World, site: Site) -> None:
    """Run the history of one site up to the live start, in steps."""
    scenario = world.scenario
    soc = {vehicle.index: STARTING_SOC for vehicle in world.fleet.vehicles_of(site.site_id)}
    returns = _by_step(scenario, [(drive.return_at, drive) for drive in world.drives if drive.vehicle.index in soc])
    plugs = _by_step(scenario, [(stay.wish.plug_at, stay) for stay in world.stays if stay.wish.site_id == site.site_id])
    groups = dict(site.groups)
    active: list[Session] = []
    for step in range(_step_of(scenario, scenario.live_start_at) + 1):
        at = scenario.history_start_at + step * STEP
        active = [session for session in active if session.last_step > step]
        for drive in returns.get(step, ()):
            _bring_home(world, drive, soc)
        for stay in plugs.get(step, ()):
            active.append(_plug_in(world, stay, step, soc))
        if at >= scenario.live_start_at:
            break
        if active:
            limit_kw = world.vehicles_limit_kw(site, at)
            ready = [session for session in active if session.first_step <= step]
            charge_step(ready, at=at, limit_kw=limit_kw, group_limits_kw=groups, rule=by_departure)
            soc.update(
                (session.stay.wish.vehicle.index, session.soc) for session in active if session.stay.wish.vehicle
            )
    world.soc_at_live_start.update(soc)
    world.sessions.sort(key=lambda session: (session.stay.wish.plug_at, session.stay.connector.index))


def _bring_home(world: World, drive: Drive, soc: dict[int, float]) -> None:
    driven = drive_home(drive, soc[drive.vehicle.index])
    soc[drive.vehicle.index] = driven.soc_after
    world.driven.append(driven)


def drive_home(drive: Drive, soc_before: float) -> Driven:
    """Return the battery's side of a drive; a tour that is too long for the battery charges on the way."""
    capacity_kwh = drive.vehicle.battery.capacity_kwh
    after = soc_before - drive.energy_kwh / capacity_kwh
    away_kwh = max(0.0, (EMPTY_SOC - after) * capacity_kwh)
    return Driven(drive, soc_before, after + away_kwh / capacity_kwh, away_kwh)


def _plug_in(world: World, stay: Stay, step: int, soc: dict[int, float]) -> Session:
    scenario, wish = world.scenario, stay.wish
    vehicle = wish.vehicle
    begin = soc[vehicle.index] if vehicle else (wish.guest.soc if wish.guest else 0.0)
    # Drivers round up: the load manager is told a little more than the duty needs.
    extra = 0.08 * share(scenario.seed, "target", step, stay.connector.index)
    target = min(1.0, dispatch_target(world, vehicle, wish.next_duty) + extra) if vehicle else 0.9
    session = Session(
        stay=stay,
        first_step=step + 1,  # it takes a moment until energy flows
        last_step=max(step + 2, _step_of(scenario, wish.unplug_at)),
        soc=begin,
        soc_at_plug=begin,
        target=target,
        deadline_at=wish.next_duty.planned_departure_at if wish.next_duty else wish.unplug_at,
    )
    world.sessions.append(session)
    return session


def _by_step(scenario: Scenario, items: Iterable[tuple[datetime, T]]) -> dict[int, list[T]]:
    found: dict[int, list[T]] = defaultdict(list)
    for instant, item in items:
        found[_step_of(scenario, instant)].append(item)
    return found


def _step_of(scenario: Scenario, instant: datetime) -> int:
    return int((instant - scenario.history_start_at) / STEP)
