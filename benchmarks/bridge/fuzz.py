"""Stations that send nonsense, beside an honest one: nothing may crash, leak or slow the honest one down.

Mutated frames of all versions, wrong types, unknown actions, half frames, binary, oversized, deeply nested. Seeded.
"""

import asyncio
import contextlib
import copy
import json
import random
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from benchmarks.bridge.documents import configuration
from benchmarks.bridge.process import BridgeProcess, bridge_process, percentile
from simulator.personalities import dialect
from simulator.personalities.catalogue import PERSONALITIES
from simulator.personalities.dialect import Session
from simulator.personalities.station import Station

RUDE: Final = (("CP-1", "ocpp1.6"), ("CP-2", "ocpp2.0.1"), ("CP-3", "ocpp2.1"), ("CP-4", "ocpp1.6"))
OVERSIZED: Final = 300_000
HEARD: Final = re.compile(r'frames_total{direction="(?:in|malformed)"} (\d+)')
LAST: Final = '[2,"the last","Heartbeat",{}]'
ODD: Final = (
    *(None, True, -1, 2**63, 1e308, float("nan"), "", "\u0000", "x" * 2000, [], {}, [[]], {"a": {"b": []}}),
    *("NaN", "2026-13-45T99:99:99Z", "Available", "71000011", 71_000_011, [1, "2", None], {"": ""}),
)
UNKNOWN: Final = ("Explode", "", "SetChargingProfile", "Reset", "🔌", "a" * 5000, "__class__")


@dataclass(frozen=True, slots=True)
class Fuzz:
    """The size of a run; what is sent follows from the seed."""

    seed: int = 1
    frames: int = 100_000


@dataclass(slots=True)
class Outcome:
    """What was measured. The honest station's answers, alone and beside the rude ones; the bridge's memory."""

    frames: int = 0
    heard: int = 0
    reconnects: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    alone_p50_ms: float = 0.0
    alone_p99_ms: float = 0.0
    beside_p50_ms: float = 0.0
    beside_p99_ms: float = 0.0
    memory_early_mb: float = 0.0
    memory_end_mb: float = 0.0

    def text(self) -> str:
        """Return it, a line each."""
        return "\n".join(f"{name:<16} {value:.5g}" for name, value in asdict(self).items())


def seeds() -> list[list[Any]]:
    """Return good frames to start from, of all versions."""
    found: list[list[Any]] = [
        [3, "a", {"status": "Accepted"}],
        [4, "b", "InternalError", "", {}],
        [6, "c", "NotifyPeriodicEventStream", {}],
    ]
    for version in ("1.6", "2.0.1"):
        session = Session(1, "TAG", "1")
        values = [{"timestamp": "2026-02-10T18:00:00Z", "sampledValue": [{"value": "1.5", "unit": "kW"}]}]
        requests = (
            dialect.boot(PERSONALITIES["libocpp"], version),
            dialect.status(version, 1, is_charging=True, at_s=0),
            dialect.started(version, session, meter_wh=1, at_s=0),
            dialect.metered(version, 1, session, values, at_s=0),
            dialect.ended(version, session, meter_wh=2, at_s=0),
        )
        found += [[2, f"{version}-{k}", *request] for k, request in enumerate(requests)]
    return found


def nonsense(chance: random.Random, good: list[list[Any]]) -> str | bytes:
    """Return one message that no station should send."""
    roll = chance.random()
    if roll < 0.02:
        return chance.randbytes(chance.randint(0, 400))
    if roll < 0.022:
        return "x" * OVERSIZED
    if roll < 0.03:
        return "[" * chance.randint(1, 5000)
    frame = copy.deepcopy(chance.choice(good))
    if roll < 0.1 and frame[0] == 2:
        frame[2] = chance.choice(UNKNOWN)
    else:
        for _ in range(chance.randint(1, 3)):
            _mutate(frame, chance)
    text = json.dumps(frame)
    return text[: chance.randint(0, len(text))] if chance.random() < 0.1 else text


