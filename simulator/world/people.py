"""What people do: who drives when, how late they come back, who forgets the plug, who takes the wrong bay.

None of it depends on charging, so the whole truth of drives and plug-ins is known before a single kWh flows; the
battery's side of it is in ``world.history`` and in the live night.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from core.time_grid import local_instant
from simulator.scenario import LIVE_DATE, TIMEZONE, Scenario
from simulator.world.chance import share, stream
from simulator.world.fleet import Driver, Fleet, Vehicle
from simulator.world.weather import Weather, temperature_factor

WEEKDAY_CLASS_DAYS = range(7)
LOCAL_HOLIDAY = LIVE_DATE - timedelta(days=10)  # a Friday on which shops are closed: no vans, no trucks
MINUTE = timedelta(minutes=1)
TURNAROUND = timedelta(minutes=45)  # least time between coming back and the next planned departure
LATEST_MIN = {"day": 240.0, "night": 75.0}  # who works into the night is relieved before it gets later


@dataclass(frozen=True, slots=True)
class Duty:
    """Planned work of a vehicle on an operating date; this is all that dispatch knows."""

    vehicle: Vehicle
    operating_date: date
    driver: Driver
    planned_departure_at: datetime
    planned_return_at: datetime
    distance_km: float


@dataclass(frozen=True, slots=True)
class Drive:
    """How a duty went. ``residual_min`` and ``expected_kwh`` are what nobody, and what a perfect observer, knows."""

    duty: Duty
    departure_at: datetime
    return_at: datetime
    distance_km: float
    energy_kwh: float
    expected_kwh: float
    lateness_min: float
    residual_min: float
    load_share: float
    temperature_c: float

    @property
    def vehicle(self) -> Vehicle:
        """The vehicle that drove."""
        return self.duty.vehicle


def make_duties(scenario: Scenario, fleet: Fleet, dates: list[date]) -> list[Duty]:
    """Return the planned duties of all vehicles, by date and vehicle."""
    return [
        _duty(scenario, vehicle, day) for day in dates for vehicle in fleet.vehicles if _works(scenario, vehicle, day)
    ]


def make_drives(scenario: Scenario, duties: list[Duty], weather: dict[str, Weather]) -> list[Drive]:
    """Return how the duties went, in the order given."""
    next_departure = _next_departures(duties)
    return [_drive(scenario, duty, weather[duty.vehicle.site_id], next_departure.get(_key(duty))) for duty in duties]


def weekday_lateness_min(scenario: Scenario, weekday: int) -> float:
    """Return the lateness that belongs to a weekday."""
    chance = stream(scenario.seed, "weekday", weekday)
    return float(chance.normal(0, scenario.difficulty.weekday_lateness_sd_min))


def driver_on(scenario: Scenario, vehicle: Vehicle, day: date) -> Driver:
    """Return who drives: the block's own driver, or a relief on one weekday and in the own driver's holiday week."""
    own, relief = vehicle.block.drivers
    week = day.isocalendar().week
    on_holiday = share(scenario.seed, "holiday", own.driver_id, week) < 0.08
    return relief if on_holiday or day.weekday() == vehicle.block.relief_weekday else own


def _works(scenario: Scenario, vehicle: Vehicle, day: date) -> bool:
    if day.weekday() not in vehicle.block.weekdays:
        return False
    if day == LOCAL_HOLIDAY and vehicle.model.vehicle_class != "bus":
        return False
    week = day.isocalendar().week
    return share(scenario.seed, "leave", vehicle.vehicle_id, week) >= scenario.difficulty.leave_share


def _duty(scenario: Scenario, vehicle: Vehicle, day: date) -> Duty:
    block = vehicle.block
    length = 0.75 if day.weekday() >= 5 and vehicle.model.vehicle_class != "bus" else 1.0
    return_minute = block.departure_minute + int((block.return_minute - block.departure_minute) * length) // 5 * 5
    return Duty(
        vehicle,
        day,
        driver_on(scenario, vehicle, day),
        _local_minute(day, block.departure_minute),
        _local_minute(day, return_minute),
        round(block.distance_km * length, 1),
    )


def _drive(scenario: Scenario, duty: Duty, weather: Weather, next_departure_at: datetime | None) -> Drive:
    """Return how a duty went: lateness is planted parts plus a heavy tail, energy is physics plus chance."""
    hardness = scenario.difficulty
    vehicle, block = duty.vehicle, duty.vehicle.block
    chance = stream(scenario.seed, "drive", vehicle.vehicle_id, duty.operating_date)
    delay = min(25.0, float(chance.exponential(4.0)) - 3.0)
    departure_at = duty.planned_departure_at + delay * MINUTE
    known = (
        block.lateness_min + weekday_lateness_min(scenario, duty.operating_date.weekday()) + duty.driver.lateness_min
    )
    residual = _residual_min(scenario, duty)
    return_at = _bounded_return(duty, known + residual, departure_at, next_departure_at)
    lateness = (return_at - duty.planned_return_at) / MINUTE
    # A long day is also a somewhat longer drive.
    way = math.exp(float(chance.normal(0, hardness.distance_cv)) + 0.0004 * residual)
    temperature_c = weather.temperature_c(departure_at + (return_at - departure_at) / 2)
    loading = min(1.0, max(0.0, block.load_share + float(chance.normal(0, 0.08))))
    usual = duty.distance_km * _kwh_per_km(vehicle, duty.driver, temperature_c, block.load_share)
    actual = duty.distance_km * way * _kwh_per_km(vehicle, duty.driver, temperature_c, loading)
    noise = math.exp(float(chance.normal(0, hardness.consumption_cv)))
    return Drive(
        duty=duty,
        departure_at=departure_at,
        return_at=return_at,
        distance_km=duty.distance_km * way,
        energy_kwh=actual * noise,
        expected_kwh=usual,
        lateness_min=lateness,
        residual_min=lateness - known,
        load_share=loading,
        temperature_c=temperature_c,
    )


def _kwh_per_km(vehicle: Vehicle, driver: Driver, temperature_c: float, load_share: float) -> float:
    weather = temperature_factor(temperature_c, is_heavy=vehicle.model.vehicle_class != "van")
    loading = 1 + 0.25 * (load_share - 0.5)
    return vehicle.model.kwh_per_km * weather * loading * driver.energy_factor * vehicle.energy_factor


def _residual_min(scenario: Scenario, duty: Duty) -> float:
    """Return the lateness that nobody can know: Student's t, disruptions, early returns."""
    hardness = scenario.difficulty
    chance = stream(scenario.seed, "lateness", duty.vehicle.vehicle_id, duty.operating_date)
    residual = hardness.residual_scale_min * float(chance.standard_t(4))
    kind = float(chance.uniform())
    if kind < hardness.disruption_share:
        residual += float(chance.exponential(hardness.disruption_mean_min))
    elif kind > 1 - hardness.early_return_share:
        residual -= float(chance.uniform(*hardness.early_return_min))
    return residual


