"""Payloads of OCPP 1.6 as flat tables: starts, the answers that number them, stops, statuses, samples.

Types and defaults of the protocol are settled here, and whether a station's clock can be believed. Units, phases and
what a transaction is come later.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from core.schema import INSTANT
from ingestion.charging.frames import CALL, RESULT, decode
from ingestion.columns import Check, check, offset_instant, said
from ingestion.providers.base import RECORD

CLOCKS_SET_SINCE: Final = datetime(2010, 1, 1, tzinfo=UTC)  # before OCPP 1.6 there was nothing to report
CLOCK_AHEAD: Final = timedelta(minutes=5)
OFFLINE_IDS: Final = ("-1", "0", "9223372036854775807")
"""Ids that stand for "none": an offline start, an idle meter, the greatest long."""

SAMPLED: Final = (
    '[{"value": "VARCHAR", "context": "VARCHAR", "format": "VARCHAR", "measurand": "VARCHAR", "phase": "VARCHAR",'
    ' "location": "VARCHAR", "unit": "VARCHAR"}]'
)
METERED: Final = f'[{{"timestamp": "VARCHAR", "sampledValue": {SAMPLED}}}]'
START: Final = '{"connectorId": "BIGINT", "idTag": "VARCHAR", "meterStart": "DOUBLE", "timestamp": "VARCHAR"}'
ANSWER: Final = '{"transactionId": "VARCHAR"}'
STOP: Final = (
    '{"transactionId": "VARCHAR", "idTag": "VARCHAR", "meterStop": "DOUBLE", "timestamp": "VARCHAR",'
    f' "reason": "VARCHAR", "transactionData": {METERED}}}'
)
STATUS: Final = '{"connectorId": "BIGINT", "status": "VARCHAR", "errorCode": "VARCHAR", "timestamp": "VARCHAR"}'
METER: Final = f'{{"connectorId": "BIGINT", "transactionId": "VARCHAR", "meterValue": {METERED}}}'

NAMES: Final = {
    "connectorId": "connector_id",
    "transactionId": "transaction_id",
    "idTag": "token",
    "meterStart": "meter_start_wh",
    "meterStop": "meter_stop_wh",
    "errorCode": "error_code",
}
FRAME_COLUMNS: Final = ("at", "station_id", "connection_id", "uid")

CLOCK_CHECKS: Final = (
    Check(
        "clock_unreadable",
        pl.col("stated_at").is_null() & pl.col("timestamp").is_not_null(),
        said("timestamp is {}", "timestamp"),
        field="stated_at",
    ),
    Check(
        "clock_never_set",
        pl.col("stated_at") < CLOCKS_SET_SINCE,
        said("the station says {}, it was {}", "timestamp", "at"),
        field="stated_at",
    ),
    Check(
        "clock_ahead",
        pl.col("stated_at") > pl.col("at") + CLOCK_AHEAD,
        said("the station says {}, it was {}", "timestamp", "at"),
        field="stated_at",
    ),
)


def calls(frames: pl.DataFrame, action: str, shape: str) -> pl.DataFrame:
    """Return what stations asked with one action, decoded, with the frame's own columns beside."""
    asked = frames.filter(pl.col("is_from_station"), pl.col("kind") == CALL, pl.col("action") == action)
    return decode(asked, shape, keep=FRAME_COLUMNS).rename(NAMES, strict=False)


def answers(frames: pl.DataFrame) -> pl.DataFrame:
    """Return the answers that number a transaction; an answer does not say what it answers."""
    numbers = pl.col("payload").str.contains('"transactionId"', literal=True)
    given = frames.filter(~pl.col("is_from_station"), pl.col("kind") == RESULT, numbers)
    return decode(given, ANSWER, keep=FRAME_COLUMNS).rename(NAMES, strict=False).drop_nulls("transaction_id")


def timed(messages: pl.DataFrame, *, entity: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add ``observed_at`` to messages with ``timestamp`` and ``at``.

    A clock that cannot be believed gives way to the instant of the log, with a reason; ``entity`` is what the messages
    would become.
    """
    believed, rejected = check(messages.with_columns(stated_at=_stated_at()), CLOCK_CHECKS, entity=entity)
    return believed.with_columns(observed_at=pl.coalesce("stated_at", "at")).drop("stated_at"), rejected


def readings(messages: pl.DataFrame, values: str) -> pl.DataFrame:
    """Return one row per reading (an instant with sampled values) that messages carry in the list ``values``."""
    one_by_one = messages.drop("timestamp", strict=False).explode(values).drop_nulls(values)
    return one_by_one.with_columns(reading=pl.int_range(pl.len()).over(RECORD)).unnest(values)


def _stated_at() -> pl.Expr:
    """Read a station's stamp; without a zone it is UTC, as the protocol advises."""
    zoneless = pl.col("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    return pl.coalesce(offset_instant("timestamp"), zoneless.dt.replace_time_zone("UTC")).cast(INSTANT)
