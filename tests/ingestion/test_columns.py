"""Records as columns: checks tell fields from records, text is read without guessing."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.columns import (
    Check,
    UnreadableError,
    as_rejected,
    check,
    local_instant,
    missing,
    number,
    numbered,
    offset_instant,
    read_csv_text,
    said,
    unreadable,
)


def table(**columns: list[object]) -> pl.DataFrame:
    return numbered(pl.DataFrame(columns, strict=False))


def test_a_failed_record_leaves_and_a_failed_field_becomes_null() -> None:
    checks = (
        missing("key"),
        Check("too_much", pl.col("value") > 9, said("value is {} of {}", "value", "key"), field="value"),
    )
    kept, rejected = check(table(key=["a", None, "c"], value=[10, 20, 5]), checks, entity="thing")
    assert kept.rows() == [(0, "a", None), (2, "c", 5)]
    assert rejected.rows() == [
        (1, "thing", "no_key", "key is (empty)", False),
        (0, "thing", "too_much", "value is 10 of a", True),
    ]
    assert [one.field_only for one in as_rejected(rejected)] == [False, True]


def test_a_check_that_knows_nothing_passes() -> None:
    kept, rejected = check(table(value=[None, 3]), [Check("low", pl.col("value") < 1, said("low"))], entity="thing")
    assert (kept.height, rejected.height) == (2, 0)


@given(st.lists(st.tuples(st.text(max_size=30), st.none() | st.text(max_size=30)), max_size=8))
def test_a_sentence_is_filled_with_texts_of_any_length(values: list[tuple[str, str | None]]) -> None:
    frame = pl.DataFrame(values, schema={"a": pl.String, "b": pl.String}, orient="row")
    expected = [f"<{a}> and <{'(empty)' if b is None else b}>" for a, b in values]
    assert frame.select(said("<{}> and <{}>", "a", "b")).to_series().to_list() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5", 1.5),
        ("-3", -3.0),
        ("1e3", 1000.0),
        ("NaN", None),
        ("inf", None),
        ("1,5", None),
        ("", None),
        (None, None),
    ],
)
def test_number_reads_finite_numbers_only(text: str | None, expected: float | None) -> None:
    assert pl.DataFrame({"x": [text]}, schema={"x": pl.String}).select(number("x")).item() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T10:00:00Z", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01 10:00:00+01:00", datetime(2026, 3, 1, 9, tzinfo=UTC)),
        ("2026-03-01T10:00:00.250-0330", datetime(2026, 3, 1, 13, 30, 0, 250_000, tzinfo=UTC)),
        ("2026-03-01T10:00:00", None),
        ("2026-13-01T10:00:00Z", None),
    ],
)
def test_offset_instant_wants_a_zone(text: str, expected: datetime | None) -> None:
    assert pl.DataFrame({"x": [text]}).select(offset_instant("x")).item() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-07-01 10:00", datetime(2026, 7, 1, 8, tzinfo=UTC)),
        ("2026-10-25 02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # twice; the first
        ("2026-03-29 02:30", None),  # never
    ],
)
def test_local_instant_follows_the_clock(text: str, expected: datetime | None) -> None:
    frame = pl.DataFrame({"x": [text]})
    assert frame.select(local_instant("x", "Europe/Berlin", ("%Y-%m-%d %H:%M",))).item() == expected


def test_csv_text_is_stripped_and_empty_is_null(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\ufeffa, b\n 1 ,\n,x\n", encoding="utf-8")
    assert read_csv_text(path, ("a", "b"), name="x").rows() == [("1", None), (None, "x")]
    assert read_csv_text(path.read_bytes(), ("a",), name="x").columns == ["a", "b"]


def test_csv_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(UnreadableError, match=r"y\.csv lacks the columns \['z'\]; it has \['a', 'b'\]"):
        read_csv_text(b"a,b\n1,2\n", ("a", "z"), name="y.csv")
    with pytest.raises(UnreadableError, match=r"y\.csv cannot be read as CSV"):
        read_csv_text(b"", ("a",), name="y.csv")


def test_unreadable_is_about_text_that_is_there() -> None:
    frame = table(text=["1", "x", None]).with_columns(value=number("text"))
    _, rejected = check(frame, [unreadable("value", "text")], entity="thing")
    assert rejected.select("record", "reason", "detail").rows() == [(1, "value_unreadable", "text is x")]
