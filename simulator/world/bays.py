"""Who is plugged in where and when: parking, the yard's routine, forgotten plugs, wrong bays, guests.

The yard routine unplugs on working days between 10:00 and 11:00 whatever stands at a charger (washing, inspection,
moving) and plugs it in again from 15:30. It is also why no transaction runs when the live night starts at 12:30.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TypeVar

from core.time_grid import local_date, local_instant
from simulator.scenario import LIVE_DATE, TIMEZONE, Scenario
from simulator.world.battery import ON_BOARD_CHARGER, Battery
from simulator.world.chance import share, stream
from simulator.world.fleet import Connector, Fleet, Vehicle
from simulator.world.people import MINUTE, Drive, Duty, days_between

T = TypeVar("T", Duty, Drive)


@dataclass(frozen=True, slots=True)
class Guest:
    """A visitor's van that nobody planned."""

    token: str
    battery: Battery
    max_kw: float
    soc: float


@dataclass(frozen=True, slots=True)
class Wish:
    """A vehicle or guest that wants to be plugged in for a while; ``next_duty`` is what it must be ready for."""

    site_id: str
    vehicle: Vehicle | None
    guest: Guest | None
    plug_at: datetime
    unplug_at: datetime
    next_duty: Duty | None


@dataclass(frozen=True, slots=True)
class Stay:
    """A wish that found its connector."""

    wish: Wish
    connector: Connector

    @property
    def token(self) -> str:
        """The idTag that is held before the reader."""
        return self.wish.vehicle.token if self.wish.vehicle else _guest(self.wish).token

    @property
    def battery(self) -> Battery:
        """The battery behind the plug."""
        return self.wish.vehicle.battery if self.wish.vehicle else _guest(self.wish).battery

    @property
    def max_kw(self) -> float:
        """Grid-side power that vehicle and connector can carry."""
        vehicle_kw = self.wish.vehicle.max_kw if self.wish.vehicle else _guest(self.wish).max_kw
        return min(vehicle_kw, self.connector.max_kw)

    @property
    def phases(self) -> int:
        """Phases that carry current."""
        return self.wish.vehicle.phases if self.wish.vehicle else 3

    @property
    def min_kw(self) -> float:
        """Least power above zero: 6 A on the phases in use, or the cabinet's minimum."""
        return self.connector.min_kw * self.phases / 3 if self.connector.current_type == "ac" else self.connector.min_kw


def make_stays(scenario: Scenario, fleet: Fleet, duties: list[Duty], drives: list[Drive]) -> list[Stay]:
    """Return all plug-ins from the history's start to beyond the live night, by time."""
    wishes = [
        wish
        for vehicle in fleet.vehicles
        for wish in _wishes(scenario, vehicle, _of(duties, vehicle), _of(drives, vehicle))
    ]
    wishes += [guest for site in fleet.sites for guest in _guests(scenario, site.site_id)]
    return _park(scenario, fleet, sorted(wishes, key=lambda wish: (wish.plug_at, wish.unplug_at)))


def _of(items: list[T], vehicle: Vehicle) -> list[T]:
    return [item for item in items if item.vehicle is vehicle]


def _wishes(scenario: Scenario, vehicle: Vehicle, duties: list[Duty], drives: list[Drive]) -> Iterator[Wish]:
    """Yield when a vehicle is plugged in between its drives."""
    forever = scenario.signals_end_at + timedelta(days=1)
    returns = [scenario.history_start_at, *(drive.return_at for drive in drives)]
    departures = [*(drive.departure_at for drive in drives), forever]
    for back_at, leave_at in zip(returns, departures, strict=True):
        upcoming = next((duty for duty in duties if duty.planned_departure_at > back_at + 30 * MINUTE), None)
        for plug_at, unplug_at in _pieces(scenario, vehicle, back_at, leave_at):
            yield Wish(vehicle.site_id, vehicle, None, plug_at, unplug_at, upcoming)


