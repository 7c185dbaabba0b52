"""As-of statistics against a plain recomputation that looks at one row at a time."""

from datetime import UTC, datetime, timedelta
from statistics import median

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml.history import add_history, first_known

T0 = datetime(2026, 1, 1, tzinfo=UTC)
outcome = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 30), st.one_of(st.none(), st.integers(-5, 5)))


@given(
    outcomes=st.lists(outcome, max_size=40),
    asked=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 31)), max_size=6),
)
def test_add_history_equals_a_recomputation_row_by_row(
    outcomes: list[tuple[str, int, int | None]], asked: list[tuple[str, int]]
) -> None:
    ordered = sorted(outcomes, key=lambda row: row[1])
    facts = pl.DataFrame(
        {
            "vehicle_id": [vehicle for vehicle, _, _ in ordered],
            "known_at": [T0 + timedelta(hours=hour) for _, hour, _ in ordered],
            "value": [None if value is None else float(value) for _, _, value in ordered],
        },
        schema={"vehicle_id": pl.String, "known_at": pl.Datetime("us", "UTC"), "value": pl.Float64},
    )
    rows = pl.DataFrame(
        {
            "vehicle_id": [vehicle for vehicle, _ in asked],
            "predicted_at": [T0 + timedelta(hours=hour) for _, hour in asked],
        },
        schema={"vehicle_id": pl.String, "predicted_at": pl.Datetime("us", "UTC")},
    )
    statistics = {"value": ("median", "last", "count", "spread")}
    result = add_history(rows, facts, name="own", by=("vehicle_id",), values=statistics, window=4)  # type: ignore[arg-type]
    # With a mean among them the statistics of every fact are rolled, else only those that rows ask for.
    rolled = {"value": (*statistics["value"], "mean")}
    other = add_history(rows, facts, name="own", by=("vehicle_id",), values=rolled, window=4)  # type: ignore[arg-type]
    assert_frame_equal(result, other.drop("own_value_mean"))
    for row, (vehicle, hour) in zip(result.iter_rows(named=True), asked, strict=True):
        seen = [value for name, known, value in ordered if name == vehicle and known <= hour]
        window = [value for value in seen[-4:] if value is not None]
        real = [value for value in seen if value is not None]
        assert row["own_value_median"] == (median(window) if window else None)
        assert row["own_value_last"] == (real[-1] if real else None)
        assert row["own_value_count"] == min(len(real), 4)


@pytest.mark.parametrize(("own", "group", "expected"), [(3, 9, 1.0), (2, 9, 2.0), (0, 0, None)])
def test_first_known_falls_back_to_the_next_group(own: int, group: int, expected: float | None) -> None:
    frame = pl.DataFrame({"own_v_median": [1.0], "own_v_count": [own], "all_v_median": [2.0], "all_v_count": [group]})
    assert frame.select(first_known("own_v_median", "all_v_median", least=3).alias("v"))["v"].item() == expected
