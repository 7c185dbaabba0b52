"""Pages of our own frame log, wherever they come from: what they mean, and which lines a later run is to read."""

import re
from datetime import datetime
from typing import Final

import polars as pl

from core.time_grid import parse_instant
from ingestion.charging.frames import LINE, OUR_LOG, lines_of, read_frames
from ingestion.charging.ocpp16 import CONNECTOR, read_ocpp16
from ingestion.columns import as_rejected
from ingestion.providers.base import RECORD, JsonObject, Page, Parsed
from ingestion.registry.registry import Registry

INSTANTS: Final = re.compile(rb'^\{"at":"([^"]{20,32})"', re.MULTILINE)


def page_of(body: bytes, *, name: str, cursor: JsonObject, before: JsonObject, as_of: datetime) -> Page:
    """Return a page of log lines; if some are later than ``as_of``, a later run takes it up again from ``before``."""
    last_at = parse_instant(max(INSTANTS.findall(body)).decode()) if INSTANTS.search(body) else as_of
    return Page(body, name, cursor) if last_at <= as_of else Page(body, name, before, later=(as_of, last_at))


def parse_page(page: Page, *, registry: Registry, carry: JsonObject) -> Parsed:
    """Turn a page of log lines into canonical rows.

    A page that a later run takes up again leaves the carry as it was, like the cursor.
    """
    lines = lines_of(page.body)
    frames, rejected = read_frames(lines, OUR_LOG)
    if page.later is not None:
        kept = frames.filter(pl.col("at") <= page.later[0])
        left_out = frames.join(kept, on=RECORD, how="anti").select(RECORD)
        lines = lines.join(left_out, on=RECORD, how="anti", maintain_order="left")
        frames = kept
    read = read_ocpp16(frames, carry=carry, connectors=_connectors(registry))
    number = lines.select(RECORD).with_row_index("index").select(RECORD, pl.col("index").cast(pl.Int64))
    rows = {entity: _renumbered(table, number) for entity, table in read.rows.items()}
    refused = _renumbered(pl.concat([rejected, read.rejected]), number)
    after = carry if page.later is not None else read.carry
    return Parsed(lines[LINE].to_list(), rows, as_rejected(refused), after)


def _renumbered(table: pl.DataFrame, number: pl.DataFrame) -> pl.DataFrame:
    """Number records anew, now that some lines were left out."""
    joined = table.join(number, on=RECORD, how="inner", maintain_order="left")
    return joined.drop(RECORD).rename({"index": RECORD})


def _connectors(registry: Registry) -> pl.DataFrame:
    rows = [(one.station_id, one.connector_id, one.site_id, one.current_type) for one in registry.connectors]
    return pl.DataFrame(rows, schema=CONNECTOR, orient="row")
