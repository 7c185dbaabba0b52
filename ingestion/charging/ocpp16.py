"""OCPP 1.6 frames become transactions, meter values and statuses of connectors; pure.

Parsing a page needs what earlier pages left open (``carry``). Parsing the same page again with the same carry gives the
same rows, so a page that is read twice lands once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from ingestion.charging import messages, transactions
from ingestion.charging.meter_values import QUANTITIES, labelled_right, meter_rows
from ingestion.charging.transactions import Book
from ingestion.columns import Check, check, missing, said
from ingestion.providers.base import RECORD

STATUSES: Final = {
    "Available": "available",
    "Preparing": "preparing",
    "Charging": "charging",
    "SuspendedEVSE": "suspended_evse",
    "SuspendedEV": "suspended_ev",
    "Finishing": "finishing",
    "Reserved": "reserved",
    "Unavailable": "unavailable",
    "Faulted": "faulted",
}
POINTS: Final = {"ac": "evse_ac_out", "dc": "evse_dc_out"}
CONNECTOR: Final = pl.Schema(
    {"station_id": pl.String(), "connector_id": pl.Int64(), "site_id": pl.String(), "current_type": pl.String()}
)
NO_CONNECTORS: Final = CONNECTOR.to_frame()
TIMES: Final = ("observed_at", "available_at")
METER_ROW: Final = (RECORD, "station_id", "connector_id", "transaction_id", *TIMES, *QUANTITIES)
STATUS_ROW: Final = (RECORD, "station_id", "connector_id", *TIMES, "status", "error_code")

METER_CHECKS: Final = (
    missing("connector_id"),
    Check(
        "transaction_id_placeholder",
        pl.col("transaction_id").is_in(messages.OFFLINE_IDS),
        said("transaction {}", "transaction_id"),
        field="transaction_id",
    ),
)
STATUS_CHECKS: Final = (
    missing("connector_id"),
    Check(
        "status_unknown", ~pl.col("status").is_in(list(STATUSES)).fill_null(value=False), said("status {}", "status")
    ),
)


@dataclass(frozen=True, slots=True)
class FramesRead:
    """What frames held.

    Attributes:
        rows: By entity: canonical columns without ``ingested_at``, and ``RECORD``.
        rejected: What could not be trusted (schema ``ingestion.columns.REJECTED``).
        carry: What reading the next frames needs.
        unanswered: Starts of these frames that no answer numbered yet: ``RECORD`` and more.
    """

    rows: Mapping[str, pl.DataFrame]
    rejected: pl.DataFrame
    carry: Mapping[str, Any]
    unanswered: pl.DataFrame


def read_ocpp16(
    frames: pl.DataFrame, *, carry: Mapping[str, Any] | None = None, connectors: pl.DataFrame = NO_CONNECTORS
) -> FramesRead:
    """Turn frames into canonical rows.

    Args:
        frames: Schema ``ingestion.charging.frames.FRAME``, in order of the log; tokens as they are to be landed.
        carry: What reading the frames before these left.
        connectors: Schema ``CONNECTOR``: site and current type of those that are known.
    """
    book = Book.from_carry(carry or {})
    starts, bad_starts = _starts(frames)
    stops, bad_stops = _stops(frames)
    entries, unanswered = transactions.number_starts(book, starts, messages.answers(frames))
    matched = transactions.match_stops(stops, entries)
    meters, bad_meters = _meters(frames, matched, entries)
    evidence = transactions.gathered(book.evidence, meters)
    began, repeated = transactions.start_versions(entries)
    ended, bad_ends = transactions.end_versions(matched, evidence)
    left, unstopped = transactions.unstopped_versions(entries, matched, evidence)
    statuses, bad_statuses = _statuses(frames)
    versions = pl.concat([began, ended, left], how="diagonal").sort(RECORD, "observed_at", maintain_order=True)
    rows = {
        "charging_transaction": _placed(versions, connectors),
        "meter_value": meters.select(METER_ROW).filter(pl.any_horizontal(pl.col(QUANTITIES).is_not_null())),
        "connector_status": statuses.select(STATUS_ROW),
    }
    after = transactions.closed(entries, pl.concat([ended, left], how="diagonal"), unanswered, evidence)
    rejected = [bad_starts, bad_stops, bad_meters, repeated, bad_ends, unstopped, bad_statuses]
    return FramesRead(rows, pl.concat(rejected), after.to_carry(), unanswered.drop_nulls(RECORD))


def _starts(frames: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    asked = messages.calls(frames, "StartTransaction", messages.START)
    kept, refused = check(asked, [missing("connector_id")], entity="charging_transaction")
    timed, clocks = messages.timed(kept, entity="charging_transaction")
    starts = timed.with_columns(started_at="observed_at", meter_start_kwh=pl.col("meter_start_wh") / 1000)
    return starts, pl.concat([refused, clocks])


def _stops(frames: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    asked = messages.calls(frames, "StopTransaction", messages.STOP)
    kept, refused = check(asked, [missing("transaction_id")], entity="charging_transaction")
    timed, clocks = messages.timed(kept.drop("token"), entity="charging_transaction")
    return timed.with_columns(meter_end_kwh=pl.col("meter_stop_wh") / 1000), pl.concat([refused, clocks])


def _meters(frames: pl.DataFrame, stops: pl.DataFrame, entries: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return meter rows of MeterValues and of what stops bring along, with the transaction that each belongs to."""
    asked = messages.calls(frames, "MeterValues", messages.METER)
    kept, refused = check(asked, METER_CHECKS, entity="meter_value")
    columns = [RECORD, "at", "station_id", "connector_id", "transaction_id"]
    of_meters = messages.readings(kept.select(*columns, "meterValue"), "meterValue")
    of_stops = messages.readings(
        stops.filter(pl.col("first_id").is_not_null()).select(*columns, "transactionData"), "transactionData"
    )
    timed, clocks = messages.timed(pl.concat([of_meters, of_stops]), entity="meter_value")
    rows, unread = meter_rows(timed.with_columns(available_at="at"))
    known, mislabelled = labelled_right(transactions.attributed(rows, entries))
    named = known.with_columns(transaction_id=pl.coalesce("first_id", "transaction_id"))
    return named.sort(RECORD, "reading"), pl.concat([refused, clocks, unread, mislabelled])


def _statuses(frames: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    told = messages.calls(frames, "StatusNotification", messages.STATUS)
    kept, refused = check(told, STATUS_CHECKS, entity="connector_status")
    timed, clocks = messages.timed(kept, entity="connector_status")
    rows = timed.with_columns(
        status=pl.col("status").replace(STATUSES),
        error_code=pl.when(pl.col("error_code") != "NoError").then("error_code"),
        available_at=pl.col("at"),
    )
    return rows, pl.concat([refused, clocks])


def _placed(versions: pl.DataFrame, connectors: pl.DataFrame) -> pl.DataFrame:
    """Add site and metering point where the connector is known."""
    joined = versions.join(connectors, on=["station_id", "connector_id"], how="left", maintain_order="left")
    point = pl.col("current_type").replace_strict(POINTS, default=None, return_dtype=pl.String)
    return joined.with_columns(metering_point=point).drop("current_type")
