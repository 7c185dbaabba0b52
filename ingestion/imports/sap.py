"""SAP Labs France: charging of a company's cars at work and at home, recorded by an OCPP back end, a CSV line each.

SoC 0 stands for unknown; only the fast chargers, which can ask the car, report one. Stations at homes bear their
owners' names, so they are known by a keyed hash.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from core.pseudonyms import keyed_hash
from ingestion.columns import Check, check, missing, number, offset_instant, said, unreadable
from ingestion.imports.history import Format, History, read_csv_records
from ingestion.imports.sessions import session_context, session_versions

LATENCY: Final = timedelta(minutes=5)
SITES: Final = {
    f"sap:{place}": (f"SAP Labs France, {name}", "Europe/Paris", "EUR")
    for place, name in (("mougins", "Mougins"), ("caen", "Caen"), ("home", "at employees' homes"), ("other", "other"))
}
AT_HOME: Final = "Domicile"
PLACE, STATION, CONNECTOR, TRANSACTION = "Type Lieu de charge", "ID borne", "ID connecteur borne", "ID transaction"
START, END = "Date demarrage", "Date fin"
SOC_START, SOC_END = "Charge batterie demarrage (%)", "Charge batterie fin (%)"
IDLE_S, PRICE, CURRENCY, ENERGY_WH = (
    "Duree inactivite totale (s)", "Prix total", "Devise prix total", "Consommation totale (Wh)",
)  # fmt: skip
COLUMNS: Final = (
    PLACE, STATION, CONNECTOR, TRANSACTION, START, END, SOC_START, SOC_END, IDLE_S, PRICE, CURRENCY, ENERGY_WH,
)  # fmt: skip


def _unknown_soc(field: str) -> Check:
    return Check("soc_zero_is_unknown", pl.col(field) == 0, pl.lit(f"{field} is 0"), field=field)


CHECKS: Final = (
    missing("station_id", STATION),
    missing("connector_id", CONNECTOR),
    missing("transaction_id", TRANSACTION),
    missing("started_at", START),
    unreadable("ended_at", END),
    Check("ends_before_start", pl.col("ended_at") < pl.col("started_at"), said("{} is before {}", END, START)),
    unreadable("energy_kwh", ENERGY_WH),
    Check("negative_energy", pl.col("energy_kwh") < 0, said("{} Wh", ENERGY_WH), field="energy_kwh"),
    unreadable("soc_start_pct", SOC_START),
    unreadable("soc_end_pct", SOC_END),
    _unknown_soc("soc_start_pct"),
    _unknown_soc("soc_end_pct"),
    unreadable("idle_min", IDLE_S),
    Check(
        "idle_longer_than_session",
        pl.col("idle_min") * 60 > (pl.col("ended_at") - pl.col("started_at")).dt.total_seconds() + 1,
        said("idle for {} s between {} and {}", IDLE_S, START, END),
        field="idle_min",
    ),
    unreadable("price_total", PRICE),
)


def read(files: Sequence[Path]) -> History:
    """Read charging transactions.

    Raises:
        ingestion.columns.UnreadableError: a file is no CSV of this set.
        core.settings.MissingSecretError: stations at homes cannot be pseudonymised without a key.
    """
    records = read_csv_records(files, COLUMNS)
    sessions, rejected = check(_typed(records), CHECKS, entity="charging_transaction")
    versions = session_versions(sessions, latency=LATENCY)
    return History(records, {"charging_transaction": versions}, rejected, session_context(sessions, SITES))


def _typed(records: pl.DataFrame) -> pl.DataFrame:
    """Return the records with canonical columns beside their own."""
    homes = records.filter(pl.col(PLACE) == AT_HOME)[STATION].drop_nulls().unique().sort()
    names = pl.col(STATION).replace({name: f"home-{keyed_hash(name)}" for name in homes})
    # Only a fast charger can ask the car for its SoC: a station that ever reports one is direct current.
    is_dc = (number(SOC_END) > 0).any().over(STATION)
    return records.with_columns(
        station_id=pl.concat_str(pl.lit("sap:"), names),
        connector_id=number(CONNECTOR).cast(pl.Int64, strict=False),
        transaction_id=pl.col(TRANSACTION),
        site_id=pl.concat_str(pl.lit("sap:"), _place()),
        started_at=offset_instant(START),
        ended_at=offset_instant(END),
        energy_kwh=number(ENERGY_WH) / 1000,
        metering_point=pl.when(is_dc).then(pl.lit("evse_dc_out")).otherwise(pl.lit("evse_ac_out")),
        soc_start_pct=number(SOC_START),
        soc_end_pct=number(SOC_END),
        idle_min=number(IDLE_S) / 60,
        price_total=number(PRICE),
        currency=pl.col(CURRENCY),
        current_type=pl.when(is_dc).then(pl.lit("dc")).otherwise(pl.lit("ac")),
    )


def _place() -> pl.Expr:
    """Return the town that a station's name holds (SAP-Town-07), ``home``, or ``other`` for an unknown town."""
    town = pl.col(STATION).str.extract(r"^SAP-(Mougins|Caen)-").str.to_lowercase().fill_null("other")
    return pl.when(pl.col(PLACE) == AT_HOME).then(pl.lit("home")).otherwise(town)


FORMAT: Final = Format(
    "sap",
    read,
    patterns=("sessions*.csv",),
    latency=LATENCY,
    title="charging sessions of SAP Labs France, 2017 to 2019",
    private=(STATION,),
)
