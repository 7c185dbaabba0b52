"""Long runs against a real bridge process (`make soak`), and a seeded sample of each for `make test`."""

import asyncio

import pytest

from benchmarks.bridge import chaos, fuzz, load
from benchmarks.bridge.chaos import Chaos
from benchmarks.bridge.fuzz import Fuzz
from benchmarks.bridge.load import Load

SOAK_RUNS = 200


async def storm(one, folder):
    folder.mkdir()
    async with asyncio.timeout(chaos.longest(one).total_seconds()):
        return await chaos.run(one, folder)


@pytest.mark.slow
async def test_a_sample_of_chaos(tmp_path):
    report = await storm(Chaos(seed=4, stations=10, seconds=4, kills=1), tmp_path / "run")
    assert report.kills == 1
    assert report.plans >= 3
    assert report.looks >= 10


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(SOAK_RUNS))
async def test_chaos(tmp_path, seed):
    report = await storm(Chaos(seed), tmp_path / "run")
    assert report.kills == 2


def check_load(result):
    assert result.meter_failed == 0
    assert result.highest_share <= 1
    assert result.limit_s < 10
    assert result.kb_per_station < 200
    assert result.read_back_calls >= result.stations  # what was acknowledged was also read back


@pytest.mark.slow
async def test_a_sample_of_load(tmp_path):
    result = await load.run(Load(stations=100, processes=2, meter_s=4, interval_s=2), tmp_path)
    check_load(result)
    assert result.meter_values >= 150


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_load(tmp_path):
    result = await load.run(Load(), tmp_path)
    check_load(result)
    assert result.connect_s < 60
    assert result.publish_s < 30
    assert result.swap_s < 30
    assert result.after_meter_mb - result.connected_mb < 60


def check_fuzz(outcome, frames):
    assert outcome.heard >= 0.995 * frames  # an oversized frame is not read
    # Nonsense costs the honest station no more than as many good frames do, on this machine at this hour.
    assert outcome.beside_p50_ms < 2 * outcome.good_p50_ms + 50
    assert outcome.beside_p99_ms < 4 * outcome.good_p99_ms + 200
    assert outcome.memory_end_mb - outcome.memory_early_mb < 10


@pytest.mark.slow
async def test_a_sample_of_nonsense(tmp_path):
    check_fuzz(await fuzz.run(Fuzz(seed=1, frames=4000), tmp_path), 4000)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_nonsense(tmp_path):
    outcome = await fuzz.run(Fuzz(seed=2), tmp_path)
    check_fuzz(outcome, 100_000)
    assert outcome.beside_p99_ms < 1000
