"""Our own rows, from CSV and from Parquet."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from core.landing import Landing
from ingestion.columns import UnreadableError
from ingestion.imports import import_path
from tests.ingestion.imports.conftest import NOW

AT = datetime(2026, 2, 1, 6, tzinfo=UTC)


def test_csv_rows_land_under_the_entity_of_their_file(run_import, landing: Landing) -> None:
    trips = [
        "vehicle_id,started_at,ended_at,distance_km,is_deleted,observed_at,available_at,source",
        "van-1,2026-02-01T06:00:00Z,2026-02-01T07:00:00+01:00,80.5,false,2026-02-01T07:00:00Z,2026-02-01T07:05:00Z,x",
        "van-1,2026-02-02T06:00:00Z,,far,TRUE,2026-02-02T07:00:00Z,2026-02-02T07:05:00Z,x",
        "van-2,yesterday,,1,,2026-02-02T07:00:00Z,2026-02-02T07:05:00Z,x",
    ]
    duties = [
        "block_id,operating_date,vehicle_id,site_id,planned_departure_at,observed_at",
        "b1,2026-02-10,van-1,north,2026-02-10T05:30:00Z,2026-02-01T06:00:00Z",
    ]
    report = run_import("canonical", {"trip.csv": "\n".join(trips), "duty.csv": "\n".join(duties)})
    assert report.rows == {"read": 4, "landed": 3, "duplicates": 0, "quarantined": 1}
    assert report.reasons == {"distance_km_unreadable": 1, "no_started_at": 1}
    rows = landing.read("trip")
    assert rows.select("distance_km", "is_deleted").rows() == [(80.5, False), (None, True)]
    assert rows["ended_at"][0] == AT
    duty = landing.read("duty").row(0, named=True)
    assert (duty["planned_departure_at"], duty["available_at"]) == (datetime(2026, 2, 10, 5, 30, tzinfo=UTC), AT)


def test_an_export_of_the_landing_zone_comes_back_equal(tmp_path: Path, landing: Landing) -> None:
    schema = {"site_id": pl.String, "start_at": pl.Datetime("us", "UTC"), "end_at": pl.Datetime("us", "UTC")}
    times = {"observed_at": AT, "available_at": AT + timedelta(minutes=5), "ingested_at": AT + timedelta(days=1)}
    rows = pl.DataFrame(
        [{"site_id": "north", "start_at": AT, "end_at": AT + timedelta(minutes=15), "base_load_kw": 12.34, **times}],
        schema={**schema, "base_load_kw": pl.Float64, **dict.fromkeys(times, pl.Datetime("us", "UTC"))},
    )
    landing.append("site_load", rows, source="meter")
    (tmp_path / "export").mkdir()
    landing.read("site_load").write_parquet(tmp_path / "export" / "site_load.parquet")
    other = Landing(tmp_path / "other")
    report = import_path(tmp_path / "export", "canonical", landing=other, as_of=NOW)
    assert report.rows["landed"] == 1
    own = ["ingested_at", "source"]
    assert other.read("site_load").drop(own).equals(landing.read("site_load").drop(own))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("trips.csv", "vehicle_id\n1\n", "named after no entity"),
        ("trip.csv", "vehicle_id,started_at,observed_at,colour\n", r"columns \['colour'\] are none of trip"),
        ("trip.csv", "vehicle_id,started_at\n", r"\['observed_at'\] are missing"),
    ],
)
def test_a_file_that_fits_no_entity_is_refused_by_name(tmp_path: Path, landing: Landing, name, text, message) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableError, match=message):
        import_path(tmp_path / name, "canonical", landing=landing, as_of=NOW)
