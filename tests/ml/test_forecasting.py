"""Training and forecasting of a site end to end, on synthetic landing rows, and on rows as bad as they come."""

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from core.entities import ENTITIES
from core.landing import Landing
from ml.fleet import UnknownSiteError
from ml.forecasting import forecast_site
from ml.models.protocol import QUANTILE_COLUMNS
from ml.registry import ModelRegistry
from ml.targets import CYCLE_TARGETS, RETURN_AT
from ml.training import train_site
from tests.ml.conftest import FAST_TREES, SITE, Fleet, FleetBuilder, Plan

TARGETS = ("return_at", "soc_at_arrival_pct")


def checked(rows: pl.DataFrame) -> pl.DataFrame:
    """Assert what holds for every forecast, and return it."""
    assert rows.schema == ENTITIES["forecast"].schema
    numbers = rows.select("point", *QUANTILE_COLUMNS)
    assert np.isfinite(numbers.to_numpy()).all()
    assert (np.diff(rows.select(QUANTILE_COLUMNS).to_numpy(), axis=1) >= 0).all()
    assert rows["rung"].is_between(4, 6).all()
    assert rows["name"].null_count() == 0
    assert not rows.select("target", "subject_id").is_duplicated().any()
    return rows


def truth(fleet: Fleet, hour: float) -> dict[str, dict[str, float]]:
    last = fleet.day == fleet.day.max()
    names = [fleet.name(vehicle) for vehicle in fleet.vehicle[last]]
    return {
        "return_at": dict(zip(names, 16 + fleet.lateness_h[last] - hour, strict=True)),
        "soc_at_arrival_pct": dict(zip(names, fleet.soc_end[last], strict=True)),
    }


