"""How a canonical entity is declared: columns with units and bounds, a key, a time column.

One declaration makes the landing schema, the row rules, the batch expectations and the raw views, so that none of
them can disagree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

Dtype = type[pl.DataType] | pl.DataType
INSTANT: Final = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: type, meaning (with unit and source), and what makes its value impossible.

    ``required`` values may not be NULL; ``minimum`` and ``maximum`` are inclusive; ``values`` lists the only ones
    allowed. A value outside them is impossible, not merely unusual.
    """

    dtype: Dtype
    description: str
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """A canonical table of the landing zone.

    Rows are versions: rows of one ``key`` differ in ``available_at`` and content, and the latest that was available
    is the one that counts. ``restricted`` marks personal data, which never reaches the published copy.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: Mapping[str, Column]
    restricted: bool = False
    common: Mapping[str, Column] = field(default_factory=lambda: COMMON_COLUMNS)

    def __post_init__(self) -> None:
        missing = [name for name in self.key if name not in self.all_columns]
        if missing:
            raise ValueError(f"{self.name}: key columns {missing} are not declared")

    @property
    def all_columns(self) -> dict[str, Column]:
        """The entity's own columns, then those that every row has."""
        return {**self.columns, **self.common}

    @property
    def schema(self) -> pl.Schema:
        """The Polars schema of a landed file (``source`` and ``date`` are in its path)."""
        return pl.Schema({name: column.dtype for name, column in self.all_columns.items()})

    @property
    def content_columns(self) -> list[str]:
        """The columns that tell two versions apart: all but when we happened to ingest them."""
        return [name for name in self.all_columns if name != "ingested_at"]

    def empty(self) -> pl.DataFrame:
        """Return the table without rows."""
        return pl.DataFrame(schema=self.schema)


COMMON_COLUMNS: Final[Mapping[str, Column]] = {
    "observed_at": Column(INSTANT, "When it was so, in the vehicle, the charger or the market (UTC).", required=True),
    "available_at": Column(INSTANT, "When we could first know it (UTC); as-of reads filter on this.", required=True),
    "ingested_at": Column(INSTANT, "When we landed it (UTC).", required=True),
}


def text(description: str, *, required: bool = False, values: tuple[str, ...] | None = None) -> Column:
    """Declare a text column."""
    return Column(pl.String(), description, required=required, values=values)


def instant(description: str, *, required: bool = False) -> Column:
    """Declare a UTC instant."""
    return Column(INSTANT, description, required=required)


def number(
    description: str, *, required: bool = False, minimum: float | None = None, maximum: float | None = None
) -> Column:
    """Declare a number with the bounds beyond which it is impossible."""
    return Column(pl.Float64(), description, required=required, minimum=minimum, maximum=maximum)


def integer(
    description: str, *, required: bool = False, minimum: float | None = None, maximum: float | None = None
) -> Column:
    """Declare a whole number."""
    return Column(pl.Int64(), description, required=required, minimum=minimum, maximum=maximum)


def flag(description: str, *, required: bool = False) -> Column:
    """Declare a truth value; NULL is unknown."""
    return Column(pl.Boolean(), description, required=required)
