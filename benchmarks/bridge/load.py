"""Many stations at once: all connect, all meter, one plan for all that gives to half of them what the other half had.

Stations run in processes of their own, on loopback. What all allow together is put together from every change that
any of them saw, in the order of the machine's clock: the swap only fits if every reduction is acknowledged first.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.bridge.documents import FALLBACK_KW, configuration, entry, instant, publication
from benchmarks.bridge.process import REPOSITORY, BridgeProcess, Stopwatch, bridge_process, percentile

Json = dict[str, Any]
HIGH_KW = 9.0
LIMIT_PER_STATION_KW = 4.6
LOWERED_PER_STATION_KW = 2.5
LOOK_S = 1.0
LINE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Load:
    """The size of a run."""

    stations: int = 2000
    processes: int = 2
    meter_s: float = 300.0
    interval_s: float = 10.0


@dataclass(slots=True)
class Result:
    """What was measured; CPU is the bridge's own."""

    stations: int
    empty_mb: float = 0.0
    connect_s: float = 0.0
    connect_cpu_s: float = 0.0
    connect_p50_s: float = 0.0
    connect_p99_s: float = 0.0
    settle_s: float = 0.0
    connected_mb: float = 0.0
    kb_per_station: float = 0.0
    meter_values: int = 0
    meter_failed: int = 0
    meter_s: float = 0.0
    meter_cpu_s: float = 0.0
    meter_p50_ms: float = 0.0
    meter_p99_ms: float = 0.0
    after_meter_mb: float = 0.0
    publish_s: float = 0.0
    publish_cpu_s: float = 0.0
    swap_s: float = 0.0
    swap_cpu_s: float = 0.0
    limit_s: float = 0.0
    highest_share: float = 0.0
    read_back_calls: int = 0

    def text(self) -> str:
        """Return it, a line each."""
        return "\n".join(f"{name:<18} {value:.4g}" for name, value in asdict(self).items())


