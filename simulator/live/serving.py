"""Wires the live night: provider APIs, charge points and the world's loop, until the program is stopped."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path

from core.clock import SimulatedClock
from core.settings import secret
from simulator.charge_point.link import Link
from simulator.charge_point.station import Station
from simulator.live.night import Night, make_stations
from simulator.live.site_meter import SiteMeter
from simulator.output.frames import registers_at_live_start
from simulator.output.secrets import GEOTAB_PASSWORD, GEOTAB_USER, RFMS_TOKEN, station_password
from simulator.output.signals import LOAD_FILE
from simulator.providers.gate import Gate
from simulator.providers.geotab import Account, GeotabServer
from simulator.providers.rfms import RfmsServer
from simulator.providers.serving import HOST, serving
from simulator.providers.telematics import Telematics
from simulator.world.history import World

READY = "simulator ready"
REQUESTS_PER_WINDOW, WINDOW_S = 120, 2.0  # wall time: real limits are per minute, this night is short


async def run(world: World, folder: Path, *, clock_file: Path) -> None:
    """Serve the live night of a prepared folder until SIGINT or SIGTERM.

    Raises:
        core.settings.MissingSecretError: a secret of the APIs or stations is not in the environment.
        OSError: a port is taken.
    """
    clock = SimulatedClock(world.scenario.live_start_at, 0.0, file=clock_file)
    telematics = Telematics(world)
    telematics.release(world.scenario.live_start_at)
    stations = make_stations(world, registers_at_live_start(world))
    night = Night(world, stations, telematics, SiteMeter(world, folder / "signals" / LOAD_FILE), folder)

    def now() -> datetime:
        return night.now(clock)

    async with AsyncExitStack() as stack:
        await serve_providers(stack, world, telematics, now=now)
        await stack.enter_async_context(dialling(world, stations, now=now))
        following = asyncio.create_task(night.run(clock))
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()
        await _stopped(following)
        night.write_outcome()


async def serve_providers(
    stack: AsyncExitStack, world: World, telematics: Telematics, *, now: Callable[[], datetime]
) -> None:
    """Serve the provider APIs until the stack is closed."""
    scenario = world.scenario
    rfms = RfmsServer(world, telematics, now=now, token=secret(RFMS_TOKEN), gate=_gate(world, "rfms", now))
    account = Account(secret(GEOTAB_USER), secret(GEOTAB_PASSWORD))
    geotab = GeotabServer(world, telematics, now=now, account=account, gate=_gate(world, "geotab", now))
    await stack.enter_async_context(serving(rfms.app(), port=scenario.ports.rfms, now=now))
    await stack.enter_async_context(serving(geotab.app(), port=scenario.ports.geotab, now=now))


@asynccontextmanager
async def dialling(world: World, stations: dict[str, Station], *, now: Callable[[], datetime]) -> AsyncIterator[None]:
    """Keep every station connected to its site's bridge while the block runs."""
    ports = {
        connector.station_id: world.scenario.ports.bridge_ws(index)
        for index, site in enumerate(world.fleet.sites)
        for connector in world.fleet.connectors_of(site.site_id)
    }
    links = [
        Link(
            station,
            url=f"ws://{HOST}:{ports[station_id]}/ocpp/{station_id}",
            password=station_password(station_id),
            now=now,
        )
        for station_id, station in stations.items()
    ]
    tasks = [asyncio.create_task(link.run()) for link in links]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _gate(world: World, name: str, now: Callable[[], datetime]) -> Gate:
    scenario = world.scenario
    return Gate(name, seed=scenario.seed, faults=scenario.faults, limit=REQUESTS_PER_WINDOW, window_s=WINDOW_S, now=now)


async def _stopped(following: asyncio.Task[None]) -> None:
    """Wait for SIGINT or SIGTERM, or for the night's loop to fail."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({waiting, following}, return_when=asyncio.FIRST_COMPLETED)
    if following.done():
        waiting.cancel()
        following.result()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
