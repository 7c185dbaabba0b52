"""Stations that send nonsense, beside an honest one: nothing may crash, leak or slow the honest one down.

Mutated frames of all versions, wrong types, unknown actions, half frames, binary, oversized, deeply nested. Seeded. For
comparison the same stations first send meter values and statuses as fast: nonsense must cost the honest one no more.
"""

import asyncio
import contextlib
import copy
import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
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
USUAL: Final = ("MeterValues", "StatusNotification")
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

    @property
    def good_frames(self) -> int:
        """How many good frames are sent for comparison."""
        return min(self.frames // 2, 10_000)


@dataclass(slots=True)
class Outcome:
    """What was measured: the honest one's answers alone, beside good frames, beside nonsense; the bridge's memory."""

    frames: int = 0
    heard: int = 0
    reconnects: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    alone_p50_ms: float = 0.0
    alone_p99_ms: float = 0.0
    good_p50_ms: float = 0.0
    good_p99_ms: float = 0.0
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
            await _crowd(fuzz, bridge, honest, outcome)
            await _flood(fuzz, bridge, honest, outcome)
        finally:
            await honest.close()
        assert (await bridge.client.get("/health")).status_code == 200
    return outcome


async def _crowd(fuzz: Fuzz, bridge: BridgeProcess, honest: Station, outcome: Outcome) -> None:
    """Send good frames from the same stations, for comparison."""
    chance, share, ignored = random.Random(fuzz.seed), fuzz.good_frames // len(RUDE), Outcome()

    async def one(name: str, subprotocol: str) -> None:
        good = [json.dumps(frame) for frame in seeds() if frame[2] in USUAL and _is_of(frame, subprotocol)]
        await _send_all(bridge, name, subprotocol, lambda: chance.choice(good), share, ignored)

    beside = await _beside([asyncio.create_task(one(*rude)) for rude in RUDE], honest)
    outcome.good_p50_ms, outcome.good_p99_ms = percentile(beside, 0.5), percentile(beside, 0.99)


def _is_of(frame: list[Any], subprotocol: str) -> bool:
    return str(frame[1]).startswith("1.6") == (subprotocol == "ocpp1.6")


async def _flood(fuzz: Fuzz, bridge: BridgeProcess, honest: Station, outcome: Outcome) -> None:
    begun_s, cpu_s, heard_before = time.monotonic(), bridge.cpu_s(), await _heard(bridge)
    share = fuzz.frames // len(RUDE)

    async def one(name: str, subprotocol: str) -> None:
        chance, good = random.Random(f"{fuzz.seed}-{name}"), seeds()
        await _send_all(bridge, name, subprotocol, lambda: nonsense(chance, good), share, outcome)

    def remember_memory() -> None:
        if outcome.memory_early_mb == 0 and outcome.frames > fuzz.frames * 0.3:
            outcome.memory_early_mb = bridge.memory_mb()

    beside = await _beside([asyncio.create_task(one(*rude)) for rude in RUDE], honest, remember_memory)
    outcome.seconds, outcome.cpu_s = time.monotonic() - begun_s, bridge.cpu_s() - cpu_s
    outcome.beside_p50_ms, outcome.beside_p99_ms = percentile(beside, 0.5), percentile(beside, 0.99)
    outcome.memory_end_mb = bridge.memory_mb()
    outcome.heard = await _heard(bridge) - heard_before - len(beside)


async def _beside(
    floods: list[asyncio.Task[None]], honest: Station, look: Callable[[], None] = lambda: None
) -> list[float]:
    """Return how long the honest station waited each time, while others sent."""
    found = []
    while not all(one.done() for one in floods):
        found.append(await _served(honest))
        look()
        await asyncio.sleep(0.02)
    await asyncio.gather(*floods)
    return found


async def _heard(bridge: BridgeProcess) -> int:
    """Return how many frames the bridge has read, malformed ones included."""
    return sum(int(count) for count in HEARD.findall((await bridge.client.get("/metrics")).text))


async def _served(honest: Station) -> float:
    """Return how long the honest station waits for an answer, in ms."""
    begun_s = time.monotonic()
    await honest.report_meter()
    return 1000 * (time.monotonic() - begun_s)


async def _send_all(
    bridge: BridgeProcess,
    name: str,
    subprotocol: str,
    make: Callable[[], str | bytes],
    frames: int,
    outcome: Outcome,
) -> None:
    """Send so many frames; dial again when the bridge hangs up."""
    left = frames
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
                        message = make()
                        left -= 1
                        outcome.frames += 1
                        if len(message) >= OVERSIZED:  # what is still waiting to be read would die with the connection
                            await _dealt_with(socket, served)
                            await socket.send(message)
                            await socket.wait_closed()
                        await socket.send(message)
                    await _dealt_with(socket, served)
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
        except (WebSocketException, OSError):
            outcome.reconnects += 1


async def _dealt_with(socket: ClientConnection, served: asyncio.Event) -> None:
    """Wait until all that was sent was dealt with: once the last one is answered."""
    await socket.send(LAST)
    await served.wait()


async def _read(socket: Any, served: asyncio.Event) -> None:  # noqa: ANN401  a client connection
    with contextlib.suppress(ConnectionClosed):
        async for text in socket:
            if text.startswith('[3,"the last",'):
                served.set()
    served.set()
