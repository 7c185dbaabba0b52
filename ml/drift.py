"""Drift: whether a forecaster in use errs more since it was trained than it did when it was judged.

Compared are daily mean errors of its medians: those kept with the model, none of which it was fitted on, and those of
the days since. The decision and its numbers are stored, also where nothing has drifted. Frames in, decision out, and
the preset that reads them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from core.landing import Landing
from core.time_grid import format_instant, to_utc
from ml.dataset import KnownFacts
from ml.features.pipeline import cycle_features
from ml.fleet import FleetFacts, fleet_facts
from ml.forecasting import HISTORY, MOST_RECENT_CYCLES, STATES_BEFORE
from ml.models.protocol import MEDIAN_INDEX
from ml.questions import closed_questions
from ml.registry import ModelRegistry, StoredModel
from ml.targets import CYCLE_TARGETS, Target, with_actual

LEAST_DAYS: Final = 4
LEAST_ROWS: Final = 30
SIGNIFICANCE: Final = 0.01
LEAST_RISE: Final = 1.25
"""Errors must be larger by so much: what is surely a little worse is no reason to train."""


@dataclass(frozen=True, slots=True)
class DriftDecision:
    """The decision, and the numbers that made it; errors are mean absolute errors in the target's unit.

    ``p_value``: the chance of so large a rise if nothing had changed; None where too little is known to say.
    """

    site_id: str
    target: str
    version: str
    as_of: str
    has_drifted: bool
    error_before: float | None
    error_since: float | None
    p_value: float | None
    rows: int
    days: int
    reason: str

    def as_dict(self) -> dict[str, object]:
        """Return the decision as it is stored."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How errors since compare with errors before."""

    error_before: float | None
    error_since: float | None
    p_value: float | None
    rows: int
    days: int

    @property
    def has_drifted(self) -> bool:
        """Say whether errors have surely risen by enough to train again."""
        if self.p_value is None or self.error_before is None or self.error_since is None:
            return False
        return self.p_value < SIGNIFICANCE and self.error_since > LEAST_RISE * self.error_before

    @property
    def reason(self) -> str:
        """Say it in words."""
        if self.p_value is None:
            return f"{self.rows} outcomes on {self.days} days since the training are too few to tell"
        verb = "has drifted" if self.has_drifted else "has not drifted"
        return f"{verb}: error {self.error_since:.3f} since, {self.error_before:.3f} before (p = {self.p_value:.4f})"


def compared(before: pl.DataFrame, since: pl.DataFrame) -> Comparison:
    """Compare two sets of forecasts with their outcomes: a one-sided Welch test on daily means.

    Args:
        before: predicted_at, actual and ``q50``, the forecaster's median, of the weeks that it was judged on.
        since: The same since it was trained.
    """
    from scipy.stats import ttest_ind

    earlier, later = _daily(before), _daily(since)
    error_before, error_since = _mean_error(before), _mean_error(since)
    days = later.height
    if days < LEAST_DAYS or since.height < LEAST_ROWS or earlier.height < LEAST_DAYS:
        return Comparison(error_before, error_since, None, since.height, days)
    first, second = earlier["error"].to_numpy(), later["error"].to_numpy()
    if first.std() == 0 and second.std() == 0:
        p_value = 0.0 if second.mean() > first.mean() else 1.0
    else:
        p_value = float(ttest_ind(second, first, equal_var=False, alternative="greater").pvalue)
    return Comparison(error_before, error_since, p_value, since.height, days)


def _errors(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("predicted_at", error=(pl.col("actual") - pl.col("q50")).abs())


def _daily(rows: pl.DataFrame) -> pl.DataFrame:
    day = pl.col("predicted_at").dt.date().alias("day")
    return _errors(rows).group_by(day).agg(pl.col("error").mean()).sort("day")


def _mean_error(rows: pl.DataFrame) -> float | None:
    return None if rows.is_empty() else float(np.mean(_errors(rows)["error"].to_numpy()))


def drift_of_site(landing: Landing, *, site_id: str, as_of: datetime, models_dir: Path) -> tuple[DriftDecision, ...]:
    """Compare, store and return the decision on each model in use; none is made in the first days after a training.

    Args:
        landing: The landing zone.
        site_id: Site, as the configuration names it.
        as_of: Nothing that became available later is used.
        models_dir: Folder of all models.

    Raises:
        ml.fleet.UnknownSiteError: the site was not known then.
    """
    registry, instant = ModelRegistry(models_dir), to_utc(as_of)
    stored = [(target, registry.newest(target, site_id=site_id, as_of=instant)) for target in CYCLE_TARGETS]
    in_use = [(target, model) for target, model in stored if model is not None]
    if not in_use:
        return ()
    since = min(model.trained_as_of for _, model in in_use)
    if instant - since < timedelta(days=LEAST_DAYS):
        return ()
    known = KnownFacts(landing, as_of=instant, since=instant - HISTORY)
    facts = fleet_facts(known, site_id=site_id, states_since=since - STATES_BEFORE)
    decisions = _decisions(facts, in_use, since)
    for decision in decisions:
        registry.store_drift(decision.as_dict())
    return decisions


def _decisions(
    facts: FleetFacts, in_use: Sequence[tuple[Target, StoredModel]], since: datetime
) -> tuple[DriftDecision, ...]:
    asked = closed_questions(facts, since=since, most_cycles=MOST_RECENT_CYCLES)
    rows = cycle_features(asked, facts)
    decisions = []
    for target, model in in_use:
        recent = with_actual(rows, target, as_of=facts.as_of).filter(
            pl.col("actual").is_not_null(), pl.col("predicted_at") >= model.trained_as_of
        )
        medians = model.forecaster.quantiles(recent)[:, MEDIAN_INDEX]
        comparison = compared(model.misses, recent.with_columns(q50=medians))
        decisions.append(
            DriftDecision(
                site_id=str(facts.site_id),
                target=target.name,
                version=model.version,
                as_of=format_instant(facts.as_of),
                has_drifted=comparison.has_drifted,
                error_before=comparison.error_before,
                error_since=comparison.error_since,
                p_value=comparison.p_value,
                rows=comparison.rows,
                days=comparison.days,
                reason=comparison.reason,
            )
        )
    return tuple(decisions)
