"""Training on drift: jobs look whether forecasts in use err more than they were judged to, and train where they do."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from core.landing import Landing
from core.settings import Settings
from ingestion.registry.starter import write_starter
from ml.training import train_site
from orchestration.steps.forecast import drifted_sites, latest_drift
from orchestration.steps.workplace import Workplace
from tests.ml.conftest import FAST_TREES, SITE, START, Fleet, Plan

TRAINED_AT = START + timedelta(days=34)
LOOKED_AT = START + timedelta(days=41)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_starter(tmp_path / "config")
    monkeypatch.setenv("DEPOTWISE_HOME", str(tmp_path))
    monkeypatch.setenv("DEPOTWISE_CONFIG", str(tmp_path / "config"))
    return tmp_path


def depot(*, later_h: float) -> Workplace:
    """Return a depot that was trained, and whose vans come back later than before since then."""
    workplace = Workplace(Settings())
    fleet = Fleet(Plan(vehicles=5, days=40))
    fleet.lateness_h = fleet.lateness_h + later_h * (fleet.day >= 34)
    landing, models = Landing(workplace.settings.landing_dir), workplace.settings.models_dir
    fleet.land(landing)
    train_site(landing, site_id=SITE, as_of=TRAINED_AT, models_dir=models, parameters=FAST_TREES)
    return workplace


def tick(definitions: dg.Definitions) -> list[dg.RunRequest]:
    schedule = next(one for one in definitions.schedules or [] if one.name == "train_on_drift_schedule")
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("site", [SITE])
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=LOOKED_AT, repository_def=definitions.get_repository_def()
        )
        return list(schedule.evaluate_tick(context).run_requests or [])


@pytest.mark.parametrize("later_h", [0.0, 3.0])
def test_a_service_that_changed_is_trained_anew_and_the_numbers_are_shown(
    definitions: dg.Definitions, home: Path, later_h: float
) -> None:
    workplace = depot(later_h=later_h)
    asked = [request.partition_key for request in tick(definitions)]
    assert asked == ([SITE] if later_h else [])
    decision = latest_drift(workplace, site_id=SITE)["return_at"]
    assert decision["has_drifted"] == bool(later_h)
    assert decision["error_since"] > 0
    found = drifted_sites(workplace, sites=[SITE], as_of=LOOKED_AT)
    assert list(found) == asked
    train_site(
        Landing(home / "landing"), site_id=SITE, as_of=LOOKED_AT, models_dir=home / "models", parameters=FAST_TREES
    )
    assert not drifted_sites(workplace, sites=[SITE], as_of=LOOKED_AT), "trained just now"
