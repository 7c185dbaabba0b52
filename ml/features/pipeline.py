"""The families put together, in the order in which they build on each other.

Preset level: nothing is computed here. A new family is a new file and a line here.
"""

from typing import Final

import polars as pl

from ml.cycles import progress
from ml.drives import with_temperature
from ml.features import (
    cycle_history,
    drive_energy,
    drive_history,
    driver_history,
    duty_plan,
    energy_need,
    live_state,
    outside_weather,
    plug_in,
    plug_in_habit,
    season,
    session_history,
    similar_sessions,
    site_activity,
    site_power,
    time_left,
)
from ml.fleet import FleetFacts

CYCLE_FAMILIES: Final = (
    season,
    duty_plan,
    cycle_history,
    driver_history,
    live_state,
    outside_weather,
    energy_need,
    time_left,
)
SESSION_FAMILIES: Final = (plug_in, session_history, similar_sessions, site_activity)
DRIVE_FAMILIES: Final = (drive_history, drive_energy)
POWER_FAMILIES: Final = (site_power,)
PLUG_IN_FAMILIES: Final = (plug_in_habit,)
CYCLE_COLUMNS: Final = tuple(column for family in CYCLE_FAMILIES for column in family.COLUMNS)
SESSION_COLUMNS: Final = tuple(column for family in SESSION_FAMILIES for column in family.COLUMNS)
DRIVE_COLUMNS: Final = tuple(column for family in DRIVE_FAMILIES for column in family.COLUMNS)
PLUG_IN_COLUMNS: Final = tuple(column for family in PLUG_IN_FAMILIES for column in family.COLUMNS)
POWER_COLUMNS: Final = tuple(column for family in POWER_FAMILIES for column in family.COLUMNS)


def cycle_features(questions: pl.DataFrame, facts: FleetFacts) -> pl.DataFrame:
    """Add to each question about a cycle all that could be known at its ``predicted_at``.

    Args:
        questions: See ``ml.questions``.
        facts: The site's event tables; rows of any instant up to its ``as_of`` may be asked about.
    """
    finished = cycle_history.outcomes(facts.cycles, facts.duties, facts.vehicles, timezone=facts.timezone)
    rows = season.add(questions, timezone=facts.timezone)
    rows = duty_plan.add(rows, facts.duties)
    rows = cycle_history.add_groups(rows, facts.cycles, facts.vehicles, timezone=facts.timezone)
    rows = cycle_history.add(rows, finished)
    rows = driver_history.add(rows, finished, facts.assignments)
    day = ["vehicle_id", "operating_date"]
    asked_trips = facts.trips.join(rows.select(day).unique(), on=day, how="semi", maintain_order="left")
    rows = live_state.add(rows, facts.snapshots, progress(asked_trips), facts.cycles)
    rows = outside_weather.add(rows, facts.weather)
    rows = energy_need.add(rows, facts.vehicles)
    return time_left.add(rows)


def session_features(questions: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Add to each question about a charging session all that could be known at plug-in.

    Args:
        questions: All sessions of the sites, see ``ml.sessions.session_questions``.
        timezone: IANA zone of local times.
    """
    rows = plug_in.add(questions, timezone=timezone).with_columns(everyone=pl.lit("all"))
    finished = session_history.outcomes(rows, timezone=timezone)
    rows = similar_sessions.add(session_history.add(rows, finished), finished)
    return site_activity.add(rows).with_columns(horizon="stage")


def drive_features(
    questions: pl.DataFrame, snapshots: pl.DataFrame, weather: pl.DataFrame, *, timezone: str
) -> pl.DataFrame:
    """Add to each question about a drive all that could be known at its departure.

    Args:
        questions: All finished drives, see ``ml.drives.drive_questions``.
        snapshots: Versions of ``vehicle_snapshot``, oldest knowledge first.
        weather: Versions of ``weather`` of one place, oldest knowledge first.
        timezone: IANA zone of local times.
    """
    rows = with_temperature(questions, snapshots, weather, at="predicted_at")
    rows = drive_history.add(rows, rows, timezone=timezone)
    return drive_energy.add(rows, rows)
