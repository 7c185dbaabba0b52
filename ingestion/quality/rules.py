"""Row rules generated from the declarations of ``core.entities``: presence, bounds, allowed values, sane instants.

A field that breaks a rule becomes NULL with a reason and its row lands; a row without a trustworthy key, time or other
required field is quarantined. Rules that need to know the fleet are in ``plausibility``.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from core.schema import INSTANT, Column, Entity
from ingestion.columns import Check, said

EARLIEST_AT: Final = datetime(2015, 1, 1, tzinfo=UTC)  # before it: clocks that were never set (1970, 2000, 0001)
CLOCK_SKEW: Final = timedelta(minutes=5)
FARTHEST: Final = timedelta(days=366)  # beyond it: sentinels such as 2050-01-01 and 9999-12-31
MEASURED: Final = frozenset(
    {
        "vehicle_snapshot",
        "vehicle_position",
        "trip",
        "charging_transaction",
        "meter_value",
        "connector_status",
        "site_load",
    }
)
"""Entities that tell what has happened, so that ``observed_at`` cannot lie ahead."""


def row_rules(entity: Entity, columns: Sequence[str], *, as_of: datetime) -> list[Check]:
    """Return the rules for those of the entity's columns that a frame has.

    Required columns come first: what is left after them has a key and times.
    """
    present = {name: column for name, column in entity.all_columns.items() if name in columns}
    ordered = sorted(present, key=lambda name: not present[name].required)
    return [rule for name in ordered for rule in _rules_of(entity, name, present[name], as_of)]


def _rules_of(entity: Entity, name: str, column: Column, as_of: datetime) -> Iterator[Check]:
    field = None if column.required else name
    if column.required:
        yield Check(f"no_{name}", pl.col(name).is_null(), said(f"{name} is missing"))
    if column.dtype == INSTANT:
        yield from _instant_rules(entity, name, field, as_of)
    if column.dtype == pl.Float64:
        yield Check(f"{name}_not_a_number", ~pl.col(name).is_finite(), said(f"{name} is {{}}", name), field)
    if column.minimum is not None or column.maximum is not None:
        yield _bounds(name, column, field)
    if column.values is not None:
        fails = ~pl.col(name).is_in(column.values)
        yield Check(f"{name}_unknown", fails, said(f"{name} {{}} is none of {', '.join(column.values)}", name), field)


def _instant_rules(entity: Entity, name: str, field: str | None, as_of: datetime) -> Iterator[Check]:
    early = pl.col(name) < EARLIEST_AT
    yield Check(f"{name}_too_early", early, said(f"{name} is {{}}: a clock that was never set", name), field)
    if name == "observed_at" and entity.name in MEASURED:
        ahead = pl.col(name) > as_of + CLOCK_SKEW
        detail = said(f"{name} is {{}}, later than the run at {as_of:%Y-%m-%d %H:%M:%SZ}", name)
        yield Check(f"{name}_in_future", ahead, detail, field)
    else:
        yield Check(f"{name}_too_late", pl.col(name) > as_of + FARTHEST, said(f"{name} is {{}}", name), field)


def _bounds(name: str, column: Column, field: str | None) -> Check:
    low = pl.col(name) < column.minimum if column.minimum is not None else pl.lit(value=False)
    high = pl.col(name) > column.maximum if column.maximum is not None else pl.lit(value=False)
    least = "-∞" if column.minimum is None else f"{column.minimum:g}"
    most = "∞" if column.maximum is None else f"{column.maximum:g}"
    return Check(f"{name}_out_of_range", low | high, said(f"{name} is {{}}, not in {least} … {most}", name), field)
