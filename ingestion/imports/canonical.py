"""Our own rows: CSV or Parquet files of canonical entities, each named after its entity.

``observed_at`` is required; without ``available_at`` a row was known at once. ``ingested_at``, ``source`` and ``date``
of an export are left behind: they are this import's own.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl
import polars.selectors as cs

from core.entities import ENTITIES
from core.schema import INSTANT, Dtype, Entity
from ingestion.columns import (
    REJECTED,
    UnreadableError,
    check,
    missing,
    number,
    numbered,
    offset_instant,
    read_csv_text,
    unreadable,
)
from ingestion.imports.history import RECORD_REF, Format, History
from ingestion.providers.base import RECORD

SUFFIXES: Final = (".csv", ".csv.gz", ".parquet")
OWN: Final = ("ingested_at", "source", "date")
RAW: Final = "raw:"
TRUTHS: Final = {"true": True, "false": False, "1": True, "0": False}


def read(files: Sequence[Path]) -> History:
    """Read canonical rows.

    Raises:
        ingestion.columns.UnreadableError: a file is named after no entity, or has columns that its entity lacks.
    """
    tables = [_text(file) for file in files]
    records = numbered(pl.concat(tables, how="diagonal"))
    rows: dict[str, pl.DataFrame] = {}
    rejected = [REJECTED.to_frame()]
    first = 0
    for file, table in zip(files, tables, strict=True):
        entity = _entity(file)
        part = records.slice(first, table.height).select(
            RECORD, *(name for name in table.columns if name != RECORD_REF)
        )
        good, bad = _typed(part, entity)
        rows[entity.name] = pl.concat([rows[entity.name], good], how="diagonal") if entity.name in rows else good
        rejected.append(bad)
        first += table.height
    return History(records, rows, pl.concat(rejected))


def _entity(file: Path) -> Entity:
    name = file.name.split(".")[0]
    if name not in ENTITIES:
        raise UnreadableError(f"{file.name} is named after no entity; there are {', '.join(sorted(ENTITIES))}")
    return ENTITIES[name]


def _text(file: Path) -> pl.DataFrame:
    """Return a file's rows as text with the place that each came from; columns that it may not have are refused."""
    entity = _entity(file)
    table = _read_parquet(file) if file.suffix == ".parquet" else read_csv_text(file, (), name=file.name)
    kept = table.drop(OWN, strict=False)
    unknown = [name for name in kept.columns if name not in entity.all_columns]
    absent = [name for name in (*entity.key, "observed_at") if name not in kept.columns]
    if unknown or absent:
        raise UnreadableError(f"{file.name}: columns {unknown} are none of {entity.name}, {absent} are missing")
    refs = kept.with_row_index("line", offset=2)
    return refs.select(pl.concat_str(pl.lit(f"{file.name}:"), "line").alias(RECORD_REF), pl.exclude("line"))


def _read_parquet(file: Path) -> pl.DataFrame:
    try:
        table = pl.read_parquet(file, hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UnreadableError(f"{file.name} cannot be read as Parquet: {error}") from error
    iso = pl.col(INSTANT).dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
    return table.with_columns(pl.col(pl.Datetime).cast(INSTANT)).with_columns(iso).cast(pl.String)


def _typed(part: pl.DataFrame, entity: Entity) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return text rows with the entity's types; what cannot be read is NULL with a reason, or refused in a key."""
    names = [name for name in part.columns if name != RECORD]
    raw = part.rename({name: RAW + name for name in names})
    typed = raw.with_columns(_value(RAW + name, entity.all_columns[name].dtype).alias(name) for name in names)
    rules = [
        missing(name, RAW + name) if entity.all_columns[name].required else unreadable(name, RAW + name)
        for name in names
    ]
    if "available_at" not in names:
        typed = typed.with_columns(available_at=pl.col("observed_at"))
    kept, rejected = check(typed, rules, entity=entity.name)
    return kept.drop(cs.starts_with(RAW)), rejected


def _value(text: str, dtype: Dtype) -> pl.Expr:
    if dtype == INSTANT:
        return offset_instant(text)
    if dtype == pl.Date:
        return pl.col(text).str.to_date("%Y-%m-%d", strict=False)
    if dtype == pl.Boolean:
        return pl.col(text).str.to_lowercase().replace_strict(TRUTHS, default=None, return_dtype=pl.Boolean)
    if dtype == pl.Int64:
        return number(text).cast(pl.Int64, strict=False)
    return number(text) if dtype == pl.Float64 else pl.col(text)


FORMAT: Final = Format(
    "canonical",
    read,
    patterns=tuple(f"{name}{suffix}" for name in ENTITIES for suffix in SUFFIXES),
    latency=timedelta(),
    title="canonical rows, a file per entity",
)
