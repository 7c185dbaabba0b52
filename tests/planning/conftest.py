"""Small depots made by hand, and the public planning benchmark where it is there."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from benchmarks.sample_problem import Record, connector_record, problem_record, vehicle_record
from planning.documents import problem_from_record
from planning.model import Problem


@pytest.fixture(scope="session")
def records() -> SimpleNamespace:
    """Makers of JSON objects: ``vehicle``, ``connector`` and ``problem``, each with changes by keyword."""
    return SimpleNamespace(vehicle=vehicle_record, connector=connector_record, problem=problem_record)


@pytest.fixture(scope="session")
def depot() -> Callable[..., Problem]:
    """Make a problem of some vehicles (dictionaries of changes) and of changes to the site."""

    def make(*vehicles: Record, **changes: object) -> Problem:
        named = [vehicle_record(f"van-{row:02d}", **vehicle) for row, vehicle in enumerate(vehicles)]
        return problem_from_record(problem_record(named, **changes))

    return make


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"planbench_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def bench(shared_dir: Path) -> SimpleNamespace:
    """The public benchmark's scripts as modules: ``generate``, ``reference`` and ``check``."""
    folder = shared_dir / "planbench"
    return SimpleNamespace(**{name: _load(folder / f"{name}.py") for name in ("generate", "reference", "check")})