def mean_error(rows: pl.DataFrame, fleet: Fleet, target: str, hour: float) -> float:
    today = str(fleet.last_day(1).date())
    mine = rows.filter(pl.col("target") == target, pl.col("subject_id").str.ends_with(today))
    actual = truth(fleet, hour)[target]
    return float(np.mean([abs(row["point"] - actual[row["vehicle_id"]]) for row in mine.iter_rows(named=True)]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Landing, Fleet, Path]:
    """A fleet of ten vans over seven weeks, trained on the day before the last."""
    folder = tmp_path_factory.mktemp("trained")
    landing, fleet = Landing(folder / "landing"), Fleet(Plan(vehicles=10, days=47))
    fleet.land(landing)
    train_site(landing, site_id=SITE, as_of=fleet.last_day(-12), models_dir=folder / "models", parameters=FAST_TREES)
    return landing, fleet, folder / "models"


def test_a_trained_site_forecasts_everybody_out_or_due_out(trained: tuple[Landing, Fleet, Path]) -> None:
    landing, fleet, models = trained
    at_night = checked(forecast_site(landing, site_id=SITE, as_of=fleet.last_day(-2), models_dir=models))
    assert at_night.group_by("target").len().sort("target").rows() == [(name, 10) for name in TARGETS]
    assert set(at_night["model_version"]) != {"untrained"}
    assert (at_night["rung"] == 4).all()
    assert (at_night["newest_input_at"] <= fleet.last_day(-2)).all()
    returns = at_night.filter(target="return_at")["point"]
    assert returns.is_between(17.5, 20.5).all(), "planned back at 16, some an hour late, predicted at 22"


def test_errors_stay_near_the_planted_noise(trained: tuple[Landing, Fleet, Path]) -> None:
    landing, fleet, models = trained
    rows = forecast_site(landing, site_id=SITE, as_of=fleet.last_day(9), models_dir=models)
    # Mean absolute error of the planted normal noise is 0.8 of its 0.4 h; ten draws vary.
    assert mean_error(rows, fleet, "return_at", 9) < 0.6
    assert mean_error(rows, fleet, "soc_at_arrival_pct", 9) < 4


def test_live_state_makes_the_soc_sharper_and_better(trained: tuple[Landing, Fleet, Path]) -> None:
    landing, fleet, models = trained
    early, late = (
        forecast_site(landing, site_id=SITE, as_of=fleet.last_day(hour), models_dir=models) for hour in (-2.0, 14.0)
    )
    width = [
        (rows.filter(target="soc_at_arrival_pct")["q95"] - rows.filter(target="soc_at_arrival_pct")["q05"]).mean()
        for rows in (early, late)
    ]
    assert width[1] < 0.6 * width[0]  # type: ignore[operator]
    errors = [mean_error(rows, fleet, "soc_at_arrival_pct", hour) for rows, hour in ((early, -2), (late, 14))]
    assert errors[1] < errors[0]


def test_nobody_back_is_forecast(trained: tuple[Landing, Fleet, Path]) -> None:
    landing, fleet, models = trained
    rows = forecast_site(
        landing, site_id=SITE, as_of=fleet.last_day(22), models_dir=models, horizon=timedelta(hours=12)
    )
    assert rows.is_empty()
    assert rows.schema == ENTITIES["forecast"].schema


def test_training_again_changes_nothing_and_a_forecast_never_uses_a_later_model(
    trained: tuple[Landing, Fleet, Path],
) -> None:
    landing, fleet, models = trained
    as_of = fleet.last_day(-12)
    before = {path: path.read_bytes() for path in sorted(models.rglob("*")) if path.is_file()}
    again = train_site(landing, site_id=SITE, as_of=as_of, models_dir=models, parameters=FAST_TREES)
    assert again.was_stored
    assert before == {path: path.read_bytes() for path in sorted(models.rglob("*")) if path.is_file()}
    registry = ModelRegistry(models)
    assert registry.newest(RETURN_AT, site_id=SITE, as_of=as_of) is not None
    assert registry.newest(RETURN_AT, site_id=SITE, as_of=as_of - timedelta(seconds=1)) is None
    earlier = forecast_site(landing, site_id=SITE, as_of=as_of - timedelta(hours=12), models_dir=models)
    assert set(earlier["model_version"]) == {"untrained"}


def test_training_twice_from_nothing_gives_the_same_files(land_fleet: FleetBuilder, tmp_path: Path) -> None:
    landing, fleet = land_fleet(vehicles=4, days=33)
    for name in ("one", "two"):
        train_site(landing, site_id=SITE, as_of=fleet.last_day(0), models_dir=tmp_path / name, parameters=FAST_TREES)
    files = [path.relative_to(tmp_path / "one") for path in sorted((tmp_path / "one").rglob("*")) if path.is_file()]
    assert len(files) == 6
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes() for path in files)


def test_the_card_holds_the_decision_and_every_forecasters_numbers(trained: tuple[Landing, Fleet, Path]) -> None:
    _, _, models = trained
    for target in CYCLE_TARGETS:
        card = ModelRegistry(models).cards(site_id=SITE, target=target.name)[-1]
        assert card["promotion"]["promoted"] in card["forecasts"]
        assert {"quantile_trees", "vehicle_median"} <= set(card["forecasts"])
        assert card["trees"]["engine"] in ("lightgbm", "sklearn")
        assert json.dumps(card, allow_nan=False)


def test_the_card_shows_that_the_soc_is_better_known_near_the_return(trained: tuple[Landing, Fleet, Path]) -> None:
    _, _, models = trained
    card = ModelRegistry(models).cards(site_id=SITE, target="soc_at_arrival_pct")[-1]
    far, near = (card["by_hours_left"][left] for left in ("12", "1"))
    assert min(far["rows"], near["rows"]) > 20
    assert near["mae"] < 0.7 * far["mae"]
    assert near["width_90"] < far["width_90"]


