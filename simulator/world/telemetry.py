"""What a vehicle could say of itself at an instant, whoever passes it on: samples along drives, stays and parking.

Providers (``simulator.providers``) decide which samples they publish, when they have received them and in what words.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import NamedTuple

from simulator.scenario import Scenario
from simulator.world.chance import stream
from simulator.world.charging import STEP, Session
from simulator.world.fleet import Site, Vehicle
from simulator.world.history import EMPTY_SOC, STARTING_SOC, Driven, World

DRIVING_EVERY = timedelta(minutes=10)
CHARGING_EVERY = timedelta(minutes=30)
PARKED_EVERY = {"van": timedelta(hours=4), "truck": timedelta(hours=1), "bus": timedelta(hours=1)}
SPEED_KMH = {"van": 32.0, "truck": 42.0, "bus": 17.0}
KM_PER_DEGREE = 111.2


class Sample(NamedTuple):
    """A vehicle's true state at an instant. ``charging_kw`` is at the battery's terminals."""

    at: datetime
    vehicle: Vehicle
    trigger: str
    soc_pct: float
    odometer_km: float
    energy_used_kwh: float
    latitude: float
    longitude: float
    speed_kmh: float
    heading_deg: int
    ambient_c: float
    is_plugged: bool
    charging_kw: float


class Leg(NamedTuple):
    """A drive from ignition on to off; ``soc_*`` in percent, ``start_share`` and ``end_share`` of the day's way."""

    vehicle: Vehicle
    started_at: datetime
    ended_at: datetime
    distance_km: float
    energy_kwh: float
    soc_start_pct: float
    soc_end_pct: float
    start_share: float
    end_share: float
    day_km: float
    away_kwh: float
    odometer_end_km: float = 0.0


@dataclass(slots=True)
class Counters:
    """A vehicle's running counters."""

    odometer_km: float
    energy_used_kwh: float


def starting_counters(vehicle: Vehicle) -> Counters:
    """Return the counters at the history's start."""
    return Counters(vehicle.odometer_km, vehicle.odometer_km * vehicle.model.kwh_per_km * 1.1)


def legs_of(scenario: Scenario, driven: Driven) -> list[Leg]:
    """Split a drive into legs with stops between them; distance, energy and SoC add up to the drive's."""
    drive, vehicle = driven.drive, driven.drive.vehicle
    chance = stream(scenario.seed, "legs", vehicle.vehicle_id, drive.duty.operating_date)
    count = vehicle.block.legs
    shares = chance.dirichlet([8.0] * count)
    whole = drive.return_at - drive.departure_at
    hours = drive.distance_km / SPEED_KMH[vehicle.model.vehicle_class]
    driving = min(timedelta(hours=hours), 0.85 * whole)
    stop = (whole - driving) / max(1, count - 1)
    legs: list[Leg] = []
    begin_at, covered, soc = drive.departure_at, 0.0, driven.soc_before
    for number, share_of_way in enumerate(shares.tolist()):
        is_last = number == count - 1
        end_at = drive.return_at if is_last else begin_at + driving * share_of_way
        energy_kwh = drive.energy_kwh * share_of_way
        after = soc - energy_kwh / vehicle.battery.capacity_kwh
        bounded = max(after, min(soc, EMPTY_SOC))
        legs.append(
            Leg(
                vehicle, begin_at, end_at, drive.distance_km * share_of_way, energy_kwh, 100 * soc, 100 * bounded,
                covered, 1.0 if is_last else covered + share_of_way, drive.distance_km,
                (bounded - after) * vehicle.battery.capacity_kwh,
            )
        )  # fmt: skip
        begin_at, covered, soc = end_at + stop, covered + share_of_way, bounded
    return legs


def position(site: Site, vehicle: Vehicle, share_of_way: float, day_km: float) -> tuple[float, float]:
    """Return latitude and longitude at a share of the day's way: out on the block's bearing and back."""
    reach_km = min(day_km / 2.6, 45.0) * (1 - abs(2 * share_of_way - 1))
    bearing = math.radians(vehicle.block.bearing_deg)
    latitude = site.place.latitude + reach_km * math.cos(bearing) / KM_PER_DEGREE
    stretch = KM_PER_DEGREE * math.cos(math.radians(site.place.latitude))
    return round(latitude, 6), round(site.place.longitude + reach_km * math.sin(bearing) / stretch, 6)