def _bounded_return(duty: Duty, lateness_min: float, departure_at: datetime, next_at: datetime | None) -> datetime:
    """Return when it comes back: after half of its planned shift, and in time for what it does next."""
    late = min(lateness_min, LATEST_MIN["night" if duty.vehicle.block.return_minute > 20 * 60 else "day"])
    earliest = departure_at + (duty.planned_return_at - departure_at) / 2
    back = max(duty.planned_return_at + late * MINUTE, earliest)
    return back if next_at is None else min(back, next_at - TURNAROUND)


def _next_departures(duties: list[Duty]) -> dict[tuple[str, date], datetime]:
    following: dict[tuple[str, date], datetime] = {}
    latest: dict[str, Duty] = {}
    for duty in sorted(duties, key=lambda duty: duty.planned_departure_at):
        before = latest.get(duty.vehicle.vehicle_id)
        if before is not None:
            following[_key(before)] = duty.planned_departure_at
        latest[duty.vehicle.vehicle_id] = duty
    return following


def _key(duty: Duty) -> tuple[str, date]:
    return duty.vehicle.vehicle_id, duty.operating_date


def _local_minute(day: date, minute: int) -> datetime:
    return local_instant(day, time(minute // 60, minute % 60), TIMEZONE)


def days_between(start: date, end: date) -> Iterator[date]:
    """Yield the dates from ``start`` to ``end``, both included."""
    for k in range((end - start).days + 1):
        yield start + timedelta(days=k)
