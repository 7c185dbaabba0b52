"""Rows that meet versions already landed: parts of a snapshot become one, corrections become later versions.

Pure: what was landed is an argument. Records that come again bring nothing new, so that a run which was killed can
simply be started again.
"""

from datetime import datetime
from typing import Final

import polars as pl

from core.entities import ENTITIES
from core.schema import INSTANT
from ingestion.providers.base import RECORD

LANDED: Final = "_landed"


def merge_snapshots(rows: pl.DataFrame, landed: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """Merge samples of one vehicle and instant into one row, on top of the version landed last.

    A field counts where it fills a NULL, or was available later than the landed version and differs. Of two in the
    batch the later available one counts, and of those the first.

    Args:
        rows: ``vehicle_snapshot`` columns and ``RECORD``.
        landed: Latest landed versions of at least these keys.

    Returns:
        New versions, and the numbers of the records that brought something.
    """
    entity = ENTITIES["vehicle_snapshot"]
    fields = [name for name in entity.columns if name not in entity.key]
    content = [*entity.key, *fields]
    names = [*content, "available_at"]
    complete = rows.select(RECORD, *(_column(rows, name).cast(entity.schema[name]).alias(name) for name in names))
    joined = complete.filter(pl.struct(content).is_first_distinct()).join(
        landed.select(names), on=entity.key, how="left", suffix=LANDED, maintain_order="left"
    )
    bringing = joined.with_columns(pl.when(_brings(name)).then(pl.col(name)).alias(name) for name in fields).filter(
        pl.col(f"available_at{LANDED}").is_null() | pl.any_horizontal(pl.col(name).is_not_null() for name in fields)
    )
    merged = (
        bringing.sort([*entity.key, "available_at", RECORD], descending=[False] * len(entity.key) + [True, False])
        .group_by(entity.key, maintain_order=True)
        .agg(*(_merged(name) for name in fields), _latest("available_at"))
    )
    return merged, bringing[RECORD]


def _column(rows: pl.DataFrame, name: str) -> pl.Expr:
    return pl.col(name) if name in rows.columns else pl.lit(None)


def _brings(name: str) -> pl.Expr:
    """Say whether a sample's field fills or corrects the landed version."""
    landed = pl.col(f"{name}{LANDED}")
    is_later = pl.col("available_at") > pl.col(f"available_at{LANDED}")
    return landed.is_null() | (is_later & pl.col(name).ne_missing(landed))


def _merged(name: str) -> pl.Expr:
    landed = pl.col(f"{name}{LANDED}").first()
    return pl.coalesce(pl.col(name).drop_nulls().first(), landed).alias(name)


def _latest(name: str) -> pl.Expr:
    return pl.max_horizontal(pl.col(name).max(), pl.col(f"{name}{LANDED}").first()).alias(name)


def as_corrections(rows: pl.DataFrame, landed: pl.DataFrame, *, as_of: datetime) -> pl.DataFrame:
    """Return trips as versions that follow those landed: what changed afterwards was not known before ``as_of``.

    A trip that is given again unchanged is left out. Of several states of one trip with one time of availability the
    last counts.

    Args:
        rows: ``trip`` columns and ``RECORD``, in the provider's order.
        landed: Latest landed versions of at least these keys.
        as_of: The run's instant.
    """
    entity = ENTITIES["trip"]
    content = [name for name in entity.columns if name in rows.columns]
    latest = rows.unique([*entity.key, "available_at"], keep="last", maintain_order=True)
    new = latest.join(landed, on=content, how="anti", nulls_equal=True, maintain_order="left")
    known = landed.select(*entity.key, pl.col("available_at").alias(LANDED))
    is_late = pl.col("available_at") <= pl.col(LANDED)
    return (
        new.join(known, on=entity.key, how="left", maintain_order="left")
        .with_columns(available_at=pl.when(is_late).then(pl.lit(as_of, INSTANT)).otherwise(pl.col("available_at")))
        .drop(LANDED)
    )
