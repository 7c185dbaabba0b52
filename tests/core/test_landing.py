"""The landing zone: versions, idempotence, and reads as of an instant."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from core.entities import ENTITIES
from core.landing import Landing, LandingError, LandingReport

T0 = datetime(2026, 2, 1, 6, tzinfo=UTC)


def trip(*, available: timedelta, ended: timedelta | None = None, km: float | None = None) -> dict[str, object]:
    return {
        "vehicle_id": "van-01",
        "started_at": T0,
        "ended_at": None if ended is None else T0 + ended,
        "distance_km": km,
        "observed_at": T0 + (ended or timedelta()),
        "available_at": T0 + available,
        "ingested_at": T0 + timedelta(days=1),
    }


def frame(*rows: dict[str, object]) -> pl.DataFrame:
    schema = {name: dtype for name, dtype in ENTITIES["trip"].schema.items() if name in rows[0]}
    return pl.DataFrame(list(rows), schema=schema)


def test_append_lands_each_version_once(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    start, end = (
        trip(available=timedelta(minutes=5)),
        trip(available=timedelta(hours=3), ended=timedelta(hours=2), km=80),
    )
    assert landing.append("trip", frame(start, end, end), source="geotab") == LandingReport(landed=2, duplicates=1)
    assert landing.append("trip", frame(start, end), source="geotab") == LandingReport(landed=0, duplicates=2)
    assert landing.scan("trip").collect().height == 2


def test_read_returns_the_version_known_at_the_instant(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    landing.append(
        "trip",
        frame(
            trip(available=timedelta(minutes=5)),
            trip(available=timedelta(hours=3), ended=timedelta(hours=2), km=80.0),
            trip(available=timedelta(hours=9), ended=timedelta(hours=2), km=82.5),
        ),
        source="geotab",
    )
    known = [landing.read("trip", as_of=T0 + timedelta(hours=h))["distance_km"].to_list() for h in (0, 1, 4, 10)]
    assert known == [[], [None], [80.0], [82.5]]


def test_ingested_at_alone_makes_no_new_version(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    rows = frame(trip(available=timedelta(minutes=5)))
    landing.append("trip", rows, source="geotab")
    again = rows.with_columns(pl.col("ingested_at") + timedelta(hours=5))
    assert landing.append("trip", again, source="geotab").landed == 0


def test_unfed_entities_read_as_empty(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    landing.prepare()
    assert all(landing.read(name).is_empty() for name in ENTITIES)


def test_append_refuses_what_the_entity_does_not_know(tmp_path: Path) -> None:
    rows = frame(trip(available=timedelta())).with_columns(colour=pl.lit("red"))
    with pytest.raises(LandingError, match=r"no columns \['colour'\]"):
        Landing(tmp_path).append("trip", rows, source="geotab")


def test_append_refuses_null_in_a_required_column(tmp_path: Path) -> None:
    rows = frame(trip(available=timedelta())).with_columns(vehicle_id=pl.lit(None, pl.String))
    with pytest.raises(LandingError, match=r"trip\.vehicle_id is NULL in 1 rows"):
        Landing(tmp_path).append("trip", rows, source="geotab")


@pytest.mark.parametrize("small", [0, 32 * 1024], ids=["opened anew", "kept"])
def test_scan_sees_what_lands_and_goes_and_leaves_out_earlier_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr("core.landing.SMALL_FILE_BYTES", small)
    landing, day = Landing(tmp_path), timedelta(days=1)
    for number in range(3):
        row = {**trip(available=number * day), "started_at": T0 + number * day, "observed_at": T0 + number * day}
        landing.append("trip", frame(row), source="geotab")
        assert landing.scan("trip").collect().height == number + 1
    late = landing.scan("trip", since=T0 + day).collect()
    assert late["started_at"].to_list() == [T0 + day, T0 + 2 * day]
    assert late.select("source", "date").rows() == [("geotab", date(2026, 2, 2)), ("geotab", date(2026, 2, 3))]
    assert landing.scan("trip", since=T0 + day + timedelta(seconds=1)).collect().height == 1
    next((tmp_path / "trip" / "source=geotab" / "date=2026-02-02").iterdir()).unlink()
    assert landing.scan("trip").collect()["started_at"].to_list() == [T0, T0 + 2 * day]
