"""A site's power in 15-minute slots: as-of, and forecast with a rung whatever is known."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.landing import Landing
from core.time_grid import SLOT, slot_starts
from ml.dataset import KnownFacts
from ml.evaluation.command import backtest
from ml.forecasting import forecast_power
from ml.models.protocol import QUANTILE_COLUMNS
from ml.site_power import closed_power_questions, metered_slots, power_rows
from ml.training import train_site
from tests.ml.conftest import FAST_TREES, LATENCY, SITE, START, static, table

AHEAD = 144


def shape_kw(quarter: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """Return the planted load: an office that rests at weekends."""
    day = np.clip(np.sin((quarter / 96 - 0.25) * 2 * np.pi), 0, None)
    return 20 + 60 * day * (weekday < 5)


def land_site(landing: Landing, *, days: int, noise_kw: float = 2.0, pv: bool = False) -> np.ndarray:
    """Land a site and its metered load; return what was planted without noise."""
    landing.append("site", static("site", [{"site_id": SITE, "timezone": "UTC"}]), source="registry")
    slots = np.arange(days * 96)
    planted = shape_kw(slots % 96, (slots // 96) % 7)
    random = np.random.default_rng(5)
    # Some days are busier than others, all day long.
    busy = np.repeat(random.normal(0, 6, days), 96)
    starts = [START + SLOT * int(slot) for slot in slots]
    columns = {
        "site_id": SITE,
        "start_at": starts,
        "end_at": [at + SLOT for at in starts],
        "base_load_kw": np.clip(planted + busy + random.normal(0, noise_kw, len(slots)), 0, None).tolist(),
        "pv_kw": (0.3 * planted).tolist() if pv else None,
        "observed_at": starts,
        "available_at": [at + SLOT + LATENCY for at in starts],
    }
    if days:
        landing.append("site_load", table("site_load", columns, height=len(slots)), source="meter")
    return planted


def checked(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows, having checked that all is known, finite and in order."""
    numbers = rows.select("point", *QUANTILE_COLUMNS).to_numpy()
    assert np.isfinite(numbers).all()
    assert (np.diff(numbers[:, 1:], axis=1) >= 0).all()
    assert (numbers >= 0).all()
    assert rows["rung"].null_count() == 0
    return rows


def ahead(landing: Landing, as_of: datetime, models: Path) -> pl.DataFrame:
    return checked(
        forecast_power(landing, site_id=SITE, as_of=as_of, models_dir=models, starts=slot_starts(as_of, AHEAD))
    )


@pytest.mark.parametrize(("days", "rung"), [(0, 6), (1, 5), (28, 4)])
def test_every_history_gives_a_forecast_with_its_rung(days: int, rung: int, tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    planted = land_site(landing, days=days)
    rows = ahead(landing, START + timedelta(days=days), tmp_path / "models")
    load = rows.filter(target="base_load_kw")
    assert load.height == AHEAD
    assert set(load["rung"]) <= {rung, 5}, "the second day's first weekend may be new"
    assert rung in set(load["rung"])
    # Nobody ever metered solar output: none is expected.
    assert set(rows.filter(target="pv_kw")["rung"]) == {6}
    assert rows.filter(target="pv_kw")["point"].to_list() == [0.0] * AHEAD
    if days >= 28:
        expected = planted[:AHEAD]  # the horizon begins on a Monday, as the history did
        assert np.abs(load["point"].to_numpy() - expected).mean() < 6


def test_a_constant_load_is_forecast_as_that_constant(tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    land_site(landing, days=10)
    constant = landing.scan("site_load").collect().drop("source", "date").with_columns(base_load_kw=7.0)
    flat = Landing(tmp_path / "flat")
    flat.append("site", static("site", [{"site_id": SITE, "timezone": "UTC"}]), source="registry")
    flat.append("site_load", pl.concat([constant, constant]), source="meter")  # and every row twice
    rows = ahead(flat, START + timedelta(days=10), tmp_path / "models").filter(target="base_load_kw")
    assert rows["point"].to_list() == pytest.approx([7.0] * AHEAD)


def test_no_feature_depends_on_what_became_known_later(tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    land_site(landing, days=9)
    everything = KnownFacts(landing, as_of=START + timedelta(days=10))
    full = power_rows(everything, "base_load_kw", site_id=SITE, timezone="UTC")
    for row in full.sample(8, seed=1).iter_rows(named=True):
        cut = KnownFacts(landing, as_of=row["predicted_at"])
        metered = metered_slots(cut, "base_load_kw", site_id=SITE)
        asked = closed_power_questions(metered_slots(everything, "base_load_kw", site_id=SITE)).filter(
            row_key=row["row_key"]
        )
        assert metered.filter(pl.col("slot_at") == row["slot_at"]).is_empty()
        then = power_rows(cut, "base_load_kw", site_id=SITE, timezone="UTC", asked=asked)
        again = then.filter(row_key=row["row_key"]).row(0, named=True)
        for name, value in row.items():
            assert again[name] == (pytest.approx(value) if isinstance(value, float) else value), name


def test_a_backtest_uses_the_days_level_where_that_helps(tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    land_site(landing, days=42, pv=True)
    document = backtest(
        landing,
        set_name="canonical",
        target="base_load_kw",
        test_from=(START + timedelta(days=35)).date().isoformat(),
        parameters=FAST_TREES,
    )
    assert document["unit"] == "kw"
    errors = {name: figures["mae"] for name, figures in document["forecasts"].items()}
    assert {"same_quarter_median", "yesterday", "last_week"} <= errors.keys()
    assert errors[document["promoted"]] <= min(errors["same_quarter_median"], errors["yesterday"])


def test_a_training_stores_cards_of_what_is_metered(tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    land_site(landing, days=35)
    as_of = START + timedelta(days=35)
    report = train_site(landing, site_id=SITE, as_of=as_of, models_dir=tmp_path / "m", parameters=FAST_TREES)
    assert "base_load_kw" in report.promoted
    assert "pv_kw" not in report.promoted
    card = next(card for card in report.cards if card["target"] == "base_load_kw")
    assert card["trees"] is None, "five weeks are too few for trees"
    rows = ahead(landing, as_of, tmp_path / "m").filter(target="base_load_kw")
    assert set(rows["name"]) == {report.promoted["base_load_kw"]}
    again = train_site(landing, site_id=SITE, as_of=as_of, models_dir=tmp_path / "m", parameters=FAST_TREES)
    assert again.was_stored
    assert again.promoted == report.promoted
