"""A small depot for tests of the whole chain: its configuration, its bridge as another program, and its charge points.

The bridge and the platform follow one clock file that only the test drives, so time stands still while they work.
"""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from core.settings import Settings
from core.time_grid import format_instant
from ocpp_bridge.security import hash_password
from orchestration.bridge_client import BridgeClient
from orchestration.demo.clock_drive import DrivenClock
from orchestration.demo.services import Service
from orchestration.steps.events import Cursors, watch
from orchestration.steps.ingest import ingest_everything
from orchestration.steps.plan import PlanOutcome, plan_and_publish
from orchestration.steps.workplace import Workplace
from tests.ocpp_bridge.charge_point import ChargePoint, ProfileBook

SITE = "yard"
ZONE = ZoneInfo("Europe/Berlin")
EVENING = datetime(2026, 2, 9, 17, 30, tzinfo=UTC)
STATIONS = ("CP-A", "CP-B", "CP-C", "CP-D")
BAYS = {"van-1": "CP-A", "van-2": "CP-D"}
TAGS = {"van-1": "04A1B2C3D4E501", "van-2": "04A1B2C3D4E502"}
STRANGER = "04FFFFFFFFFF99"
PASSWORD = "a station's own secret"
EV_LIMIT_KW = 24.0
MAX_KW, MIN_KW, FALLBACK_KW = 11.04, 4.14, 4.2
VOLTS_TIMES_PHASES = 3 * 230.0


def free_port() -> int:
    """Return a port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Yard:
    """The depot while it runs: what the platform sees of it, and the charge points by name."""

    workplace: Workplace
    clock: DrivenClock
    url: str
    stations: dict[str, ChargePoint] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cursors: Cursors = {}
        self.stations = {
            name: ChargePoint(
                self.url,
                name,
                password=PASSWORD,
                book=ProfileBook(hardware_a=MAX_KW * 1000 / VOLTS_TIMES_PHASES),
                now=lambda: self.clock.now,
            )
            for name in STATIONS
        }

    async def open(self) -> None:
        """Connect all stations, wait until each holds its fallback, and start to watch for events."""
        for station in self.stations.values():
            await station.connect()
            await station.status(1, "Available")
        await self.until(lambda: all(station.installed("TxDefaultProfile") for station in self.stations.values()))
        await asyncio.to_thread(self.sites_to_plan)

    async def close(self) -> None:
        for station in self.stations.values():
            await station.close()

    def pass_time(self, minutes: float) -> None:
        """Let everybody's clock show a later time."""
        self.clock.now += timedelta(minutes=minutes)
        self.clock.hold()

    async def plug_in(self, station_id: str, tag: str, *, soc_pct: float | None = None) -> int:
        """Plug a vehicle in and start its transaction; return the transaction's id."""
        station = self.stations[station_id]
        await station.status(1, "Preparing")
        transaction_id: int = await station.start(1, id_tag=tag, meter=1000)
        await station.status(1, "Charging")
        if soc_pct is not None:
            await station.meter(1, {"value": f"{soc_pct:.0f}", "measurand": "SoC", "unit": "Percent"})
        return transaction_id

    async def unplug(self, station_id: str) -> None:
        await self.stations[station_id].stop(1, meter=1500)
        await self.stations[station_id].status(1, "Available")

    async def plan(self, trigger: str) -> PlanOutcome:
        """Do what a re-plan does: ingest everything, then forecast, plan and publish."""
        await asyncio.to_thread(ingest_everything, self.workplace, as_of=self.clock.now)
        return await asyncio.to_thread(
            plan_and_publish, self.workplace, site_id=SITE, as_of=self.clock.now, trigger=trigger
        )

    async def answer_events(self) -> PlanOutcome:
        """Wait for an event that calls for a plan, then plan."""
        await self.until(lambda: self.sites_to_plan() == (SITE,))
        return await self.plan("plug_in")

    def sites_to_plan(self) -> tuple[str, ...]:
        """Return the sites with events that call for a plan since it was last asked."""
        watched = watch(self.workplace, self.cursors)
        self.cursors = watched.cursors
        return watched.sites

    async def until(self, condition: Any, *, timeout_s: float = 10.0) -> None:
        """Wait for a condition, which may block."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not await asyncio.to_thread(condition):
            assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
            await asyncio.sleep(0.02)

    def states(self, plan_id: str) -> dict[str, str]:
        """Return what the bridge says became of a publication, by station."""
        bridge = self.workplace.registry.site(SITE).bridge
        assert bridge is not None
        with BridgeClient.open(bridge) as client:
            return {entry["station_id"]: entry["state"] for entry in client.publication(plan_id)["connectors"]}

    def highest_total_kw(self) -> float:
        """Return the most that all stations together would allow at any instant from now on."""
        now = self.clock.now
        books = [station.book for station in self.stations.values()]
        instants = {now} | {edge for book in books for edge in book.edges() if edge > now}
        return max(sum(station.allowed_kw(1, at) for station in self.stations.values()) for at in instants)


def transaction_profiles(station: ChargePoint) -> list[dict[str, Any]]:
    """Return the TxProfiles that a station received, newest last."""
    return [request["csChargingProfiles"] for request in station.installed("TxProfile")]


def held_transactions(station: ChargePoint) -> set[int]:
    """Return the transactions that the profiles a station holds now are for."""
    return {profile["transactionId"] for _, profile in station.book.profiles if "transactionId" in profile}


def limits_kw(profile: dict[str, Any]) -> list[float]:
    """Return a profile's limits, in kW over all phases."""
    schedule = profile["chargingSchedule"]
    per_unit = VOLTS_TIMES_PHASES / 1000 if schedule["chargingRateUnit"] == "A" else 1 / 1000
    return [period["limit"] * per_unit for period in schedule["chargingSchedulePeriod"]]


