"""Quarantined records: named by content, with reason and time, without position, people or secrets."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from core.entities import ENTITIES
from core.landing import Landing
from ingestion.columns import REJECTED
from ingestion.providers.base import RECORD
from ingestion.quarantine import PRIVATE, quarantined_rows, without_private

T0 = datetime(2026, 2, 2, 12, tzinfo=UTC)
TIMES = {RECORD: pl.Int64, "observed_at": pl.Datetime("us", "UTC"), "available_at": pl.Datetime("us", "UTC")}
RECORDS = [
    {"vin": "X", "soc": 140, "gnssPosition": {"latitude": 52.5}, "nested": [{"idTag": "04AB", "kept": 1}]},
    {"vin": "X", "created": "1970"},
]


def rejected(*entries: tuple) -> pl.DataFrame:
    return pl.DataFrame(list(entries), schema=REJECTED, orient="row")


def quarantined(rejections: pl.DataFrame, times: list[tuple]) -> pl.DataFrame:
    return quarantined_rows(
        rejections,
        lambda number: ("vehiclestatuses", RECORDS[number]),
        pl.DataFrame(times, schema=TIMES, orient="row"),
        as_of=T0,
        is_restricted=True,
    )


def test_a_record_is_kept_without_what_is_private():
    (row,) = quarantined(rejected((0, "trip", "soc", "140", False)), []).to_dicts()
    assert json.loads(row["record_json"]) == {"vin": "X", "soc": 140, "nested": [{"kept": 1}]}
    assert (row["reason"], row["detail"], row["observed_at"]) == ("soc", "140", T0)
    assert row["record_ref"].startswith("vehiclestatuses:")


def test_its_own_time_is_kept_where_it_can_be_believed():
    sane, insane = T0 - timedelta(hours=1), datetime(1970, 1, 1, tzinfo=UTC)
    rejections = rejected((0, "trip", "soc", "140", True), (1, "trip", "time", "1970", False))
    rows = quarantined(rejections, [(0, sane, sane), (1, insane, sane)])
    assert rows["observed_at"].to_list() == [sane, T0]
    assert rows["detail"][0] == "140; the field is left empty"


def test_the_same_record_again_is_quarantined_once(tmp_path):
    landing = Landing(tmp_path)
    rows = quarantined(rejected((0, "trip", "soc", "140", False), (0, "trip", "soc", "140", False)), [])
    assert rows.height == 1
    stamped = rows.with_columns(ingested_at=pl.lit(T0))
    assert landing.append("quarantined_row", stamped, source="x").landed == 1
    assert landing.append("quarantined_row", stamped, source="x").landed == 0
    assert set(stamped.columns) <= set(ENTITIES["quarantined_row"].all_columns)


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["vin", "Latitude", "idTag", "driver", "a"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON)
def test_nothing_private_is_left_at_any_depth(value):
    text = json.dumps(without_private(value)).casefold()
    assert not any(f'"{name}":' in text for name in PRIVATE)
