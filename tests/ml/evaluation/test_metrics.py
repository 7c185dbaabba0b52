"""Figures of merit against plain formulas."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.evaluation.metrics import metrics, worst_4_week_coverage_90
from ml.models.protocol import LEVELS, QUANTILE_COLUMNS
from tests.ml.conftest import START


def predictions(actual: list[float], *, step: timedelta = timedelta(hours=1), half_width: float = 2.0) -> pl.DataFrame:
    offsets = half_width * (LEVELS - 0.5)
    columns = {name: [float(offset)] * len(actual) for name, offset in zip(QUANTILE_COLUMNS, offsets, strict=True)}
    made = [START + step * row for row in range(len(actual))]
    return pl.DataFrame({"predicted_at": made, "actual": actual, "point": [0.0] * len(actual), **columns})


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40))
def test_figures_equal_plain_formulas(actual: list[float]) -> None:
    frame = predictions(actual)
    figures = metrics(frame)
    errors = [abs(value) for value in actual]
    assert figures["mae"] == pytest.approx(sum(errors) / len(errors))
    assert figures["median_ae"] == pytest.approx(float(np.median(errors)))
    assert figures["p90_ae"] == pytest.approx(float(np.quantile(errors, 0.9)))
    losses = [
        max(level * (value - quantile), (level - 1) * (value - quantile))
        for value in actual
        for level, quantile in zip(LEVELS, 2.0 * (LEVELS - 0.5), strict=True)
    ]
    assert figures["pinball"] == pytest.approx(sum(losses) / len(losses))
    assert figures["width_90"] == pytest.approx(1.8)
    inside = [2.0 * (LEVELS[1] - 0.5) <= value <= 2.0 * (LEVELS[7] - 0.5) for value in actual]
    assert figures["coverage"]["90"] == pytest.approx(100 * sum(inside) / len(inside))  # type: ignore[index]


def test_the_worst_four_weeks_are_found_wherever_they_begin() -> None:
    actual = [0.0] * 3000
    actual[1100:1300] = [9.0] * 200  # 200 misses within less than four weeks of hourly rows
    assert worst_4_week_coverage_90(predictions(actual)) == pytest.approx(100 * (672 - 200) / 672)


def test_windows_with_few_rows_are_not_judged_alone() -> None:
    actual = [0.0] * 99 + [9.0]
    assert worst_4_week_coverage_90(predictions(actual, step=timedelta(days=2))) == pytest.approx(99.0)


def test_nothing_to_judge_gives_unknown_figures() -> None:
    figures = metrics(predictions([]))
    assert figures["mae"] is None
    assert figures["coverage"] == dict.fromkeys(("50", "80", "90", "95"))
