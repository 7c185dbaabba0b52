"""Features recomputed in SQL over landing rows, by a second hand in a second language."""

from datetime import timedelta

import duckdb
import polars as pl
import pytest

from core.landing import Landing
from ml.dataset import KnownFacts
from ml.features.pipeline import cycle_features
from ml.fleet import fleet_facts
from ml.questions import closed_questions
from tests.ml.conftest import SITE, Fleet

# Cycles from plain trips: first start, last end, sums; known after midnight and two hours of rest.
CYCLES = """
with ends as (
    select vehicle_id, started_at, ended_at, distance_km, energy_kwh, soc_end_pct, available_at,
           cast(started_at as date) as operating_date
    from trip where ended_at is not null
),
cycles as (
    select vehicle_id, operating_date, min(started_at) as departed_at, max(ended_at) as returned_at,
           sum(distance_km) as distance_km, sum(energy_kwh) as energy_kwh,
           greatest(max(available_at), max(ended_at) + interval 2 hour,
                    max(operating_date + 1)::timestamp) as known_at
    from ends group by all
)
"""
QUERIES = {
    "vehicle_return_clock_h_median": CYCLES
    + """
select q.row_key, (
    select median(h) from (
        select epoch(c.returned_at - c.operating_date::timestamp) / 3600 as h
        from cycles c where c.vehicle_id = q.vehicle_id and c.known_at <= q.predicted_at
        order by c.known_at desc limit 20)) as value
from questions q""",
    "vehicle_kwh_per_km_median": CYCLES
    + """
select q.row_key, (
    select median(c.energy_kwh / c.distance_km) from (
        select * from cycles c where c.vehicle_id = q.vehicle_id and c.known_at <= q.predicted_at
        order by c.known_at desc limit 20) c) as value
from questions q""",
    "vehicle_lateness_h_median": CYCLES
    + """
select q.row_key, (
    select median(late) from (
        select epoch(c.returned_at - d.planned_return_at) / 3600 as late
        from cycles c join duty d using (vehicle_id, operating_date)
        where c.vehicle_id = q.vehicle_id and c.known_at <= q.predicted_at
        order by c.known_at desc limit 20)) as value
from questions q""",
    "planned_return_h": """
select q.row_key, epoch(d.planned_return_at - q.predicted_at) / 3600 as value
from questions q left join duty d on d.vehicle_id = q.vehicle_id and d.operating_date = q.operating_date
    and d.available_at <= q.predicted_at""",
    "soc_now_pct": """
select q.row_key, coalesce(
    (select s.soc_pct from vehicle_snapshot s
     where s.vehicle_id = q.vehicle_id and s.available_at <= q.predicted_at
       and s.observed_at >= q.departed_at - interval 90 minute
     order by s.available_at desc limit 1),
    (select t.soc_end_pct from trip t where t.vehicle_id = q.vehicle_id and t.available_at <= q.predicted_at
       and t.started_at >= q.departed_at and t.ended_at is not null order by t.available_at desc limit 1),
    (select t.soc_start_pct from trip t where t.vehicle_id = q.vehicle_id and t.started_at = q.departed_at limit 1)
) as value from questions q""",
    "temperature_c": """
select q.row_key, (
    select w.temperature_c from weather w
    where w.available_at <= q.predicted_at
      and w.start_at = date_trunc('hour', q.predicted_at
          + to_seconds(cast((greatest(coalesce(q.planned_departure_h, 0), 0) + 4) * 3600 as bigint)))
    order by w.available_at desc limit 1) as value
from questions q""",
}


def naive(frame: pl.DataFrame) -> pl.DataFrame:
    """Return UTC instants without their zone, for which DuckDB would need an extension."""
    return frame.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.replace_time_zone(None))


@pytest.mark.parametrize("feature", QUERIES)
def test_feature_equals_its_recomputation_in_sql(small_fleet: tuple[Landing, Fleet], feature: str) -> None:
    landing, fleet = small_fleet
    facts = fleet_facts(KnownFacts(landing, as_of=fleet.last_day(48)), site_id=SITE)
    rows = cycle_features(closed_questions(facts), facts).sample(150, seed=2)
    connection = duckdb.connect()
    for name in ("trip", "vehicle_snapshot", "duty", "weather"):
        connection.register(name, naive(landing.scan(name).collect()).to_arrow())
    asked = rows.select("row_key", "vehicle_id", "operating_date", "predicted_at", "departed_at", "planned_departure_h")
    connection.register("questions", naive(asked).to_arrow())
    expected = connection.execute(QUERIES[feature]).pl()
    both = rows.select("row_key", pl.col(feature)).join(expected, on="row_key", validate="1:1")
    assert both["value"].is_not_null().sum() > 50
    assert both[feature].is_null().equals(both["value"].is_null(), check_names=False)
    assert (both[feature] - both["value"]).abs().max() == pytest.approx(
        0, abs=0.001
    )  # hours are counted in whole seconds


def test_live_features_follow_the_day(small_fleet: tuple[Landing, Fleet]) -> None:
    landing, fleet = small_fleet
    facts = fleet_facts(KnownFacts(landing, as_of=fleet.last_day(48)), site_id=SITE)
    rows = cycle_features(closed_questions(facts), facts).filter(stage="on_road").sort("vehicle_id", "predicted_at")
    day = rows.filter(pl.col("operating_date") == fleet.last_day(0).date(), pl.col("vehicle_id") == "van-00")
    assert day["km_so_far"].is_sorted()
    assert day["soc_now_pct"].is_sorted(descending=True)
    assert day["remaining_km"].is_sorted(descending=True)
    assert (day["hours_since_departure"].diff().drop_nulls() - timedelta(hours=2).seconds / 3600).abs().max() < 0.01
