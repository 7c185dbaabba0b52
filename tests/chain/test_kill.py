"""The nightly job, killed with all its children at random points and started again, ends where an undisturbed one does.

A point is progress rather than seconds, so that a slow machine is killed in the same steps as a fast one.
"""

import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chain.conftest import Undisturbed
from tests.chain.depot import Depot, assert_same_tables, files, tables

SEED = 20261122
LANDED = "landing/*/source=[a-z]*/*/*.parquet"
BUILT = "warehouse/dbt/target/run/**/*.sql"
TRAINED = "models/*/*/*/*"
PLANNED = "landing/plan_*/source=[a-z]*/*/*.parquet"
SITES = 2
LONGEST_DELAY_S = 0.2
LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Point:
    """A point in the life of a run: ``delay_s`` after its home holds ``count`` files that match ``pattern``."""

    pattern: str
    count: int
    delay_s: float

    def has_come(self, home: Path) -> bool:
        return count_of(home, self.pattern) >= self.count


def count_of(home: Path, pattern: str) -> int:
    return sum(1 for _ in home.glob(pattern))


def points(whole: Path, chance: random.Random) -> list[Point]:
    """Return five points in the order of a run's life, of a home in which a whole run left its files.

    Two lie in ingestion, one in the first site's training, one in its planning, before the plan that vouches for its
    rows, and one in dbt.
    """
    landed, built, trained = (count_of(whole, pattern) for pattern in (LANDED, BUILT, TRAINED))
    counts = [
        (LANDED, round(chance.uniform(0.02, 0.35) * landed)),
        (LANDED, round(chance.uniform(0.50, 0.85) * landed)),
        (TRAINED, chance.randrange(1, trained // SITES)),
        (PLANNED, chance.choice((1, 2))),
        (BUILT, chance.randrange(1, round(0.9 * built))),
    ]
    return [
        Point(pattern, count, 0.0 if pattern == BUILT else chance.uniform(0, LONGEST_DELAY_S))
        for pattern, count in counts
    ]


def kill_when(process: subprocess.Popen[bytes], point: Point, home: Path, log: Path) -> None:
    """Kill a run and all its children at a point."""
    try:
        while not point.has_come(home):
            assert process.poll() is None, f"it ended before {point} came:\n{log.read_text()[-3000:]}"
            time.sleep(LOOK_EVERY_S)
        time.sleep(point.delay_s)
        assert process.poll() is None, f"it ended before it could be killed at {point}"
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def is_in_dbt(home: Path) -> bool:
    """Say whether a build had begun and was not finished."""
    return count_of(home, BUILT) > 0 and not (home / "warehouse" / "dbt" / "last_build_is_good").exists()


def assert_same_home(home: Path, undisturbed: Undisturbed) -> None:
    assert_same_tables(tables(home), undisturbed.tables)
    assert files(home / "models") == files(undisturbed.home / "models")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_five_points_and_started_again(depot: Depot, undisturbed: Undisturbed, tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "nightly.log"
    for point in points(undisturbed.home, random.Random(SEED)):
        kill_when(depot.start_nightly(home, log), point, home, log)
        assert is_in_dbt(home) or point.pattern != BUILT
    depot.run_nightly(home)
    assert_same_home(home, undisturbed)


@pytest.mark.soak
@pytest.mark.parametrize("number", range(20))
def test_killed_at_any_moment_and_started_again(
    depot: Depot, undisturbed: Undisturbed, tmp_path: Path, number: int
) -> None:
    chance = random.Random(f"{SEED}/{number}")
    home, log = tmp_path / "home", tmp_path / "nightly.log"
    process = depot.start_nightly(home, log)
    try:
        process.wait(chance.uniform(0, undisturbed.document["seconds"]))
    except subprocess.TimeoutExpired:
        kill_group(process)
    depot.run_nightly(home)
    assert_same_home(home, undisturbed)
