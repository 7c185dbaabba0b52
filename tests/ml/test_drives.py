"""Single drives: told by states, asked about at departure, and what their SoC would be if the distance were known."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.entities import ENTITIES
from core.landing import Landing
from ingestion.imports import import_path
from ml.drives import SILENCE, drive_questions, drives, runs_of_movement
from ml.evaluation.command import BacktestError, backtest
from ml.evaluation.rows import backtest_rows
from ml.features.drive_energy import PRIOR_K2, USUAL_RISE_PER_K

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
LATENCY = timedelta(minutes=1)


def states(speeds: list[float | None], *, step_s: int = 30, odometer: list[float] | None = None) -> pl.DataFrame:
    """Return states of one car, a step apart, that lose a tenth of a point of SoC each."""
    at = [START + timedelta(seconds=step_s * index) for index in range(len(speeds))]
    data = {
        "vehicle_id": ["car"] * len(speeds),
        "observed_at": at,
        "available_at": [moment + LATENCY for moment in at],
        "speed_kmh": speeds,
        "soc_pct": [80 - 0.1 * index for index in range(len(speeds))],
        "odometer_km": odometer or [None] * len(speeds),
    }
    schema = ENTITIES["vehicle_snapshot"].schema
    return pl.DataFrame(data, schema={name: schema[name] for name in data})


def test_a_run_of_moving_states_is_a_drive_and_a_long_stop_ends_it() -> None:
    told = runs_of_movement(states([0, 60, 60, 0, 60] + [0] * 30 + [30, 30, 0]))
    assert told.height == 2
    first = told.row(0, named=True)
    assert first["started_at"] == START + timedelta(seconds=30)
    assert first["ended_at"] == START + timedelta(seconds=120)
    assert first["end_known_at"] == first["ended_at"] + SILENCE + LATENCY, "before, it might have gone on"
    assert first["distance_km"] == pytest.approx(3 * 60 * 30 / 3600)
    assert (first["soc_start_pct"], first["soc_end_pct"]) == (pytest.approx(79.9), pytest.approx(79.6))


def test_an_odometer_tells_what_the_log_missed_and_movement_where_no_speed_is_sent() -> None:
    gap = states([50, 50], step_s=300, odometer=[100.0, 112.0])
    assert runs_of_movement(gap)["distance_km"].to_list() == [11.0]
    silent = states([None] * 4, odometer=[10.0, 12.0, 15.0, 15.0])
    told = runs_of_movement(silent).row(0, named=True)
    assert (told["started_at"], told["ended_at"]) == (START + timedelta(seconds=30), START + timedelta(seconds=60))


def test_a_drive_that_lasts_has_no_answer_and_one_without_soc_is_not_asked_about() -> None:
    schema = ENTITIES["trip"].schema
    rows = [
        {"vehicle_id": "a", "started_at": START, "soc_start_pct": 80.0, "observed_at": START, "available_at": START},
        {"vehicle_id": "b", "started_at": START, "observed_at": START, "available_at": START},
        {"vehicle_id": "b", "started_at": START, "ended_at": START + timedelta(hours=1), "distance_km": 9.0,
         "observed_at": START + timedelta(hours=1), "available_at": START + timedelta(hours=1)},
    ]  # fmt: skip
    names = ("soc_end_pct", "start_site_id", "end_site_id", "route_id", "provider_ref", "energy_kwh", "is_deleted")
    trips = pl.DataFrame(rows, schema={name: schema[name] for name in (*rows[2], "soc_start_pct", *names)})
    found = drives(trips, states([]).clear(), timezone="UTC")
    assert found["vehicle_id"].to_list() == ["a", "b"]
    assert found["drop_pp"].to_list() == [None, None]
    assert drive_questions(found).is_empty()


@pytest.fixture(scope="module")
def i3(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Landing:
    """The drives of the i3: states at 10 Hz are thinned by the import's own reader, trips are whole."""
    landing = Landing(tmp_path_factory.mktemp("i3") / "landing")
    import_path(data_dir / "bmw_i3", "bmw_i3", landing=landing)
    return landing


@pytest.mark.data
@pytest.mark.slow
def test_i3_consumption_by_temperature_beats_a_constant_by_a_third_and_is_never_promoted(
    i3: Landing, tmp_path: Path
) -> None:
    path = tmp_path / "p.parquet"
    document = backtest(
        i3, set_name="bmw_i3", target="soc_at_arrival_pct", test_from="9", test_to="26", predictions=path
    )
    forecasts = document["forecasts"]
    assert (document["test_from"], document["test_to"], document["rows"]) == ("9", "26", 18)
    assert forecasts["kwh_per_km_by_temperature"]["mae"] < 0.7 * forecasts["constant_kwh_per_km"]["mae"]
    told = {name for name, figures in forecasts.items() if figures.get("conditional_on") == ["distance_km"]}
    assert told == {"kwh_per_km_by_temperature", "constant_kwh_per_km"}
    assert document["promoted"] in set(forecasts) - told
    assert not pl.read_parquet(path).filter(pl.col("name").is_in(list(told)))["promoted"].any()
    with pytest.raises(BacktestError, match="there are rows 1 to 26"):
        backtest(i3, set_name="bmw_i3", target="soc_at_arrival_pct", test_from="30")


@pytest.mark.data
@pytest.mark.slow
def test_consumption_by_temperature_equals_weighted_least_squares_with_the_prior(i3: Landing) -> None:
    rows = backtest_rows(i3, "soc_at_arrival_pct").rows
    km, drop, cold = (rows[name].to_numpy() for name in ("distance_km", "drop_pp", "cold_k"))
    assert (cold > 10).sum() == 10, "the winter drives"
    for index in (5, 17, 25):
        seen = slice(0, index)
        weight = np.sqrt(np.append(km[seen], PRIOR_K2 * km[seen].mean()))
        usual = USUAL_RISE_PER_K * drop[seen].sum() / (km[seen] * (1 + USUAL_RISE_PER_K * cold[seen])).sum()
        # The prior is an observation of the slope alone.
        inputs = np.column_stack([np.append(np.ones(index), 0), np.append(cold[seen], 1)])
        answers = np.append(drop[seen] / km[seen], usual)
        level, slope = np.linalg.lstsq(inputs * weight[:, None], answers * weight, rcond=None)[0]
        assert rows["pp_per_km_at_temperature"][index] == pytest.approx(level + slope * cold[index])