def _mutate(frame: list[Any], chance: random.Random) -> None:
    target: Any = frame
    while isinstance(target, list | dict) and target and chance.random() < 0.75:
        inner = chance.choice(list(target.values()) if isinstance(target, dict) else target)
        if not isinstance(inner, list | dict) or not inner:
            break
        target = inner
    places = list(target) if isinstance(target, dict) else list(range(len(target)))
    place = chance.choice(places)
    if chance.random() < 0.2 and isinstance(target, dict):
        del target[place]
    else:
        target[place] = copy.deepcopy(chance.choice(ODD))


async def run(fuzz: Fuzz, folder: Path) -> Outcome:
    """Carry out a run.

    Raises:
        AssertionError: the bridge died or complained, or the honest station got no answer.
    """
    names = ["CP-0", *(name for name, _ in RUDE)]
    outcome = Outcome()
    async with bridge_process(configuration(folder / "state", names, limit_kw=200), folder) as bridge:
        honest = Station(bridge.url, "CP-0", PERSONALITIES["libocpp"])
        try:
            await honest.connect()
            await honest.plug_in()
            alone = [await _served(honest) for _ in range(100)]
            outcome.alone_p50_ms, outcome.alone_p99_ms = percentile(alone, 0.5), percentile(alone, 0.99)
            await _flood(fuzz, bridge, honest, outcome)
        finally:
            await honest.close()
        assert (await bridge.client.get("/health")).status_code == 200
        assert await bridge.stop() == 0
        assert "Traceback" not in bridge.errors(), bridge.errors()[-3000:]
    return outcome


async def _flood(fuzz: Fuzz, bridge: BridgeProcess, honest: Station, outcome: Outcome) -> None:
    begun_s, cpu_s = time.monotonic(), bridge.cpu_s()
    share = fuzz.frames // len(RUDE)
    floods = [
        asyncio.create_task(_rude(bridge, name, subprotocol, random.Random(f"{fuzz.seed}-{name}"), share, outcome))
        for name, subprotocol in RUDE
    ]
    beside = []
    while not all(one.done() for one in floods):
        beside.append(await _served(honest))
        if outcome.memory_early_mb == 0 and outcome.frames > fuzz.frames * 0.3:
            outcome.memory_early_mb = bridge.memory_mb()
        await asyncio.sleep(0.02)
    await asyncio.gather(*floods)
    outcome.seconds, outcome.cpu_s = time.monotonic() - begun_s, bridge.cpu_s() - cpu_s
    outcome.beside_p50_ms, outcome.beside_p99_ms = percentile(beside, 0.5), percentile(beside, 0.99)
    outcome.memory_end_mb = bridge.memory_mb()
    metrics = (await bridge.client.get("/metrics")).text
    outcome.heard = sum(int(count) for count in HEARD.findall(metrics)) - len(beside)


async def _served(honest: Station) -> float:
    """Return how long the honest station waits for an answer, in ms."""
    begun_s = time.monotonic()
    await honest.report_meter()
    return 1000 * (time.monotonic() - begun_s)


async def _rude(
    bridge: BridgeProcess, name: str, subprotocol: str, chance: random.Random, frames: int, outcome: Outcome
) -> None:
    """Send nonsense; dial again when the bridge hangs up."""
    good, left = seeds(), frames
    while left > 0:
        try:
            async with connect(
                f"{bridge.url}/ocpp/{name}",
                subprotocols=[Subprotocol(subprotocol)],
                proxy=None,
                compression=None,
                close_timeout=0.2,
                open_timeout=60,
            ) as socket:
                served = asyncio.Event()
                reading = asyncio.create_task(_read(socket, served))
                try:
                    while left > 0:
                        message = nonsense(chance, good)
                        left -= 1
                        outcome.frames += 1
                        await socket.send(message)
                        if len(message) >= OVERSIZED:
                            await socket.wait_closed()
                    await socket.send(LAST)  # once it is answered, all before it was dealt with
                    await served.wait()
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
        except (WebSocketException, OSError):
            outcome.reconnects += 1


async def _read(socket: Any, served: asyncio.Event) -> None:  # noqa: ANN401  a client connection
    with contextlib.suppress(ConnectionClosed):
        async for text in socket:
            if text.startswith('[3,"the last",'):
                served.set()
    served.set()
