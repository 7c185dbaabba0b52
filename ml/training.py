"""Weekly training of a site: fit, judge on rolling origins, decide, store.

Preset level: it strings dataset, features, models, calibration and decision together, and computes nothing itself.
A training of one ``as_of`` is done once; run again, it reads what it stored.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from core.landing import Landing
from core.time_grid import format_instant, to_utc
from ml.calibration import CalibrationParameters
from ml.dataset import KnownFacts, thinned
from ml.evaluation.lead_times import errors_by_lead
from ml.evaluation.metrics import metrics
from ml.evaluation.promotion import Promotion, decide
from ml.evaluation.rolling_origin import (
    MODELS,
    RollingForecasts,
    calibrated_predictions,
    heard_rules,
    rolling_forecasts,
    weekly_origins,
)
from ml.features.pipeline import cycle_features
from ml.fleet import fleet_facts, site_timezone
from ml.models.blend import best_rule
from ml.models.protocol import QUANTILE_COLUMNS
from ml.models.quantile_trees import MODEL_CODE_VERSION, QuantileTrees, TooFewRowsError, TreeParameters
from ml.questions import closed_questions
from ml.registry import ModelRegistry, trees_card, version_name
from ml.site_power import power_rows
from ml.targets import CYCLE_TARGETS, POWER_TARGETS, Target, with_actual

LOGGER = logging.getLogger(__name__)
HISTORY: Final = timedelta(days=400)
JUDGED: Final = timedelta(weeks=4)
MOST_CYCLES: Final = 15_000
"""Finished cycles beyond this are thinned before questions are asked: a fleet of 1,000 asks two million a year."""
POWER_HISTORY: Final = timedelta(days=182)
LEAST_METERED_SLOTS: Final = 4_000
"""Six weeks: fewer teach trees no more of a site's load than the rules say."""
MOST_METERED_SLOTS: Final = 8_000
MOST_MISSES: Final = 3_000
JUDGED_FITS: Final = 2


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training did: one card per target (decision, numbers of every forecaster, features, parameters)."""

    site_id: str
    as_of: datetime
    cards: tuple[dict[str, Any], ...]
    was_stored: bool

    @property
    def promoted(self) -> dict[str, str]:
        """Return the forecaster used for each target."""
        return {card["target"]: card["promotion"]["promoted"] for card in self.cards}


def train_site(
    landing: Landing, *, site_id: str, as_of: datetime, models_dir: Path, parameters: TreeParameters | None = None
) -> TrainingReport:
    """Train, judge and store the forecasters of a site from what was known at ``as_of``.

    Args:
        landing: The landing zone.
        site_id: Site, as the configuration names it.
        as_of: Nothing that became available later is used.
        models_dir: Folder of all models.
        parameters: Of the trees; without them the declared defaults, on one thread.

    Raises:
        ml.fleet.UnknownSiteError: the site was not known then.
    """
    chosen, instant = parameters or TreeParameters(), to_utc(as_of)
    registry = ModelRegistry(models_dir)
    version = version_name(instant, code_version=MODEL_CODE_VERSION)
    # Vehicles come last: who finds their models fresh may take it that the site's power was trained as well.
    targets = (*POWER_TARGETS, *CYCLE_TARGETS)
    cards = {target.name: _stored_card(registry, site_id, target, version) for target in targets}
    was_stored = all(cards[target.name] for target in CYCLE_TARGETS)
    for target, rows, its_parameters in [] if was_stored else _asked(landing, site_id, instant, chosen):
        if cards[target.name] is None:
            card, trees, misses = train_target(rows, target, as_of=instant, parameters=its_parameters)
            card |= {"site_id": site_id, "version": version}
            registry.store(card, trees=trees, misses=misses)
            LOGGER.info("%s, %s: %s", site_id, target.name, card["promotion"]["reason"])
            cards[target.name] = card
    return TrainingReport(site_id, instant, tuple(card for card in cards.values() if card), was_stored)


def _asked(
    landing: Landing, site_id: str, as_of: datetime, parameters: TreeParameters
) -> Iterator[tuple[Target, pl.DataFrame, TreeParameters]]:
    """Yield each target with its training rows and parameters, vehicles last; nothing of what was never metered."""
    for target in POWER_TARGETS:
        metered = power_training_rows(landing, target, site_id=site_id, as_of=as_of)
        if metered.height:
            yield target, metered, parameters.model_copy(update={"least_rows": LEAST_METERED_SLOTS})
    vehicles = training_rows(landing, site_id=site_id, as_of=as_of)
    for target in CYCLE_TARGETS:
        yield target, vehicles, parameters


def _stored_card(registry: ModelRegistry, site_id: str, target: Target, version: str) -> dict[str, Any] | None:
    cards = registry.cards(site_id=site_id, target=target.name)
    return next((card for card in cards if card["version"] == version), None)


def training_rows(landing: Landing, *, site_id: str | None, as_of: datetime) -> pl.DataFrame:
    """Return finished questions with features, each cut off at its own ``predicted_at``."""
    facts = fleet_facts(KnownFacts(landing, as_of=as_of, since=as_of - HISTORY), site_id=site_id)
    return cycle_features(closed_questions(facts, most_cycles=MOST_CYCLES), facts)


def power_training_rows(landing: Landing, target: Target, *, site_id: str, as_of: datetime) -> pl.DataFrame:
    """Return finished questions about a site's power with features, each cut off at its own ``predicted_at``."""
    known = KnownFacts(landing, as_of=as_of, since=as_of - POWER_HISTORY)
    timezone = site_timezone(known, site_id=site_id)
    return thinned(power_rows(known, target.name, site_id=site_id, timezone=timezone), MOST_METERED_SLOTS)


