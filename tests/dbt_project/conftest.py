"""Synthetic landings and the warehouses built from them: an empty one, and a seeded fleet over two clock changes.

Builds are slow, so each is made once per run and shared by all workers.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.entities import ENTITIES
from core.landing import Landing
from core.locks import file_lock
from core.settings import Settings
from core.time_grid import local_instant
from orchestration import warehouse
from orchestration.dbt_run import PROJECT_DIR

Row = dict[str, Any]
INGESTED_AT = datetime(2026, 11, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def land(landing: Landing, entity: str, rows: list[Row], *, source: str = "synthetic") -> None:
    """Land rows; what they do not say of their times follows from the other columns."""
    for row in rows:
        row.setdefault(
            "observed_at", row.get("ended_at") or row.get("started_at") or row.get("start_at") or INGESTED_AT
        )
        row.setdefault("available_at", row["observed_at"] + 5 * MINUTE)
        row["ingested_at"] = INGESTED_AT
    schema = {name: dtype for name, dtype in ENTITIES[entity].schema.items() if any(name in row for row in rows)}
    landing.append(entity, pl.DataFrame(rows, schema=schema), source=source)


@dataclass
class Fleet:
    """A seeded fleet: vans in Berlin, a bus in New York, and a vehicle that no site knows."""

    days: list[date] = field(
        default_factory=lambda: [
            date(2026, month, first) + timedelta(days=k) for month, first in ((3, 26), (10, 22)) for k in range(6)
        ]
    )
    zones: dict[str, str] = field(default_factory=lambda: {"north": "Europe/Berlin", "west": "America/New_York"})
    homes: dict[str, str | None] = field(
        default_factory=lambda: {**{f"van-{k}": "north" for k in range(6)}, "bus-0": "west", "stray": None}
    )
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def land(self, landing: Landing) -> None:
        landing.prepare()
        self._land_registry(landing)
        for vehicle_id in self.homes:
            trips = list(self._trips(vehicle_id))
            land(landing, "trip", self._versions(trips), source="telematics")
            if vehicle_id != "stray":
                self._land_nights(landing, vehicle_id, trips)

    def _land_registry(self, landing: Landing) -> None:
        sites = [{"site_id": site, "timezone": zone, "price_zone": "DEMO"} for site, zone in self.zones.items()]
        land(landing, "site", sites, source="configuration")
        vehicles = [
            {
                "vehicle_id": vehicle_id,
                "vin": f"WVWZZZ1JZ3W38{k:04d}",
                "site_id": site,
                "usable_kwh": 60.0,
                "efficiency": 0.9,
                "vehicle_class": "bus" if vehicle_id == "bus-0" else "van",
            }
            for k, (vehicle_id, site) in enumerate(self.homes.items())
            if site is not None
        ]
        land(landing, "vehicle", vehicles, source="configuration")
        connectors = [
            {"station_id": f"cp-{vehicle_id}", "connector_id": 1, "site_id": site, "max_kw": 11.0}
            for vehicle_id, site in self.homes.items()
            if site is not None
        ]
        land(landing, "connector", connectors, source="configuration")

    def _trips(self, vehicle_id: str) -> Iterator[Row]:
        """Two to five trips a day; every third day ends after midnight, some facts are missing."""
        site = self.homes[vehicle_id]
        zone = self.zones.get(site or "", "UTC")
        chance = self.chance
        for day in self.days:
            if chance.random() < 0.15:
                continue
            starts_late = chance.random() < 0.33
            at = local_instant(day, datetime.min.time(), zone) + timedelta(hours=20 if starts_late else 5)
            count = chance.randint(2, 5)
            for k in range(count):
                at += chance.randint(5, 110) * MINUTE
                ended_at = at + chance.randint(20, 90) * MINUTE
                yield {
                    "vehicle_id": vehicle_id,
                    "started_at": at,
                    "ended_at": ended_at,
                    "distance_km": None if chance.random() < 0.05 else round(chance.uniform(3, 60), 1),
                    "energy_kwh": None if chance.random() < 0.3 else round(chance.uniform(1, 15), 2),
                    "soc_start_pct": chance.randint(60, 95),
                    "soc_end_pct": chance.randint(20, 59),
                    "start_site_id": site if k == 0 else None,
                    "end_site_id": site if k == count - 1 or chance.random() < 0.2 else None,
                }
                at = ended_at

    def _versions(self, trips: list[Row]) -> list[Row]:
        """Each trip's start, its end, now and then a recalculation or a withdrawal; the last has not ended."""
        rows: list[Row] = []
        known_at_start = ("vehicle_id", "started_at", "soc_start_pct", "start_site_id")
        for trip in trips:
            rows.append({name: trip[name] for name in known_at_start})
            rows.append(dict(trip))
            if self.chance.random() < 0.1:
                later = trip["ended_at"] + timedelta(hours=3)
                rows.append({**trip, "distance_km": 77.7, "available_at": later, "observed_at": trip["ended_at"]})
            if self.chance.random() < 0.03:
                rows.append({**trip, "is_deleted": True, "available_at": trip["ended_at"] + timedelta(hours=6)})
        begun = max(trip["ended_at"] for trip in trips) + timedelta(minutes=30)
        return [*rows, {"vehicle_id": trips[0]["vehicle_id"], "started_at": begun}]

    def _land_nights(self, landing: Landing, vehicle_id: str, trips: list[Row]) -> None:
        """A charging session after each day's last trip, told by the charger, often by a back end as well."""
        sessions: dict[str, list[Row]] = {"bridge": [], "backend": []}
        samples: list[Row] = []
        last_trips = {trip["started_at"].date(): trip for trip in trips}.values()
        for number, trip in enumerate(last_trips, start=1):
            started_at = trip["ended_at"] + 7 * MINUTE
            told = self._session(vehicle_id, str(number), started_at)
            sessions["bridge"].append(told)
            if self.chance.random() < 0.5:
                sessions["backend"].append(self._retold(told))
            if self.chance.random() < 0.6:
                samples += self._samples(told)
        for source, rows in sessions.items():
            land(landing, "charging_transaction", rows, source=source)
        land(landing, "meter_value", samples, source="bridge")

    def _session(self, vehicle_id: str, number: str, started_at: datetime) -> Row:
        chance = self.chance
        energy_kwh = round(chance.uniform(4, 40), 2)
        start_kwh = round(chance.uniform(100, 900), 1)
        has_registers = chance.random() < 0.7
        told = {
            "station_id": f"cp-{vehicle_id}",
            "connector_id": 1,
            "transaction_id": number,
            "vehicle_id": vehicle_id,
            "started_at": started_at,
            "ended_at": started_at + chance.randint(60, 240) * MINUTE,
            "charging_ended_at": started_at + 50 * MINUTE if chance.random() < 0.4 else None,
            "energy_kwh": energy_kwh if chance.random() < 0.8 else None,
            "metering_point": "evse_ac_out",
            "meter_start_kwh": start_kwh if has_registers else None,
            "meter_end_kwh": start_kwh + energy_kwh if has_registers else None,
            "token": "hashed-token",
        }
        still_plugged = {"ended_at": None, "charging_ended_at": None, "energy_kwh": None, "meter_end_kwh": None}
        return told | still_plugged if chance.random() < 0.05 else told

    def _retold(self, session: Row) -> Row:
        """The same session as a back end bills it: a minute off, another number, no registers."""
        ended_at = session["ended_at"]
        return {
            **{name: session[name] for name in ("station_id", "connector_id", "vehicle_id")},
            "transaction_id": f"cdr-{session['transaction_id']}",
            "started_at": session["started_at"] + MINUTE,
            "ended_at": None if ended_at is None else ended_at - MINUTE,
            "energy_kwh": round(self.chance.uniform(4, 40), 2),
            "metering_point": self.chance.choice(["evse_ac_out", "telematics_estimate", None]),
        }

    def _samples(self, session: Row) -> list[Row]:
        start_kwh = session["meter_start_kwh"] or 500.0
        return [
            {
                "station_id": session["station_id"],
                "connector_id": 1,
                "transaction_id": session["transaction_id"],
                "observed_at": session["started_at"] + 10 * (k + 1) * MINUTE,
                "energy_register_kwh": start_kwh + min(k + 1, 3) * 1.25,
                "power_kw": 7.5 if k < 3 else 0.0,
            }
            for k in range(5)
        ]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    """A function that lands something, builds and publishes, once for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if base.name.startswith("popen-") else base

    def build(name: str, fill: Callable[[Landing], object], *, unit_tests: bool = False) -> Settings:
        settings = Settings(home=root / "warehouses" / name)
        done = settings.home / "built"
        with file_lock(root / "warehouses" / f"{name}.lock"), pytest.MonkeyPatch.context() as patch:
            patch.setenv("DEPOTWISE_HASH_KEY", "a key for tests only")
            if not done.exists():
                fill(Landing(settings.landing_dir))
                warehouse.build(settings, unit_tests=unit_tests)
                warehouse.publish(settings)
                done.touch()
        return settings

    return build


@pytest.fixture(scope="session")
def empty(built: Callable[..., Settings]) -> Settings:
    """A warehouse over a landing that nobody fed; the models' unit tests ran in its build."""
    return built("empty", Landing.prepare, unit_tests=True)


@pytest.fixture(scope="session")
def fleet(built: Callable[..., Settings]) -> Settings:
    """The warehouse of the seeded fleet."""
    return built("fleet", Fleet().land)


@pytest.fixture(scope="session")
def project_dir() -> Path:
    """The dbt project."""
    return PROJECT_DIR
