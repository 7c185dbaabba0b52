"""One simulated depot for all whole runs, and one home in which the nightly job ran undisturbed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.chain.depot import Depot, served_depot, tables


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A home after one nightly run: its document, and its tables as they were then."""

    home: Path
    document: dict[str, Any]
    tables: dict[str, pl.DataFrame]


@pytest.fixture(scope="session")
def depot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Depot]:
    """Four vehicles with five days of history, at noon of the sixth."""
    with served_depot(tmp_path_factory.mktemp("depot"), vehicles=4, days=5) as served:
        yield served


@pytest.fixture(scope="session")
def undisturbed(depot: Depot, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    document = depot.run_nightly(home)
    return Undisturbed(home, document, tables(home))
