"""A real bridge on loopback ports, publications for it, and stations that connect to it."""

import asyncio
import importlib.util
import itertools
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.service import Bridge

HERE = Path(__file__).resolve().parent
TOKEN = "a token for tests only"
DEADLINE_S = 60.0  # for what comes at once on an idle machine


def _load(name):
    spec = importlib.util.spec_from_file_location(f"ocpp_bridge_tests_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


charge_points = _load("charge_point")
certificates = _load("certificates")


def iso(instant):
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def connector_config(connector_id=1, **changes):
    defaults = {
        "connector_id": connector_id,
        "current_type": "ac",
        "phases": 3,
        "max_kw": 22,
        "min_kw": 4.14,
        "fallback_kw": 4.2,
    }
    return {**defaults, **changes}


def config_dict(state_dir, *, stations=("CP-1", "CP-2"), limit_kw=30, connectors=1, **changes):
    raw = {
        "listeners": [{"host": "127.0.0.1", "port": 0, "security_profile": 0}],
        "http": {"host": "127.0.0.1", "port": 0},
        "state_dir": str(state_dir),
        "site": {"site_id": "north", "ev_limit_kw": limit_kw},
        "stations": [
            {"station_id": name, "connectors": [connector_config(k + 1) for k in range(connectors)]}
            for name in stations
        ],
        "link": {"call_timeout_s": 30.0, "superseded_timeout_s": 10.0, "boot_grace_s": 0.1},
    }
    return {**raw, **changes}


class Running:
    """A bridge that runs, and its HTTP client."""

    def __init__(self, bridge, client):
        self.bridge = bridge
        self.client = client
        self.plan_ids = (f"plan-{k}" for k in itertools.count(1))

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.bridge.station_ports[0]}"

    def station(self, station_id, **options):
        return charge_points.ChargePoint(self.url, station_id, **options)

    async def publish(self, entries, *, expect=202, **changes):
        document = publication(next(self.plan_ids), entries, **changes)
        answer = await self.client.put(f"/publications/{document['plan_id']}", json=document)
        assert answer.status_code == expect, answer.text
        return document["plan_id"]

    async def states(self, plan_id):
        answer = await self.client.get(f"/publications/{plan_id}")
        assert answer.status_code == 200, answer.text
        return {(one["station_id"], one["connector_id"]): one for one in answer.json()["connectors"]}

    async def reaches(self, plan_id, station_id, *wanted, connector_id=1, seconds=DEADLINE_S):
        """Wait until an entry is in one of these states; return it."""

        async def look():
            entry = (await self.states(plan_id))[(station_id, connector_id)]
            return entry if entry["state"] in wanted else None

        return await eventually(look, seconds, lambda: f"{station_id} never became {wanted}")

    async def settled(self, station_id, connector_id=1):
        """Wait until a connector holds its fallback."""

        async def look():
            stations = {one["station_id"]: one for one in (await self.client.get("/stations")).json()["stations"]}
            connector = stations[station_id]["connectors"][connector_id - 1]
            return connector["limit_kw"] is not None

        await eventually(look, DEADLINE_S, lambda: f"{station_id} has no fallback")


async def eventually(look, seconds, complaint):
    """Look until there is something. A machine that stands still uses up time, but no looks."""
    deadline = asyncio.get_running_loop().time() + seconds
    looks = 0
    while True:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        looks += 1
        assert looks < seconds / 0.1 or asyncio.get_running_loop().time() < deadline, complaint()
        await asyncio.sleep(0.02)


def publication(plan_id, entries, *, now=None, limit_kw=30, hours=4, as_of=None, groups=(), **changes):
    now = now or datetime.now(UTC)
    document = {
        "schema": "depotwise.publication/1",
        "plan_id": plan_id,
        "site_id": "north",
        "as_of": iso(as_of or now),
        "valid_until": iso(now + timedelta(hours=hours)),
        "dry_run": False,
        "ev_limit_kw": [{"start_at": iso(now), "limit_kw": limit_kw}],
        "groups": list(groups),
        "connectors": list(entries),
    }
    return {**document, **changes}


def entry(station_id, *limits_kw, connector_id=1, now=None, slot=timedelta(minutes=15), **changes):
    now = now or datetime.now(UTC)
    defaults = {
        "station_id": station_id,
        "connector_id": connector_id,
        "group_id": None,
        "current_type": "ac",
        "nominal_voltage_v": 230,
        "connector_phases": 3,
        "vehicle_phases": None,
        "max_kw": 22,
        "min_kw": 4.14,
        "fallback_kw": 4.2,
        "transaction_id": None,
        "vehicle_id": None,
        "periods": [{"start_at": iso(now + k * slot), "limit_kw": limit} for k, limit in enumerate(limits_kw)],
    }
    return {**defaults, **changes}


@asynccontextmanager
async def running_bridge(config):
    bridge = Bridge(BridgeConfig.model_validate(config))
    stop, ready = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(bridge.run(stop, ready))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    assert ready.is_set(), await serving
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{bridge.http_port}", headers=headers, timeout=20, trust_env=False
        ) as client:
            yield Running(bridge, client)
    finally:
        stop.set()
        await serving


@pytest.fixture(autouse=True)
def _bridge_token(monkeypatch):
    monkeypatch.setenv("DEPOTWISE_BRIDGE_TOKEN", TOKEN)


@pytest.fixture
async def bridge(tmp_path):
    async with running_bridge(config_dict(tmp_path / "state")) as running:
        yield running


@pytest.fixture
async def impatient(tmp_path):
    """A bridge that soon gives up on a call."""
    config = config_dict(tmp_path / "state")
    config["link"] |= {"call_timeout_s": 0.5, "superseded_timeout_s": 0.2}
    async with running_bridge(config) as running:
        yield running


@pytest.fixture
async def lone(tmp_path):
    """A bridge with one station, so that no other, never seen, counts at its hardware maximum."""
    async with running_bridge(config_dict(tmp_path / "state", stations=("CP-1",))) as running:
        yield running


class Kit:
    """What tests build with."""

    ChargePoint = charge_points.ChargePoint
    ProfileBook = charge_points.ProfileBook
    token = TOKEN
    config_dict = staticmethod(config_dict)
    connector_config = staticmethod(connector_config)
    running_bridge = staticmethod(running_bridge)
    publication = staticmethod(publication)
    entry = staticmethod(entry)
    eventually = staticmethod(eventually)
    iso = staticmethod(iso)


@pytest.fixture(scope="session")
def certificate_maker(tmp_path_factory):
    """Begin a folder of certificates."""
    return lambda: certificates.CertificateMaker(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def kit():
    return Kit
