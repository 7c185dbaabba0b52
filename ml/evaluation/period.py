"""The test period of a backtest: between site-local dates, or, where a set has no dates, between counted rows."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

import polars as pl

from core.time_grid import local_instant
from ml.cycles import local_date
from ml.evaluation.rows import BacktestError, BacktestRows

JUDGED: Final = timedelta(weeks=8)
"""Forecasts of these weeks before the test period decide who is promoted, and calibrate."""
LEAST_TRAINED_SHARE: Final = 1 / 3
"""At least this share of what lies before the test period is left to the first fit."""


@dataclass(frozen=True, slots=True)
class Period:
    """The test period, and the time before it that decides who is promoted.

    ``first`` and ``last`` are as reported, both inclusive: local dates, or ordinals that count rows from 1.
    ``start_at`` and ``end_at`` bound the predictions that are tested; those from ``judged_from`` up to the start
    decide.
    """

    first: str
    last: str
    judged_from: datetime
    start_at: datetime
    end_at: datetime


def period_between(asked: BacktestRows, test_from: str, test_to: str | None) -> Period:
    """Return the period between two dates (ISO) or ordinals, both inclusive; without an end, to the last row.

    Raises:
        BacktestError: what was given is neither, or ends before it begins.
    """
    if asked.ordinals and test_from.isdigit():
        return _counted(asked.rows["predicted_at"], test_from, test_to)
    return _dated(asked.rows["predicted_at"], test_from, test_to, asked.timezone)


def _dated(predicted_at: pl.Series, test_from: str, test_to: str | None, timezone: str) -> Period:
    first = _parsed_date(test_from)
    known = predicted_at.to_frame().select(local_date(pl.col("predicted_at"), timezone).alias("date"))["date"].max()
    last = _parsed_date(test_to) if test_to else known if isinstance(known, date) else first
    if last < first:
        raise BacktestError(f"the test period ends on {last}, before it begins on {first}")
    start_at = local_instant(first, time(0), timezone)
    end_at = local_instant(last + timedelta(days=1), time(0), timezone)
    return Period(first.isoformat(), last.isoformat(), _judged_from(predicted_at, start_at), start_at, end_at)


def _judged_from(predicted_at: pl.Series, start_at: datetime) -> datetime:
    first = predicted_at.min()
    if not isinstance(first, datetime) or first >= start_at:
        return start_at
    return max(start_at - JUDGED, first + LEAST_TRAINED_SHARE * (start_at - first))


def _counted(predicted_at: pl.Series, test_from: str, test_to: str | None) -> Period:
    instants: list[datetime] = predicted_at.to_list()
    first, last = int(test_from), _ordinal(test_to) if test_to else len(instants)
    if not 1 <= first <= last <= len(instants):
        raise BacktestError(f"rows {first} to {last} are asked for; there are rows 1 to {len(instants)}")
    judged_from = instants[int(LEAST_TRAINED_SHARE * (first - 1))]
    return Period(str(first), str(last), judged_from, instants[first - 1], instants[last - 1] + timedelta(seconds=1))


def _ordinal(text: str) -> int:
    if not text.isdigit():
        raise BacktestError(f"{text!r} is no ordinal; rows are counted from 1")
    return int(text)


def _parsed_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BacktestError(f"{text!r} is no date; write it as 2019-11-01") from None
