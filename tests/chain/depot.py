"""A simulated depot for tests of whole runs: made and served by the simulator, with time standing still.

Runs of the platform are processes of their own, so that they can be killed; here is also what a home holds in the end,
table by table, for comparing two of them.
"""

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx
import polars as pl
import yaml

from core.clock import drive_clock
from core.entities import ENTITIES
from core.landing import Landing
from core.time_grid import format_instant
from orchestration.demo.scenario import Scenario
from orchestration.demo.services import Service, run_program

BRIDGE_TOKEN = "a bridge token for tests only"
ENVIRONMENT = {
    "DEPOTWISE_RFMS_TOKEN": "a token for tests only",
    "DEPOTWISE_GEOTAB_USER": "tests",
    "DEPOTWISE_GEOTAB_PASSWORD": "a password for tests only",
    "DEPOTWISE_BRIDGE_TOKEN": BRIDGE_TOKEN,
    "DEPOTWISE_HASH_KEY": "a key for tests only",
    "DEPOTWISE_STATION_SECRET": "a secret for tests only",
}
PORT_OFFSETS = (0, 1, 10, 11, 20, 21)
NOT_COMPARED = ["ingested_at"]
"""What may differ between two runs of the same instant: when a row happened to be landed."""
QUIET_S = 0.5


@dataclass(frozen=True, slots=True)
class Depot:
    """A prepared depot whose providers and bridges answer, all of them at ``as_of``."""

    folder: Path
    as_of: str

    def command(self, home: Path, *arguments: str) -> list[str]:
        """Return the command line of a run in a home."""
        return [sys.executable, "-m", "orchestration.cli", "--home", str(home), *arguments]

    def environment(self) -> dict[str, str]:
        """Return the environment of a run."""
        return {**os.environ, **ENVIRONMENT, "DEPOTWISE_CONFIG": str(self.folder / "config")}

    def start_nightly(self, home: Path, log: Path) -> subprocess.Popen[bytes]:
        """Start the nightly job in a process group of its own."""
        with log.open("wb") as output:
            return subprocess.Popen(
                self.command(home, "run", "nightly", "--as-of", self.as_of, "--json"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment(),
                start_new_session=True,
            )

    def run_nightly(self, home: Path) -> dict[str, Any]:
        """Run the nightly job to its end, and return the document of its last line."""
        done = subprocess.run(
            self.command(home, "run", "nightly", "--as-of", self.as_of, "--json"),
            capture_output=True,
            text=True,
            env=self.environment(),
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return document


@contextmanager
def served_depot(folder: Path, *, vehicles: int, days: int) -> Iterator[Depot]:
    """Make a depot below a folder, and serve its providers, bridges and stations while the block runs."""
    with ExitStack() as running:
        depot = folder / "depot"
        size = ("--vehicles", str(vehicles), "--days", str(days), "--port-base", str(free_port_base()))
        run_program(["-m", "simulator", "prepare", "--out", str(depot), *size], env=ENVIRONMENT)
        scenario = Scenario.read(depot)
        drive_clock(scenario.clock_file, at=scenario.start_at, rate=0.0)
        for config in scenario.bridge_configs:
            _without_heartbeats(config)
            arguments = ["ocpp_bridge", "--config", str(config)]
            _serve(running, config.stem, arguments, ready="bridge ready", folder=folder)
        serve = ["simulator", "serve", "--dir", str(depot), "--clock", str(scenario.clock_file)]
        _serve(running, "simulator", serve, ready="simulator ready", folder=folder)
        _wait_for_stations(depot / "config")
        yield Depot(depot, format_instant(scenario.start_at))


def _without_heartbeats(config: Path) -> None:
    """Stations that say nothing send heartbeats by the machine's time, which passes while theirs is held."""
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    settings.setdefault("link", {})["heartbeat_interval_s"] = 86_400
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")


def _serve(running: ExitStack, name: str, arguments: list[str], *, ready: str, folder: Path) -> None:
    service = Service(name, arguments, ready=ready, log=folder / f"{name}.log", env=ENVIRONMENT)
    running.enter_context(service)
    service.wait_ready(timeout_s=120)


def _wait_for_stations(config: Path, *, timeout_s: float = 60.0) -> None:
    """Wait until every station holds its fallback and no more frames come: then nothing moves any more."""
    sites = yaml.safe_load((config / "sites.yaml").read_text(encoding="utf-8"))["sites"]
    for site in sites:
        headers = {"Authorization": f"Bearer {BRIDGE_TOKEN}"}
        with httpx.Client(base_url=site["bridge"]["url"], headers=headers, trust_env=False) as bridge:
            deadline = time.monotonic() + timeout_s
            newest = None
            while not _hold_fallbacks(bridge) or newest != (newest := _newest_frame(bridge)):
                assert time.monotonic() < deadline, f"the stations of {site['site_id']} did not come to rest"
                time.sleep(QUIET_S)


def _hold_fallbacks(bridge: httpx.Client) -> bool:
    stations = bridge.get("/stations").json()["stations"]
    return all(
        station["connected"] and all(connector["limit_kw"] is not None for connector in station["connectors"])
        for station in stations
    )


def _newest_frame(bridge: httpx.Client) -> str:
    return bridge.get("/frames", params={"limit": "10000"}).headers["X-Next-Cursor"]


def free_port_base() -> int:
    """Return a base of ports that are free on loopback, below the range that outgoing sockets use."""
    bases = list(range(20_000, 30_000, 40))
    random.Random(os.getpid()).shuffle(bases)
    return next(base for base in bases if all(_is_free(base + offset) for offset in PORT_OFFSETS))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def tables(home: Path) -> dict[str, pl.DataFrame]:
    """Return every table of a home, sorted, without what may differ between two runs of the same instant."""
    warehouse = _duckdb_tables(home / "warehouse" / "warehouse.duckdb", prefix="warehouse")
    return {**landed(home), **warehouse, **published(home)}


def landed(home: Path) -> dict[str, pl.DataFrame]:
    """Return every version of every canonical row of a home, by entity."""
    landing = Landing(home / "landing")
    return {f"landing.{name}": _comparable(landing.scan(name).collect()) for name in ENTITIES}


def published(home: Path) -> dict[str, pl.DataFrame]:
    """Return the marts that analysts read, by name."""
    return _duckdb_tables(home / "published" / "marts.duckdb", prefix="published")


def _duckdb_tables(path: Path, *, prefix: str) -> dict[str, pl.DataFrame]:
    with duckdb.connect(path, read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        names = connection.execute("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
        return {
            f"{prefix}.{schema}.{name}": _comparable(connection.sql(f'SELECT * FROM "{schema}"."{name}"').pl())
            for schema, name in names
        }


def _comparable(rows: pl.DataFrame) -> pl.DataFrame:
    kept = rows.drop(NOT_COMPARED, strict=False)
    return kept.sort(kept.columns, nulls_last=True, maintain_order=True)


def assert_same_tables(found: Mapping[str, pl.DataFrame], expected: Mapping[str, pl.DataFrame]) -> None:
    """Fail where two homes differ, naming the tables."""
    assert found.keys() == expected.keys()
    different = [name for name in expected if not found[name].equals(expected[name])]
    assert not different, f"different: {different}"


def files(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, by their relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
