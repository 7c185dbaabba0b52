"""Trains and forecasts a site, and lands what was forecast."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from core.time_grid import parse_instant
from ml.drift import drift_of_site
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


def drifted_sites(workplace: Workplace, *, sites: Iterable[str], as_of: datetime) -> dict[str, str]:
    """Return the sites one of whose models errs more than when it was judged, each with what says so."""
    found = {}
    for site_id in sites:
        decisions = drift_of_site(
            workplace.landing, site_id=site_id, as_of=as_of, models_dir=workplace.settings.models_dir
        )
        said = [f"{decision.target} {decision.reason}" for decision in decisions if decision.has_drifted]
        if said:
            found[site_id] = "; ".join(said)
    return found


def latest_drift(workplace: Workplace, *, site_id: str) -> dict[str, dict[str, Any]]:
    """Return the last decision on drift of each target, with its numbers; before the first one, nothing."""
    models = ModelRegistry(workplace.settings.models_dir)
    made = {target.name: models.drift(site_id=site_id, target=target.name) for target in CYCLE_TARGETS}
    return {name: decisions[-1] for name, decisions in made.items() if decisions}


def forecast(workplace: Workplace, facts: FleetFacts) -> pl.DataFrame:
    """Forecast return time and SoC at arrival of a site's fleet as of its facts, land the rows, and return them."""
    rows = forecast_fleet(facts, models_dir=workplace.settings.models_dir)
    workplace.landing.append("forecast", rows, source="ml")
    return rows
