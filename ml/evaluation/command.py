"""A backtest as ``depotwise forecast backtest`` reports it: landing rows in, figures and predictions out.

The caller lands the files of a set in a home of their own; this module asks the questions that the target poses,
forecasts them in rolling origin, decides on what came before the test period, and counts. It reads no raw files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from core.entities import ENTITIES
from core.files import write_atomic
from core.landing import Landing
from core.time_grid import local_instant
from ml.calibration import CalibrationParameters
from ml.cycles import local_date
from ml.dataset import KnownFacts
from ml.evaluation.metrics import metrics
from ml.evaluation.promotion import Promotion, decide
from ml.evaluation.rolling_origin import MODELS, calibrated_predictions, rolling_forecasts, weekly_origins
from ml.features.pipeline import cycle_features, session_features
from ml.fleet import fleet_facts, site_timezone
from ml.models.protocol import QUANTILE_COLUMNS
from ml.models.quantile_trees import TreeParameters
from ml.questions import closed_questions
from ml.sessions import charging_sessions, session_questions
from ml.targets import CYCLE_TARGETS, SESSION_TARGETS, Target, with_actual

SCHEMA: Final = "depotwise.backtest/1"
TARGETS: Final[Mapping[str, Target]] = {target.name: target for target in (*CYCLE_TARGETS, *SESSION_TARGETS)}
JUDGED: Final = timedelta(weeks=8)
"""Forecasts of these weeks before the test period decide who is promoted, and calibrate."""
LEAST_TRAINED_SHARE: Final = 1 / 3
"""At least this share of what lies before the test period is left to the first fit."""
EVENT_ENTITIES: Final = ("trip", "vehicle_snapshot", "charging_transaction")


class BacktestError(ValueError):
    """What was asked for cannot be backtested on these rows."""


@dataclass(frozen=True, slots=True)
class Period:
    """The test period: site-local dates, both inclusive, and the instants that bound it."""

    first_date: date
    last_date: date
    start_at: datetime
    end_at: datetime


def backtest(
    landing: Landing,
    *,
    set_name: str,
    target: str,
    test_from: str,
    test_to: str | None = None,
    predictions: Path | None = None,
    parameters: TreeParameters | None = None,
) -> dict[str, Any]:
    """Backtest a target on all that was landed, and return ``depotwise.backtest/1``.

    Args:
        landing: A landing zone that holds one set and nothing else.
        set_name: Name of the set, as reported.
        target: ``return_at``, ``soc_at_arrival_pct``, ``departure_at`` or ``energy_kwh``.
        test_from: First site-local date of the test period (ISO).
        test_to: Last one; without it, the last of the data.
        predictions: Where to write every test row of every forecaster (Parquet).
        parameters: Of the trees.

    Raises:
        BacktestError: unknown target, unreadable date, no such facts, or no finished row in the test period.
    """
    if target not in TARGETS:
        raise BacktestError(f"there is no target {target!r}; there are {', '.join(TARGETS)}")
    chosen = TARGETS[target]
    rows, timezone = backtest_rows(landing, chosen)
    period = _period(rows, test_from, test_to, timezone)
    promotion, judged = backtest_predictions(rows, chosen, period, parameters=parameters or TreeParameters())
    tested = judged.filter(pl.col("predicted_at") >= period.start_at).with_columns(
        promoted=pl.col("name") == promotion.promoted
    )
    if tested.is_empty():
        raise BacktestError(
            f"no {target} of {set_name} was finished between {period.first_date} and {period.last_date}"
        )
    if predictions is not None:
        columns = ["row_key", "predicted_at", "actual", "point", *QUANTILE_COLUMNS, "name", "promoted"]
        write_atomic(predictions, tested.select(columns).write_parquet)
    return _document(tested, chosen, period, promotion, set_name)


def backtest_rows(landing: Landing, target: Target) -> tuple[pl.DataFrame, str]:
    """Return all finished rows of a target with features, sorted by ``predicted_at``, and their time zone.

    Raises:
        BacktestError: the landing zone holds no facts of the kind that the target is about.
    """
    known = KnownFacts(landing, as_of=_end_of_knowledge(landing))
    timezone = site_timezone(known, site_id=None)
    rows = _session_rows(known, timezone) if target in SESSION_TARGETS else _cycle_rows(known)
    finished = with_actual(rows, target, as_of=known.as_of).filter(pl.col("actual").is_not_null())
    if finished.is_empty():
        what = "charging sessions" if target in SESSION_TARGETS else "trips"
        raise BacktestError(f"{target.name} needs finished {what} that tell it, and this set holds none")
    return finished.sort("predicted_at", "row_key"), timezone


def _end_of_knowledge(landing: Landing) -> datetime:
    newest = [landing.scan(name).select(pl.col("available_at").max()).collect().item() for name in EVENT_ENTITIES]
    known = [instant for instant in newest if isinstance(instant, datetime)]
    if not known:
        raise BacktestError("nothing was landed: neither trips nor snapshots nor charging sessions")
    # A day is over at the local midnight after its last trip: two days later everything is settled.
    return max(known) + timedelta(days=2)


def _session_rows(known: KnownFacts, timezone: str) -> pl.DataFrame:
    sessions = charging_sessions(
        known.versions("charging_transaction"), known.versions("session_match"), timezone=timezone
    )
    return session_features(session_questions(sessions), timezone=timezone)


def _cycle_rows(known: KnownFacts) -> pl.DataFrame:
    """Return the cycles as asked about at their departure."""
    facts = fleet_facts(known, site_id=None)
    asked = closed_questions(facts).filter(pl.col("stage") == "departure")
    return cycle_features(asked, facts)


def _period(rows: pl.DataFrame, test_from: str, test_to: str | None, timezone: str) -> Period:
    first = _parsed_date(test_from)
    dates = rows.select(local_date(pl.col("predicted_at"), timezone).alias("date"))["date"]
    last_known = dates.max()
    last = _parsed_date(test_to) if test_to else last_known if isinstance(last_known, date) else first
    if last < first:
        raise BacktestError(f"the test period ends on {last}, before it begins on {first}")
    start_at = local_instant(first, time(0), timezone)
    return Period(first, last, start_at, local_instant(last + timedelta(days=1), time(0), timezone))


def _parsed_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BacktestError(f"{text!r} is no date; write it as 2019-11-01") from None


def backtest_predictions(
    rows: pl.DataFrame, target: Target, period: Period, *, parameters: TreeParameters
) -> tuple[Promotion, pl.DataFrame]:
    """Return the decision made before the test period, and calibrated predictions from the judged weeks on.

    Args:
        rows: Finished rows with features and ``actual``, see ``backtest_rows``.
        target: What is forecast.
        period: The test period.
        parameters: Of the trees.
    """
    rows = rows.filter(pl.col("predicted_at") < period.end_at)
    judged_from = _judged_from(rows, period)
    origins = weekly_origins(judged_from, period.start_at) + weekly_origins(period.start_at, period.end_at)
    forecasts = rolling_forecasts(rows, target, origins=origins, until=period.end_at, parameters=parameters)
    judged = calibrated_predictions(
        forecasts, target, since=judged_from, until=period.end_at, parameters=CalibrationParameters()
    )
    before = rows.filter(pl.col("known_at") <= period.start_at)["row_key"]
    promotion = decide(
        judged.filter(pl.col("row_key").is_in(before.implode()), pl.col("predicted_at") < period.start_at),
        models=MODELS,
        baselines=[rule.name for rule in target.baselines if not rule.conditional_on],
        fallback=target.anchor.name,
    )
    return promotion, judged


def _judged_from(rows: pl.DataFrame, period: Period) -> datetime:
    first = rows["predicted_at"].min()
    if not isinstance(first, datetime) or first >= period.start_at:
        return period.start_at
    trained_until = first + LEAST_TRAINED_SHARE * (period.start_at - first)
    return max(period.start_at - JUDGED, trained_until)


def _document(
    tested: pl.DataFrame, target: Target, period: Period, promotion: Promotion, set_name: str
) -> dict[str, Any]:
    names = sorted(tested["name"].unique().to_list())
    return {
        "schema": SCHEMA,
        "set": set_name,
        "target": target.name,
        "unit": target.unit,
        "test_from": period.first_date.isoformat(),
        "test_to": period.last_date.isoformat(),
        "rows": int(tested["row_key"].n_unique()),
        "promoted": promotion.promoted,
        "decision": promotion.as_dict(),
        "forecasts": {name: metrics(tested.filter(pl.col("name") == name)) for name in names},
    }


assert set(TARGETS) <= set(ENTITIES["forecast"].columns["target"].values or ()), "targets are the forecast table's"
