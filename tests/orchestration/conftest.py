"""A home with the starter configuration, and Dagster's definitions loaded from it once."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from core.settings import Settings
from ingestion.registry.starter import write_starter
from orchestration.instance import prepare_instance

SECRETS = ("DEPOTWISE_RFMS_TOKEN", "DEPOTWISE_GEOTAB_USER", "DEPOTWISE_GEOTAB_PASSWORD", "DEPOTWISE_BRIDGE_TOKEN")


@pytest.fixture(scope="package")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home: Path = tmp_path_factory.mktemp("home")
    write_starter(home / "config")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DEPOTWISE_HOME", str(home))
        environment.delenv("DEPOTWISE_CONFIG", raising=False)
        for name in SECRETS:
            environment.setenv(name, "a secret for tests")
        yield Settings()


@pytest.fixture(scope="package")
def definitions(settings: Settings) -> Iterator[dg.Definitions]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DAGSTER_HOME", str(prepare_instance(settings)))
        from orchestration.definitions import defs

        yield defs()
