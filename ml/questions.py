"""Questions: which forecasts are asked for, of whom, and when; closed ones carry what came of it.

A cycle is asked about before it starts, at its departure, and every few hours while it lasts, so that one model learns
every lead time. Instants of asking never depend on the outcome, and a cycle that is still open answers nothing: it is
censored, not "not returned".
"""

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from ml.cycles import CHAIN_GAP
from ml.dataset import thinned
from ml.fleet import FleetFacts

LEAD_RANGE_H: Final = (0.5, 20.0)
ROAD_STEP_H: Final = 2.0
LONGEST_CYCLE_H: Final = 36.0
OVERDUE_H: Final = 12.0
"""A duty whose vehicle has not left this long after plan is taken as cancelled."""
DUTY_DAY_SLACK: Final = timedelta(days=2)
"""Duties leave within this much of their operating date: after midnight, and in any time zone."""

TOLD_WITHIN: Final = timedelta(minutes=30)

OUTCOMES: Final = ("returned_at", "soc_arrival_pct", "known_at", "closed_distance_km", "closed_energy_kwh")


def closed_questions(
    facts: FleetFacts, *, since: datetime | None = None, most_cycles: int | None = None
) -> pl.DataFrame:
    """Return the questions about cycles that are over and known to be, with their outcomes.

    Columns: vehicle_id, operating_date, stage, predicted_at, departed_at (NULL before departure), and ``OUTCOMES``.

    Args:
        facts: The site's event tables.
        since: Only cycles that departed at or after it.
        most_cycles: More are thinned, evenly over vehicles and days.
    """
    cycles = facts.cycles.filter(pl.col("known_at").is_not_null())
    if since is not None:
        cycles = cycles.filter(pl.col("departed_at") >= since)
    if most_cycles is not None:
        cycles = thinned(cycles, most_cycles)
    cycles = cycles.with_columns(closed_distance_km="distance_km", closed_energy_kwh="energy_kwh")
    asked = [_before(cycles, facts), _at_departure(cycles), _on_road(cycles, facts)]
    columns = ["vehicle_id", "operating_date", "stage", "predicted_at", "departed_at", *OUTCOMES]
    rows = pl.concat([frame.select(columns) for frame in asked])
    return _keyed(rows.filter(pl.col("predicted_at") < pl.col("returned_at")))


def _jitter(seed: int) -> pl.Expr:
    """Return a number in [0, 1) that depends on vehicle and day alone."""
    named = pl.struct(pl.col("vehicle_id").cast(pl.String), "operating_date")
    return (named.hash(seed) % 10_000) / 10_000


def _hours(hours: pl.Expr) -> pl.Expr:
    return (hours * 3600).round().cast(pl.Int64) * pl.duration(seconds=1)


def _before(cycles: pl.DataFrame, facts: FleetFacts) -> pl.DataFrame:
    """Ask about planned cycles some hours before they start."""
    low, high = LEAD_RANGE_H
    planned = (
        facts.duties.join(cycles, on=["vehicle_id", "operating_date"], how="semi", maintain_order="left")
        .filter(~pl.col("is_deleted").fill_null(value=False))
        .group_by("vehicle_id", "operating_date", maintain_order=True)
        .agg(pl.col("planned_departure_at").first(), pl.col("available_at").min())
        .with_columns(predicted_at=pl.col("planned_departure_at") - _hours(low + (high - low) * _jitter(1)))
        .filter(pl.col("available_at") <= pl.col("predicted_at"))
    )
    return (
        cycles.join(planned, on=["vehicle_id", "operating_date"], how="inner", maintain_order="left")
        .filter(pl.col("predicted_at") < pl.col("departed_at"))
        .with_columns(departed_at=pl.lit(None, pl.Datetime("us", "UTC")), stage=pl.lit("before"))
    )


def _at_departure(cycles: pl.DataFrame) -> pl.DataFrame:
    """Ask when the vehicle leaves; a source that tells of a trip only when it is over asks when that is known."""
    is_told = pl.col("departure_known_at") - pl.col("departed_at") <= TOLD_WITHIN
    predicted_at = pl.when(is_told).then("departed_at").otherwise("departure_known_at")
    return cycles.with_columns(predicted_at=predicted_at, stage=pl.lit("departure"))


def _on_road(cycles: pl.DataFrame, facts: FleetFacts) -> pl.DataFrame:
    """Ask on a fixed grid of hours since departure, as long as the vehicle is out."""
    steps = pl.int_ranges(0, int(LONGEST_CYCLE_H / ROAD_STEP_H)).cast(pl.List(pl.Float64))
    grid = (
        cycles.filter(pl.col("departed_at").is_not_null())
        .with_columns(step=steps, offset=_jitter(2) * ROAD_STEP_H)
        .explode("step")
        .with_columns(predicted_at=pl.col("departed_at") + _hours(pl.col("offset") + pl.col("step") * ROAD_STEP_H))
        .filter(pl.col("predicted_at") < pl.col("returned_at"), pl.col("predicted_at") >= pl.col("departure_known_at"))
        .with_columns(stage=pl.lit("on_road"))
    )
    return grid.filter(_is_away(grid, facts))


