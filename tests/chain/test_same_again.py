"""The same instant again changes nothing, and the warehouse is a cache of what has landed."""

import shutil

import pytest

from core.settings import Settings
from orchestration import warehouse
from tests.chain.conftest import Undisturbed
from tests.chain.depot import Depot, assert_same_tables, files, published, tables
from tests.chain.run_document import check_run_document

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EMPTY = {"read": 0, "landed": 0, "duplicates": 0, "quarantined": 0}


def test_the_nightly_job_lands_plans_and_publishes(undisturbed: Undisturbed) -> None:
    check_run_document(undisturbed.document)
    assert undisturbed.document["rows"]["read"] > 1000
    for name in ("landing.trip", "landing.meter_value", "landing.forecast", "landing.plan_vehicle"):
        assert undisturbed.tables[name].height > 0, name
    for name in ("fct_trip", "fct_charging_session", "fct_duty_cycle_day"):
        assert undisturbed.tables[f"warehouse.marts.{name}"].height > 0, name
    assert undisturbed.document["readiness"]["departures"] > 0


def test_the_same_instant_again_changes_nothing(depot: Depot, undisturbed: Undisturbed) -> None:
    before = files(undisturbed.home / "landing")
    made = {name: files(undisturbed.home / name) for name in ("models", "reports")}
    document = depot.run_nightly(undisturbed.home)
    assert document["rows"] == EMPTY
    assert files(undisturbed.home / "landing") == before
    assert {name: files(undisturbed.home / name) for name in made} == made
    assert_same_tables(tables(undisturbed.home), undisturbed.tables)
    changing = {"rows", "run_id", "seconds"}
    assert {key: document[key] for key in document.keys() - changing} == {
        key: undisturbed.document[key] for key in undisturbed.document.keys() - changing
    }


def test_a_warehouse_that_was_deleted_is_built_again_the_same(undisturbed: Undisturbed) -> None:
    settings = Settings(home=undisturbed.home)
    shutil.rmtree(settings.warehouse_path.parent)
    settings.published_path.unlink()
    warehouse.build(settings)
    warehouse.publish(settings)
    assert_same_tables(tables(undisturbed.home), undisturbed.tables)
    assert published(undisturbed.home)["published.main.fct_trip"].height > 0
