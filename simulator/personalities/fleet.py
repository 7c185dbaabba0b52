"""Many stations in one process, told what to do by lines on stdin; answers are JSON lines on stdout.

``python -m simulator.personalities.fleet --url ws://… --first 0 --count 500``. Commands: ``connect``, ``plug``,
``meter SECONDS INTERVAL_S``, ``changes``, ``calls``, ``quit``. It ends when stdin does.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from simulator.personalities.catalogue import PERSONALITIES
from simulator.personalities.link import CallFailedError
from simulator.personalities.station import Station

Json = dict[str, Any]
VERSIONS = ("1.6", "2.0.1", "2.1")
DIALS_AT_ONCE = 50
LONGEST_CALL_S = 60.0


class Fleet:
    """The stations ``CP-<first>`` and on, of the reference personality, in all versions in turn."""

    def __init__(self, url: str, first: int, count: int) -> None:
        personality = PERSONALITIES["libocpp"]
        self.stations = [Station(url, f"CP-{k}", personality) for k in range(first, first + count)]
        self.versions = [VERSIONS[k % len(VERSIONS)] for k in range(first, first + count)]
        self._changes: list[tuple[float, float]] = []
        for station in self.stations:
            station.on_change = self._note

    def _note(self, change_kw: float) -> None:
        self._changes.append((time.time(), change_kw))

    async def connect(self) -> Json:
        """Dial with all, a few at a time; a station is there once its boot and status are answered."""
        turn, begun_s = asyncio.Semaphore(DIALS_AT_ONCE), time.monotonic()

        async def one(station: Station, version: str) -> float:
            async with turn:
                dialled_s = time.monotonic()
                await station.connect(version)
                return time.monotonic() - dialled_s

        took = await asyncio.gather(*(one(*pair) for pair in zip(self.stations, self.versions, strict=True)))
        return {"connected": len(took), "seconds": time.monotonic() - begun_s, "took_s": sorted(took)}

    async def plug(self) -> Json:
        """Begin a transaction at each; return the ids by station."""
        turn = asyncio.Semaphore(DIALS_AT_ONCE)

        async def one(station: Station) -> tuple[str, str]:
            async with turn:
                return station.station_id, await station.plug_in()

        pairs = await asyncio.gather(*(one(station) for station in self.stations))
        return {"transactions": dict(pairs)}

    async def meter(self, seconds: float, interval_s: float) -> Json:
        """Send meter values from each, evenly spread; return how long the answers took."""
        loop, took, failed = asyncio.get_running_loop(), [], 0
        end_s = loop.time() + seconds

        async def one(k: int, station: Station) -> None:
            nonlocal failed
            due_s = loop.time() + interval_s * k / len(self.stations)
            while due_s < end_s:
                await asyncio.sleep(max(0.0, due_s - loop.time()))
                begun_s = loop.time()
                try:
                    await station.report_meter()
                    took.append(loop.time() - begun_s)
                except CallFailedError:
                    failed += 1
                due_s += interval_s

        await asyncio.gather(*(one(k, station) for k, station in enumerate(self.stations)))
        return {"took_s": sorted(took), "failed": failed}

    def changes(self) -> Json:
        """Return every change of what is allowed, as (wall time, kW), and forget them; what all allow now."""
        found, self._changes = self._changes, []
        return {"changes": found, "allowed_kw": [station.allowed_kw() for station in self.stations]}

    def calls(self) -> Json:
        """Return how often each action was called."""
        total: dict[str, int] = {}
        for station in self.stations:
            for action, count in station.calls.items():
                total[action] = total.get(action, 0) + count
        return {"calls": total}


async def serve(fleet: Fleet) -> None:
    """Carry out commands until stdin ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say({"ready": True})
    while (line := (await reader.readline()).decode().split()) and line[0] != "quit":
        _say(await _carry_out(fleet, line[0], [float(part) for part in line[1:]]))
    await asyncio.gather(*(station.close() for station in fleet.stations))


async def _carry_out(fleet: Fleet, command: str, numbers: Sequence[float]) -> Json:
    slow: dict[str, Callable[..., Awaitable[Json]]] = {
        "connect": fleet.connect,
        "plug": fleet.plug,
        "meter": fleet.meter,
    }
    quick: dict[str, Callable[[], Json]] = {"changes": fleet.changes, "calls": fleet.calls}
    return await slow[command](*numbers) if command in slow else quick[command]()


def _say(answer: Json) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(description="Many charging stations in one process.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(Fleet(arguments.url, arguments.first, arguments.count)))


if __name__ == "__main__":
    main()
