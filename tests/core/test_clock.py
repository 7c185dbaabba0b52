"""Clocks: a simulated one runs at its rate, follows a file, and never runs backwards."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.clock import SimulatedClock, WallClock, drive_clock

START = datetime(2026, 2, 9, 13, tzinfo=UTC)


def test_simulated_clock_runs_at_its_rate() -> None:
    clock = SimulatedClock(START, 3600.0)
    begin, wall = clock.now(), time.time()
    time.sleep(0.05)
    advanced, waited = clock.now() - begin, time.time() - wall
    assert advanced.total_seconds() >= 0.05 * 3600 * 0.9
    assert advanced.total_seconds() <= (waited + 0.05) * 3600


def test_a_followed_clock_can_be_held_and_moved(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    clock = SimulatedClock(START, 1.0, file=file)
    drive_clock(file, at=START + timedelta(hours=2), rate=0.0)
    assert clock.now() == START + timedelta(hours=2)
    time.sleep(0.02)
    assert clock.now() == START + timedelta(hours=2)


def test_time_never_runs_backwards(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    clock = SimulatedClock(START, 0.0, file=file)
    drive_clock(file, at=START + timedelta(hours=2), rate=0.0)
    later = clock.now()
    drive_clock(file, at=START, rate=0.0)
    assert clock.now() == later


async def test_sleep_waits_for_simulated_time(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    drive_clock(file, at=START, rate=0.0)
    clock = SimulatedClock(START, 0.0, file=file)
    sleeper = asyncio.create_task(clock.sleep(timedelta(hours=1)))
    await asyncio.sleep(0.1)
    assert not sleeper.done()
    drive_clock(file, at=START + timedelta(hours=1), rate=0.0)
    await asyncio.wait_for(sleeper, 2)


def test_wall_clock_is_in_utc() -> None:
    assert abs(WallClock().now() - datetime.now(UTC)) < timedelta(seconds=5)
