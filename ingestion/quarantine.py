"""Records that cannot be trusted, as rows of ``quarantined_row``: what came, why it is not believed, nothing private.

A record is named by a hash of its content, so that the same record fetched twice is quarantined once.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import polars as pl

from core.files import sha256_hex
from core.schema import INSTANT
from ingestion.providers.base import RECORD
from ingestion.quality.rules import CLOCK_SKEW, EARLIEST_AT

PRIVATE: Final = frozenset(
    {
        # where somebody was
        "latitude", "longitude", "lat", "lon", "lng", "x", "y", "heading", "gnssposition", "position", "location",
        "stoppoint", "address",
        # who it was
        "driver", "driverid", "driver1id", "driver2id", "user", "username", "userid", "useremail", "idtag",
        "parentidtag", "idtoken", "groupidtoken",
        # what nobody may know
        "password", "token", "authorizationkey", "credentials", "sessionid",
    }
)  # fmt: skip


def quarantined_rows(
    rejected: pl.DataFrame,
    record_of: Callable[[int], tuple[str, object]],
    times: pl.DataFrame,
    *,
    as_of: datetime,
    is_restricted: bool,
) -> pl.DataFrame:
    """Return one row per rejected record, or field of it, and reason.

    Args:
        rejected: Schema ``ingestion.columns.REJECTED``.
        record_of: Gives the name of a record's page, and the record as it came.
        times: ``RECORD``, ``observed_at`` and ``available_at`` of records that told them.
        as_of: The run's instant, which stands in where a record's own time cannot be believed.
        is_restricted: The source's records are personal data.
    """
    entries = [_entry(row, *record_of(row[RECORD])) for row in rejected.iter_rows(named=True)]
    schema = {RECORD: pl.Int64, **dict.fromkeys(("entity", "reason", "detail", "record_ref", "record_json"), pl.String)}
    believable = pl.col("observed_at").is_between(EARLIEST_AT, as_of + CLOCK_SKEW) & (
        pl.col("available_at") >= EARLIEST_AT
    )
    known = times.filter(believable).unique(RECORD, keep="first", maintain_order=True)
    stand_in = pl.lit(as_of, INSTANT)
    return (
        pl.DataFrame(entries, schema=schema)
        .join(known, on=RECORD, how="left", maintain_order="left")
        .drop(RECORD)
        .with_columns(pl.col("observed_at", "available_at").fill_null(stand_in), is_restricted=pl.lit(is_restricted))
        .unique(["entity", "record_ref", "reason"], keep="first", maintain_order=True)
    )


def _entry(row: dict[str, Any], page: str, record: object) -> dict[str, Any]:
    whole = json.dumps(record, sort_keys=True, default=str)
    outcome = "; the field is left empty" if row["field_only"] else ""
    return {
        RECORD: row[RECORD],
        "entity": row["entity"],
        "reason": row["reason"],
        "detail": f"{row['detail']}{outcome}",
        "record_ref": f"{page}:{sha256_hex(whole.encode())[:24]}",
        "record_json": json.dumps(without_private(record), sort_keys=True, default=str),
    }


def without_private(value: object) -> object:
    """Return a decoded record without positions, people and secrets, at any depth."""
    if isinstance(value, dict):
        return {key: without_private(inner) for key, inner in value.items() if str(key).casefold() not in PRIVATE}
    if isinstance(value, list | tuple):
        return [without_private(inner) for inner in value]
    return value