def train_target(
    rows: pl.DataFrame, target: Target, *, as_of: datetime, parameters: TreeParameters
) -> tuple[dict[str, Any], QuantileTrees | None, pl.DataFrame]:
    """Return the card, the trees fitted on all that is known (None where rows are too few), and the misses."""
    settled = with_actual(rows, target, as_of=as_of)
    known = settled.filter(pl.col("actual").is_not_null())
    begin = as_of - JUDGED
    forecasts = rolling_forecasts(
        known, target, origins=weekly_origins(begin, as_of, most=JUDGED_FITS), until=as_of, parameters=parameters
    )
    judged = calibrated_predictions(forecasts, target, since=begin, until=as_of, parameters=CalibrationParameters())
    promotion = decide(
        judged,
        models=MODELS,
        baselines=[rule.name for rule in target.baselines if not rule.conditional_on],
        fallback=target.anchor.name,
    )
    used = judged.filter(pl.col("name") == promotion.promoted)
    trees = _fit_all(known, target, parameters)
    assert trees is not None or promotion.promoted not in MODELS, "what was promoted can be fitted"
    return (
        {
            **_card(target, promotion, judged, as_of=as_of, rows=known.height),
            "by_hours_left": errors_by_lead(used, known, until=target.until),
            "trees": None if trees is None else trees_card(trees, rule=best_rule(heard_rules(known, target), known)),
        },
        trees,
        stored_misses(forecasts, promotion.promoted),
    )


def _fit_all(known: pl.DataFrame, target: Target, parameters: TreeParameters) -> QuantileTrees | None:
    try:
        return QuantileTrees.fit(known, features=target.features, anchor=target.anchor, parameters=parameters)
    except TooFewRowsError as error:
        LOGGER.info("%s: no trees: %s", target.name, error)
        return None


def _card(
    target: Target,
    promotion: Promotion,
    judged: pl.DataFrame,
    *,
    as_of: datetime,
    rows: int,
) -> dict[str, Any]:
    names = judged["name"].unique(maintain_order=True).to_list()
    return {
        "schema": "depotwise.model_card/1",
        "target": target.name,
        "unit": target.unit,
        "trained_as_of": format_instant(as_of),
        "code_version": MODEL_CODE_VERSION,
        "rows": rows,
        "judged_from": format_instant(as_of - JUDGED),
        "judged_rows": int(judged["row_key"].n_unique()),
        "promotion": promotion.as_dict(),
        "forecasts": {name: metrics(judged.filter(pl.col("name") == name)) for name in names},
        "calibration": CalibrationParameters().model_dump(mode="json"),
    }


def stored_misses(forecasts: RollingForecasts, name: str) -> pl.DataFrame:
    """Return the latest finished forecasts of a forecaster: raw quantiles, actual, known_at, horizon."""
    raw = forecasts.raw[name]
    columns = {column: raw[:, index] for index, column in enumerate(QUANTILE_COLUMNS)}
    rows = forecasts.rows.select("row_key", "predicted_at", "known_at", "horizon", "actual").with_columns(**columns)
    finished = rows.filter(pl.col("q50").is_finite(), pl.col("actual").is_not_null())
    return finished.sort("known_at", "row_key").tail(MOST_MISSES)