class FleetProcess:
    """A process full of stations."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answer(self) -> Json:
        """Return the next answer."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "a process of stations ended"
        found: Json = json.loads(line)
        return found

    async def tell(self, command: str) -> Json:
        """Give a command and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        await self._process.stdin.drain()
        return await self.answer()


@asynccontextmanager
async def fleets(load: Load, url: str) -> AsyncIterator[list[FleetProcess]]:
    """Start the processes of stations; they end with this."""
    share = load.stations // load.processes
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "simulator.personalities.fleet", "--url", url),
            *("--first", str(k * share), "--count", str(share)),
            cwd=REPOSITORY,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
        )
        for k in range(load.processes)
    ]
    try:
        found = [FleetProcess(process) for process in processes]
        await asyncio.gather(*(one.answer() for one in found))
        yield found
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _tell_all(found: Sequence[FleetProcess], command: str) -> list[Json]:
    return list(await asyncio.gather(*(one.tell(command) for one in found)))


async def run(load: Load, folder: Path) -> Result:
    """Carry out a run.

    Raises:
        AssertionError: the limit was exceeded, or something was not delivered.
    """
    names = [f"CP-{k}" for k in range(load.stations)]
    limit_kw = load.stations * LIMIT_PER_STATION_KW
    config = configuration(folder / "state", names, limit_kw=limit_kw)
    result = Result(load.stations)
    async with bridge_process(config, folder) as bridge, fleets(load, bridge.url) as found:
        result.empty_mb = bridge.memory_mb()
        await _connect(found, bridge, result)
        transactions: dict[str, str] = {}
        for answer in await _tell_all(found, "plug"):
            transactions |= answer["transactions"]
        await _meter(load, found, bridge, result)
        await _publish(found, bridge, result, transactions, limit_kw)
        result.limit_s = await _lower(found, bridge, load.stations * LOWERED_PER_STATION_KW)
        calls = [answer["calls"] for answer in await _tell_all(found, "calls")]
        result.read_back_calls = sum(one.get("GetCompositeSchedule", 0) for one in calls)
    return result


async def _connect(found: Sequence[FleetProcess], bridge: BridgeProcess, result: Result) -> None:
    watch = Stopwatch(bridge)
    answers = await _tell_all(found, "connect")
    result.connect_s, result.connect_cpu_s = watch.read()
    took = [seconds for answer in answers for seconds in answer["took_s"]]
    assert len(took) == result.stations
    result.connect_p50_s, result.connect_p99_s = percentile(took, 0.5), percentile(took, 0.99)
    while True:
        stations = (await bridge.client.get("/stations")).json()["stations"]
        if all(one["connectors"][0]["limit_kw"] is not None for one in stations):
            break
        assert watch.read()[0] < 600, "not all have a fallback"
        await asyncio.sleep(LOOK_S)  # looking costs the bridge a millisecond for each five stations
    result.settle_s = watch.read()[0]
    result.connected_mb = bridge.memory_mb()
    result.kb_per_station = 1000 * (result.connected_mb - result.empty_mb) / result.stations


async def _meter(load: Load, found: Sequence[FleetProcess], bridge: BridgeProcess, result: Result) -> None:
    watch = Stopwatch(bridge)
    answers = await _tell_all(found, f"meter {load.meter_s} {load.interval_s}")
    result.meter_s, result.meter_cpu_s = watch.read()
    took = [seconds for answer in answers for seconds in answer["took_s"]]
    result.meter_values, result.meter_failed = len(took), sum(answer["failed"] for answer in answers)
    result.meter_p50_ms, result.meter_p99_ms = 1000 * percentile(took, 0.5), 1000 * percentile(took, 0.99)
    result.after_meter_mb = bridge.memory_mb()


async def _publish(
    found: Sequence[FleetProcess],
    bridge: BridgeProcess,
    result: Result,
    transactions: dict[str, str],
    limit_kw: float,
) -> None:
    """Publish a plan for all, then one that swaps who charges; look at what they allowed together meanwhile."""
    before = await _tell_all(found, "changes")
    level_kw = sum(sum(answer["allowed_kw"]) for answer in before)
    result.publish_s, result.publish_cpu_s = await _deliver(bridge, "plan-1", transactions, limit_kw, turn=0)
    result.swap_s, result.swap_cpu_s = await _deliver(bridge, "plan-2", transactions, limit_kw, turn=1)
    after = await _tell_all(found, "changes")
    most_kw = level_kw
    for _, change_kw in sorted(tuple(change) for answer in after for change in answer["changes"]):
        level_kw += change_kw
        most_kw = max(most_kw, level_kw)
    assert abs(level_kw - sum(sum(answer["allowed_kw"]) for answer in after)) < 1e-3, "changes were missed"
    result.highest_share = most_kw / limit_kw
    assert most_kw <= limit_kw + 1e-6, f"{most_kw} kW were allowed together, of {limit_kw}"


async def _lower(found: Sequence[FleetProcess], bridge: BridgeProcess, limit_kw: float) -> float:
    """Lower the limit for all; return after how long what all allow together is within it."""
    begun_s = time.monotonic()
    until = instant(time.time() + 3600)
    body = {"ev_limit_kw": limit_kw, "valid_until": until, "reason": "a run"}
    answer = await bridge.client.put("/limits", json=body)
    assert answer.status_code == 200, answer.text
    while True:
        together_kw = sum(sum(one["allowed_kw"]) for one in await _tell_all(found, "changes"))
        if together_kw <= limit_kw + 1e-6:
            return time.monotonic() - begun_s
        assert time.monotonic() - begun_s < 120, f"{together_kw} kW are allowed, of {limit_kw}"
        await asyncio.sleep(0.1)


async def _deliver(
    bridge: BridgeProcess, plan_id: str, transactions: dict[str, str], limit_kw: float, *, turn: int
) -> tuple[float, float]:
    """Publish one plan; return wall and processor seconds until every station has acknowledged it."""
    now_s = time.time()
    entries = [
        entry(
            name,
            [HIGH_KW if int(name.removeprefix("CP-")) % 2 == turn else 0.0],
            start_s=now_s,
            transaction_id=int(transaction_id) if transaction_id.isdigit() else transaction_id,
        )
        for name, transaction_id in transactions.items()
    ]
    document = publication(plan_id, entries, as_of_s=now_s, end_s=now_s + 4 * 3600, limit_kw=limit_kw)
    watch = Stopwatch(bridge)
    answer = await bridge.client.put(f"/publications/{plan_id}", json=document)
    assert answer.status_code == 202, answer.text
    while True:
        states = [one["state"] for one in (await bridge.client.get(f"/publications/{plan_id}")).json()["connectors"]]
        if all(state in ("accepted", "verified") for state in states):
            return watch.read()
        assert watch.read()[0] < 600, f"{plan_id}: {[(state, states.count(state)) for state in set(states)]}"
        await asyncio.sleep(LOOK_S)


assert FALLBACK_KW < LIMIT_PER_STATION_KW