@contextmanager
def running_yard(folder: Path) -> Iterator[Yard]:
    """Write the depot's configuration below a folder, and run its bridge while the block runs."""
    ws_port, http_port = free_port(), free_port()
    clock = DrivenClock(folder / "clock.json", EVENING, rate=0.0)
    clock.hold()
    _write_platform_config(folder / "config", http_port)
    bridge_config = _write_bridge_config(folder, ws_port, http_port, clock)
    workplace = Workplace(Settings(home=folder / "home", config=folder / "config"))
    arguments = ["ocpp_bridge", "--config", str(bridge_config)]
    with Service("bridge", arguments, ready="bridge ready", log=folder / "bridge.log", env={}) as service:
        service.wait_ready()
        yield Yard(workplace, clock, f"ws://127.0.0.1:{ws_port}")


def _write_platform_config(folder: Path, http_port: int) -> None:
    folder.mkdir(parents=True)
    url = f"http://127.0.0.1:{http_port}"
    site = {
        "site_id": SITE,
        "name": "Yard",
        "timezone": str(ZONE),
        "currency": "EUR",
        "position": {"latitude": 52.5, "longitude": 13.4},
        "geofence_radius_m": 200,
        "import_limit": [{"from": "00:00", "limit_kw": EV_LIMIT_KW + 6}],
        "tariff": {
            "price_zone": "DEMO",
            "demand_charges": [{"name": "month", "price_per_kw": 8.0, "from": None, "to": None}],
        },
        "base_load_kw": 4,
        "safety_margin_kw": 2,
        "bridge": {"url": url, "token_env": "DEPOTWISE_BRIDGE_TOKEN"},
    }
    contract = {
        "owner": "Charging operations",
        "contact": "charging@example.org",
        "freshness_min": 1440,
        "latency_min": 1,
        "on_failure": "plans use history",
        "start_at": format_instant(EVENING - timedelta(days=1)),
    }
    sources = [
        {
            "source_id": "bridge",
            "kind": "ocpp_bridge",
            "url": url,
            "site_id": SITE,
            "credentials": {"token_env": "DEPOTWISE_BRIDGE_TOKEN"},
            **contract,
        },
        {"source_id": "prices", "kind": "day_ahead", "path": "prices.csv", **contract},
    ]
    (folder / "sites.yaml").write_text(yaml.safe_dump({"sites": [site]}))
    (folder / "sources.yaml").write_text(yaml.safe_dump({"sources": sources}))
    _write_table(
        folder / "connectors.csv",
        "station_id,connector_id,site_id,current_type,phases,nominal_voltage_v,max_kw,min_kw,fallback_kw",
        [f"{name},1,{SITE},ac,3,230,{MAX_KW},{MIN_KW},{FALLBACK_KW}" for name in STATIONS],
    )
    _write_table(
        folder / "vehicles.csv",
        "vehicle_id,site_id,vehicle_class,usable_kwh,ac_max_kw,phases,home_station_id,home_connector_id",
        [f"{vehicle_id},{SITE},van,60,{MAX_KW},3,{bay},1" for vehicle_id, bay in BAYS.items()],
    )
    _write_table(
        folder / "tokens.csv",
        "token,vehicle_id,valid_from,valid_to",
        [f"{tag},{vehicle_id},2026-01-01T00:00:00Z," for vehicle_id, tag in TAGS.items()],
    )
    _write_table(folder / "assignments.csv", "vehicle_id,driver_id,block_id,valid_from,valid_to", [])
    duties = [
        f"tour-{vehicle_id},2026-02-{day:02d},{SITE},{vehicle_id},2026-02-{day:02d}T06:00,2026-02-{day:02d}T18:00,100,90"
        for day in (9, 10)
        for vehicle_id in BAYS
    ]
    columns = (
        "block_id,operating_date,site_id,vehicle_id,planned_departure,planned_return,distance_km,min_target_soc_pct"
    )
    _write_table(folder / "duties.csv", columns, duties)
    hours = [EVENING.replace(hour=0, minute=0) + timedelta(hours=hour) for hour in range(72)]
    prices = [
        f"DEMO,{at:%Y-%m-%d %H:%M:%S},{at.astimezone(ZONE):%Y-%m-%d %H:%M:%S},{200 if 16 <= at.hour < 21 else 60}"
        for at in hours
    ]
    _write_table(folder / "prices.csv", "Country,Datetime (UTC),Datetime (Local),Price (EUR/MWhe)", prices)


def _write_table(path: Path, header: str, lines: Sequence[str]) -> None:
    path.write_text("\n".join([header, *lines]) + "\n")


def _write_bridge_config(folder: Path, ws_port: int, http_port: int, clock: DrivenClock) -> Path:
    connector = {
        "connector_id": 1,
        "current_type": "ac",
        "phases": 3,
        "max_kw": MAX_KW,
        "min_kw": MIN_KW,
        "fallback_kw": FALLBACK_KW,
    }
    password_hash = hash_password(PASSWORD.encode())
    config = {
        "listeners": [{"host": "127.0.0.1", "port": ws_port, "security_profile": 1}],
        "http": {"host": "127.0.0.1", "port": http_port},
        "state_dir": str(folder / "bridge"),
        "site": {"site_id": SITE, "ev_limit_kw": EV_LIMIT_KW},
        "clock": {"start_at": format_instant(clock.now), "rate": 0, "file": str(clock.file)},
        "stations": [
            {"station_id": name, "password_hash": password_hash, "connectors": [connector]} for name in STATIONS
        ],
    }
    path = folder / "bridge.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
