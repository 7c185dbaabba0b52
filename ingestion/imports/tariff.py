"""Real time-of-use tariffs of Californian utilities, as acnportal keeps them: a JSON document per tariff.

Two documents bear the same name and date with different prices, so a tariff is named by its file. One is marked by its
author as not real; it keeps that in its name.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from ingestion.columns import UnreadableError, numbered
from ingestion.imports.history import RECORD_REF, Format, History
from ingestion.signals.tariff import read_schedules, schedule_records


def read(files: Sequence[Path]) -> History:
    """Read schedules.

    Raises:
        ingestion.columns.UnreadableError: a file is no such document.
    """
    reading = read_schedules(numbered(pl.concat([_schedules(file) for file in files])))
    return History(reading.records, reading.rows, reading.rejected)


def _schedules(file: Path) -> pl.DataFrame:
    name = file.name.removesuffix(".json")
    try:
        table = schedule_records(json.loads(file.read_bytes()), tariff_id=name, currency="USD")
    except (ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise UnreadableError(f"{file.name} is no tariff document with effective and schedule: {error!r}") from error
    index = pl.int_range(pl.len(), dtype=pl.Int64).cast(pl.String)
    return table.select(pl.concat_str(pl.lit(f"{file.name}:schedule["), index, pl.lit("]")).alias(RECORD_REF), pl.all())


FORMAT: Final = Format(
    "tariff",
    read,
    patterns=("*.json",),
    latency=timedelta(),
    title="time-of-use tariffs with demand charges, SCE and PG&E, 2018 and 2019",
)
