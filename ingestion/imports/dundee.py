"""Public charging in Dundee, two files with two styles of date, a CSV line per session.

One file writes dd/mm/yyyy. The other writes ISO dates whose day and month were swapped wherever that gave a date, that
is where the day is 12 or less. Stamps are local; ends, energy and users are missing here and there. The model is no
limit: posts labelled 7 kW deliver 11.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from ingestion.columns import Check, check, missing, number, said, unreadable
from ingestion.imports.history import Format, History, read_csv_records
from ingestion.imports.sessions import session_context, session_versions

LATENCY: Final = timedelta(minutes=5)
TIMEZONE: Final = "Europe/London"
SITES: Final = {"dundee:public": ("Public chargers of Dundee", TIMEZONE, "GBP")}
EVENT, STATION, CONNECTOR, ENERGY = "Charging event", "CP ID", "Connector", "Total kWh"
COLUMNS: Final = (
    EVENT, STATION, CONNECTOR, "Start Date", "Start Time", "End Date", "End Time", ENERGY, "Cost",
)  # fmt: skip
SWAPPED: Final = r"^(\d{4})-(\d\d)-(0\d|1[0-2])T"
FASTEST_KW: Final = 55.0  # the city's rapid chargers give 50
MINUTE_H: Final = 1 / 60  # stamps are whole minutes
CHECKS: Final = (
    missing("station_id", STATION),
    missing("connector_id", CONNECTOR),
    missing("transaction_id", EVENT),
    missing("started_at", "Start Date"),
    unreadable("ended_at", "End Date"),
    Check(
        "ends_before_start",
        pl.col("ended_at") < pl.col("started_at"),
        said("{} is before {}", "End Date", "Start Date"),
    ),
    unreadable("energy_kwh", ENERGY),
    Check("negative_energy", pl.col("energy_kwh") < 0, said("{} kWh", ENERGY), field="energy_kwh"),
    Check(
        "energy_beyond_any_charger",
        pl.col("energy_kwh") > FASTEST_KW * (pl.col("hours") + 2 * MINUTE_H),
        said("{} kWh in {} h", ENERGY, "hours"),
        field="energy_kwh",
    ),
    unreadable("price_total", "Cost"),
)


def read(files: Sequence[Path]) -> History:
    """Read sessions.

    Raises:
        ingestion.columns.UnreadableError: a file is no CSV of this set.
    """
    records = read_csv_records(files, COLUMNS)
    sessions, rejected = check(_typed(records), CHECKS, entity="charging_transaction")
    versions = session_versions(sessions, latency=LATENCY)
    return History(records, {"charging_transaction": versions}, rejected, session_context(sessions, SITES))


def _typed(records: pl.DataFrame) -> pl.DataFrame:
    """Return the records with canonical columns beside their own."""
    user = pl.col("User ID") if "User ID" in records.columns else pl.lit(None, pl.String)
    return records.with_columns(
        station_id=pl.concat_str(pl.lit("dundee:"), STATION),
        connector_id=number(CONNECTOR).cast(pl.Int64, strict=False),
        transaction_id=pl.col(EVENT),
        site_id=pl.lit("dundee:public"),
        user_id=pl.concat_str(pl.lit("dundee:"), user),
        started_at=_stamp("Start Date", "Start Time"),
        ended_at=_stamp("End Date", "End Time"),
        energy_kwh=number(ENERGY),
        price_total=number("Cost"),
        currency=pl.lit("GBP"),
    ).with_columns(hours=(pl.col("ended_at") - pl.col("started_at")).dt.total_minutes() / 60)


def _stamp(day: str, clock: str) -> pl.Expr:
    """Read a local day and time of either style as an instant."""
    unswapped = pl.col(day).str.replace(SWAPPED, "${1}-${3}-${2}T").str.head(10)
    date = pl.coalesce(
        unswapped.str.to_date("%Y-%m-%d", strict=False), pl.col(day).str.to_date("%d/%m/%Y", strict=False)
    )
    local = date.dt.combine(pl.col(clock).str.to_time("%H:%M", strict=False))
    return local.dt.replace_time_zone(TIMEZONE, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


FORMAT: Final = Format(
    "dundee",
    read,
    patterns=("sessions_*.csv",),
    latency=LATENCY,
    title="public charging sessions in Dundee, February to September 2018",
    private=("User ID",),
)
