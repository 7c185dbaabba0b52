"""The landing zone: append-only versions of canonical rows in Parquet, the truth that all else derives from.

Layout: ``<root>/<entity>/source=<source>/date=<UTC date of observed_at>/<content hash>.parquet``. A write is
idempotent by content: rows that are already there are counted as duplicates and not written again, so a step that was
killed is simply run again. Readers never lock; writers of one entity and source take turns.
"""

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path

import polars as pl

from core.entities import ENTITIES
from core.files import sha256_hex, write_bytes_atomic
from core.locks import file_lock
from core.schema import Entity

EMPTY_SOURCE = "_schema"
EMPTY_DATE = date(1970, 1, 1)
SMALL_FILE_BYTES = 32 * 1024
"""Files up to this size cost more to open than to keep; they never change, so a process opens each once."""

MOST_KEPT = 2048


class LandingError(ValueError):
    """The rows do not fit the entity they are meant for."""


@dataclass(frozen=True, slots=True)
class LandingReport:
    """What became of the rows given: ``landed`` new versions and ``duplicates`` of versions already there."""

    landed: int = 0
    duplicates: int = 0

    def __add__(self, other: "LandingReport") -> "LandingReport":
        return LandingReport(self.landed + other.landed, self.duplicates + other.duplicates)


