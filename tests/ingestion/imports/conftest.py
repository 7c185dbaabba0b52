"""Imports of small made-up files, and one import of every real set for all tests of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.landing import Landing
from ingestion.imports import ImportReport, import_path
from ingestion.imports.plain_sums import PLAIN_SUMS
from ingestion.imports.report import AS_OF, Evidence

NOW = datetime(2026, 11, 22, tzinfo=UTC)

Import = Callable[..., ImportReport]


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(tmp_path / "landing")


@pytest.fixture
def run_import(tmp_path: Path, landing: Landing) -> Import:
    """Write files and import their folder: ``run_import("carta", {"carta_trips.csv": text})``."""

    def run(name: str, files: dict[str, str], *, as_of: datetime = NOW) -> ImportReport:
        folder = tmp_path / "files"
        for file, text in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
        return import_path(folder, name, landing=landing, as_of=as_of)

    return run


class RealSets:
    """Imports of the real sets, each made once; they share a landing zone."""

    def __init__(self, data: Path, root: Path) -> None:
        self.data = data
        self.landing = Landing(root)
        self._evidence: dict[str, Evidence] = {}

    def evidence(self, name: str) -> Evidence:
        if name not in self._evidence:
            check = PLAIN_SUMS[name]
            report = import_path(self.data / check.folder, name, landing=self.landing, as_of=AS_OF)
            landed, plain = check.over_landing(self.landing, name), check.over_files(self.data)
            self._evidence[name] = Evidence(report, landed, plain)
        return self._evidence[name]


@pytest.fixture(scope="session")
def real_sets(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> RealSets:
    return RealSets(data_dir, tmp_path_factory.mktemp("real") / "landing")