def test_a_promoted_model_is_used_as_it_was_stored(tmp_path: Path) -> None:
    """Lateness hangs on the day's planned distance: no rule knows that, so trees are promoted and serve."""
    fleet = Fleet(Plan(vehicles=6, days=61, lateness_noise_h=0.1, **ON_TIME))
    fleet.planned_km = np.random.default_rng(3).uniform(60, 120, len(fleet.day))
    fleet.lateness_h = fleet.lateness_h + (fleet.planned_km - 60) / 20
    landing = Landing(tmp_path / "landing")
    fleet.land(landing)
    models = tmp_path / "models"
    report = train_site(landing, site_id=SITE, as_of=fleet.last_day(0), models_dir=models, parameters=FAST_TREES)
    assert report.promoted["return_at"] == "quantile_trees", report.cards[0]["promotion"]["reason"]
    rows = checked(forecast_site(landing, site_id=SITE, as_of=fleet.last_day(9), models_dir=models))
    assert set(rows.filter(target="return_at")["name"]) == {"quantile_trees"}
    assert mean_error(rows, fleet, "return_at", 9) < 0.5


def test_a_new_vehicle_is_forecast_by_its_kind(land_fleet: FleetBuilder, tmp_path: Path) -> None:
    landing, fleet = land_fleet(vehicles=4, days=26)
    registry = landing.scan("vehicle").filter(vehicle_id="van-00").collect().drop("source", "date")
    landing.append("vehicle", registry.with_columns(vehicle_id=pl.lit("van-new")), source="registry")
    duty = landing.scan("duty").filter(vehicle_id="van-00").collect().drop("source", "date")
    planned = duty.filter(pl.col("operating_date") == fleet.last_day(1).date())
    landing.append("duty", planned.with_columns(vehicle_id=pl.lit("van-new"), block_id=pl.lit("n")), source="registry")
    rows = checked(forecast_site(landing, site_id=SITE, as_of=fleet.last_day(-2), models_dir=tmp_path))
    new = rows.filter(vehicle_id="van-new")
    assert new["rung"].to_list() == [5, 5]
    soc = dict(rows.filter(target="soc_at_arrival_pct").select("vehicle_id", "point").iter_rows())
    assert soc["van-new"] == pytest.approx(soc["van-00"], abs=6), "the same model, the same distance"


def without(landing: Landing, tmp_path: Path, entity: str, keep: pl.Expr) -> Landing:
    """Return a landing zone that lacks some rows of an entity."""
    copy = Landing(tmp_path / "copy")
    for name in ENTITIES:
        rows = landing.scan(name).collect()
        rows = rows.filter(keep) if name == entity else rows
        for source in rows["source"].unique().sort().to_list():
            copy.append(name, rows.filter(source=source).drop("source", "date"), source=source)
    return copy


ON_TIME = {"late_vehicle_h": 0.0, "late_friday_h": 0.0}
BAD_FLEETS: dict[str, dict[str, Any]] = {
    "three vehicles": {"vehicles": 3, "days": 40},
    "one week of history": {"vehicles": 5, "days": 5},
    "no SoC at all": {"vehicles": 4, "days": 33, "with_soc": False},
    "constant lateness": {"vehicles": 4, "days": 33, "lateness_noise_h": 0.0, **ON_TIME},
}


@pytest.mark.parametrize("case", BAD_FLEETS)
def test_poor_fleets_get_a_forecast_with_a_rung(case: str, land_fleet: FleetBuilder, tmp_path: Path) -> None:
    landing, fleet = land_fleet(**BAD_FLEETS[case])
    train_site(landing, site_id=SITE, as_of=fleet.last_day(-10), models_dir=tmp_path / "m", parameters=FAST_TREES)
    for hour in (-2.0, 11.0):
        rows = checked(forecast_site(landing, site_id=SITE, as_of=fleet.last_day(hour), models_dir=tmp_path / "m"))
        assert set(rows["target"]) == set(TARGETS)
    if case == "no SoC at all":
        assert set(rows.filter(target="soc_at_arrival_pct")["rung"]) == {6}


