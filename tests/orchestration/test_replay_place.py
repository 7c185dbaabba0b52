"""Landing in memory answers what landing answers, as of any instant."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from core.landing import Landing
from orchestration.replay.place import LandingInMemory

START = datetime(2026, 2, 1, tzinfo=UTC)


def rows(count: int, seed: int) -> pl.DataFrame:
    """Readings of three vehicles, some of them told twice with another value, in no order."""
    at = [START + timedelta(minutes=37 * (k * seed % count)) for k in range(count)]
    return pl.DataFrame(
        {
            "vehicle_id": [f"van-{k % 3}" for k in range(count)],
            "observed_at": at,
            "available_at": [instant + timedelta(minutes=7 * (k % 11)) for k, instant in enumerate(at)],
            "ingested_at": [START + timedelta(days=9, seconds=k) for k in range(count)],
            "soc_pct": [float(k % 97) for k in range(count)],
        },
        schema_overrides={name: pl.Datetime("us", "UTC") for name in ("observed_at", "available_at", "ingested_at")},
    )


def test_memory_answers_as_the_disk_does(tmp_path: Path) -> None:
    base = Landing(tmp_path)
    base.prepare()
    base.append("vehicle_snapshot", rows(60, 7), source="geotab")
    base.append("vehicle_snapshot", rows(60, 11), source="geotab")
    base.append("vehicle_snapshot", rows(30, 7), source="rfms")
    memory = LandingInMemory(base)
    asked = [{}, {"since": START + timedelta(hours=9)}, {"sources": ["rfms"]}]
    asked += [{"as_of": START + timedelta(hours=hours)} for hours in (0, 5, 20, 60)]
    asked.append({"as_of": START + timedelta(hours=20), "since": START + timedelta(hours=3), "sources": ["geotab"]})
    heights = set()
    for question in asked:
        found = memory.read("vehicle_snapshot", **question)
        assert_frame_equal(found, base.read("vehicle_snapshot", **question))
        heights.add(found.height)
    assert len(heights) > 4
    assert memory.read("trip").is_empty()
