"""Wires the live night: provider APIs, charge points and the world's loop, until the program is stopped."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

from core.clock import SimulatedClock
from core.settings import secret
from simulator.output.secrets import GEOTAB_PASSWORD, GEOTAB_USER, RFMS_TOKEN
from simulator.providers.gate import Gate
from simulator.providers.geotab import Account, GeotabServer
from simulator.providers.rfms import RfmsServer
from simulator.providers.serving import serving
from simulator.providers.telematics import Telematics
from simulator.world.history import World

READY = "simulator ready"
REQUESTS_PER_WINDOW, WINDOW_S = 120, 2.0  # wall time: real limits are per minute, this night is short


async def run(world: World, folder: Path, *, clock_file: Path) -> None:  # noqa: ARG001 - signals follow
    """Serve the live night of a prepared folder.

    Raises:
        core.settings.MissingSecretError: a secret of the APIs or stations is not in the environment.
        OSError: a port is taken.
    """
    clock = SimulatedClock(world.scenario.live_start_at, 0.0, file=clock_file)
    telematics = Telematics(world)
    telematics.release(world.scenario.live_start_at)
    async with AsyncExitStack() as stack:
        await serve_providers(stack, world, telematics, now=clock.now)
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()
        await _stopped()


async def serve_providers(
    stack: AsyncExitStack, world: World, telematics: Telematics, *, now: Callable[[], datetime]
) -> None:
    """Serve the provider APIs until the stack is closed."""
    scenario = world.scenario
    rfms = RfmsServer(world, telematics, now=now, token=secret(RFMS_TOKEN), gate=_gate(world, "rfms"))
    account = Account(secret(GEOTAB_USER), secret(GEOTAB_PASSWORD))
    geotab = GeotabServer(world, telematics, now=now, account=account, gate=_gate(world, "geotab"))
    await stack.enter_async_context(serving(rfms.app(), port=scenario.ports.rfms, now=now))
    await stack.enter_async_context(serving(geotab.app(), port=scenario.ports.geotab, now=now))


def _gate(world: World, name: str) -> Gate:
    scenario = world.scenario
    return Gate(name, seed=scenario.seed, faults=scenario.faults, limit=REQUESTS_PER_WINDOW, window_s=WINDOW_S)


async def _stopped() -> None:
    """Wait for SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
