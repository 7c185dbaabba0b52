"""ACN sessions of 2018 and 2019 without any id: start, end and energy on the local clock, a file per garage.

No station is known, so all of a garage's sessions stand at one station that is not there; those that start in the same
second are numbered by end and energy.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from ingestion.columns import Check, check, local_instant, missing, number, said, unreadable
from ingestion.imports.history import RECORD_REF, Format, History, read_csv_records
from ingestion.imports.sessions import session_context, session_versions

LATENCY: Final = timedelta(minutes=5)
TIMEZONE: Final = "America/Los_Angeles"
START, END, IDLE, ENERGY = "Start", "End", "Idle.Duration", "Energy"
COLUMNS: Final = (START, END, IDLE, "Park.Duration", ENERGY)
STAMP: Final = ("%Y-%m-%d %H:%M:%S",)
SITES: Final = {
    "acn_noid:caltech": ("California Institute of Technology", TIMEZONE, "USD"),
    "acn_noid:jpl": ("Jet Propulsion Laboratory", TIMEZONE, "USD"),
}
CHECKS: Final = (
    missing("started_at", START),
    unreadable("ended_at", END),
    Check("ends_before_start", pl.col("ended_at") < pl.col("started_at"), said("{} is before {}", END, START)),
    unreadable("energy_kwh", ENERGY),
    Check("negative_energy", pl.col("energy_kwh") < 0, said("{} kWh", ENERGY), field="energy_kwh"),
    unreadable("idle_min", IDLE),
    # The publisher subtracted two rounded durations, so a minute below zero is none; an hour is a change of clocks.
    Check("idle_below_zero", pl.col("idle_min") < -1.01, said("idle for {} minutes", IDLE), field="idle_min"),
)


def read(files: Sequence[Path]) -> History:
    """Read sessions; the garage is told by the file's name (``jpl_…``, else Caltech).

    Raises:
        ingestion.columns.UnreadableError: a file is no CSV of this set.
    """
    records = read_csv_records(files, COLUMNS)
    sessions, rejected = check(_typed(records), CHECKS, entity="charging_transaction")
    clipped = sessions.with_columns(pl.col("idle_min").clip(lower_bound=0))
    versions = session_versions(clipped, latency=LATENCY)
    return History(records, {"charging_transaction": versions}, rejected, session_context(clipped, SITES))


def _typed(records: pl.DataFrame) -> pl.DataFrame:
    """Return the records with canonical columns beside their own."""
    garage = pl.when(pl.col(RECORD_REF).str.starts_with("jpl")).then(pl.lit("jpl")).otherwise(pl.lit("caltech"))
    place = pl.concat_str(pl.lit("acn_noid:"), garage)
    return records.with_columns(
        station_id=pl.concat_str(place, pl.lit(":unknown")),
        connector_id=pl.lit(0, pl.Int64),
        transaction_id=pl.concat_str(START, pl.lit("#"), pl.struct(END, ENERGY).rank("dense").over(place, START)),
        site_id=place,
        started_at=local_instant(START, TIMEZONE, STAMP),
        ended_at=local_instant(END, TIMEZONE, STAMP),
        energy_kwh=number(ENERGY),
        metering_point=pl.lit("evse_ac_out"),
        current_type=pl.lit("ac"),
        idle_min=number(IDLE),
    )


FORMAT: Final = Format(
    "acn_noid",
    read,
    patterns=("*_noid.csv",),
    latency=LATENCY,
    title="charging sessions at Caltech and JPL without ids, 2018 and 2019",
)