def test_without_any_telematics_plan_and_defaults_answer(tmp_path: Path) -> None:
    landing, fleet = Landing(tmp_path / "l"), Fleet(Plan(vehicles=3, days=5))
    fleet.land(landing, telematics=False)
    rows = checked(forecast_site(landing, site_id=SITE, as_of=fleet.last_day(-2), models_dir=tmp_path))
    assert dict(rows.select("target", "rung").unique().sort("target").iter_rows()) == {
        "return_at": 5,
        "soc_at_arrival_pct": 6,
    }
    assert rows["newest_input_at"].null_count() == rows.height
    wide = rows.filter(target="soc_at_arrival_pct").select((pl.col("q95") - pl.col("q05")).min()).item()
    assert wide > 30, "nothing is known of the SoC, and the interval says so"


def test_duplicated_rows_change_nothing(land_fleet: FleetBuilder, tmp_path: Path) -> None:
    landing, fleet = land_fleet(vehicles=3, days=26)
    first = forecast_site(landing, site_id=SITE, as_of=fleet.last_day(11), models_dir=tmp_path)
    trips = landing.scan("trip").collect().drop("source", "date")
    landing.append("trip", trips, source="geotab_again")
    second = forecast_site(landing, site_id=SITE, as_of=fleet.last_day(11), models_dir=tmp_path)
    assert_frame_equal(first, second)


def test_after_a_gap_of_forty_days_history_still_serves(land_fleet: FleetBuilder, tmp_path: Path) -> None:
    landing, fleet = land_fleet(vehicles=4, days=68)
    begin, end = fleet.last_day(-44 * 24), fleet.last_day(-4 * 24)
    gap = ~pl.col("observed_at").is_between(begin, end)
    holey = without(landing, tmp_path, "trip", gap)
    rows = checked(forecast_site(holey, site_id=SITE, as_of=fleet.last_day(11), models_dir=tmp_path / "m"))
    assert rows.height == 8
    in_the_gap = fleet.last_day(-21 * 24 + 11)
    rows = checked(forecast_site(holey, site_id=SITE, as_of=in_the_gap, models_dir=tmp_path / "m"))
    assert set(rows["target"]) == set(TARGETS)


def test_an_unknown_site_is_a_clear_error(small_fleet: tuple[Landing, Fleet], tmp_path: Path) -> None:
    landing, fleet = small_fleet
    with pytest.raises(UnknownSiteError, match="site 'south' was not known"):
        forecast_site(landing, site_id="south", as_of=fleet.last_day(0), models_dir=tmp_path)


def test_vehicles_whose_provider_sends_no_trips_are_forecast_from_snapshots(
    land_fleet: FleetBuilder, tmp_path: Path
) -> None:
    landing, fleet = land_fleet(vehicles=4, days=33)
    silent = without(landing, tmp_path, "trip", pl.lit(value=False))
    rows = checked(forecast_site(silent, site_id=SITE, as_of=fleet.last_day(11), models_dir=tmp_path / "m"))
    assert rows.filter(target="return_at").height == 4
    assert (rows["rung"] == 4).all()
    assert mean_error(rows, fleet, "return_at", 11) < 1.2, "snapshots come once an hour"


def test_a_training_that_was_killed_goes_on_where_it_ended(tmp_path: Path) -> None:
    landing, fleet = Landing(tmp_path / "landing"), Fleet(Plan(vehicles=4, days=30))
    fleet.land(landing)
    as_of, models = fleet.last_day(0), tmp_path / "models"
    whole = train_site(landing, site_id=SITE, as_of=as_of, models_dir=models, parameters=FAST_TREES)
    last = whole.cards[-1]
    assert last["target"] in {target.name for target in CYCLE_TARGETS}, "vehicles are trained last"
    shutil.rmtree(models / SITE / last["target"] / last["version"])
    again = train_site(landing, site_id=SITE, as_of=as_of, models_dir=models, parameters=FAST_TREES)
    assert not again.was_stored
    assert again.cards == whole.cards
