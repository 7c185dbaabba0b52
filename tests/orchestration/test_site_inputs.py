"""What a plan takes of a site's power: the promoted forecast where it was metered, else what the configuration says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.landing import Landing
from core.settings import Settings
from core.time_grid import slot_starts
from ingestion.registry import Registry
from ingestion.registry.models import Carbon, DemandCharge, PriceTier, Site, SoftLimit
from ml.forecasting import forecast_power
from ml.training import train_site
from orchestration.steps.site_inputs import SiteInputs, read_site_inputs
from orchestration.steps.workplace import Workplace
from tests.ml.conftest import FAST_TREES, SITE, START
from tests.ml.test_site_power import land_site, table

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


def configured(settings: Settings, tariff: dict[str, Any], **changes: object) -> Registry:
    """The starter's registry with another tariff and site, in UTC."""
    registry = Workplace(settings).registry
    site = registry.site(SITE)
    changed: Site = site.model_copy(
        update={"tariff": site.tariff.model_copy(update=tariff), "timezone": "UTC", **changes}
    )
    return replace(registry, sites=(changed,))


def test_what_a_month_has_drawn_counts_for_its_tiers_and_its_peak_is_paid_for(
    settings: Settings, tmp_path: Path
) -> None:
    landing = Landing(tmp_path / "landing")
    land_site(landing, days=3)
    as_of = START + timedelta(days=2, hours=23)
    tariff = {
        "price_tiers": (PriceTier(name="month", above_kwh=500.0, surcharge_per_kwh=0.03),),
        "demand_charges": (DemandCharge(name="month", price_per_kw=10.0),),
    }
    read = read_site_inputs(
        landing, configured(settings, tariff), site_id=SITE, as_of=as_of, start_at=as_of, slots=SLOTS
    )
    known = landing.read("site_load", as_of=as_of)["base_load_kw"]
    [tier], [charge] = read.price_tiers, read.peak_charges
    assert tier.so_far_kwh == pytest.approx(known.sum() / 4)
    assert (tier.above_kwh, tier.surcharge_per_kwh) == (500.0, 0.03)
    assert charge.so_far_kw == pytest.approx(known.max())
    assert charge.slots is None


def test_a_peak_of_this_month_is_not_paid_for_in_the_next(settings: Settings, tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    land_site(landing, days=27)
    as_of = datetime(2026, 1, 31, 18, tzinfo=UTC)
    evening = DemandCharge.model_validate({"name": "evening", "price_per_kw": 4.0, "from": "22:00", "to": "02:00"})
    tariff = {"demand_charges": (DemandCharge(name="month", price_per_kw=10.0), evening)}
    read = read_site_inputs(
        landing, configured(settings, tariff), site_id=SITE, as_of=as_of, start_at=as_of, slots=SLOTS
    )
    charges = {charge.name: charge for charge in read.peak_charges}
    assert list(charges) == ["month", "evening", "month from 2026-02-01", "evening from 2026-02-01"]
    slots = {name: [] if charge.slots is None else charge.slots.tolist() for name, charge in charges.items()}
    assert slots["month"] == list(range(24))
    assert slots["month from 2026-02-01"] == list(range(24, SLOTS))
    assert slots["evening"] == list(range(16, 24))
    assert slots["evening from 2026-02-01"] == [*range(24, 32), *range(112, 120)]
    assert charges["month"].so_far_kw > 0
    assert charges["month from 2026-02-01"].so_far_kw == 0.0


def test_a_soft_limit_holds_within_its_window_and_carbon_is_what_has_landed(settings: Settings, tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    as_of = START + timedelta(hours=12)
    soft = SoftLimit.model_validate(
        {"name": "evening", "limit_kw": 30.0, "price_per_kwh": 0.5, "from": "17:00", "to": "20:00"}
    )
    registry = configured(settings, {"carbon": Carbon(region="DE", price_per_t=80.0)}, soft_limits=(soft,))
    read = read_site_inputs(landing, registry, site_id=SITE, as_of=as_of, start_at=as_of, slots=SLOTS)
    [limit] = read.soft_limits
    inside = np.isin(np.arange(SLOTS), [*range(20, 32), *range(116, 120)])  # of both evenings
    assert limit.limit_kw == pytest.approx(np.where(inside, 30.0, read.import_limit_kw))
    assert read.carbon is None
    land_carbon(landing, as_of, grams=400.0)
    known = read_site_inputs(landing, registry, site_id=SITE, as_of=as_of, start_at=as_of, slots=SLOTS).carbon
    assert known is not None
    assert known.values == pytest.approx(np.full(SLOTS, 0.4))
    assert known.assumed_slots == SLOTS


def land_carbon(landing: Landing, at: datetime, *, grams: float) -> None:
    """An hour's measured intensity of before an instant, in two regions."""
    starts = [at - timedelta(hours=1)] * 2
    columns = {
        "region_id": ["DE", "FR"],
        "start_at": starts,
        "end_at": [at] * 2,
        "issued_at": starts,
        "emissions_gco2e_per_kwh": [grams, 50.0],
        "basis": "average",
        "kind": "measured",
        "observed_at": starts,
        "available_at": [at] * 2,
    }
    landing.append("carbon_intensity", table("carbon_intensity", columns, height=2), source="import")
