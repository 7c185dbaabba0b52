"""Day-ahead prices of past years, as Ember prints them, a CSV line per hour.

The style of dates changes within the file, and nine months of 2023 stand in it twice. The layout itself is read by
``ingestion.signals.day_ahead``, as for a live source.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from ingestion.imports.history import Format, History, read_csv_records
from ingestion.signals.day_ahead import COUNTRY, PER_MWH, UTC_STAMP, read_prices

LATENCY: Final = timedelta(minutes=15)


def read(files: Sequence[Path]) -> History:
    """Read prices.

    Raises:
        ingestion.columns.UnreadableError: a file is no CSV of this set.
    """
    reading = read_prices(read_csv_records(files, (COUNTRY, UTC_STAMP, PER_MWH)), latency=LATENCY)
    return History(reading.records, reading.rows, reading.rejected)


FORMAT: Final = Format(
    "day_ahead",
    read,
    patterns=("*day_ahead*.csv",),
    latency=LATENCY,
    title="day-ahead prices of the Netherlands, 2015 to 2023",
)
