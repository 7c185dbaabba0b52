"""Rolling-origin forecasts: fitted weekly on what was known, used for the week that follows, calibrated as of each row.

Every row is forecast by rules and by the model that the platform would have had at that instant; nothing that became
known later can reach it. Frames in, frames out: deciding and reporting are elsewhere.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from ml.calibration import Asked, CalibrationParameters, IntArray, Misses, TextArray, calibrated
from ml.models.baselines import Baseline
from ml.models.blend import TreesAndForest, best_rule, blended
from ml.models.protocol import MEDIAN_INDEX, QUANTILE_COLUMNS, FloatArray, Forecaster
from ml.models.quantile_forest import QuantileForest
from ml.models.quantile_trees import QuantileTrees, TooFewRowsError, TreeParameters
from ml.targets import TREES_GIVEN, Target

FIT_EVERY: Final = timedelta(weeks=1)
TREES: Final = "quantile_trees"
TREES_AND_RULE: Final = "trees_and_rule"
MODELS: Final = (TREES, TREES_AND_RULE)
LEAST_SHARE_KNOWN: Final = 0.05
"""A rule that answers fewer rows by itself is not heard: it would be its fallback under another name."""
MOST_FITS: Final = 6


@dataclass(frozen=True, slots=True)
class RollingForecasts:
    """Raw quantiles of every forecaster for the same rows; NaN where a forecaster had not been fitted yet."""

    rows: pl.DataFrame
    raw: Mapping[str, FloatArray]

    def misses(self, name: str) -> Misses:
        """Return the forecaster's finished forecasts."""
        is_finished = self.rows["actual"].is_not_null().to_numpy() & np.isfinite(self.raw[name][:, 0])
        kept = self.rows.filter(pl.Series(is_finished))
        return Misses(
            raw=self.raw[name][is_finished],
            actual=kept["actual"].to_numpy(),
            known_s=epoch_s(kept["known_at"]),
            group=horizons(kept),
        )


def weekly_origins(first: datetime, last: datetime, *, most: int = MOST_FITS) -> list[datetime]:
    """Return instants of fits from ``first`` on, all before ``last``: a week apart, more where that makes many."""
    weeks = max(math.ceil((last - first) / FIT_EVERY), 0)
    step = max(1, math.ceil(weeks / most))
    return [first + week * FIT_EVERY for week in range(0, weeks, step)]


def rolling_forecasts(
    rows: pl.DataFrame, target: Target, *, origins: Sequence[datetime], until: datetime, parameters: TreeParameters
) -> RollingForecasts:
    """Forecast all rows by the rules, and those after the first origin by weekly fitted trees.

    Args:
        rows: Features, ``predicted_at``, ``known_at``, ``horizon`` and ``actual``; sorted by ``predicted_at``.
        target: What is forecast.
        origins: Ascending instants of fits; each fit sees rows with ``known_at`` at or before its origin.
        until: End of the last fit's week.
        parameters: Of the trees.
    """
    heard = heard_rules(rows, target)
    raw: dict[str, FloatArray] = {rule.name: rule.quantiles(rows) for rule in heard}
    grown = np.full((rows.height, len(QUANTILE_COLUMNS)), np.nan)
    halfway, given = grown.copy(), grown.copy()
    for origin, end in zip(origins, [*origins[1:], until], strict=True):
        asked = rows["predicted_at"].is_between(origin, end, closed="left").to_numpy()
        known = rows.filter(pl.col("known_at") <= origin, pl.col("predicted_at") < origin)
        try:
            model = _grown(known, target, parameters)
        except TooFewRowsError:
            continue
        questions = rows.filter(pl.Series(asked))
        grown[asked] = model.quantiles(questions)
        rule = best_rule(tuple(heard), known)
        halfway[asked] = blended(grown[asked], rule.points(questions), bounds=target.bounds)
        if target.given is not None:
            told = QuantileTrees.fit(
                known, features=target.given.features, anchor=target.given.anchor, parameters=parameters
            )
            given[asked] = told.quantiles(questions)
    fitted = {TREES: grown, TREES_AND_RULE: halfway, TREES_GIVEN: given}
    raw |= {name: quantiles for name, quantiles in fitted.items() if np.isfinite(quantiles).any()}
    return RollingForecasts(rows, raw)


def _grown(known: pl.DataFrame, target: Target, parameters: TreeParameters) -> Forecaster:
    """Return what is fitted of a target: boosted trees, and a forest beside them where outcomes are learnt outright."""
    trees = QuantileTrees.fit(
        known, features=target.features, anchor=target.anchor, parameters=parameters, outright=target.outright
    )
    if not target.outright:
        return trees
    forest = QuantileForest.fit(known, features=target.features, parameters=parameters)
    return TreesAndForest(TREES, trees, forest)


def heard_rules(rows: pl.DataFrame, target: Target) -> tuple[Baseline, ...]:
    """Return the target's rules that answer enough of the rows by themselves; if there is none, its anchor."""
    heard = tuple(rule for rule in target.baselines if rule.share_known(rows) >= LEAST_SHARE_KNOWN)
    return heard if any(not rule.conditional_on for rule in heard) else (*heard, target.anchor)


def calibrated_predictions(
    forecasts: RollingForecasts, target: Target, *, since: datetime, until: datetime, parameters: CalibrationParameters
) -> pl.DataFrame:
    """Return finished rows predicted in ``[since, until)`` with calibrated quantiles, one row per forecaster and row.

    Only rows that every forecaster answered are there, so that all are judged on the same.

    Columns: name, row_key, predicted_at, actual, point (the median) and the nine quantiles.
    """
    span = pl.col("predicted_at").is_between(since, until, closed="left") & pl.col("actual").is_not_null()
    asked = forecasts.rows.select(span.alias("asked"))["asked"].to_numpy()
    asked &= np.all([np.isfinite(raw[:, 0]) for raw in forecasts.raw.values()], axis=0)
    rows = forecasts.rows.filter(pl.Series(asked))
    parts = []
    for name, raw in forecasts.raw.items():
        quantiles = calibrated(
            Asked(raw[asked], epoch_s(rows["predicted_at"]), horizons(rows)),
            forecasts.misses(name),
            default_spread=target.default_spread,
            parameters=parameters,
        )
        parts.append(prediction_frame(rows, name, np.clip(quantiles, *target.bounds)))
    return pl.concat(parts)


def prediction_frame(rows: pl.DataFrame, name: str, quantiles: FloatArray) -> pl.DataFrame:
    """Return rows with their quantiles under a forecaster's name."""
    columns = {column: quantiles[:, index] for index, column in enumerate(QUANTILE_COLUMNS)}
    return rows.select(pl.lit(name).alias("name"), "row_key", "predicted_at", "actual").with_columns(
        point=quantiles[:, MEDIAN_INDEX], **columns
    )


def epoch_s(instants: pl.Series) -> IntArray:
    """Return instants as whole epoch seconds."""
    return instants.dt.epoch("s").to_numpy().astype(np.int64)


def horizons(rows: pl.DataFrame) -> TextArray:
    """Return the horizon of each row (of sessions: the site), within which forecasts are calibrated."""
    return rows["horizon"].to_numpy().astype(np.str_)
