"""A small world without faults, built once, and the secrets that the simulator takes from the environment."""

import pytest

from simulator.scenario import NO_FAULTS, Scenario
from simulator.world.history import World, build_world

SECRETS = {
    "DEPOTWISE_RFMS_TOKEN": "an rFMS token for tests",
    "DEPOTWISE_GEOTAB_USER": "user",
    "DEPOTWISE_GEOTAB_PASSWORD": "a password for tests",
    "DEPOTWISE_BRIDGE_TOKEN": "a bridge token for tests",
    "DEPOTWISE_STATION_SECRET": "a station secret for tests",
}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def world() -> World:
    """Twelve vehicles on two sites, eight days of history, no faults."""
    return build_world(Scenario(seed=3, vehicles=12, days=8, faults=NO_FAULTS))
