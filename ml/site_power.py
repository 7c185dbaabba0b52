"""Questions about a site's power in 15-minute slots: its load besides charging, and its solar output.

A slot is asked about some hours ahead, of a fixed ladder that does not depend on what it came to; it is answered when
its metered value became known. Frames in, frames out.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import polars as pl

from ml.dataset import KnownFacts
from ml.features import site_power

LEADS_H: Final = (0.25, 1.0, 3.0, 6.0, 12.0, 24.0, 36.0)
NEAR_H, TODAY_H = 2.0, 12.0


def metered_slots(known: KnownFacts, value: str, *, site_id: str | None) -> pl.DataFrame:
    """Return the metered slots, in the order in which they became known: site_id, slot_at, power_kw, known_at.

    Of a slot that was metered again, the first value counts: a row of the past could know no other.

    Args:
        known: The as-of view of the landing zone.
        value: Column of ``site_load``.
        site_id: Only this site; without it, all.
    """
    versions = known.versions("site_load", columns=[value]).filter(pl.col(value).is_not_null())
    if site_id is not None:
        versions = versions.filter(pl.col("site_id") == site_id)
    first = versions.unique(["site_id", "start_at"], keep="first", maintain_order=True)
    return first.select("site_id", slot_at="start_at", power_kw=value, known_at="available_at").sort(
        "known_at", "slot_at", "site_id"
    )


def closed_power_questions(metered: pl.DataFrame) -> pl.DataFrame:
    """Return a question for each metered slot, asked one of ``LEADS_H`` before it, with what it came to."""
    turn = pl.struct("site_id", "slot_at").hash(3) % len(LEADS_H)
    lead_h = turn.replace_strict(dict(enumerate(LEADS_H)), return_dtype=pl.Float64)
    asked = pl.col("slot_at") - (lead_h * 3600).cast(pl.Int64) * pl.duration(seconds=1)
    return _keyed(metered.with_columns(predicted_at=asked))


def live_power_questions(*, site_id: str, as_of: datetime, starts: Sequence[datetime]) -> pl.DataFrame:
    """Return the questions about coming slots that are to be answered at ``as_of``; outcomes are NULL."""
    instant = pl.Datetime("us", "UTC")
    slots = pl.DataFrame({"slot_at": list(starts)}, schema={"slot_at": instant})
    return _keyed(
        slots.select(
            site_id=pl.lit(site_id),
            slot_at="slot_at",
            power_kw=pl.lit(None, pl.Float64),
            known_at=pl.lit(None, instant),
            predicted_at=pl.lit(as_of).cast(instant),
        )
    )


def _keyed(rows: pl.DataFrame) -> pl.DataFrame:
    """Add ``row_key``, ``subject_id``, ``stage`` and ``horizon``, and sort by when and of what."""
    lead_h = (pl.col("slot_at") - pl.col("predicted_at")).dt.total_seconds() / 3600
    horizon = (
        pl.when(lead_h <= NEAR_H)
        .then(pl.lit("near"))
        .when(lead_h <= TODAY_H)
        .then(pl.lit("today"))
        .otherwise(pl.lit("tomorrow"))
    )
    subject = pl.col("site_id") + "/" + pl.col("slot_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    key = subject + "@" + pl.col("predicted_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return rows.with_columns(subject_id=subject, row_key=key, horizon=horizon, stage=horizon).sort(
        "predicted_at", "row_key"
    )


def power_rows(
    known: KnownFacts,
    value: str,
    *,
    site_id: str | None,
    timezone: str,
    since: datetime | None = None,
    asked: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return finished questions with features, each cut off at its own ``predicted_at``; ``asked`` ones besides.

    Args:
        known: The as-of view of the landing zone.
        value: ``base_load_kw`` or ``pv_kw``.
        site_id: Only this site; without it, all.
        timezone: IANA zone of the site.
        since: Only finished questions asked at or after it.
        asked: Live questions.
    """
    metered = metered_slots(known, value, site_id=site_id)
    questions = closed_power_questions(metered)
    if since is not None:
        questions = questions.filter(pl.col("predicted_at") >= since)
    if asked is not None:
        questions = pl.concat([questions, asked.select(questions.columns)])
    weather = known.versions("weather")
    if site_id is not None and (weather["place_id"] == site_id).any():
        weather = weather.filter(pl.col("place_id") == site_id)
    elif weather["place_id"].n_unique() > 1:
        weather = weather.clear()
    return site_power.add(questions, metered, weather, timezone=timezone)
