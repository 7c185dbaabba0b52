"""One bridge in this process, one station on its socket, and a clock that jumps: where a personality is tried out."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from benchmarks.bridge.documents import TOKEN, configuration, entry, publication
from core.clock import SimulatedClock, drive_clock
from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.service import Bridge
from simulator.personalities.station import Station
from simulator.personalities.traits import Personality

Json = dict[str, Any]
START = datetime(2026, 2, 10, 18, 0, tzinfo=UTC)
PLAN_S = 3600.0
LIMIT_KW = 30.0
LOOK_S = 0.02
LOOKS = 3000  # a minute; a machine that stands still meanwhile costs one of them


class Scene:
    """What the steps of a trial work with."""

    def __init__(
        self, bridge: Bridge, station: Station, client: httpx.AsyncClient, clock_file: Path, clock: SimulatedClock
    ) -> None:
        self._bridge = bridge
        self.station = station
        self.client = client
        self.valid_until_s = 0.0
        self.plan_id = ""
        self._clock_file, self._clock = clock_file, clock
        self._plans = 0

    def now_s(self) -> float:
        """Return true time."""
        return self._clock.now().timestamp()

    def jump(self, seconds: float) -> None:
        """Let time pass at once; energy flows meanwhile."""
        self.station.pass_time(seconds)
        drive_clock(self._clock_file, at=self._clock.now() + timedelta(seconds=seconds), rate=1)

    async def publish(self, *limits_kw: float, vehicle_phases: int | None = None) -> Json:
        """Publish a plan for the running transaction; return its delivery once it is settled."""
        self._plans += 1
        self.plan_id, now_s = f"plan-{self._plans}", self.now_s()
        self.valid_until_s = now_s + PLAN_S
        running: str | int | None = self.station.running(1)
        if running is not None and running.isdigit():
            running = int(running)
        line = entry(
            self.station.station_id,
            limits_kw,
            start_s=now_s,
            transaction_id=running,
            vehicle_phases=vehicle_phases,
        )
        document = publication(self.plan_id, [line], as_of_s=now_s, end_s=self.valid_until_s, limit_kw=LIMIT_KW)
        answer = await self.client.put(f"/publications/{self.plan_id}", json=document)
        assert answer.status_code == 202, answer.text
        return await self.settled()

    async def settled(self) -> Json:
        """Wait until nothing is under way and the delivery's state is neither pending nor sent."""
        found: Json = {}

        async def is_settled() -> bool:
            nonlocal found
            was_quiet = self._bridge.is_quiet
            found = await self.delivery()
            return was_quiet and found["state"] not in ("pending", "sent")

        await self.until(is_settled, "its delivery is not settled")
        return found

    async def delivery(self) -> Json:
        """Return what became of the plan in force."""
        answer = await self.client.get(f"/publications/{self.plan_id}")
        found: Json = answer.json()["connectors"][0]
        return found

    async def seen(self) -> Json:
        """Return the station as the bridge sees it; its only connector under ``connector``."""
        found: Json = (await self.client.get("/stations")).json()["stations"][0]
        return {**found, "connector": found["connectors"][0]}

    async def reasons(self) -> list[str]:
        """Return what the bridge complains of."""
        found: list[str] = (await self.client.get("/health")).json()["reasons"]
        return found

    async def until(self, look: Callable[[], Awaitable[object]], complaint: str) -> None:
        """Wait for something.

        Raises:
            AssertionError: it did not come.
        """
        for _ in range(LOOKS):
            if await look():
                return
            await asyncio.sleep(LOOK_S)
        raise AssertionError(f"{self.station.station_id}: {complaint}")


@asynccontextmanager
async def serving(config: Json) -> AsyncIterator[tuple[Bridge, httpx.AsyncClient]]:
    """Run a bridge in this process."""
    os.environ.setdefault("DEPOTWISE_BRIDGE_TOKEN", TOKEN)
    bridge = Bridge(BridgeConfig.model_validate(config))
    stop, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(bridge.run(stop, ready))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    assert ready.is_set(), await running
    headers = {"Authorization": f"Bearer {os.environ['DEPOTWISE_BRIDGE_TOKEN']}"}
    url = f"http://127.0.0.1:{bridge.http_port}"
    try:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20, trust_env=False) as client:
            yield bridge, client
    finally:
        stop.set()
        await running


@asynccontextmanager
async def scene(personality: Personality, folder: Path) -> AsyncIterator[Scene]:
    """Set up a bridge that knows one station, the station (not yet connected), and their clock."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  a moment, before anything runs
    clock_file, name = folder / "clock.json", f"CP-{personality.name}"
    drive_clock(clock_file, at=START, rate=1)
    clock = SimulatedClock(START, 1, file=clock_file)
    config = configuration(
        folder / "state",
        [name],
        limit_kw=LIMIT_KW,
        clock={"start_at": START.isoformat(), "rate": 1, "file": str(clock_file)},
        # Only one that answers late on purpose may be given up on, however slow the machine.
        link={"call_timeout_s": 0.5 if personality.answer_delay_s else 30, "boot_grace_s": 0.1},
    )
    async with serving(config) as (bridge, client):
        station = Station(
            f"ws://127.0.0.1:{bridge.station_ports[0]}", name, personality, now_s=lambda: clock.now().timestamp()
        )
        try:
            yield Scene(bridge, station, client, clock_file, clock)
        finally:
            await station.close()
