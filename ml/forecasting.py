"""The forecasts of a site as of an instant: quantiles for every vehicle that is out or due out.

Preset level: facts as of the instant, the newest model that is no newer, calibration by all outcomes known by then.
There is always an answer: without a model a rule answers, without history the default does, and the rung says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from core.entities import ENTITIES
from core.landing import Landing
from core.time_grid import to_utc
from ml.calibration import Asked, CalibrationParameters, Misses, calibrated
from ml.dataset import KnownFacts
from ml.evaluation.rolling_origin import epoch_s, horizons
from ml.features.pipeline import cycle_features
from ml.fleet import FleetFacts, UnknownSiteError, fleet_facts, site_timezone
from ml.models.protocol import MEDIAN_INDEX, QUANTILE_COLUMNS, FloatArray, Forecaster
from ml.questions import closed_questions, live_questions
from ml.registry import ModelRegistry, StoredModel
from ml.site_power import live_power_questions, power_rows
from ml.targets import CYCLE_TARGETS, POWER_TARGETS, Target, with_actual

HISTORY: Final = timedelta(days=60)
HORIZON: Final = timedelta(hours=36)
WHO_IS_OUT: Final = timedelta(days=6)
RECENT: Final = timedelta(days=28)
STATES_BEFORE: Final = timedelta(days=3)
"""A cycle's first state may be so much older than its departure."""
MOST_RECENT_CYCLES: Final = 500
UNTRAINED: Final = "untrained"


@dataclass(frozen=True, slots=True)
class ChosenForecaster:
    """Who answers for a target, and what is known of its past misses."""

    forecaster: Forecaster
    name: str
    version: str
    since: datetime
    misses: pl.DataFrame | None

    @classmethod
    def of(cls, stored: StoredModel | None, target: Target, *, as_of: datetime) -> "ChosenForecaster":
        """Return the stored one; without a training, the target's anchor rule with its own recent misses."""
        if stored is None:
            return cls(target.anchor, target.anchor.name, UNTRAINED, as_of - RECENT, None)
        name = stored.card["promotion"]["promoted"]
        return cls(stored.forecaster, name, stored.version, stored.trained_as_of, stored.misses)


def recent_facts(landing: Landing, *, site_id: str, as_of: datetime, models_dir: Path) -> FleetFacts:
    """Return what forecasts of an instant rest on: a site's facts of sixty days.

    Args:
        landing: The landing zone.
        site_id: Site, as the configuration names it.
        as_of: Nothing that became available later is used.
        models_dir: Folder of all models: states of vehicles are read only as far back as they look.

    Raises:
        ml.fleet.UnknownSiteError: the site was not known then.
    """
    instant = to_utc(as_of)
    chosen = _chosen(models_dir, site_id=site_id, as_of=instant)
    return _facts(KnownFacts(landing, as_of=instant, since=instant - HISTORY), chosen, site_id=site_id)


def forecast_site(
    landing: Landing, *, site_id: str, as_of: datetime, models_dir: Path, horizon: timedelta = HORIZON
) -> pl.DataFrame:
    """Return rows of the ``forecast`` entity: return time and SoC at arrival of each vehicle out or due out.

    Args:
        landing: The landing zone.
        site_id: Site, as the configuration names it.
        as_of: Nothing that became available later is used, and no model that was trained later.
        models_dir: Folder of all models.
        horizon: Vehicles due out before its end are forecast too.

    Returns:
        See ``forecast_fleet``.

    Raises:
        ml.fleet.UnknownSiteError: the site was not known then.
    """
    facts = recent_facts(landing, site_id=site_id, as_of=as_of, models_dir=models_dir)
    return forecast_fleet(facts, models_dir=models_dir, horizon=horizon)


