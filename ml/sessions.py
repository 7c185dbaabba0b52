"""Charging sessions: what was known at plug-in, what came of it, and when that became known.

Frames in, frames out. A session is asked about once, at plug-in, with the message that told of it; a session that
lasts has no outcome yet.
"""

from typing import Final

import polars as pl

from ml.cycles import local_date

KEY: Final = ("station_id", "connector_id", "transaction_id", "started_at")
AT_PLUG_IN: Final = (
    "site_id",
    "soc_start_pct",
    "token",
    "user_id",
    "vehicle_id",
    "requested_kwh",
    "stated_departure_at",
)


def charging_sessions(transactions: pl.DataFrame, matches: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Return one row per session, sorted by start.

    ``AT_PLUG_IN`` holds what the first message said, the vehicle also from a match made by then; ``ended_at``,
    ``energy_kwh`` and ``known_at`` come from the first version that knew the end (NULL while it lasts). A session
    whose only version is its end said nothing at plug-in.

    Args:
        transactions: Versions of ``charging_transaction``, oldest knowledge first.
        matches: Versions of ``session_match``, oldest knowledge first.
        timezone: IANA zone of ``operating_date``, the local date of the plug-in.
    """
    key = list(KEY)
    first = transactions.unique(key, keep="first", maintain_order=True)
    is_end = pl.col("ended_at").is_not_null()
    said = [pl.when(~is_end).then(name).alias(name) for name in AT_PLUG_IN if name != "site_id"]
    told = first.select(*key, "site_id", *said, first_told_at="available_at")
    complete = transactions.filter(pl.col("ended_at") > pl.col("started_at")).unique(
        key, keep="first", maintain_order=True
    )
    ends = complete.select(*key, "ended_at", "energy_kwh", known_at="available_at")
    matched = matches.unique(key, keep="first", maintain_order=True).select(
        *key, matched_vehicle_id="vehicle_id", matched_at="available_at"
    )
    in_time = pl.col("matched_at") <= pl.col("first_told_at")
    return (
        told.join(ends, on=key, how="left", maintain_order="left")
        .join(matched, on=key, how="left", maintain_order="left")
        .with_columns(
            vehicle_id=pl.coalesce("vehicle_id", pl.when(in_time).then("matched_vehicle_id")),
            user_id=pl.coalesce("user_id", "token", "vehicle_id", pl.when(in_time).then("matched_vehicle_id")),
            operating_date=local_date(pl.col("started_at"), timezone),
        )
        .drop("matched_vehicle_id", "matched_at", "token")
        .sort(key)
    )


def session_questions(sessions: pl.DataFrame) -> pl.DataFrame:
    """Return a question for each session, asked at plug-in: row_key, subject_id, predicted_at, stage, and the session.

    The stage is the site: intervals are calibrated per site.
    """
    subject = pl.concat_str("station_id", pl.col("connector_id").cast(pl.String), "transaction_id", separator="/")
    moment = pl.col("started_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return sessions.with_columns(
        subject_id=subject,
        row_key=subject + "@" + moment,
        predicted_at="started_at",
        stage=pl.col("site_id").fill_null("unknown"),
    ).sort("predicted_at", "row_key")
