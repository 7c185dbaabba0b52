"""Synthetic fleets with a planted structure, landed as canonical rows; every number below is known to the tests."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.entities import ENTITIES
from core.landing import Landing
from ml.models.quantile_trees import TreeParameters

SITE = "north"
FIRST_DAY = date(2026, 1, 5)  # a Monday
START = datetime(2026, 1, 5, tzinfo=UTC)
LATENCY = timedelta(minutes=5)


@dataclass(frozen=True)
class Plan:
    """What is planted: lateness by vehicle and weekday, energy by vehicle and temperature, and noise on both."""

    vehicles: int = 12
    days: int = 56
    lateness_noise_h: float = 0.4
    drop_noise_pp: float = 2.0
    late_vehicle_h: float = 1.0
    late_friday_h: float = 0.75
    with_duties: bool = True
    with_soc: bool = True
    seed: int = 7


def table(entity: str, columns: dict[str, object], *, height: int) -> pl.DataFrame:
    """Return rows of an entity; ``ingested_at`` is when they became available."""
    schema = ENTITIES[entity].schema
    data = {
        name: value if isinstance(value, (list, pl.Series)) else [value] * height for name, value in columns.items()
    }
    data.setdefault("ingested_at", data["available_at"])
    return pl.DataFrame(data, schema={name: schema[name] for name in data}, strict=False)


def static(entity: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    """Return rows that were known since long before the fleet drove."""
    known = {name: START - timedelta(days=400) for name in ("observed_at", "available_at", "ingested_at")}
    schema = ENTITIES[entity].schema
    full = [{**known, **row} for row in rows]
    return pl.DataFrame(full, schema={name: schema[name] for name in full[0]})


class Fleet:
    """A depot in UTC whose vans leave at 6 and are planned back at 16."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        random = np.random.default_rng(plan.seed)
        grid = [
            (vehicle, day)
            for day in range(plan.days)
            for vehicle in range(plan.vehicles)
            if (FIRST_DAY + timedelta(days=day)).weekday() < 5
        ]
        self.vehicle = np.array([vehicle for vehicle, _ in grid])
        self.day = np.array([day for _, day in grid])
        size = len(grid)
        weekday = self.day % 7
        self.temperature_c = 10 + 10 * np.sin(self.day / 9)
        late = plan.late_vehicle_h * (self.vehicle % 3 == 0) + plan.late_friday_h * (weekday == 4)
        self.planted_lateness_h = late
        self.lateness_h = late + random.normal(0, plan.lateness_noise_h, size)
        self.planned_km = 80.0 + 10 * (self.vehicle % 4)
        per_km = 0.25 * (1 + 0.3 * (self.vehicle % 2)) * (1 + 0.01 * np.abs(self.temperature_c - 20))
        self.km = self.planned_km * (1 + random.normal(0, 0.02, size))
        self.kwh = self.km * per_km + random.normal(0, plan.drop_noise_pp, size) * 0.6
        self.soc_start = np.clip(random.normal(90, 3, size), 70, 100)
        self.soc_end = np.clip(self.soc_start - 100 * self.kwh / 60, 0, 100)

    def name(self, vehicle: int) -> str:
        return f"van-{vehicle:02d}"

    def instants(self, hour: float | np.ndarray) -> list[datetime]:
        hours = np.broadcast_to(hour, self.day.shape)
        return [START + timedelta(days=int(day), hours=float(h)) for day, h in zip(self.day, hours, strict=True)]

    def trips(self) -> pl.DataFrame:
        """Two trips a day: out for two thirds of the day, then back; a version at the start and one at the end."""
        end_hour = 16 + self.lateness_h
        middle = 6 + (end_hour - 6) * 2 / 3
        middle_soc = self.soc_start - (self.soc_start - self.soc_end) * 2 / 3
        first = self._trip(6.0, middle, 2 / 3, self.soc_start, middle_soc, starts=SITE, ends=None)
        second = self._trip(middle + 0.25, end_hour, 1 / 3, middle_soc, self.soc_end, starts=None, ends=SITE)
        return pl.concat([*first, *second])

    def _trip(self, begin, end, share, soc_begin, soc_end, *, starts, ends) -> list[pl.DataFrame]:  # type: ignore[no-untyped-def]
        size = len(self.day)
        started, ended = self.instants(begin), self.instants(end)
        soc = (lambda values: values.tolist()) if self.plan.with_soc else (lambda values: [None] * size)
        base = {
            "vehicle_id": [self.name(vehicle) for vehicle in self.vehicle],
            "started_at": started,
            "start_site_id": starts,
            "soc_start_pct": soc(np.broadcast_to(soc_begin, size)),
        }
        opened = {**base, "observed_at": started, "available_at": [at + LATENCY for at in started]}
        closed = {
            **base,
            "ended_at": ended,
            "end_site_id": ends,
            "distance_km": (self.km * share).tolist(),
            "energy_kwh": (self.kwh * share).tolist() if self.plan.with_soc else None,
            "soc_end_pct": soc(soc_end),
            "observed_at": ended,
            "available_at": [at + LATENCY for at in ended],
        }
        frames = [table("trip", columns, height=size) for columns in (opened, closed)]
        return [pl.concat(frames, how="diagonal")]

    def snapshots(self) -> pl.DataFrame:
        """One snapshot an hour while out: SoC and odometer in proportion to the time driven."""
        end_hour = 16 + self.lateness_h
        parts = []
        for hour in range(6, 20):
            is_out = hour < end_hour
            share = np.clip((hour - 6) / (end_hour - 6), 0, 1)
            at = self.instants(float(hour))
            base = 1000.0 + 200 * self.day
            columns = {
                "vehicle_id": [self.name(vehicle) for vehicle in self.vehicle],
                "soc_pct": (self.soc_start - (self.soc_start - self.soc_end) * share).tolist(),
                "odometer_km": (base + self.km * share).tolist(),
                "at_site_id": [None if out and hour > 6 else SITE for out in is_out],
                "observed_at": at,
                "available_at": [instant + LATENCY for instant in at],
            }
            parts.append(table("vehicle_snapshot", columns, height=len(self.day)))
        return pl.concat(parts)

    def duties(self) -> pl.DataFrame:
        departures = self.instants(6.0)
        columns = {
            "block_id": [f"block-{vehicle:02d}" for vehicle in self.vehicle],
            "operating_date": [at.date() for at in departures],
            "site_id": SITE,
            "vehicle_id": [self.name(vehicle) for vehicle in self.vehicle],
            "planned_departure_at": departures,
            "planned_return_at": self.instants(16.0),
            "distance_km": self.planned_km.tolist(),
            "observed_at": departures,
            "available_at": START - timedelta(days=30),
        }
        return table("duty", columns, height=len(self.day))

    def weather(self) -> pl.DataFrame:
        hours = [START + timedelta(hours=hour) for hour in range(24 * (self.plan.days + 3))]
        values = [10 + 10 * float(np.sin((hour // 24) / 9)) for hour in range(len(hours))]
        columns = {
            "place_id": SITE,
            "start_at": hours,
            "end_at": [at + timedelta(hours=1) for at in hours],
            "issued_at": [at - timedelta(days=2) for at in hours],
            "temperature_c": values,
            "observed_at": [at - timedelta(days=2) for at in hours],
            "available_at": [at - timedelta(days=2) for at in hours],
        }
        return table("weather", columns, height=len(hours))

    def land(self, landing: Landing, *, telematics: bool = True) -> None:
        landing.append("site", static("site", [{"site_id": SITE, "timezone": "UTC"}]), source="registry")
        vehicles = [
            {"vehicle_id": self.name(vehicle), "site_id": SITE, "model": f"model-{vehicle % 2}",
             "vehicle_class": "van", "usable_kwh": 60.0, "soh_pct": 100.0}
            for vehicle in range(self.plan.vehicles)
        ]  # fmt: skip
        landing.append("vehicle", static("vehicle", vehicles), source="registry")
        landing.append("weather", self.weather(), source="weather")
        if self.plan.with_duties:
            landing.append("duty", self.duties(), source="registry")
        if telematics:
            landing.append("trip", self.trips(), source="geotab")
            if self.plan.with_soc:
                landing.append("vehicle_snapshot", self.snapshots(), source="geotab")

    def last_day(self, hour: float) -> datetime:
        """Return an instant on the last day that anybody drove."""
        return START + timedelta(days=int(self.day.max()), hours=hour)


FleetBuilder = Callable[..., tuple[Landing, Fleet]]


@pytest.fixture
def land_fleet(tmp_path: Path) -> FleetBuilder:
    """Return a function that lands a fleet with changed plantings in a temporary landing zone."""

    def build(**changes: object) -> tuple[Landing, Fleet]:
        landing, fleet = Landing(tmp_path / "landing"), Fleet(Plan(**changes))
        fleet.land(landing)
        return landing, fleet

    return build


@pytest.fixture(scope="session")
def small_fleet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Landing, Fleet]:
    """A landed fleet of six vans over four weeks, for tests that only read."""
    landing, fleet = Landing(tmp_path_factory.mktemp("fleet") / "landing"), Fleet(Plan(vehicles=6, days=26))
    fleet.land(landing)
    return landing, fleet


FAST_TREES = TreeParameters(trees=40, levels=(0.05, 0.5, 0.95))


@pytest.fixture(scope="session")
def charging_landing(tmp_path_factory: pytest.TempPathFactory) -> Landing:
    """Charging sessions of ten users over eight weeks: each stays and takes what is his habit, with noise."""
    random = np.random.default_rng(11)
    size, users = 1200, 10
    user = random.integers(0, users, size)
    started = sorted(START + timedelta(minutes=int(minute)) for minute in random.integers(0, 56 * 1440, size))
    stay_h = np.clip(2 + user * 0.8 + random.normal(0, 0.5, size), 0.2, None)
    energy = np.clip(5 + user * 3 + random.normal(0, 2, size), 0.1, None)
    ended = [at + timedelta(hours=float(stay)) for at, stay in zip(started, stay_h, strict=True)]
    base = {
        "station_id": [f"CP-{station}" for station in random.integers(0, 6, size)],
        "connector_id": 1,
        "transaction_id": [f"tx-{number}" for number in range(size)],
        "site_id": SITE,
        "started_at": started,
        "user_id": [f"user-{number}" for number in user],
        "requested_kwh": (energy * random.uniform(0.8, 2.0, size)).tolist(),
    }
    opened = {**base, "observed_at": started, "available_at": started}
    closed = {**base, "ended_at": ended, "energy_kwh": energy.tolist(), "observed_at": ended}
    closed["available_at"] = [at + LATENCY for at in ended]
    landing = Landing(tmp_path_factory.mktemp("charging") / "landing")
    landing.append("site", static("site", [{"site_id": SITE, "timezone": "UTC"}]), source="registry")
    for columns in (opened, closed):
        landing.append("charging_transaction", table("charging_transaction", columns, height=size), source="files")
    return landing
