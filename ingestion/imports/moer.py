"""Marginal emissions of a grid region every five minutes, each with the 36 forecasts issued then; a file per month.

The unit is stated nowhere in the files. It is kgCO2 per kWh: no value exceeds 0.66375, which is the published cap of
the signal (1463 lb/MWh), while lb/MWh would be in the hundreds. Files overlap by a day at both ends. The publisher
filled gaps with the value before.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from ingestion.imports.history import RECORD_REF, Format, History, read_csv_records
from ingestion.signals.carbon import FORECASTS, read_marginal

LATENCY: Final = timedelta(minutes=5)


def read(files: Sequence[Path]) -> History:
    """Read measured rates and forecasts; the region is what the file's name begins with.

    Raises:
        ingestion.columns.UnreadableError: a file is no CSV of this set.
    """
    records = read_csv_records(files, ("time", "moer", *FORECASTS))
    region = pl.col(RECORD_REF).str.extract(r"^(.*?)(?:_\d{4}-\d{2})?\.csv")
    reading = read_marginal(records, region_id=region, latency=LATENCY)
    return History(reading.records, reading.rows, reading.rejected)


FORMAT: Final = Format(
    "moer",
    read,
    patterns=("SGIP_*.csv.gz", "SGIP_*.csv"),
    latency=LATENCY,
    title="marginal emissions of Southern California with forecasts, May to December 2019",
)