def forecast_fleet(facts: FleetFacts, *, models_dir: Path, horizon: timedelta = HORIZON) -> pl.DataFrame:
    """Return what ``forecast_site`` does, of facts that have been read already (``recent_facts``).

    Returns:
        Rows ready to land, sorted by target and subject: ``return_at`` in hours after ``predicted_at``,
        ``soc_at_arrival_pct`` in percent; ``subject_id`` is ``<vehicle>/<operating date>``.

    Raises:
        ml.fleet.UnknownSiteError: the facts are not of one site.
    """
    if facts.site_id is None:
        raise UnknownSiteError("forecasts are made for one site, and these facts are of all")
    chosen = _chosen(models_dir, site_id=facts.site_id, as_of=facts.as_of)
    live = live_questions(facts, horizon=horizon)
    return _answered(live, facts, chosen, _Where(facts.site_id, facts.as_of))


def forecast_instants(
    landing: Landing, *, site_id: str, instants: Sequence[datetime], models_dir: Path, horizon: timedelta = HORIZON
) -> dict[datetime, pl.DataFrame]:
    """Return what ``forecast_site`` says at each of several instants, at little more than the price of one.

    Who is out is asked as of each instant; features and calibration are made once, of facts as of the last, because
    they look at no row's future anyway. Models are those that were there at the first.

    Args:
        landing: See ``forecast_site``.
        site_id: See there.
        instants: At least one, in any order.
        models_dir: See there.
        horizon: See there.
    """
    asked = sorted({to_utc(instant) for instant in instants})
    chosen = _chosen(models_dir, site_id=site_id, as_of=asked[0])
    facts = _facts(KnownFacts(landing, as_of=asked[-1], since=asked[0] - HISTORY), chosen, site_id=site_id)
    # Each instant numbers the vehicles that it knows; the last one's numbers serve for all.
    names = pl.col("vehicle_id").cast(pl.String).cast(facts.vehicles.schema["vehicle_id"], strict=False)
    live = [
        live_questions(_recently(landing, instant, site_id), horizon=horizon).with_columns(names) for instant in asked
    ]
    asked_of = pl.concat(live).filter(pl.col("vehicle_id").is_not_null())
    rows = _answered(asked_of, facts, chosen, _Where(site_id, asked[-1]))
    return {instant: rows.filter(pl.col("predicted_at") == instant) for instant in asked}


def _chosen(models_dir: Path, *, site_id: str, as_of: datetime) -> dict[str, ChosenForecaster]:
    """Return who answers for each target; models are no newer than ``as_of``."""
    registry = ModelRegistry(models_dir)
    return {
        target.name: ChosenForecaster.of(registry.newest(target, site_id=site_id, as_of=as_of), target, as_of=as_of)
        for target in CYCLE_TARGETS
    }


def _since(chosen: Mapping[str, ChosenForecaster]) -> datetime:
    return min(choice.since for choice in chosen.values())


def _facts(known: KnownFacts, chosen: Mapping[str, ChosenForecaster], *, site_id: str) -> FleetFacts:
    """Return the site's facts; states of vehicles only where a question can look at them."""
    return fleet_facts(known, site_id=site_id, states_since=_since(chosen) - STATES_BEFORE)


def _recently(landing: Landing, instant: datetime, site_id: str) -> FleetFacts:
    """Return the facts that say who is out: those of the longest cycle, and the days before it."""
    return fleet_facts(KnownFacts(landing, as_of=instant, since=instant - WHO_IS_OUT), site_id=site_id)


def _answered(
    live: pl.DataFrame, facts: FleetFacts, chosen: Mapping[str, ChosenForecaster], at: "_Where"
) -> pl.DataFrame:
    """Return the forecast rows of live questions."""
    if live.is_empty():
        return ENTITIES["forecast"].empty()
    recent = closed_questions(facts, since=_since(chosen), most_cycles=MOST_RECENT_CYCLES)
    rows = cycle_features(pl.concat([recent, live]), facts)
    frames = [_forecast_target(rows, target, chosen[target.name], at) for target in CYCLE_TARGETS]
    return pl.concat(frames).sort("target", "subject_id", "predicted_at")