def _is_away(rows: pl.DataFrame, facts: FleetFacts) -> pl.Series:
    """Say which vehicles were on a trip, or parked away from their depot, at ``predicted_at``."""
    asked = facts.trips.join(rows.select("vehicle_id").unique(), on="vehicle_id", how="semi", maintain_order="left")
    trips = asked.select("vehicle_id", "started_at", "ended_at", "end_site_id").join(
        facts.vehicles.select("vehicle_id", "home_site_id"), on="vehicle_id", maintain_order="left"
    )
    latest = (
        rows.select("vehicle_id", "predicted_at")
        .with_row_index("row")
        .sort("predicted_at", "row")
        .join_asof(
            trips.sort("started_at"),
            left_on="predicted_at",
            right_on="started_at",
            by="vehicle_id",
            check_sortedness=False,
        )
        .sort("row")
    )
    is_driving = (pl.col("ended_at") > pl.col("predicted_at")).fill_null(value=True)
    at_home = pl.col("end_site_id").eq_missing(pl.col("home_site_id")) & pl.col("end_site_id").is_not_null()
    return latest.select((is_driving | ~at_home).alias("is_away"))["is_away"]


def live_questions(facts: FleetFacts, *, horizon: timedelta) -> pl.DataFrame:
    """Return the questions to be answered at ``as_of``: vehicles that are out, or due out before the horizon ends.

    The columns are those of ``closed_questions``; outcomes are NULL.
    """
    out = _out_now(facts)
    due = _due_out(facts, horizon=horizon)
    due = due.join(out, on=["vehicle_id", "operating_date"], how="anti", maintain_order="left")
    rows = pl.concat([out, due.select(out.columns)]).with_columns(
        predicted_at=pl.lit(facts.as_of).cast(pl.Datetime("us", "UTC")),
        returned_at=pl.lit(None, pl.Datetime("us", "UTC")),
        soc_arrival_pct=pl.lit(None, pl.Float64),
        known_at=pl.lit(None, pl.Datetime("us", "UTC")),
        closed_distance_km=pl.lit(None, pl.Float64),
        closed_energy_kwh=pl.lit(None, pl.Float64),
    )
    columns = ["vehicle_id", "operating_date", "stage", "predicted_at", "departed_at", *OUTCOMES]
    return _keyed(rows.select(columns))


def _out_now(facts: FleetFacts) -> pl.DataFrame:
    """Return the open cycles of vehicles that are out; after ``LONGEST_CYCLE_H`` without an end, nobody knows."""
    newest = facts.cycles.unique("vehicle_id", keep="last", maintain_order=True)
    is_fresh = pl.col("departed_at") > facts.as_of - timedelta(hours=LONGEST_CYCLE_H)
    is_resting = pl.col("last_end_at") + CHAIN_GAP <= facts.as_of
    is_open = pl.col("last_end_at").is_null() | ~pl.col("ended_home") | (~pl.col("tells_returns") & ~is_resting)
    is_seen_home = pl.col("seen_home_at") > pl.max_horizontal("departed_at", "last_start_at")
    return (
        newest.join(_seen_home(facts), on="vehicle_id", how="left", maintain_order="left")
        .filter(is_fresh & is_open & ~is_seen_home.fill_null(value=False))
        .select("vehicle_id", "operating_date", "departed_at", stage=pl.lit("on_road"))
    )


def _seen_home(facts: FleetFacts) -> pl.DataFrame:
    """Return when the newest snapshot of each vehicle saw it at its depot; NULL where it saw it elsewhere.

    What is older than the longest cycle speaks of none that may still be open.
    """
    recent = facts.snapshots.filter(pl.col("observed_at") > facts.as_of - timedelta(hours=LONGEST_CYCLE_H))
    newest = recent.unique("vehicle_id", keep="last", maintain_order=True).join(
        facts.vehicles.select("vehicle_id", "home_site_id"), on="vehicle_id", maintain_order="left"
    )
    is_home = pl.col("at_site_id") == pl.col("home_site_id")
    return newest.select("vehicle_id", seen_home_at=pl.when(is_home).then("observed_at"))


def _due_out(facts: FleetFacts, *, horizon: timedelta) -> pl.DataFrame:
    """Return the planned cycles that have not left; one that left and came back is asked about if more is planned."""
    begin, end = facts.as_of - timedelta(hours=OVERDUE_H), facts.as_of + horizon
    is_near = pl.col("operating_date").is_between(begin.date() - DUTY_DAY_SLACK, end.date() + DUTY_DAY_SLACK)
    latest = facts.duties.filter(is_near).unique(
        ["block_id", "operating_date", "vehicle_id"], keep="last", maintain_order=True
    )
    stands = ~pl.col("is_deleted").fill_null(value=False)
    planned = (
        latest.filter(stands, pl.col("planned_departure_at") > begin, pl.col("planned_departure_at") <= end)
        .group_by("vehicle_id", "operating_date", maintain_order=True)
        .agg(pl.col("planned_departure_at").max())
    )
    seen = facts.cycles.select("vehicle_id", "operating_date", "departed_at")
    joined = planned.join(seen, on=["vehicle_id", "operating_date"], how="left", maintain_order="left")
    more = pl.col("departed_at").is_null() | (pl.col("planned_departure_at") > facts.as_of)
    return joined.filter(more).select(
        "vehicle_id",
        "operating_date",
        "departed_at",
        stage=pl.when(pl.col("departed_at").is_null()).then(pl.lit("before")).otherwise(pl.lit("on_road")),
    )


def _keyed(rows: pl.DataFrame) -> pl.DataFrame:
    """Add ``row_key`` and ``subject_id`` and sort by when and of whom."""
    subject = pl.col("vehicle_id").cast(pl.String) + "/" + pl.col("operating_date").cast(pl.String)
    moment = pl.col("predicted_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return rows.with_columns(subject_id=subject, row_key=subject + "/" + pl.col("stage") + "/" + moment).sort(
        "predicted_at", "row_key"
    )
