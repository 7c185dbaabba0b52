"""Every station personality through every step, over real sockets; and the table in the documentation is what came."""

import asyncio

import pytest

from benchmarks.bridge import personalities
from benchmarks.bridge.personalities import Row, trials, try_out
from simulator.personalities.catalogue import PERSONALITIES

AT_ONCE = 8


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Each trial's row, or the error that ended it."""
    folder = tmp_path_factory.mktemp("personalities")

    async def all_of_them():
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(personality, version):
            async with turn:
                try:
                    return await try_out(personality, version, folder / f"{personality.name}-{version}")
                except Exception as error:  # noqa: BLE001  each trial has its own verdict
                    return error

        found = await asyncio.gather(*(one(*trial) for trial in trials()))
        return {
            (personality.name, version): outcome
            for (personality, version), outcome in zip(trials(), found, strict=True)
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEPOTWISE_HASH_KEY", "a key for tests only")
        patch.setenv("DEPOTWISE_BRIDGE_TOKEN", "a token for tests only")
        return asyncio.run(all_of_them())


@pytest.mark.slow
def test_each_gets_through_connect_plan_replan_drop_reboot_expire_and_revoke(outcomes):
    failed = {name: outcome for name, outcome in outcomes.items() if not isinstance(outcome, Row)}
    assert failed == {}


@pytest.mark.slow
def test_the_table_in_the_documentation_is_what_comes_out(outcomes):
    text = personalities.DOCUMENT.read_text(encoding="utf-8")
    documented = text.split(personalities.BEGIN)[1].split(personalities.END)[0].strip()
    rows = [outcome for outcome in outcomes.values() if isinstance(outcome, Row)]
    assert documented == personalities.table(rows), "python -m benchmarks.bridge personalities --write"


@pytest.mark.slow
def test_the_liar_is_named(outcomes):
    for version in PERSONALITIES["solidstudio"].versions:
        assert outcomes["solidstudio", version].cells["plan"].startswith("alarm")


def test_the_known_stations_and_the_worst_quirks_are_there():
    observed = {"libocpp", "tfocpp", "microocpp-1.2", "microocpp-dev", "shiv3", "sap-4.11", "solidstudio"}
    assert observed < set(PERSONALITIES)
    assert len(set(PERSONALITIES) - observed) >= 10
    assert {version for one in PERSONALITIES.values() for version in one.versions} == {"1.6", "2.0.1", "2.1"}
