"""Trains and forecasts a site, and lands what was forecast."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import polars as pl

from core.time_grid import parse_instant
from ml.fleet import FleetFacts
from ml.forecasting import forecast_fleet
from ml.models.quantile_trees import TreeParameters
from ml.registry import ModelRegistry
from ml.targets import CYCLE_TARGETS
from ml.training import TrainingReport, train_site
from orchestration.steps.workplace import Workplace

MODEL_LIFE = timedelta(days=7)


def train(workplace: Workplace, *, site_id: str, as_of: datetime) -> TrainingReport:
    """Fit a site's forecasts as of an instant; done once for each instant."""
    settings = workplace.settings
    return train_site(
        workplace.landing,
        site_id=site_id,
        as_of=as_of,
        models_dir=settings.models_dir,
        parameters=TreeParameters(threads=settings.threads),
    )


def needs_training(workplace: Workplace, *, sites: Iterable[str], as_of: datetime) -> bool:
    """Say whether a site has no model that was trained in the week before ``as_of``."""
    models = ModelRegistry(workplace.settings.models_dir)

    def is_fresh(site_id: str, target: str) -> bool:
        trained = [parse_instant(card["trained_as_of"]) for card in models.cards(site_id=site_id, target=target)]
        return any(as_of - MODEL_LIFE < instant <= as_of for instant in trained)

    return not all(is_fresh(site_id, target.name) for site_id in sites for target in CYCLE_TARGETS)


def forecast(workplace: Workplace, facts: FleetFacts) -> pl.DataFrame:
    """Forecast return time and SoC at arrival of a site's fleet as of its facts, land the rows, and return them."""
    rows = forecast_fleet(facts, models_dir=workplace.settings.models_dir)
    workplace.landing.append("forecast", rows, source="ml")
    return rows
