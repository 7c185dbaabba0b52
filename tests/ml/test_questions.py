"""Who is asked about, and when: instants that outcomes cannot bend, and open cycles that answer nothing."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from core.landing import Landing
from ml.dataset import KnownFacts
from ml.fleet import FleetFacts, fleet_facts
from ml.questions import OUTCOMES, closed_questions, live_questions
from ml.targets import RETURN_AT, with_actual
from tests.ml.conftest import SITE, Fleet, FleetBuilder

HORIZON = timedelta(hours=36)


def facts_at(landing: Landing, fleet: Fleet, hour: float) -> FleetFacts:
    return fleet_facts(KnownFacts(landing, as_of=fleet.last_day(hour)), site_id=SITE)


def test_every_finished_cycle_is_asked_about_before_at_and_after_its_departure(
    small_fleet: tuple[Landing, Fleet],
) -> None:
    landing, fleet = small_fleet
    rows = closed_questions(facts_at(landing, fleet, 48))
    cycles = len(fleet.day)
    counts = dict(rows.group_by("stage").len().iter_rows())
    assert counts["departure"] == cycles
    assert counts["before"] == cycles
    assert counts["on_road"] == pytest.approx(5 * cycles, rel=0.1), "ten hours, asked every two"
    assert rows["row_key"].is_unique().all()
    assert (rows["predicted_at"] < rows["returned_at"]).all()


def test_instants_of_asking_do_not_depend_on_the_return(land_fleet: FleetBuilder) -> None:
    landing, fleet = land_fleet(vehicles=4, days=12, late_vehicle_h=0.0)
    rows = closed_questions(facts_at(landing, fleet, 48)).filter(stage="on_road")
    after_s = (rows["predicted_at"] - rows["departed_at"]).dt.total_seconds()
    grid = rows.with_columns(rest_s=after_s % 7200).group_by("vehicle_id", "operating_date")
    spans = grid.agg(span_s=pl.col("rest_s").max() - pl.col("rest_s").min(), start_s=pl.col("rest_s").first())
    assert spans["span_s"].max() <= 1, "every two hours, whenever the vehicle comes back"  # type: ignore[operator]
    assert spans["start_s"].n_unique() > 20, "and from another minute on each day"


def test_a_vehicle_still_out_is_censored_not_back(small_fleet: tuple[Landing, Fleet]) -> None:
    landing, fleet = small_fleet
    facts = facts_at(landing, fleet, 12)
    today = fleet.last_day(1).date()
    assert closed_questions(facts).filter(operating_date=today).is_empty()
    live = live_questions(facts, horizon=HORIZON).filter(operating_date=today)
    assert live.height == fleet.plan.vehicles
    assert set(live["stage"]) == {"on_road"}
    assert all(live[name].null_count() == live.height for name in OUTCOMES)
    rows = closed_questions(facts_at(landing, fleet, 48)).filter(operating_date=today)
    settled = with_actual(rows, RETURN_AT, as_of=fleet.last_day(12))
    assert settled["actual"].null_count() == settled.height, "not known at that instant, whatever is known now"


def test_due_out_vehicles_are_asked_about_until_the_horizon_ends(small_fleet: tuple[Landing, Fleet]) -> None:
    landing, fleet = small_fleet
    facts = facts_at(landing, fleet, -1)
    assert set(live_questions(facts, horizon=HORIZON)["stage"]) == {"before"}
    assert live_questions(facts, horizon=timedelta(hours=6)).is_empty()


def test_a_withdrawn_duty_is_not_asked_about(land_fleet: FleetBuilder) -> None:
    landing, fleet = land_fleet(vehicles=3, days=12)
    duty = landing.scan("duty").filter(vehicle_id="van-01").collect().drop("source", "date")
    last = duty.filter(operating_date=fleet.last_day(1).date())
    withdrawn = last.with_columns(is_deleted=True, available_at=pl.lit(fleet.last_day(-3)))
    landing.append("duty", withdrawn.cast(dict(last.schema)), source="registry")
    before, after = (live_questions(facts_at(landing, fleet, hour), horizon=HORIZON) for hour in (-4, -2))
    assert (before["vehicle_id"] == "van-01").any()
    assert not (after["vehicle_id"] == "van-01").any()


def test_a_cycle_without_an_end_for_days_is_no_longer_out(land_fleet: FleetBuilder) -> None:
    landing, fleet = land_fleet(vehicles=3, days=12, with_duties=False)
    facts = fleet_facts(KnownFacts(landing, as_of=fleet.last_day(12)), site_id=SITE)
    assert live_questions(facts, horizon=HORIZON).height == 3
    cut = KnownFacts(landing, as_of=fleet.last_day(12))
    silent = fleet_facts(cut, site_id=SITE)
    later = FleetFacts(
        **{name: getattr(silent, name) for name in FleetFacts.__dataclass_fields__ if name != "as_of"},
        as_of=fleet.last_day(12 + 48),
    )
    assert live_questions(later, horizon=HORIZON).is_empty()


def test_a_snapshot_at_the_depot_ends_the_day_though_the_trip_s_end_is_late(land_fleet: FleetBuilder) -> None:
    landing, fleet = land_fleet(vehicles=3, days=12, with_duties=False)
    seen = landing.scan("vehicle_snapshot").filter(vehicle_id="van-00").collect().drop("source", "date").head(1)
    at = fleet.last_day(14)
    home = seen.with_columns(observed_at=pl.lit(at), available_at=pl.lit(at), at_site_id=pl.lit(SITE))
    landing.append("vehicle_snapshot", home.cast(dict(seen.schema)), source="geotab")
    live = live_questions(facts_at(landing, fleet, 14.01), horizon=HORIZON)
    assert sorted(live["vehicle_id"]) == ["van-01", "van-02"]


def test_old_states_are_read_of_vehicles_whose_trips_nobody_tells(land_fleet: FleetBuilder, tmp_path: Path) -> None:
    landing, fleet = land_fleet(vehicles=3, days=19)
    mixed = Landing(tmp_path / "mixed")
    for name in ("site", "vehicle", "duty", "trip", "vehicle_snapshot"):
        rows = landing.scan(name).collect().drop("source", "date")
        mixed.append(name, rows.filter(pl.col("vehicle_id") != "van-01") if name == "trip" else rows, source="files")
    known, since = KnownFacts(mixed, as_of=fleet.last_day(11)), fleet.last_day(-48)
    full = fleet_facts(known, site_id=SITE)
    short = fleet_facts(known, site_id=SITE, states_since=since)
    assert short.cycles.equals(full.cycles)
    is_kept = (pl.col("vehicle_id") == "van-01") | (pl.col("observed_at") >= since)
    order = ["vehicle_id", "available_at", "observed_at"]
    assert short.snapshots.sort(order).equals(full.snapshots.filter(is_kept).sort(order))
    assert short.snapshots.height < full.snapshots.height
