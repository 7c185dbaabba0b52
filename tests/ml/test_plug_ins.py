"""Plug-in delay: from return to plug-in, of returns that were followed by one, and a habit that rules find."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.landing import Landing
from ml.evaluation.command import backtest
from ml.evaluation.rows import backtest_rows
from tests.ml.conftest import FAST_TREES, LATENCY, SITE, Fleet, Plan, table

HABIT_H = (0.1, 0.5, 1.5)
"""Hours that the drivers of every third van let pass."""


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Landing, Fleet]:
    """A fleet whose vans are plugged in after a habitual delay; on Wednesdays nobody plugs in the first van."""
    fleet = Fleet(Plan(vehicles=6, days=47))
    landing = Landing(tmp_path_factory.mktemp("plugged") / "landing")
    fleet.land(landing)
    random = np.random.default_rng(4)
    habit = np.array([HABIT_H[vehicle % 3] for vehicle in fleet.vehicle])
    delay = np.clip(habit + random.normal(0, 0.05, len(habit)), 0.01, None)
    started = fleet.instants(16 + fleet.lateness_h + delay)
    ended = [at + timedelta(hours=6) for at in started]
    size = len(started)
    base = {
        "station_id": [f"CP-{vehicle}" for vehicle in fleet.vehicle],
        "connector_id": 1,
        "transaction_id": [f"tx-{number}" for number in range(size)],
        "site_id": SITE,
        "vehicle_id": [fleet.name(vehicle) for vehicle in fleet.vehicle],
        "started_at": started,
    }
    opened = table("charging_transaction", {**base, "observed_at": started, "available_at": started}, height=size)
    closed = table(
        "charging_transaction",
        {**base, "ended_at": ended, "energy_kwh": 20.0, "observed_at": ended,
         "available_at": [at + LATENCY for at in ended]},
        height=size,
    )  # fmt: skip
    skipped = (pl.col("vehicle_id") == "van-00") & (pl.col("started_at").dt.weekday() == 3)
    for rows in (opened, closed):
        landing.append("charging_transaction", rows.filter(~skipped), source="files")
    return landing, fleet


def test_the_delay_is_from_return_to_plug_in_and_none_where_nobody_plugs_in(plugged: tuple[Landing, Fleet]) -> None:
    landing, fleet = plugged
    rows = backtest_rows(landing, "plug_in_delay").rows
    days = fleet.day[fleet.vehicle == 0]
    assert rows.filter(vehicle_id="van-01").height == len(days)
    assert rows.filter(vehicle_id="van-00").height == len(days) - (days % 7 == 2).sum()
    medians = dict(rows.group_by("vehicle_id").agg(pl.col("delay_h").median()).iter_rows())
    for vehicle in range(6):
        assert medians[fleet.name(vehicle)] == pytest.approx(HABIT_H[vehicle % 3], abs=0.05)
    assert (rows["known_at"] > rows["predicted_at"]).all()


def test_a_vehicles_habit_beats_ten_minutes(plugged: tuple[Landing, Fleet], tmp_path: Path) -> None:
    landing, fleet = plugged
    document = backtest(
        landing,
        set_name="canonical",
        target="plug_in_delay",
        test_from=fleet.last_day(-14 * 24).date().isoformat(),
        predictions=tmp_path / "p.parquet",
        parameters=FAST_TREES,
    )
    errors = {name: figures["mae"] for name, figures in document["forecasts"].items()}
    assert errors[document["promoted"]] < 0.3 * errors["ten_minutes"]
    assert errors[document["promoted"]] == pytest.approx(0.05 * np.sqrt(2 / np.pi), abs=0.03), "the planted noise"
