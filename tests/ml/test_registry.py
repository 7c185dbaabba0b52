"""Versions of models on disk: whole or absent, whoever stores them, and however many at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import polars as pl
import pytest

from ml.registry import ModelRegistry

CARD = {"site_id": "north", "target": "return_at", "version": "20260110T110000Z-c2"}


def stored(models: Path) -> list[str]:
    return sorted(path.name for path in (models / "north" / "return_at").iterdir())


def test_two_who_train_the_same_at_the_same_time_leave_one_version(tmp_path: Path) -> None:
    together = threading.Barrier(2, timeout=30)
    write = pl.DataFrame.write_parquet

    def write_when_both_are_there(frame: pl.DataFrame, path: Path) -> None:
        together.wait()
        write(frame, path)

    registry = ModelRegistry(tmp_path)
    with patch.object(pl.DataFrame, "write_parquet", write_when_both_are_there), ThreadPoolExecutor() as pool:
        tries = [pool.submit(registry.store, CARD, trees=None, misses=pl.DataFrame({"a": [1]})) for _ in range(2)]
        folders = {one.result(timeout=60) for one in tries}
    assert stored(tmp_path) == [CARD["version"]]
    assert folders == {tmp_path / "north" / "return_at" / CARD["version"]}


def test_what_could_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    with (
        patch.object(pl.DataFrame, "write_parquet", side_effect=OSError("disk full")),
        pytest.raises(OSError, match="disk"),
    ):
        ModelRegistry(tmp_path).store(CARD, trees=None, misses=pl.DataFrame())
    assert stored(tmp_path) == []
