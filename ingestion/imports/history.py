"""The shapes of an import: what a set's files hold, what the set promises, and rows as versions in time.

A reader turns files into a ``History`` and touches nothing else. Nothing here lands anything or knows a particular set.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from core.schema import INSTANT
from ingestion.columns import Reading, UnreadableError, numbered, read_csv_text
from ingestion.providers.base import RECORD

KNOWN_SINCE: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""From when sites, connectors and vehicles that a set names count as known: before any of its facts."""

RECORD_REF: Final = "record_ref"


@dataclass(frozen=True, slots=True)
class History(Reading):
    """What the files of a set held.

    ``records`` say in ``RECORD_REF`` where each came from. The first entity of ``rows`` that has rows of a record, and
    its first row there, stand for the record when landed and duplicate records are counted.

    Attributes:
        context: By entity: sites, connectors and vehicles that the records name; they are rows of no record.
    """

    context: Mapping[str, pl.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Format:
    """A set that can be imported.

    Attributes:
        name: Its name on the command line; also the source of its rows and the prefix of its identifiers.
        read: Turns files into a history.
        patterns: Which files of a folder belong to it.
        latency: When we could have known a fact, after it was so.
        title: What the set is, for people.
        private: Columns of its records that are never kept with a quarantined record.
    """

    name: str
    read: Callable[[Sequence[Path]], History]
    patterns: tuple[str, ...]
    latency: timedelta
    title: str
    private: tuple[str, ...] = ()

    def files(self, path: Path) -> list[Path]:
        """Return the file, or the set's files below the folder, sorted.

        Raises:
            UnreadableError: there are none.
        """
        if path.is_file():
            return [path]
        found = sorted({file for pattern in self.patterns for file in path.rglob(pattern) if file.is_file()})
        if not found:
            there = "is no file or folder" if not path.is_dir() else "holds no file named " + " or ".join(self.patterns)
            raise UnreadableError(f"{path} {there}; give the files of {self.name} ({self.title})")
        return found


def read_csv_records(files: Sequence[Path], columns: Sequence[str]) -> pl.DataFrame:
    """Read CSV files as one table of text records, each with the file and line that it came from.

    Raises:
        UnreadableError: a file is no such CSV.
    """
    tables = [
        read_csv_text(file, columns, name=file.name)
        .with_row_index("line", offset=2)
        .select(pl.concat_str(pl.lit(f"{file.name}:"), "line").alias(RECORD_REF), pl.exclude("line"))
        for file in files
    ]
    return numbered(pl.concat(tables, how="diagonal"))


def read_parquet_records(files: Sequence[Path], columns: Sequence[str]) -> pl.DataFrame:
    """Read Parquet files as one table of records with their own types, each with the file and row that it came from.

    Raises:
        UnreadableError: a file is no such Parquet.
    """
    return numbered(pl.concat([_read_parquet(file, columns) for file in files], how="diagonal_relaxed"))


def _read_parquet(file: Path, columns: Sequence[str]) -> pl.DataFrame:
    try:
        table = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UnreadableError(f"{file.name} cannot be read as Parquet: {error}") from error
    absent = [name for name in columns if name not in table.columns]
    if absent:
        raise UnreadableError(f"{file.name} lacks the columns {absent}; it has {table.columns}")
    refs = table.with_row_index("row", offset=1)
    return refs.select(pl.concat_str(pl.lit(f"{file.name}:"), "row").alias(RECORD_REF), pl.exclude("row"))


def as_versions(
    table: pl.DataFrame, *, known_at_start: Sequence[str], ended_at: str, latency: timedelta
) -> pl.DataFrame:
    """Return things that last (trips, transactions) as they were known at their end and at their start.

    Args:
        table: Complete rows with ``started_at``, the column ``ended_at`` and ``RECORD``.
        known_at_start: Columns that were known when it began; the rest is NULL in the earlier version.
        ended_at: Column that holds its end.
        latency: From when it was so to when we could know it.

    Returns:
        The later versions in the order of ``table``, then the earlier ones (none where both instants are equal, or
        where there is no end and the row is the earlier version already).
    """
    last = observed(table, pl.coalesce(ended_at, "started_at"), latency=latency)
    begun = table.filter(pl.col("started_at") < pl.col(ended_at)).select(RECORD, *known_at_start)
    return pl.concat([last, observed(begun, pl.col("started_at"), latency=latency)], how="diagonal")


def observed(table: pl.DataFrame, at: pl.Expr, *, latency: timedelta) -> pl.DataFrame:
    """Add ``observed_at``, and ``available_at`` as that plus the latency."""
    return table.with_columns(observed_at=at.cast(INSTANT)).with_columns(
        available_at=pl.col("observed_at") + pl.lit(latency)
    )


def context(**tables: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return context tables by entity, known since before any fact, sorted."""
    since = pl.lit(KNOWN_SINCE).cast(INSTANT)
    return {
        entity: table.sort(table.columns).with_columns(observed_at=since, available_at=since)
        for entity, table in tables.items()
    }
