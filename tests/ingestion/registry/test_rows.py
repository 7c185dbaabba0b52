"""The configuration in the landing zone: pseudonymous, once, and with every change known from when it was made."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from core.landing import LandingReport
from core.pseudonyms import keyed_hash
from ingestion.registry import load_registry
from ingestion.registry.rows import EPOCH, land_registry, registry_rows

T0 = datetime(2026, 2, 2, tzinfo=UTC)
T1 = T0 + timedelta(days=1)


@pytest.fixture
def depot(make_depot):
    return make_depot()


@pytest.fixture
def edit(depot):
    """Change a file of the configuration, and land it."""

    def landed(file: str, old: str, new: str, *, as_of: datetime = T1) -> LandingReport:
        path = depot.folder / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
        return land_registry(load_registry(depot.folder), depot.landing, as_of=as_of)

    land_registry(depot.registry, depot.landing, as_of=T0)
    return landed


def test_every_entry_is_a_row_and_no_token_or_driver_is_readable(depot):
    rows = registry_rows(depot.registry, as_of=T0)
    counts = {"site": 1, "connector": 3, "vehicle": 3, "assignment": 4, "duty": 3, "source_contract": 4}
    assert {name: frame.height for name, frame in rows.items()} == counts
    text = "".join(frame.write_csv() for frame in rows.values())
    assert "04A1B2C3D4E501" not in text
    assert "driver-1" not in text
    assert keyed_hash("04A1B2C3D4E501") in rows["vehicle"]["token"]


def test_the_same_configuration_again_changes_nothing(depot, edit):
    before = depot.landing.scan("vehicle").collect()
    report = land_registry(depot.registry, depot.landing, as_of=T1)
    assert (report.landed, report.duplicates) == (0, 18)
    assert depot.landing.scan("vehicle").collect().equals(before)


def test_a_change_is_a_version_known_from_then_on(depot, edit):
    assert edit("vehicles.csv", "75,98", "75,91").landed == 1
    known = [depot.landing.read("vehicle", as_of=at).filter(vehicle_id="van-01")["soh_pct"][0] for at in (T0, T1)]
    assert known == [98, 91]
    assert edit("vehicles.csv", "75,91", "75,98", as_of=T1 + timedelta(days=1)).landed == 1
    assert depot.landing.read("vehicle").filter(vehicle_id="van-01")["soh_pct"][0] == 98


def test_what_is_added_was_always_there_but_a_new_duty_is_news(depot, edit):
    new_vehicle = "van-03,,,,north,,van,75,98,11,,3,,,,,,,\nvan-02,WDEPV000000000002"
    edit("vehicles.csv", "van-02,WDEPV000000000002", new_vehicle)
    edit("duties.csv", "tour-2,", "tour-9,2026-02-11,north,van-03,2026-02-11T06:30,,,,\ntour-2,")
    assert "van-03" in depot.landing.read("vehicle", as_of=T0)["vehicle_id"]
    known = [depot.landing.read("duty", as_of=at).filter(block_id="tour-9").height for at in (T0, T1)]
    assert known == [0, 1]


def test_work_that_dispatch_moves_leaves_the_first_vehicle(depot, edit):
    edit("duties.csv", "tour-1,2026-02-10,north,van-01", "tour-1,2026-02-10,north,van-02")
    duties = {at: depot.landing.read("duty", as_of=at).filter(block_id="tour-1") for at in (T0, T1)}
    standing = {at: found.filter(~pl.col("is_deleted"))["vehicle_id"].to_list() for at, found in duties.items()}
    assert standing == {T0: ["van-01"], T1: ["van-02"]}
    edit("duties.csv", "tour-1,2026-02-10,north,van-02", "tour-1,2026-02-10,north,van-01", as_of=T1 + timedelta(days=1))
    now = depot.landing.read("duty").filter(~pl.col("is_deleted"), block_id="tour-1")
    assert now["vehicle_id"].to_list() == ["van-01"]


def test_an_assignment_that_is_gone_has_no_length(depot, edit):
    edit("assignments.csv", "truck-01,driver-3,line-1,2026-01-01,\n", "")
    edit("tokens.csv", "04A1B2C3D4E503,truck-01,2026-01-01,\n", "", as_of=T1 + timedelta(days=1))
    (gone,) = depot.landing.read("assignment").filter(vehicle_id="truck-01").to_dicts()
    assert gone["valid_from_at"] == gone["valid_to_at"]
    assert land_registry(load_registry(depot.folder), depot.landing, as_of=T1 + timedelta(days=2)).landed == 0


def test_spans_change_where_driver_block_or_token_change(depot):
    spans = registry_rows(depot.registry, as_of=T0)["assignment"].filter(vehicle_id="van-02")
    assert spans.select("block_id", "token").rows() == [
        ("tour-2", keyed_hash("04A1B2C3D4E502")),
        (None, keyed_hash("04A1B2C3D4E502")),
    ]
    assert spans["valid_to_at"].to_list() == [spans["valid_from_at"][1], None]


def test_the_first_landing_is_known_since_ever_even_when_it_was_cut_short(depot):
    registry = depot.registry
    rows = registry_rows(registry, as_of=T0)["site"].with_columns(ingested_at=pl.lit(T0))
    depot.landing.append("site", rows, source="registry")  # a run that was killed after its first entity
    land_registry(registry, depot.landing, as_of=T0)
    assert set(depot.landing.read("duty")["available_at"]) == {EPOCH}