class Witness:
    """Makes samples of one vehicle, one stretch of its life after another, and keeps its counters."""

    def __init__(self, world: World, vehicle: Vehicle) -> None:
        self._world = world
        self._vehicle = vehicle
        self._site = next(site for site in world.fleet.sites if site.site_id == vehicle.site_id)
        self.counters = starting_counters(vehicle)

    def at_depot(
        self, at: datetime, trigger: str, soc_pct: float, *, is_plugged: bool = False, charging_kw: float = 0.0
    ) -> Sample:
        """Return the sample of a vehicle that stands at its depot."""
        place = self._site.place
        return Sample(
            at, self._vehicle, trigger, soc_pct, self.counters.odometer_km, self.counters.energy_used_kwh,
            place.latitude, place.longitude, 0.0, 0, self._ambient(at), is_plugged, charging_kw,
        )  # fmt: skip

    def place_at_end(self, leg: Leg) -> tuple[float, float]:
        """Return latitude and longitude of a leg's end."""
        return position(self._site, self._vehicle, leg.end_share, leg.day_km)

    def with_odometer(self, legs: list[Leg]) -> list[Leg]:
        """Return legs that are about to be driven, with the odometer at their ends."""
        ends = accumulate((leg.distance_km for leg in legs), initial=self.counters.odometer_km)
        return [leg._replace(odometer_end_km=end) for leg, end in zip(legs, list(ends)[1:], strict=True)]

    def driving(self, legs: list[Leg]) -> Iterator[Sample]:
        """Yield samples along the legs and advance the counters."""
        for leg in legs:
            yield self._on_the_way(leg, 0.0, "ignition_on", 0.0)
            steps = int((leg.ended_at - leg.started_at) / DRIVING_EVERY)
            for k in range(1, steps + 1):
                progress = k * DRIVING_EVERY / (leg.ended_at - leg.started_at)
                if progress < 1:
                    yield self._on_the_way(leg, progress, "timer", self._speed_kmh(leg))
            yield self._on_the_way(leg, 1.0, "ignition_off", 0.0)
            self.counters.odometer_km += leg.distance_km
            self.counters.energy_used_kwh += leg.energy_kwh

    def parked(self, begin_at: datetime, end_at: datetime, soc_pct: float) -> Iterator[Sample]:
        """Yield the sparse samples of a vehicle that stands unplugged."""
        every = PARKED_EVERY[self._vehicle.model.vehicle_class]
        for k in range(1, int((end_at - begin_at) / every) + 1):
            yield self.at_depot(begin_at + k * every, "timer", soc_pct)

    def charging(self, session: Session, start_at: datetime) -> Iterator[Sample]:
        """Yield the samples of a finished stay at a charger; ``start_at`` is the instant of step 0."""
        wish, losses = session.stay.wish, session.stay.battery.losses
        yield self.at_depot(wish.plug_at, "plugged", 100 * session.soc_at_plug, is_plugged=True)
        power_kw, next_at = 0.0, wish.plug_at + CHARGING_EVERY
        for k, (grid_kw, soc) in enumerate(zip(session.powers_kw, session.socs, strict=True)):
            at = start_at + (session.first_step + k + 1) * STEP
            if at >= wish.unplug_at:
                break
            trigger = _charging_trigger(power_kw, grid_kw)
            if trigger != "timer" or at >= next_at:
                terminal_kw = losses.to_terminal_kw(grid_kw)
                yield self.at_depot(at, trigger, 100 * soc, is_plugged=True, charging_kw=terminal_kw)
                idle_every = PARKED_EVERY[self._vehicle.model.vehicle_class]
                next_at = at + (CHARGING_EVERY if grid_kw > 0 else idle_every)
            power_kw = grid_kw
        yield self.at_depot(wish.unplug_at, "unplugged", 100 * session.soc)

    def _on_the_way(self, leg: Leg, progress: float, trigger: str, speed_kmh: float) -> Sample:
        share_of_way = leg.start_share + progress * (leg.end_share - leg.start_share)
        at = leg.started_at + progress * (leg.ended_at - leg.started_at)
        soc_pct = leg.soc_start_pct + progress * (leg.soc_end_pct - leg.soc_start_pct)
        outbound = self._vehicle.block.bearing_deg + (180 if share_of_way > 0.5 else 0)
        return Sample(
            at, self._vehicle, trigger, soc_pct,
            self.counters.odometer_km + progress * leg.distance_km,
            self.counters.energy_used_kwh + progress * leg.energy_kwh,
            *position(self._site, self._vehicle, share_of_way, leg.day_km),
            speed_kmh, int(outbound) % 360, self._ambient(at), False, 0.0,  # noqa: FBT003 - a row of a table
        )  # fmt: skip

    def _speed_kmh(self, leg: Leg) -> float:
        return round(leg.distance_km / ((leg.ended_at - leg.started_at) / timedelta(hours=1)), 1)

    def _ambient(self, at: datetime) -> float:
        return self._world.weather[self._vehicle.site_id].temperature_c(at)


def history_of(world: World, vehicle: Vehicle) -> tuple[Witness, list[Sample], list[Leg]]:
    """Return a vehicle's witness, samples and legs from the history's start to the live start.

    A drive that is still going on at the live start is driven to its end: nothing that charging does can change it.
    """
    witness = Witness(world, vehicle)
    samples: list[Sample] = []
    legs: list[Leg] = []
    free_at, soc_pct = world.scenario.history_start_at, 100 * STARTING_SOC
    for part in _life(world, vehicle):
        if isinstance(part, Driven):
            samples += witness.parked(free_at, part.drive.departure_at, soc_pct)
            day_legs = witness.with_odometer(legs_of(world.scenario, part))
            legs += day_legs
            samples += witness.driving(day_legs)
            free_at, soc_pct = part.drive.return_at, 100 * part.soc_after
        else:
            samples += witness.parked(free_at, part.stay.wish.plug_at, soc_pct)
            samples += witness.charging(part, world.scenario.history_start_at)
            free_at, soc_pct = part.stay.wish.unplug_at, 100 * part.soc
    samples += witness.parked(free_at, world.scenario.live_start_at, soc_pct)
    return witness, samples, legs


def _life(world: World, vehicle: Vehicle) -> list[Driven | Session]:
    parts: list[tuple[datetime, Driven | Session]] = [
        (driven.drive.departure_at, driven)
        for driven in [*world.driven, *world.homecoming]
        if driven.drive.vehicle is vehicle
    ]
    parts += [
        (session.stay.wish.plug_at, session) for session in world.sessions if session.stay.wish.vehicle is vehicle
    ]
    return [part for _, part in sorted(parts, key=lambda pair: pair[0])]


def _charging_trigger(before_kw: float, now_kw: float) -> str:
    if before_kw <= 0 < now_kw:
        return "charging_started"
    return "charging_stopped" if now_kw <= 0 < before_kw else "timer"
