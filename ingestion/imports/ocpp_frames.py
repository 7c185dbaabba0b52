"""Logs of OCPP 1.6 frames: our own, or captures by others that keep each frame as text.

In a capture a station is known by its make and the thread it comes from, and tokens are hashed here; in our log they
are hashed already. Reading ends with the files: a start that nobody answered in them has no number, and thus no key.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from core.pseudonyms import keyed_hash
from ingestion.charging.frames import CAPTURE, LINE, OUR_LOG, read_frames
from ingestion.charging.ocpp16 import read_ocpp16
from ingestion.columns import REJECTED, numbered
from ingestion.imports.history import RECORD_REF, Format, History, context
from ingestion.providers.base import RECORD

LATENCY: Final = timedelta()  # a log says itself when it knew
SITE_ID: Final = "ocpp_frames:unknown"
ID_TAG: Final = re.compile(r'("(?:idTag|parentIdTag)"\s*:\s*")([^"]+)')
ANY_ID_TAG: Final = r'((?:idTag|parentIdTag)\\*"\s*:\s*\\*")[^"\\]+'
ROWS: Final = ("charging_transaction", "meter_value", "connector_status")


def read(files: Sequence[Path]) -> History:
    """Read frames of the files in order of their names.

    Raises:
        core.settings.MissingSecretError: a capture holds tokens, which cannot be hashed without a key.
    """
    records = numbered(pl.concat([_lines(file) for file in files]))
    is_capture = pl.col(LINE).str.contains('"csms_log_time"', literal=True)
    ours, ours_rejected = read_frames(records.filter(~is_capture), OUR_LOG)
    captured, captured_rejected = read_frames(records.filter(is_capture), CAPTURE)
    found = read_ocpp16(pl.concat([ours, _pseudonymous(_named(captured))]).sort(RECORD))
    rejected = pl.concat([ours_rejected, captured_rejected, found.rejected, _without_number(found.unanswered)])
    rows = {entity: found.rows[entity] for entity in ROWS}
    shown = records.with_columns(pl.col(LINE).str.replace_all(ANY_ID_TAG, "${1}***"))
    return History(shown, rows, rejected, _context(rows))


def _lines(file: Path) -> pl.DataFrame:
    text = pl.Series(LINE, file.read_bytes().decode("utf-8", "replace").split("\n"), dtype=pl.String)
    lines = text.to_frame().with_row_index("number", offset=1).filter(pl.col(LINE).str.strip_chars() != "")
    return lines.select(pl.concat_str(pl.lit(f"{file.name}:"), "number").alias(RECORD_REF), LINE)


def _named(frames: pl.DataFrame) -> pl.DataFrame:
    """Name the stations of a capture by make and thread; a bare make stands for many stations of many owners."""
    make = pl.col("station_id").str.extract(r"^([^(]*)").str.to_lowercase()
    thread = pl.col("connection_id").str.extract(r"(\d+)/?$").fill_null("0")
    slug = make.str.replace_all(r"[^a-z0-9]+", "-").str.strip_chars("-")
    return frames.with_columns(station_id=pl.concat_str(pl.lit("ocpp_frames:"), slug, pl.lit("-"), thread))


def _pseudonymous(frames: pl.DataFrame) -> pl.DataFrame:
    """Hash the tokens in payloads; few messages hold one, so they are treated one by one."""
    holding = frames.filter(pl.col("payload").str.contains(ID_TAG.pattern))["payload"].unique()
    hashed = {text: ID_TAG.sub(lambda match: match[1] + keyed_hash(match[2]), text) for text in holding}
    return frames.with_columns(pl.col("payload").replace(hashed))


def _without_number(unanswered: pl.DataFrame) -> pl.DataFrame:
    return unanswered.select(
        RECORD,
        entity=pl.lit("charging_transaction"),
        reason=pl.lit("start_without_answer"),
        detail=pl.concat_str(pl.lit("no answer numbered the start on "), "station_id"),
        field_only=pl.lit(value=False),
    ).cast(REJECTED)


def _context(rows: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return the connectors that the frames name, at a site that stands for not knowing where they are."""
    seen = pl.concat([table.select("station_id", "connector_id") for table in rows.values()]).unique()
    connectors = seen.filter(pl.col("connector_id") > 0).with_columns(site_id=pl.lit(SITE_ID))
    site = pl.DataFrame({"site_id": [SITE_ID], "name": ["Unknown site of logged frames"], "timezone": ["Etc/UTC"]})
    return context(site=site, connector=connectors)


FORMAT: Final = Format(
    "ocpp_frames",
    read,
    patterns=("*.jsonl",),
    latency=LATENCY,
    title="frames of OCPP 1.6 chargers",
)
