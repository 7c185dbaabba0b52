"""Plug-ins after a return: how long a vehicle that is back stands before somebody plugs it in.

A plug-in is the start of a charging session of the vehicle (as the charger or a match names it), else the first state
that shows it plugged. Frames in, frames out; a vehicle that is not plugged in before it leaves again answers nothing.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from ml.cycles import clock_h
from ml.dataset import as_of_join

EARLY: Final = timedelta(minutes=15)
"""Clocks of vehicles and chargers differ: a plug-in so long before the return is taken to be at the return."""
LONGEST_H: Final = 12.0


def plug_ins(sessions: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """Return when vehicles were plugged in: vehicle_id, plugged_at, plug_known_at, sorted by plugged_at.

    Args:
        sessions: See ``ml.sessions.charging_sessions``.
        snapshots: States in the order in which they became known; of runs of plugged states, the first one counts.
    """
    by_charger = sessions.filter(pl.col("vehicle_id").is_not_null()).select(
        pl.col("vehicle_id").cast(pl.String), plugged_at="started_at", plug_known_at="first_told_at"
    )
    told = snapshots.filter(pl.col("is_plugged").is_not_null()).sort("vehicle_id", "observed_at")
    was_plugged = pl.col("is_plugged").shift().over("vehicle_id").fill_null(value=False)
    by_vehicle = told.filter(pl.col("is_plugged"), ~was_plugged).select(
        pl.col("vehicle_id").cast(pl.String), plugged_at="observed_at", plug_known_at="available_at"
    )
    return pl.concat([by_charger, by_vehicle]).sort("plugged_at", "vehicle_id")


def plug_in_questions(cycles: pl.DataFrame, events: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Return a question for each finished return that was followed by a plug-in, asked at the return.

    ``delay_h`` is the answer, ``known_at`` when both halves of it were known.

    Args:
        cycles: See ``ml.cycles.duty_cycles``.
        events: See ``plug_ins``.
        timezone: IANA zone of local times.
    """
    back = cycles.filter(pl.col("returned_at").is_not_null()).with_columns(pl.col("vehicle_id").cast(pl.String))
    back = back.sort("vehicle_id", "departed_at").with_columns(
        leaves_at=pl.col("departed_at").shift(-1).over("vehicle_id"), asked_from=pl.col("returned_at") - EARLY
    )
    joined = back.sort("asked_from").join_asof(
        events.sort("plugged_at"),
        left_on="asked_from",
        right_on="plugged_at",
        by="vehicle_id",
        strategy="forward",
        check_sortedness=False,
        coalesce=False,
    )
    delay_h = ((pl.col("plugged_at") - pl.col("returned_at")).dt.total_seconds() / 3600).clip(lower_bound=0.0)
    is_before_next = (pl.col("plugged_at") < pl.col("leaves_at")).fill_null(value=True)
    subject = pl.col("vehicle_id") + "/" + pl.col("operating_date").cast(pl.String)
    return (
        joined.with_columns(delay_h=delay_h)
        .filter(pl.col("delay_h") <= LONGEST_H, is_before_next)
        .select(
            "vehicle_id",
            "operating_date",
            "departed_at",
            "delay_h",
            "plugged_at",
            "soc_arrival_pct",
            predicted_at="returned_at",
            known_at=pl.max_horizontal("plug_known_at", "known_at"),
            arrival_clock_h=clock_h(pl.col("returned_at"), timezone),
            subject_id=subject,
            row_key=subject + "/plug_in",
            stage=pl.lit("return"),
            horizon=pl.lit("return"),
        )
        .sort("predicted_at", "row_key")
    )


def with_waiting(rows: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Add ``hours_since_any_plug_in``: how long ago somebody last plugged in any vehicle, as known at the return."""
    facts = events.select("plug_known_at", last_plugged_at="plugged_at", everyone=pl.lit("all"))
    joined = as_of_join(rows, facts, by=["everyone"], known="plug_known_at")
    since_h = (pl.col("predicted_at") - pl.col("last_plugged_at")).dt.total_seconds() / 3600
    return joined.with_columns(hours_since_any_plug_in=since_h).drop("last_plugged_at")
