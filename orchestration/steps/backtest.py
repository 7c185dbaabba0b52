"""Backtests forecasts on raw files: imports them into a temporary home, and leaves nothing behind."""

import tempfile
from pathlib import Path
from typing import Any

from core.landing import Landing
from ingestion.columns import UnreadableError
from ingestion.imports import import_path
from ml.evaluation.command import BacktestError, backtest

BACKTEST_ERRORS = (UnreadableError, BacktestError)


def backtest_files(
    set_name: str,
    path: Path,
    *,
    target: str,
    test_from: str,
    test_to: str | None = None,
    predictions: Path | None = None,
) -> dict[str, Any]:
    """Return ``depotwise.backtest/1`` for the files of a set.

    Raises:
        UnreadableError: the set is unknown, or its files cannot be read.
        BacktestError: the target is unknown, or the test period holds nothing to test on.
    """
    with tempfile.TemporaryDirectory(prefix="depotwise-backtest-") as folder:
        landing = Landing(Path(folder))
        landing.prepare()
        import_path(path, set_name, landing=landing)
        return backtest(
            landing,
            set_name=set_name,
            target=target,
            test_from=test_from,
            test_to=test_to,
            predictions=predictions,
        )