class Landing:
    """Reads and writes canonical rows below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Write a zero-row file for every entity, so that an entity nobody has fed can still be read."""
        for entity in ENTITIES.values():
            path = self._folder(entity, EMPTY_SOURCE, EMPTY_DATE) / "schema.parquet"
            data = _parquet_bytes(entity.empty())
            if not path.exists() or path.read_bytes() != data:
                write_bytes_atomic(path, data)

    def append(self, entity_name: str, rows: pl.DataFrame, *, source: str) -> LandingReport:
        """Land rows that are not there yet.

        Args:
            entity_name: Name of a canonical entity.
            rows: Its columns; a missing column is NULL, a column that the entity does not know is refused.
            source: Source contract, or the format of an import.

        Raises:
            LandingError: a column is unknown, of the wrong type, or a required one holds NULL.
        """
        entity = ENTITIES[entity_name]
        fitted = _fit(entity, rows)
        if fitted.is_empty():
            return LandingReport()
        with file_lock(self.root / ".locks" / f"{entity.name}.{source}.lock"):
            new = fitted.filter(self._is_new(entity, source, fitted))
            for day, part in new.group_by(pl.col("observed_at").dt.date(), maintain_order=True):
                name = sha256_hex(_parquet_bytes(part.drop("ingested_at")))[:32]
                write_bytes_atomic(self._folder(entity, source, day[0]) / f"{name}.parquet", _parquet_bytes(part))
        return LandingReport(new.height, rows.height - new.height)

    def is_new(self, entity_name: str, rows: pl.DataFrame, *, source: str) -> pl.Series:
        """Say for each row whether ``append`` would land it: it is not there yet, and not given twice.

        Raises:
            LandingError: as ``append``.
        """
        entity = ENTITIES[entity_name]
        return self._is_new(entity, source, _fit(entity, rows))

    def _is_new(self, entity: Entity, source: str, rows: pl.DataFrame) -> pl.Series:
        content = entity.content_columns
        days = rows["observed_at"].dt.date().unique().sort()
        files = [file for day in days for file in _parquet_files(self._folder(entity, source, day))]
        new = rows.select(content).with_row_index("_row").unique(content, keep="first", maintain_order=True)
        if files:
            there = _rows_of(entity, files).select(content).collect(engine="in-memory")
            new = new.join(there, on=content, how="anti", nulls_equal=True, maintain_order="left")
        return pl.int_range(rows.height, eager=True).is_in(new["_row"].implode())

    def scan(self, entity_name: str, *, since: datetime | None = None) -> pl.LazyFrame:
        """Return all versions of all sources, with ``source`` and the partition's ``date``.

        Args:
            entity_name: Name of a canonical entity.
            since: Only rows observed at or after it.
        """
        entity = ENTITIES[entity_name]
        rows = _rows_of(entity, self._files(entity, None if since is None else since.astimezone(UTC).date()))
        return rows if since is None else rows.filter(pl.col("observed_at") >= since)

    def _files(self, entity: Entity, since: date | None) -> Iterator[os.DirEntry[str]]:
        """Yield the entity's files in order; without those of days before ``since``."""
        first = f"date={'' if since is None else since.isoformat()}"
        for source in _entries(self.root / entity.name, "source="):
            for day in _entries(source, "date="):
                if day.name >= first:
                    yield from _parquet_files(day)

    def read(
        self,
        entity_name: str,
        *,
        as_of: datetime | None = None,
        since: datetime | None = None,
        sources: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Return the latest version of every row that was available at ``as_of``, sorted by key.

        Args:
            entity_name: Name of a canonical entity.
            as_of: Only versions with ``available_at`` at or before it; without it, all that is known.
            since: Only rows observed at or after it.
            sources: Only these sources.
        """
        entity = ENTITIES[entity_name]
        frame = self.scan(entity_name, since=since)
        if as_of is not None:
            frame = frame.filter(pl.col("available_at") <= as_of)
        if sources is not None:
            frame = frame.filter(pl.col("source").is_in(list(sources)))
        key = [*entity.key, "source"]
        return (
            frame.sort([*key, "available_at", "observed_at", "ingested_at"], maintain_order=True)
            .unique(key, keep="last", maintain_order=True)
            .drop("date")
            .collect(engine="in-memory")
        )

    def _folder(self, entity: Entity, source: str, day: date) -> Path:
        return self.root / entity.name / f"source={source}" / f"date={day.isoformat()}"


def _entries(folder: os.PathLike[str], prefix: str = "") -> list[os.DirEntry[str]]:
    """Return what a folder holds, in order; nothing where it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return sorted((one for one in entries if one.name.startswith(prefix)), key=lambda one: one.name)
    except FileNotFoundError:
        return []


def _parquet_files(folder: os.PathLike[str]) -> list[os.DirEntry[str]]:
    return [file for file in _entries(folder) if file.name.endswith(".parquet")]


def _rows_of(entity: Entity, files: Iterable[os.DirEntry[str]]) -> pl.LazyFrame:
    """Return the rows of files, with ``source`` and ``date`` of their folders."""
    kept, large = [_no_rows(entity.name)], list[str]()
    for file in files:
        status = file.stat()
        if status.st_size <= SMALL_FILE_BYTES:
            kept.append(_small_file(file.path, status.st_mtime_ns, entity.name))
        else:
            large.append(file.path)
    small = pl.concat(kept, rechunk=False).lazy()
    return pl.concat([small, _scan_files(large, entity)]) if large else small


@lru_cache(maxsize=MOST_KEPT)
def _small_file(path: str, changed_ns: int, entity_name: str) -> pl.DataFrame:  # noqa: ARG001  names the content
    return _scan_files([path], ENTITIES[entity_name]).collect(engine="in-memory")


@lru_cache
def _no_rows(entity_name: str) -> pl.DataFrame:
    return pl.DataFrame(schema=_schema(ENTITIES[entity_name]))


def _scan_files(paths: list[str], entity: Entity) -> pl.LazyFrame:
    return pl.scan_parquet(
        paths,
        hive_partitioning=True,
        hive_schema={"source": pl.String(), "date": pl.Date()},
        missing_columns="insert",
        schema=_schema(entity),
    )


def _schema(entity: Entity) -> pl.Schema:
    return pl.Schema({**entity.schema, "source": pl.String(), "date": pl.Date()})


def _fit(entity: Entity, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with exactly the entity's columns and types."""
    unknown = [name for name in rows.columns if name not in entity.all_columns]
    if unknown:
        raise LandingError(f"{entity.name} has no columns {unknown}")
    columns = [
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(column.dtype).alias(name)
        for name, column in entity.all_columns.items()
    ]
    try:
        fitted = rows.select(columns) if rows.width else entity.empty()
    except pl.exceptions.PolarsError as error:
        raise LandingError(f"{entity.name}: {error}") from error
    for name, column in entity.all_columns.items():
        if column.required and fitted[name].null_count():
            raise LandingError(f"{entity.name}.{name} is NULL in {fitted[name].null_count()} rows; it is required")
    return fitted


def _parquet_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()
