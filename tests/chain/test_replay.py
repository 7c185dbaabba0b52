"""``depotwise replay`` on a home that the nightly job filled: what landing knew, against what the simulator knows."""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

from tests.chain.conftest import Undisturbed
from tests.chain.depot import Depot, files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "replay-1.json"
NIGHT = "2026-02-05"


def test_a_night_is_replayed_from_landing(depot: Depot, undisturbed: Undisturbed) -> None:
    before = files(undisturbed.home / "landing")
    policies = ("platform", "uncontrolled", "edf", "perfect_foresight")
    options = [option for name in policies for option in ("--policy", name)]
    truth = depot.folder / "truth.json"
    command = depot.command(
        undisturbed.home,
        "replay",
        "--from",
        NIGHT,
        *options,
        "--fault",
        "dead_charger",
        "--truth",
        str(truth),
        "--json",
    )
    done = subprocess.run(command, capture_output=True, text=True, env=depot.environment(), check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    document = json.loads(done.stdout.splitlines()[-1])
    jsonschema.validate(document, json.loads(SCHEMA.read_text(encoding="utf-8")))
    plain, dead = document["faults"]["none"], document["faults"]["dead_charger"]
    assert document["nights"] == 1
    assert plain["platform"]["departures"] == plain["edf"]["departures"] >= 3
    assert plain["perfect_foresight"]["ready_pct"] == 100.0
    assert plain["platform"]["ready_pct"] == 100.0
    assert plain["platform"]["over_limit_kw"] == plain["edf"]["over_limit_kw"] == 0.0
    assert plain["uncontrolled"]["over_limit_kw"] > 0
    assert plain["platform"]["cost"] < plain["uncontrolled"]["cost"]
    assert dead["perfect_foresight"]["infeasible"] >= plain["perfect_foresight"]["infeasible"]
    assert files(undisturbed.home / "landing") == before


def test_without_the_truth_the_record_speaks(depot: Depot, undisturbed: Undisturbed) -> None:
    """Stays, SoC and departures as landing knows them agree with the simulator's truth."""
    from datetime import date

    from core.settings import Settings
    from orchestration.replay.command import ReplayOptions, night_of
    from orchestration.replay.place import ReplayPlace
    from orchestration.replay.truth import Truth

    place = ReplayPlace(Settings(home=undisturbed.home, config=depot.folder / "config"))
    options = ReplayOptions(date.fromisoformat(NIGHT), date.fromisoformat(NIGHT))
    site_id = place.registry.sites[0].site_id
    known, true = (
        night_of(place, site_id, options.from_date, options, truth)
        for truth in (None, Truth.read(depot.folder / "truth.json"))
    )
    assert known.vehicle_ids == true.vehicle_ids
    by_vehicle = {stay.vehicle_id: stay for stay in known.world.stays if stay.required}
    assert len(by_vehicle) >= 3
    for stay in true.world.stays:
        if stay.required and stay.vehicle_id in by_vehicle:
            found = by_vehicle[stay.vehicle_id]
            assert abs((found.plugged_at - stay.plugged_at).total_seconds()) < 300
            assert abs((found.unplugged_at - stay.unplugged_at).total_seconds()) < 600
            assert found.start_soc_pct == pytest.approx(stay.start_soc_pct, abs=2.0)
            assert found.required == stay.required


def test_forecasts_made_together_are_those_made_one_by_one(
    depot: Depot, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Who is out, features and calibration of an instant look at nothing that was told after it."""
    from datetime import UTC, datetime, timedelta

    from polars.testing import assert_frame_equal

    from core.settings import Settings
    from ml.forecasting import forecast_instants, forecast_site
    from orchestration.replay.place import ReplayPlace

    place = ReplayPlace(Settings(home=undisturbed.home, config=depot.folder / "config"))
    site_id = place.registry.sites[0].site_id
    noon = datetime.fromisoformat(NIGHT).replace(hour=12, tzinfo=UTC)
    instants = [noon + timedelta(minutes=15) * k for k in (0, 9, 18)]
    together = forecast_instants(place.landing, site_id=site_id, instants=instants, models_dir=tmp_path)
    assert any(rows.height for rows in together.values())
    for instant, rows in together.items():
        alone = forecast_site(place.landing, site_id=site_id, as_of=instant, models_dir=tmp_path)
        assert_frame_equal(rows, alone)
