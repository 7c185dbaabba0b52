"""Average carbon intensity of Great Britain around 2020, a CSV line per half-hour and later per quarter-hour.

Stamps bear no zone; the hour that British clocks skip in spring is there, so they are UTC.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from ingestion.imports.history import Format, History, read_csv_records
from ingestion.signals.carbon import read_average

LATENCY: Final = timedelta(minutes=60)


def read(files: Sequence[Path]) -> History:
    """Read intensities.

    Raises:
        ingestion.columns.UnreadableError: a file is no CSV of this set.
    """
    records = read_csv_records(files, ("Time", "Carbon Intensity"))
    reading = read_average(records, region_id="GB", latency=LATENCY)
    return History(reading.records, reading.rows, reading.rejected)


FORMAT: Final = Format(
    "carbon",
    read,
    patterns=("*_ci.csv",),
    latency=LATENCY,
    title="average carbon intensity of Great Britain, 2020",
)
