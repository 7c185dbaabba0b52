"""Poor sets of sessions and drives: each is forecast with a rung, or refused with words; nothing is ever NaN."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.landing import Landing
from ml.evaluation.command import BacktestError, backtest
from ml.evaluation.rows import backtest_rows
from ml.models.protocol import QUANTILE_COLUMNS
from tests.ml.conftest import FAST_TREES, LATENCY, SITE, START, static, table

TEST_FROM = (START + timedelta(days=42)).date()


def copied(landing: Landing, folder: Path, entity: str, changed: pl.DataFrame) -> Landing:
    """Return a landing zone whose rows of an entity are these."""
    copy = Landing(folder)
    copy.append("site", static("site", [{"site_id": SITE, "timezone": "UTC"}]), source="registry")
    copy.append(entity, changed, source="files")
    return copy


def checked_backtest(landing: Landing, target: str, folder: Path) -> tuple[dict[str, Any], pl.DataFrame]:
    """Return a backtest, having checked that every number is finite, in order, and every row has a rung."""
    path = folder / "predictions.parquet"
    document = backtest(
        landing,
        set_name="poor",
        target=target,
        test_from=TEST_FROM.isoformat(),
        predictions=path,
        parameters=FAST_TREES,
    )
    predictions = pl.read_parquet(path)
    quantiles = predictions.select(QUANTILE_COLUMNS).to_numpy()
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    for figures in document["forecasts"].values():
        assert np.isfinite([figures["mae"], figures["pinball"], figures["width_90"]]).all()
    asked = backtest_rows(landing, target)
    rungs = asked.rows.select(asked.target.rung().alias("rung"))["rung"]
    assert set(rungs) <= {4, 5, 6}
    return document, predictions


def few_users(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("user_id").is_in(["user-0", "user-1", "user-2"]))


def constant(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(energy_kwh=pl.when(pl.col("ended_at").is_not_null()).then(10.0))


def with_a_gap(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(~pl.col("started_at").is_between(START + timedelta(days=4), START + timedelta(days=44)))


def twice(rows: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([rows, rows])


def nothing_said(rows: pl.DataFrame) -> pl.DataFrame:
    nobody = {name: pl.lit(None, pl.String) for name in ("user_id", "token", "vehicle_id")}
    return rows.with_columns(**nobody, requested_kwh=None, stated_departure_at=None, soc_start_pct=None)


@pytest.mark.parametrize("change", [few_users, constant, with_a_gap, nothing_said])
def test_poor_sessions_are_forecast(change: Any, charging_landing: Landing, tmp_path: Path) -> None:
    rows = charging_landing.scan("charging_transaction").collect().drop("source", "date")
    # A third of the sessions is as poor, and faster.
    kept = rows.filter(pl.col("transaction_id").str.slice(3).cast(pl.Int64) % 3 == 0)
    landing = copied(charging_landing, tmp_path / "poor", "charging_transaction", change(kept))
    document, predictions = checked_backtest(landing, "energy_kwh", tmp_path)
    if change is constant:
        promoted = predictions.filter("promoted")
        assert promoted["point"].to_list() == pytest.approx([10.0] * promoted.height)
        assert document["forecasts"][document["promoted"]]["width_90"] == pytest.approx(0, abs=1e-6)


def test_duplicated_sessions_change_nothing(charging_landing: Landing, tmp_path: Path) -> None:
    rows = charging_landing.scan("charging_transaction").collect().drop("source", "date")
    few = rows.filter(pl.col("transaction_id").str.slice(3).cast(pl.Int64) % 8 == 0)
    asked = [
        backtest_rows(copied(charging_landing, tmp_path / name, "charging_transaction", frame), "departure_at").rows
        for name, frame in (("once", few), ("twice", twice(few)))
    ]
    assert asked[0].equals(asked[1])


def test_a_user_who_was_never_seen_is_forecast_by_the_site(charging_landing: Landing, tmp_path: Path) -> None:
    rows = charging_landing.scan("charging_transaction").collect().drop("source", "date")
    last = rows.sort("started_at").tail(1)["transaction_id"].item()
    stranger = pl.when(pl.col("transaction_id") == last).then(pl.lit("stranger")).otherwise("user_id")
    landing = copied(charging_landing, tmp_path / "new", "charging_transaction", rows.with_columns(user_id=stranger))
    asked = backtest_rows(landing, "energy_kwh")
    new = asked.rows.filter(user_id="stranger")
    assert new.select(asked.target.rung()).to_series().to_list() == [5]
    points = asked.target.baseline("user_median").points(new)
    assert points == pytest.approx(asked.target.baseline("hour_of_arrival_median").points(new))


def drives(*, count: int, soc: bool = True, gap_days: int = 0) -> pl.DataFrame:
    """Return trips of a vehicle that knows no depot: two a day, each told at its start and at its end."""
    random = np.random.default_rng(2)
    gap = [gap_days if number >= count // 2 else 0 for number in range(count)]
    started = [START + timedelta(days=number // 2 + gap[number], hours=7 + 9 * (number % 2)) for number in range(count)]
    used = np.clip(random.normal(12, 2, count), 1, None)
    base = {
        "vehicle_id": "car",
        "started_at": started,
        "soc_start_pct": [80.0] * count if soc else [None] * count,
    }
    ended = [at + timedelta(minutes=40) for at in started]
    opened = {**base, "observed_at": started, "available_at": started}
    closed = {
        **base,
        "ended_at": ended,
        "distance_km": (used * 2).tolist(),
        "soc_end_pct": (80 - used).tolist() if soc else [None] * count,
        "observed_at": ended,
        "available_at": [at + LATENCY for at in ended],
    }
    return pl.concat([table("trip", columns, height=count) for columns in (opened, closed)], how="diagonal")


@pytest.mark.parametrize(("gap_days", "repeats"), [(0, 1), (40, 1), (0, 2)])
def test_poor_drives_are_forecast(gap_days: int, repeats: int, charging_landing: Landing, tmp_path: Path) -> None:
    trips = pl.concat([drives(count=120, gap_days=gap_days)] * repeats)
    landing = copied(charging_landing, tmp_path / "drives", "trip", trips)
    document, _ = checked_backtest(landing, "soc_at_arrival_pct", tmp_path)
    rows = backtest_rows(landing, "soc_at_arrival_pct").rows
    assert rows.height == 120, "a row that comes twice is one drive"
    assert document["forecasts"][document["promoted"]]["mae"] < 4


def test_drives_without_any_soc_are_refused_with_words(charging_landing: Landing, tmp_path: Path) -> None:
    landing = copied(charging_landing, tmp_path / "drives", "trip", drives(count=30, soc=False))
    with pytest.raises(BacktestError, match="soc_at_arrival_pct needs finished trips that tell it"):
        checked_backtest(landing, "soc_at_arrival_pct", tmp_path)


def test_the_first_drive_of_all_is_answered_by_the_default(charging_landing: Landing, tmp_path: Path) -> None:
    landing = copied(charging_landing, tmp_path / "drives", "trip", drives(count=30))
    asked = backtest_rows(landing, "soc_at_arrival_pct")
    rungs = asked.rows.select(asked.target.rung()).to_series().to_list()
    assert (rungs[0], rungs[1], rungs[-1]) == (6, 5, 4)
