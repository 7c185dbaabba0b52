"""What all tests share: the real data sets, when they are there."""

import os
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

# A busy machine is no failure: examples have no time limit, tests do (pyproject.toml).
settings.register_profile("depotwise", deadline=None)
settings.load_profile("depotwise")

REPOSITORY = Path(__file__).resolve().parent.parent


def skip_for_want_of(what: str, reason: str) -> NoReturn:
    """Skip what cannot be tested here; fail where it must not be (``DEPOTWISE_REQUIRE=browser,data,npm,openssl``)."""
    if what in os.environ.get("DEPOTWISE_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def _hash_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPOTWISE_HASH_KEY", "a key for tests only")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with the real data sets and the planning benchmark, beside the repository."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "data").is_dir():
        skip_for_want_of("data", f"the real data sets are not at {folder.name}/data beside the repository")
    return folder


@pytest.fixture(scope="session")
def data_dir(shared_dir: Path) -> Path:
    """The folder with the real data sets."""
    return shared_dir / "data"
