"""A backtest as ``depotwise forecast backtest`` reports it: landing rows in, figures and predictions out.

The caller lands the files of a set in a home of their own; this module asks the questions that the target poses,
forecasts them in rolling origin, decides on what came before the test period, and counts. It reads no raw files.
"""

from pathlib import Path
from typing import Any, Final

import polars as pl

from core.files import write_atomic
from core.landing import Landing
from ml.calibration import CalibrationParameters
from ml.evaluation.metrics import metrics
from ml.evaluation.period import Period, period_between
from ml.evaluation.pictures import pictured
from ml.evaluation.promotion import Promotion, decide
from ml.evaluation.readiness import readiness_figures
from ml.evaluation.rolling_origin import MODELS, calibrated_predictions, rolling_forecasts, weekly_origins
from ml.evaluation.rows import BacktestError, BacktestRows, backtest_rows
from ml.models.protocol import QUANTILE_COLUMNS
from ml.models.quantile_trees import TreeParameters
from ml.targets import Target

__all__ = ["BacktestError", "backtest"]

SCHEMA: Final = "depotwise.backtest/1"


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
        target: ``return_at``, ``soc_at_arrival_pct``, ``departure_at``, ``energy_kwh``, ``base_load_kw`` or ``pv_kw``.
        test_from: First site-local date of the test period (ISO), or ordinal where drives are counted.
        test_to: Last one; without it, the last of the data.
        predictions: Where to write every test row of every forecaster (Parquet).
        parameters: Of the trees.

    Raises:
        BacktestError: unknown target, unreadable date, no such facts, or no finished row in the test period.
    """
    asked = backtest_rows(landing, target)
    period = period_between(asked, test_from, test_to)
    promotion, judged = backtest_predictions(
        asked.rows, asked.target, period, parameters=parameters or TreeParameters()
    )
    tested = judged.filter(pl.col("predicted_at") >= period.start_at).with_columns(
        promoted=pl.col("name") == promotion.promoted
    )
    if tested.is_empty():
        raise BacktestError(f"no {target} of {set_name} was finished between {period.first} and {period.last}")
    if predictions is not None:
        columns = ["row_key", "predicted_at", "actual", "point", *QUANTILE_COLUMNS, "name", "promoted"]
        write_atomic(predictions, tested.select(columns).write_parquet)
    return _document(tested, asked, period, promotion, set_name)


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
    origins = weekly_origins(period.judged_from, period.start_at) + weekly_origins(period.start_at, period.end_at)
    forecasts = rolling_forecasts(rows, target, origins=origins, until=period.end_at, parameters=parameters)
    judged = calibrated_predictions(
        forecasts, target, since=period.judged_from, until=period.end_at, parameters=CalibrationParameters()
    )
    honest = [rule.name for rule in target.baselines if not rule.conditional_on]
    before = rows.filter(pl.col("known_at") <= period.start_at)["row_key"]
    promotion = decide(
        judged.filter(pl.col("row_key").is_in(before.implode()), pl.col("predicted_at") < period.start_at),
        models=MODELS,
        baselines=honest,
        # A rule that is reported, so that whoever reads the document finds what was used.
        fallback=next((name for name in honest if name in forecasts.raw), target.anchor.name),
    )
    return promotion, judged


def _document(
    tested: pl.DataFrame, asked: BacktestRows, period: Period, promotion: Promotion, set_name: str
) -> dict[str, Any]:
    names = sorted(tested["name"].unique().to_list())
    return {
        "schema": SCHEMA,
        "set": set_name,
        "target": asked.target.name,
        "unit": asked.target.unit,
        "test_from": period.first,
        "test_to": period.last,
        "rows": int(tested["row_key"].n_unique()),
        "promoted": promotion.promoted,
        "decision": promotion.as_dict(),
        "forecasts": {name: _figures(tested.filter(pl.col("name") == name), asked, name) for name in names},
        "pictures": pictured(tested.filter(pl.col("name") == promotion.promoted), asked.rows, until=asked.target.until),
    }


def _figures(predictions: pl.DataFrame, asked: BacktestRows, name: str) -> dict[str, object]:
    figures = metrics(predictions) | {"readiness": readiness_figures(predictions, asked.target.name)}
    told = asked.target.conditional_on.get(name)
    return figures if told is None else {**figures, "conditional_on": list(told)}