def _pieces(
    scenario: Scenario, vehicle: Vehicle, back_at: datetime, leave_at: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the plugged-in pieces of a parking time, cut by the yard routine."""
    chance = stream(scenario.seed, "plug", vehicle.vehicle_id, back_at.isoformat())
    plug_at = _after_live_start(scenario, back_at + float(chance.uniform(3, 12)) * MINUTE)
    is_forgotten = bool(chance.uniform() < scenario.difficulty.forgotten_plug_share)
    end_at = leave_at - float(chance.uniform(2, 8)) * MINUTE
    for day in days_between(
        local_date(back_at, TIMEZONE), min(local_date(leave_at, TIMEZONE), LIVE_DATE + timedelta(days=1))
    ):
        pause_at, resume_at = (moment + 60 * float(chance.uniform()) * MINUTE for moment in _yard_routine(day))
        if day.weekday() >= 5 or pause_at >= end_at or plug_at >= resume_at:
            continue
        if not is_forgotten and plug_at < pause_at:
            yield plug_at, pause_at
        is_forgotten = False
        plug_at = max(plug_at, resume_at)
    if not is_forgotten and end_at - plug_at > 15 * MINUTE:
        yield plug_at, end_at


def _yard_routine(day: date) -> tuple[datetime, datetime]:
    return local_instant(day, time(10), TIMEZONE), local_instant(day, time(15, 30), TIMEZONE)


def _after_live_start(scenario: Scenario, plug_at: datetime) -> datetime:
    """Return the plug-in, moved behind the live start when it falls between the yard routine and it."""
    begin = scenario.live_start_at
    return begin + (plug_at - begin) % (20 * MINUTE) + 5 * MINUTE if begin - 150 * MINUTE < plug_at < begin else plug_at


def _guests(scenario: Scenario, site_id: str) -> Iterator[Wish]:
    """Yield the site's guests: now and then in history, and one at the first site on the live night."""
    for day in scenario.dates[:-1]:
        chance = stream(scenario.seed, "guest", site_id, day)
        is_planted = day == LIVE_DATE and site_id == "north"
        if not is_planted and chance.uniform() >= scenario.difficulty.guest_share:
            continue
        plug_at = local_instant(day, time(16, 30), TIMEZONE) + float(chance.uniform(0, 150)) * MINUTE
        token = f"99{int(share(scenario.seed, 'guest', site_id, day) * 16**12):012X}"
        battery = Battery(58.0, ON_BOARD_CHARGER.to_terminal_kw(11.04), ON_BOARD_CHARGER)
        guest = Guest(token, battery, 11.04, float(chance.uniform(0.25, 0.6)))
        yield Wish(site_id, None, guest, plug_at, plug_at + float(chance.uniform(90, 240)) * MINUTE, None)


def _park(scenario: Scenario, fleet: Fleet, wishes: list[Wish]) -> list[Stay]:
    """Give every wish a connector in order of time: the own bay, unless it is taken or another looks nicer."""
    stays: list[Stay] = []
    busy_until: dict[int, datetime] = {}
    for wish in wishes:
        fitting = [
            connector
            for connector in fleet.connectors_of(wish.site_id)
            if connector.current_type == (wish.vehicle.current_type if wish.vehicle else "ac")
        ]
        free = [bay for bay in fitting if busy_until.get(bay.index, wish.plug_at) <= wish.plug_at]
        if not free:
            continue
        chosen = _choose(scenario, wish, free)
        busy_until[chosen.index] = wish.unplug_at + MINUTE
        stays.append(Stay(wish, chosen))
    return stays


def _choose(scenario: Scenario, wish: Wish, free: list[Connector]) -> Connector:
    home = next((bay for bay in free if wish.vehicle and bay.index == wish.vehicle.home), None)
    label = wish.vehicle.vehicle_id if wish.vehicle else "guest"
    chance = stream(scenario.seed, "bay", label, wish.plug_at.isoformat())
    is_planted = wish.vehicle is not None and _is_planted_elsewhere(wish.vehicle, wish.plug_at)
    is_elsewhere = is_planted or chance.uniform() < scenario.difficulty.wrong_bay_share
    others = [bay for bay in free if bay is not home]
    if home is not None and not (is_elsewhere and others):
        return home
    return others[int(chance.integers(len(others)))]


def _is_planted_elsewhere(vehicle: Vehicle, plug_at: datetime) -> bool:
    """Say whether this is the one wrong bay that the live night always has: the first van's."""
    return vehicle.vehicle_id == "N-VAN-01" and local_date(plug_at, TIMEZONE) == LIVE_DATE


def _guest(wish: Wish) -> Guest:
    if wish.guest is None:
        raise ValueError("a wish is a vehicle's or a guest's")
    return wish.guest
