"""Seeded chaos: a bridge that is killed, and stations that drop, lose, delay, reorder and boot, while plans follow.

Stations really hold, stack and expire profiles, by clocks that are up to 45 s off. What must hold at every look, for
the present and for every instant to come: what all of them allow together is within the limit. At the end: no plan was
lost, none came back after a newer one, each connector holds one plan and it is the last one, no transaction was ended.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
from websockets.exceptions import WebSocketException

from benchmarks.bridge.documents import FALLBACK_KW, LEAST_KW, configuration, entry, instant, publication
from benchmarks.bridge.process import BridgeProcess, bridge_process
from core.clock import SimulatedClock, drive_clock
from core.time_grid import parse_instant
from simulator.personalities.catalogue import PERSONALITIES
from simulator.personalities.station import Fate, Station

Json = dict[str, Any]
START: Final = datetime(2026, 2, 10, 18, 0, tzinfo=UTC)
RATE: Final = 20.0
LOOK_S: Final = 0.2
LOOKS: Final = 300
PER_STATION_KW: Final = 5.5
KINDS: Final = (
    ("libocpp", "1.6"),
    ("libocpp", "2.0.1"),
    ("libocpp", "2.1"),
    ("tfocpp", "1.6"),
    ("shiv3", "1.6"),
    ("microocpp-1.2", "1.6"),
    ("sap-4.11", "1.6"),
    ("default-only", "1.6"),
    ("level-0-only", "1.6"),
    ("half-open", "1.6"),
    ("maximum-only", "1.6"),
)
SKEWS_S: Final = (0.0, 0.0, 0.0, 45.0, -45.0, 20.0, -20.0)
FORBIDDEN: Final = ("RemoteStopTransaction", "RequestStopTransaction", "Reset", "UnlockConnector")
GONE: Final = (OSError, WebSocketException, TimeoutError)


@dataclass(frozen=True, slots=True)
class Chaos:
    """The size of a run; everything random follows from the seed."""

    seed: int
    stations: int = 50
    seconds: float = 8.0
    kills: int = 2


@dataclass(slots=True)
class Report:
    """What happened in a run."""

    plans: int = 0
    kills: int = 0
    drops: int = 0
    boots: int = 0
    looks: int = 0
    highest_share: float = 0.0
    answered: dict[str, Json] = field(default_factory=dict)

    def text(self) -> str:
        """Return it in a line."""
        return (
            f"{self.plans} plans, {self.kills} kills, {self.drops} drops, {self.boots} boots, {self.looks} looks; "
            f"at most {100 * self.highest_share:.0f} % of the limit"
        )


class Depot:
    """The stations of a run, and what they allow together."""

    def __init__(self, chaos: Chaos, url: str, clock: SimulatedClock) -> None:
        self.chance = random.Random(chaos.seed)
        self.clock = clock
        self.stations: list[Station] = []
        self.versions: dict[str, str] = {}
        self.limit_kw = chaos.stations * PER_STATION_KW
        self.is_rough = False
        self.started: dict[str, str] = {}
        self.plan_of: dict[str, int] = {}
        for k, (kind, version) in zip(range(chaos.stations), itertools.cycle(KINDS), strict=False):
            personality = replace(PERSONALITIES[kind], clock_skew_s=self.chance.choice(SKEWS_S))
            station = Station(url, f"CP-{k}", personality, now_s=self.now_s)
            station.network = self.fate
            self.versions[station.station_id] = version
            self.stations.append(station)

    def now_s(self) -> float:
        """Return true time."""
        return self.clock.now().timestamp()

    def fate(self, action: str) -> Fate:  # noqa: ARG002  the network reads no messages
        """Return what the network does to a call."""
        if not self.is_rough or self.chance.random() < 0.6:
            return Fate()
        roll = self.chance.random()
        if roll < 0.25:
            return Fate(is_heard=False)
        if roll < 0.45:
            return Fate(is_answered=False)
        return Fate(before_s=self.chance.random() * 0.2, after_s=self.chance.random() * 0.9)  # late: after newer ones

    async def connect(self, station: Station, *, boots: bool) -> None:
        """Bring a station back, however long it takes."""
        while True:
            try:
                await station.connect(self.versions[station.station_id], boots=boots)
                if station.sessions:
                    await station.report_meter()
            except GONE:
                await asyncio.sleep(0.1 + 0.3 * self.chance.random())
            else:
                return

    def together(self) -> tuple[float, float]:
        """Return the most that all stations allow together, now or at any instant to come, and when."""
        now_s = self.now_s()
        changes: dict[float, float] = {}
        for station in self.stations:
            before_kw = 0.0
            for edge in [now_s, *sorted(edge for edge in station.edges() if now_s < edge < float("inf"))]:
                allowed_kw = station.allowed_kw(1, edge)
                changes[edge] = changes.get(edge, 0.0) + allowed_kw - before_kw
                before_kw = allowed_kw
        level, most = 0.0, (0.0, now_s)
        for edge in sorted(changes):
            level += changes[edge]
            most = max(most, (level, edge))
        return most

    def plan(self, number: int, *, hours: float) -> Json:
        """Return a publication whose entries fit the limit."""
        now_s = self.now_s()
        slots = [self._slot() for _ in range(self.chance.randint(1, 4))]
        end_s = float(int(now_s + 3600 * hours) + number % 60)
        self.plan_of[instant(end_s)] = number
        entries = []
        for k, station in enumerate(self.stations):
            running: str | int | None = station.running(1)
            running = int(running) if running is not None and self.versions[station.station_id] == "1.6" else running
            limits_kw = [slot[k] for slot in slots]
            entries.append(entry(station.station_id, limits_kw, start_s=now_s, transaction_id=running))
        return publication(f"plan-{number}", entries, as_of_s=now_s, end_s=end_s, limit_kw=self.limit_kw)

    def _slot(self) -> list[float]:
        """Share the limit out: idle connectors get the fallback, charging ones nothing or at least the minimum."""
        left = self.limit_kw
        given = [FALLBACK_KW if not station.sessions else 0.0 for station in self.stations]
        left -= sum(given)
        charging = [k for k, station in enumerate(self.stations) if station.sessions]
        self.chance.shuffle(charging)
        for k in charging:
            power_kw = min(left, 22.0, LEAST_KW + self.chance.random() * 8)
            if power_kw >= LEAST_KW and self.chance.random() < 0.85:
                given[k] = round(power_kw - 0.0005, 3)
                left -= given[k]
        return given


async def run(chaos: Chaos, folder: Path) -> Report:
    """Carry out one run.

    Raises:
        AssertionError: something that must hold did not.
    """
    clock_file = folder / "clock.json"
    drive_clock(clock_file, at=START, rate=RATE)
    clock = SimulatedClock(START, RATE, file=clock_file)
    config = configuration(
        folder / "state",
        [f"CP-{k}" for k in range(chaos.stations)],
        limit_kw=chaos.stations * PER_STATION_KW,
        clock={"start_at": START.isoformat(), "rate": RATE, "file": str(clock_file)},
        link={"call_timeout_s": 0.4, "superseded_timeout_s": 0.2, "boot_grace_s": 0.05},
    )
    report = Report()
    async with bridge_process(config, folder) as bridge:
        depot = Depot(chaos, bridge.url, clock)
        try:
            await _begin(depot, bridge)
            await _storm(chaos, depot, bridge, report)
            await _calm(depot, bridge, report)
        finally:
            await asyncio.gather(*(station.close() for station in depot.stations))
    return report


async def _begin(depot: Depot, bridge: BridgeProcess) -> None:
    await asyncio.gather(*(depot.connect(station, boots=True) for station in depot.stations))

    async def all_have_a_fallback() -> bool:
        found = (await bridge.client.get("/stations")).json()["stations"]
        return all(one["connectors"][0]["limit_kw"] is not None for one in found)

    await _until(all_have_a_fallback, "not all have a fallback")
    for k, station in enumerate(depot.stations):
        if k % 3 != 2:
            depot.started[station.station_id] = await station.plug_in()


async def _storm(chaos: Chaos, depot: Depot, bridge: BridgeProcess, report: Report) -> None:
    depot.is_rough = True
    ends_s = asyncio.get_running_loop().time() + chaos.seconds
    workers = [asyncio.create_task(_trouble(station, depot, report, ends_s=ends_s)) for station in depot.stations]
    looking = asyncio.create_task(_look(depot, report))
    killing = asyncio.create_task(_kill(chaos, depot, bridge, report))
    try:
        while asyncio.get_running_loop().time() < ends_s:
            await _publish(depot, bridge, report, hours=depot.chance.choice([0.02, 0.1, 0.5, 2]))
            await asyncio.sleep(depot.chance.random() * 0.8)
            _raise_first([*workers, looking, killing])
        await asyncio.gather(killing, *workers)
    finally:
        depot.is_rough = False
        for task in (*workers, looking, killing):
            task.cancel()
        outcomes = await asyncio.gather(*workers, looking, killing, return_exceptions=True)
    problem = next((one for one in outcomes if isinstance(one, AssertionError)), None)
    if problem is not None:
        raise problem


def _raise_first(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


async def _trouble(station: Station, depot: Depot, report: Report, *, ends_s: float) -> None:
    """Let things happen to one station; end with it connected."""
    chance = depot.chance
    while asyncio.get_running_loop().time() < ends_s:
        await asyncio.sleep(0.1 + chance.random() * 2)
        boots = chance.random() < 0.3
        if not station.is_connected:
            await depot.connect(station, boots=False)
        elif chance.random() < 0.7:
            report.drops, report.boots = report.drops + 1, report.boots + boots
            await station.drop()
            await asyncio.sleep(chance.choice([0.0, 0.1, 0.5, 7.0]) * chance.random())  # up to 140 s of the clock
            await depot.connect(station, boots=boots)
        else:
            with contextlib.suppress(*GONE):
                await station.report_meter()


async def _look(depot: Depot, report: Report) -> None:
    while True:
        together_kw, at_s = depot.together()
        report.looks += 1
        report.highest_share = max(report.highest_share, together_kw / depot.limit_kw)
        ahead_s = at_s - depot.now_s()
        assert together_kw <= depot.limit_kw + 1e-6, f"{together_kw} kW of {depot.limit_kw} in {ahead_s:.0f} s"
        await asyncio.sleep(0.1)


async def _kill(chaos: Chaos, depot: Depot, bridge: BridgeProcess, report: Report) -> None:
    for _ in range(chaos.kills):
        await asyncio.sleep(chaos.seconds / (chaos.kills + 1) * (0.5 + depot.chance.random() / 2))
        await bridge.kill()
        report.kills += 1
        await bridge.start()


async def _publish(depot: Depot, bridge: BridgeProcess, report: Report, *, hours: float) -> str:
    """Publish a plan, again and again until it is answered."""
    report.plans += 1
    document = depot.plan(report.plans, hours=hours)
    plan_id = str(document["plan_id"])
    while True:
        try:
            answer = await bridge.client.put(f"/publications/{plan_id}", json=document)
        except httpx.TransportError:
            await asyncio.sleep(0.1)
            continue
        if answer.status_code == 422 and "run out" in answer.text:
            return plan_id  # it took so long that the plan is over
        assert answer.status_code in (200, 202), answer.text
        report.answered[plan_id] = document
        return plan_id


async def _calm(depot: Depot, bridge: BridgeProcess, report: Report) -> None:
    """Everybody is back and answers: the last plan must come true, and nothing may have been lost."""
    for station in depot.stations:
        if not station.is_connected:
            await depot.connect(station, boots=False)
    plan_id = await _publish(depot, bridge, report, hours=2)

    async def delivered() -> bool:
        for station in depot.stations:
            if station.sessions:
                await station.report_meter()
        answer = await bridge.client.get(f"/publications/{plan_id}")
        found = zip(depot.stations, answer.json()["connectors"], strict=True)
        return all(one["state"] in ("accepted", "verified") or not _has_room(station) for station, one in found)

    await _until(delivered, "the last plan was not delivered")
    for station, line in zip(depot.stations, report.answered[plan_id]["connectors"], strict=True):
        _check_station(depot, station, line)
    for other in report.answered:
        answer = await bridge.client.get(f"/publications/{other}")
        assert answer.status_code == 200, f"{other} was answered and is lost"
        states = {one["state"] for one in answer.json()["connectors"]}
        final = {"superseded", "expired", "rejected", "transaction_changed"}
        assert other == plan_id or states <= final, f"{other} is {states}"
    together_kw, _ = depot.together()
    assert together_kw <= depot.limit_kw + 1e-6


def _has_room(station: Station) -> bool:
    """Say whether a plan has a level: a default one at level 0 would replace the fallback."""
    return station.personality.max_level > 0 or 1 in station.sessions


def _check_station(depot: Depot, station: Station, line: Json) -> None:
    name = f"{station.station_id} ({station.personality.name})"
    assert station.running(1) == depot.started.get(station.station_id), f"{name}: its transaction was touched"
    assert not set(station.calls) & set(FORBIDDEN), f"{name}: {station.calls}"
    numbers = [depot.plan_of[end] for end in station.ends if end in depot.plan_of]
    assert numbers == sorted(numbers), f"{name}: an older plan came after a newer one: {numbers}"
    alive = [one for one in station.book.profiles if one.valid_to_s < float("inf")]
    alive = [one for one in alive if one.valid_to_s > station.own_now_s()]
    assert len(alive) <= 1, f"{name}: holds {len(alive)} plans at once"
    planned_kw = _planned_kw(line, depot.now_s())
    if _has_room(station):
        allowed_kw = station.allowed_kw()
        least_kw = min(planned_kw) - 0.08 if min(planned_kw) >= LEAST_KW else 0.0
        least_kw = 0.0 if station.personality.max_periods < 24 else least_kw
        assert least_kw <= allowed_kw <= max(planned_kw) + 1e-6, f"{name}: {allowed_kw} kW, planned {planned_kw}"


def _planned_kw(line: Json, now_s: float) -> list[float]:
    """Return what is planned now, or was so recently that whoever waits for slow clocks may still hold it."""
    periods = [(parse_instant(one["start_at"]).timestamp(), float(one["limit_kw"])) for one in line["periods"]]
    ends = [start for start, _ in periods[1:]] + [float("inf")]
    return [kw for (start, kw), end in zip(periods, ends, strict=True) if start <= now_s + 60 and end > now_s - 130]


async def _until(look: Callable[[], Awaitable[bool]], complaint: str) -> None:
    """Look again and again, for a minute in all; a machine that stands still between two looks costs one of them."""
    for _ in range(LOOKS):
        if await look():
            return
        await asyncio.sleep(LOOK_S)
    raise AssertionError(complaint)


def longest(chaos: Chaos) -> timedelta:
    """Return after how long a run hangs; a good one takes about 20 s."""
    return timedelta(seconds=20 * (chaos.seconds + 20 * chaos.kills))
