"""No look-ahead: what becomes available after an instant never changes a feature or a forecast of that instant."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from core.entities import ENTITIES
from core.landing import Landing
from ml.dataset import KnownFacts
from ml.features.pipeline import CYCLE_COLUMNS, SESSION_COLUMNS, cycle_features, session_features
from ml.fleet import fleet_facts
from ml.forecasting import forecast_site
from ml.questions import closed_questions, live_questions
from ml.sessions import charging_sessions, session_questions
from tests.ml.conftest import SITE, START, Fleet

EVENTS = ("trip", "vehicle_snapshot", "duty", "weather")
relaxed = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def shifted_copy(landing: Landing, root: Path, *, name: str, share: float, by: timedelta) -> Landing:
    """Return a landing zone in which a share of one entity's rows became available later."""
    copy = Landing(root)
    for entity in ENTITIES:
        rows = landing.scan(entity).collect()
        if rows.is_empty():
            continue
        if entity == name:
            late = pl.int_range(pl.len()).shuffle(seed=1) < share * pl.len()
            rows = rows.with_columns(
                available_at=pl.when(late).then(pl.col("available_at") + by).otherwise("available_at")
            )
        for source, part in rows.group_by("source"):
            copy.append(entity, part.drop("source", "date"), source=str(source[0]))
    return copy


def live_features(landing: Landing, fleet: Fleet, hour: float) -> pl.DataFrame:
    facts = fleet_facts(KnownFacts(landing, as_of=fleet.last_day(hour)), site_id=SITE)
    return cycle_features(live_questions(facts, horizon=timedelta(hours=36)), facts)


@relaxed
@given(name=st.sampled_from(EVENTS), hour=st.sampled_from([-30.0, 7.0, 12.5, 17.0]), days=st.integers(1, 400))
def test_rows_shifted_from_one_future_to_another_change_no_feature(
    small_fleet: tuple[Landing, Fleet], tmp_path_factory: pytest.TempPathFactory, name: str, hour: float, days: int
) -> None:
    landing, fleet = small_fleet
    as_of = fleet.last_day(hour)
    future = landing.scan(name).filter(pl.col("available_at") > as_of).collect()
    copy = Landing(tmp_path_factory.mktemp("shifted"))
    for entity in ENTITIES:
        rows = landing.scan(entity).collect()
        if entity == name:
            moved = pl.when(pl.col("available_at") > as_of).then(pl.col("available_at") + timedelta(days=days))
            rows = rows.with_columns(available_at=moved.otherwise("available_at"))
        for source in rows["source"].unique().sort().to_list():
            copy.append(entity, rows.filter(source=source).drop("source", "date"), source=source)
    before, after = live_features(landing, fleet, hour), live_features(copy, fleet, hour)
    assert before.height
    assert future.height or name in ("duty", "weather")
    assert_frame_equal(before, after)


@relaxed
@given(name=st.sampled_from(("trip", "vehicle_snapshot", "duty")), share=st.floats(0.3, 1.0))
def test_rows_shifted_past_the_instant_are_as_if_they_were_not_there(
    small_fleet: tuple[Landing, Fleet], tmp_path_factory: pytest.TempPathFactory, name: str, share: float
) -> None:
    landing, fleet = small_fleet
    hour = 12.5
    late = shifted_copy(landing, tmp_path_factory.mktemp("late"), name=name, share=share, by=timedelta(days=900))
    without = Landing(tmp_path_factory.mktemp("without"))
    for entity in ENTITIES:
        rows = late.scan(entity).filter(pl.col("available_at") <= fleet.last_day(hour)).collect()
        for source in rows["source"].unique().sort().to_list():
            without.append(entity, rows.filter(source=source).drop("source", "date"), source=source)
    assert_frame_equal(live_features(late, fleet, hour), live_features(without, fleet, hour))


def test_each_training_row_sees_what_was_known_at_its_own_instant(small_fleet: tuple[Landing, Fleet]) -> None:
    """A row's features, made with everything at hand, equal those made when nothing later had arrived yet."""
    landing, fleet = small_fleet
    full = fleet_facts(KnownFacts(landing, as_of=fleet.last_day(24 * 3)), site_id=SITE)
    rows = cycle_features(closed_questions(full), full)
    assert set(rows["stage"].unique()) == {"before", "departure", "on_road"}
    late_rows = rows.filter(pl.col("predicted_at") > START + timedelta(days=9))
    for row in late_rows.sample(12, seed=5).iter_rows(named=True):
        asked = closed_questions(full).filter(row_key=row["row_key"])
        cut = fleet_facts(KnownFacts(landing, as_of=row["predicted_at"]), site_id=SITE)
        alone = cycle_features(asked, cut)
        expected = late_rows.filter(row_key=row["row_key"]).select(CYCLE_COLUMNS)
        # At its departure a row knows its own first trip from the message that asks, latency or not.
        assert_frame_equal(alone.select(CYCLE_COLUMNS), expected, check_exact=False)


def test_sessions_see_what_was_known_at_plug_in(charging_landing: Landing) -> None:
    everything = KnownFacts(charging_landing, as_of=START + timedelta(days=60)).versions("charging_transaction")
    matches = ENTITIES["session_match"].empty()

    def rows_as_of(versions: pl.DataFrame) -> pl.DataFrame:
        sessions = charging_sessions(versions, matches, timezone="UTC")
        return session_features(session_questions(sessions), timezone="UTC")

    full = rows_as_of(everything)
    for row in full.filter(pl.col("predicted_at") > START + timedelta(days=8)).sample(8, seed=3).iter_rows(named=True):
        own = pl.col("transaction_id") == row["transaction_id"]
        is_known = (pl.col("available_at") <= row["predicted_at"]) | (own & pl.col("ended_at").is_null())
        alone = rows_as_of(everything.filter(is_known)).filter(row_key=row["row_key"])
        assert alone["ended_at"].to_list() == [None]
        expected = full.filter(row_key=row["row_key"]).select(SESSION_COLUMNS)
        assert_frame_equal(alone.select(SESSION_COLUMNS), expected)


def test_a_forecast_of_the_past_is_not_changed_by_the_future(
    small_fleet: tuple[Landing, Fleet], tmp_path: Path
) -> None:
    landing, fleet = small_fleet
    as_of = fleet.last_day(-14)
    past = Landing(tmp_path / "past")
    for entity in ENTITIES:
        rows = landing.scan(entity).filter(pl.col("available_at") <= as_of).collect()
        for source in rows["source"].unique().sort().to_list():
            past.append(entity, rows.filter(source=source).drop("source", "date"), source=source)
    models = tmp_path / "models"
    now, then = (forecast_site(one, site_id=SITE, as_of=as_of, models_dir=models) for one in (landing, past))
    assert now.height
    assert_frame_equal(now, then)
