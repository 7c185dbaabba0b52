"""Source records as columns: read as text, checked by expressions, told apart into what lands and what does not.

A record is a row with its number in ``RECORD``. Nothing here knows a source or a canonical entity, and nothing loops
over rows. Imports, charging logs and signals are all read this way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from core.schema import INSTANT
from ingestion.providers.base import RECORD, JsonObject, Parsed, Rejected

REJECTED: Final = pl.Schema(
    {
        RECORD: pl.Int64(),
        "entity": pl.String(),
        "reason": pl.String(),
        "detail": pl.String(),
        "field_only": pl.Boolean(),
    }
)


class UnreadableError(ValueError):
    """A file that is not what it is said to be; the message says what was expected and what is there."""


@dataclass(frozen=True, slots=True)
class Check:
    """What makes a record, or with ``field`` one field of it, untrustworthy.

    ``fails`` is true where it does (NULL passes); ``detail`` says it to people, with the value.
    """

    reason: str
    fails: pl.Expr
    detail: pl.Expr
    field: str | None = None


def said(template: str, *columns: str) -> pl.Expr:
    """Fill the ``{}`` of a sentence with the values of columns; an empty one is said to be empty.

    ``pl.format`` would do, but Polars 2.1 panics in it where texts of more than twelve bytes meet shorter ones.
    """
    pieces = template.split("{}")
    values = [pl.col(column).cast(pl.String).fill_null("(empty)") for column in columns]
    return pl.concat_str(
        [part for pair in zip(map(pl.lit, pieces), values, strict=False) for part in pair] + [pl.lit(pieces[-1])]
    )


def check(table: pl.DataFrame, checks: Sequence[Check], *, entity: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Apply checks in order.

    Args:
        table: Records with ``RECORD``.
        checks: A record that fails one without a field leaves the table and meets no further check; a field that fails
            becomes NULL.
        entity: What the records would have become.

    Returns:
        The table that is left, and what was rejected (schema ``REJECTED``).
    """
    rejected = [REJECTED.to_frame()]
    for rule in checks if _any_fails(table, checks) else ():
        fails = rule.fails.fill_null(value=False)
        failing = table.filter(fails)
        if failing.is_empty():
            continue
        rejected.append(
            failing.select(
                pl.col(RECORD).cast(pl.Int64),
                entity=pl.lit(entity),
                reason=pl.lit(rule.reason),
                detail=rule.detail.cast(pl.String),
                field_only=pl.lit(rule.field is not None),
            )
        )
        if rule.field is None:
            table = table.filter(~fails)
        else:
            table = table.with_columns(pl.when(~fails).then(pl.col(rule.field)).alias(rule.field))
    return table, pl.concat(rejected)


def _any_fails(table: pl.DataFrame, checks: Sequence[Check]) -> bool:
    """Say whether any check fails as the table stands; most batches are good, and one look tells."""
    if table.is_empty() or not checks:
        return False
    return bool(table.select(pl.any_horizontal([rule.fails.any() for rule in checks])).item())


def unreadable(field: str, text: str) -> Check:
    """Blank a field whose text is there but could not be read."""
    return Check(
        f"{field}_unreadable",
        pl.col(field).is_null() & pl.col(text).is_not_null(),
        said(f"{text} is {{}}", text),
        field=field,
    )


def missing(field: str, text: str | None = None) -> Check:
    """Refuse a record without this field, which is part of its key."""
    name = text or field
    return Check(f"no_{field}", pl.col(field).is_null(), said(f"{name} is {{}}", name))


def number(text: str) -> pl.Expr:
    """Read a text column as a finite number; NULL where it is none."""
    value = pl.col(text).cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value)


def epoch_instant(text: str) -> pl.Expr:
    """Read seconds since 1970 (UTC) as an instant."""
    return (number(text) * 1_000_000).cast(pl.Int64).cast(INSTANT)


def offset_instant(
    text: str, formats: Sequence[str] = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
) -> pl.Expr:
    """Read a stamp with its offset as a UTC instant; NULL where none of the formats fits."""
    return pl.coalesce(
        pl.col(text).str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False) for form in formats
    )


def local_instant(text: str, zone: str, formats: Sequence[str]) -> pl.Expr:
    """Read a wall-clock stamp of a zone as a UTC instant.

    An hour that occurs twice in autumn is its first occurrence; one that spring skips is NULL.
    """
    naive = pl.coalesce(pl.col(text).str.to_datetime(form, time_unit="us", strict=False) for form in formats)
    return naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


def read_csv_text(content: Path | bytes, columns: Sequence[str], *, name: str) -> pl.DataFrame:
    """Read CSV (gzipped or not) as text, blanks stripped, empty fields NULL.

    Args:
        content: A file, or its bytes.
        columns: What must be there; further columns are kept too.
        name: What to call it in messages.

    Raises:
        UnreadableError: it is no such CSV.
    """
    try:
        table = pl.read_csv(content, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UnreadableError(f"{name} cannot be read as CSV: {error}") from error
    table = table.rename(lambda column: column.strip().lstrip("\ufeff"))
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise UnreadableError(f"{name} lacks the columns {absent}; it has {table.columns}")
    stripped = pl.all().str.strip_chars()
    return table.select(pl.when(stripped != "").then(stripped).name.keep())


def numbered(records: pl.DataFrame) -> pl.DataFrame:
    """Number the records."""
    return records.with_row_index(RECORD).with_columns(pl.col(RECORD).cast(pl.Int64))


@dataclass(frozen=True, slots=True)
class Reading:
    """Source records, what they mean, and what could not be trusted.

    Attributes:
        records: Every source record as it came, numbered by ``RECORD``. Its height is what was read.
        rows: By entity: canonical columns without ``ingested_at``, and ``RECORD``.
        rejected: What could not be trusted (schema ``REJECTED``).
    """

    records: pl.DataFrame
    rows: Mapping[str, pl.DataFrame]
    rejected: pl.DataFrame

    def parsed(self, carry: JsonObject | None = None) -> Parsed:
        """Return the same as what a parsed page holds."""
        records = self.records.drop(RECORD).to_dicts()
        return Parsed(records, self.rows, as_rejected(self.rejected), carry or {})


def as_rejected(rejected: pl.DataFrame) -> tuple[Rejected, ...]:
    """Return a frame of schema ``REJECTED`` as the objects that a parsed page carries."""
    return tuple(
        Rejected(row["entity"], row[RECORD], row["reason"], row["detail"], field_only=row["field_only"])
        for row in rejected.iter_rows(named=True)
    )