def forecast_power(
    landing: Landing, *, site_id: str, as_of: datetime, models_dir: Path, starts: Sequence[datetime]
) -> pl.DataFrame:
    """Return rows of the ``forecast`` entity: other load and solar output of a site in coming slots, in kW.

    Args:
        landing: The landing zone.
        site_id: Site, as the configuration names it.
        as_of: Nothing that became available later is used, and no model that was trained later.
        models_dir: Folder of all models.
        starts: Starts of the slots, after ``as_of``.

    Returns:
        Rows ready to land, sorted by target and subject; ``subject_id`` is ``<site>/<start of the slot>``.

    Raises:
        ml.fleet.UnknownSiteError: the site was not known then.
    """
    instant = to_utc(as_of)
    known = KnownFacts(landing, as_of=instant, since=instant - HISTORY)
    timezone = site_timezone(known, site_id=site_id)
    asked = live_power_questions(site_id=site_id, as_of=instant, starts=starts)
    registry = ModelRegistry(models_dir)
    frames = []
    for target in POWER_TARGETS:
        stored = registry.newest(target, site_id=site_id, as_of=instant)
        choice = ChosenForecaster.of(stored, target, as_of=instant)
        rows = power_rows(
            known, target.name, site_id=site_id, timezone=timezone, since=choice.since, asked=asked
        ).with_columns(vehicle_id=pl.lit(None, pl.String))
        frames.append(_forecast_target(rows, target, choice, _Where(site_id, instant)))
    return pl.concat(frames).sort("target", "subject_id")


@dataclass(frozen=True, slots=True)
class _Where:
    """The site that is forecast, and the instant."""

    site_id: str
    as_of: datetime


def _forecast_target(rows: pl.DataFrame, target: Target, choice: ChosenForecaster, at: _Where) -> pl.DataFrame:
    live = rows.filter(pl.col("known_at").is_null())
    recent = with_actual(rows, target, as_of=at.as_of).filter(
        pl.col("actual").is_not_null(), pl.col("predicted_at") >= choice.since
    )
    quantiles = calibrated(
        Asked(choice.forecaster.quantiles(live), epoch_s(live["predicted_at"]), horizons(live)),
        _misses(choice, recent),
        default_spread=target.default_spread,
        parameters=CalibrationParameters(),
    )
    return _forecast_rows(live, np.clip(quantiles, *target.bounds), target, choice, at)


def _misses(choice: ChosenForecaster, recent: pl.DataFrame) -> Misses:
    """Return the stored misses, and those of the same forecaster since it was trained."""
    raw = choice.forecaster.quantiles(recent)
    columns = {column: raw[:, index] for index, column in enumerate(QUANTILE_COLUMNS)}
    order = ["known_at", "horizon", "actual", *QUANTILE_COLUMNS]
    frame = recent.with_columns(**columns).select(order)
    if choice.misses is not None:
        frame = pl.concat([choice.misses.select(order), frame])
    return Misses(
        raw=frame.select(QUANTILE_COLUMNS).to_numpy(),
        actual=frame["actual"].to_numpy(),
        known_s=epoch_s(frame["known_at"]),
        group=horizons(frame),
    )


def _forecast_rows(
    live: pl.DataFrame, quantiles: FloatArray, target: Target, choice: ChosenForecaster, at: _Where
) -> pl.DataFrame:
    columns = {column: quantiles[:, index] for index, column in enumerate(QUANTILE_COLUMNS)}
    as_of = pl.col("predicted_at")
    schema = ENTITIES["forecast"].schema
    return live.with_columns(
        site_id=pl.lit(at.site_id),
        target=pl.lit(target.name),
        unit=pl.lit(target.unit),
        point=quantiles[:, MEDIAN_INDEX],
        name=pl.lit(choice.name),
        model_version=pl.lit(choice.version),
        rung=target.rung(),
        newest_input_at=pl.col("newest_fact_at"),
        observed_at=as_of,
        available_at=as_of,
        ingested_at=as_of,
        **columns,
    ).select(pl.col(name).cast(dtype) for name, dtype in schema.items())
