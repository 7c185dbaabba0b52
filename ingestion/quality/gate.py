"""The gate between parsed rows and the landing zone: all rules of an entity, applied to a batch."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import polars as pl

from core.entities import ENTITIES
from ingestion.columns import check
from ingestion.quality.plausibility import (
    BASE_AT,
    BASE_KM,
    BATTERY_KWH,
    NOTHING_KNOWN,
    PLAUSIBILITY,
    Known,
    with_known,
)
from ingestion.quality.rules import row_rules

HELPERS: Final = (BASE_AT, BASE_KM, BATTERY_KWH)


def split(
    entity_name: str,
    rows: pl.DataFrame,
    *,
    as_of: datetime,
    known_of: Callable[[pl.DataFrame], Known] = lambda _rows: NOTHING_KNOWN,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tell rows that can be trusted from those that cannot.

    Args:
        entity_name: Canonical entity of the rows.
        rows: Its columns and ``RECORD``.
        as_of: The run's instant; what was observed later is impossible.
        known_of: Looks up what plausibility depends on beyond the batch, for rows with a sane key and time.

    Returns:
        The rows that land (a bad field is NULL in them), and what was rejected (``ingestion.columns.REJECTED``).
    """
    entity = ENTITIES[entity_name]
    good, rejected = check(rows, row_rules(entity, rows.columns, as_of=as_of), entity=entity_name)
    rules = PLAUSIBILITY[entity_name](rows.columns) if entity_name in PLAUSIBILITY else []
    if not rules or good.is_empty():
        return good, rejected
    good, implausible = check(with_known(good, known_of(good)), rules, entity=entity_name)
    return good.drop(HELPERS, strict=False), pl.concat([rejected, implausible])
