"""What a plan takes of a site's power: the promoted forecast where it was metered, else what the configuration says."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from core.landing import Landing
from core.settings import Settings
from core.time_grid import slot_starts
from ml.forecasting import forecast_power
from ml.training import train_site
from orchestration.steps.site_inputs import SiteInputs, read_site_inputs
from orchestration.steps.workplace import Workplace
from tests.ml.conftest import FAST_TREES, SITE, START
from tests.ml.test_site_power import land_site

SLOTS = 120


def inputs(settings: Settings, landing: Landing, *, day: int, models: Path | None) -> SiteInputs:
    at = START + timedelta(days=day)
    registry = Workplace(settings).registry
    return read_site_inputs(
        landing, registry, site_id=SITE, as_of=at, start_at=at, slots=SLOTS, models_dir=models, with_peaks=False
    )


def test_a_metered_sites_load_is_what_its_promoted_forecaster_says(settings: Settings, tmp_path: Path) -> None:
    landing, models = Landing(tmp_path / "landing"), tmp_path / "models"
    land_site(landing, days=36)
    as_of = START + timedelta(days=35)
    report = train_site(landing, site_id=SITE, as_of=as_of, models_dir=models, parameters=FAST_TREES)
    read = inputs(settings, landing, day=35, models=models)
    starts = slot_starts(as_of, SLOTS)
    rows = forecast_power(landing, site_id=SITE, as_of=as_of, models_dir=models, starts=starts)
    mine = rows.filter(target="base_load_kw").sort("subject_id")
    assert read.load.base_load_kw == pytest.approx(mine["q50"].to_numpy())
    assert read.load.base_load_high_kw == pytest.approx(mine["q95"].to_numpy())
    assert (read.load.base_load_high_kw >= read.load.base_load_kw).all()
    source = read.load_sources["base_load_kw"]
    assert source is not None
    assert source.name == report.promoted["base_load_kw"]
    assert source.newest_input_at is not None
    assert as_of - timedelta(hours=1) <= source.newest_input_at <= as_of
    # Nobody ever metered solar output.
    assert read.load_sources["pv_kw"] is None
    assert read.load.pv_kw == pytest.approx(np.zeros(SLOTS))


def test_a_site_that_nobody_metered_has_the_load_that_is_configured(settings: Settings, tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    land_site(landing, days=0)
    with_models = inputs(settings, landing, day=1, models=tmp_path / "models")
    without = inputs(settings, landing, day=1, models=None)
    assert with_models.load_sources == {}
    assert with_models.load.base_load_kw == pytest.approx(without.load.base_load_kw)
    configured = Workplace(settings).registry.site(SITE).base_load_kw
    assert with_models.load.base_load_kw == pytest.approx(np.full(SLOTS, configured))
