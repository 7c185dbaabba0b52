"""Lines of a frame log, whoever wrote it, become a table of frames: instant, station, connection, kind, payload.

What a payload means is not known here. DuckDB cuts the JSON, a million lines in a few seconds.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import duckdb
import polars as pl

from core.schema import INSTANT
from ingestion.columns import Check, check, numbered, said
from ingestion.providers.base import RECORD

LINE: Final = "line"
CALL, RESULT, ERROR = "2", "3", "4"
FRAME: Final = pl.Schema(
    {
        RECORD: pl.Int64(),
        "at": INSTANT,
        "station_id": pl.String(),
        "connection_id": pl.String(),
        "is_from_station": pl.Boolean(),
        "kind": pl.String(),
        "uid": pl.String(),
        "action": pl.String(),
        "payload": pl.String(),
    }
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Where a log's lines keep things: the names of its fields, and how it says that a station spoke."""

    at: str
    station: str
    connection: str
    direction: str
    from_station: str


OUR_LOG: Final = Envelope("at", "station_id", "connection_id", "direction", "in")
CAPTURE: Final = Envelope("csms_log_time", "charger", "source", "direction", "recv")

CHECKS: Final = (
    Check("not_json", pl.col("is_json") == False, said("the line is cut off or no JSON")),  # noqa: E712 - an expression
    Check("no_instant", pl.col("at").is_null(), said("the line does not say when: {}", "at_text")),
    Check("no_station", pl.col("station_id").is_null(), said("the line does not say which station")),
    Check(
        "not_a_frame",
        ~pl.col("kind").is_in([CALL, RESULT, ERROR]).fill_null(value=False) | pl.col("uid").is_null(),
        said("a frame begins with 2, 3 or 4 and an id, not with {}", "kind"),
    ),
)
# The frame may be an array, or text that holds one; a line may be cut off anywhere.
CUT: Final = """
with enveloped as (
    select record, case when json_valid(line) then json_extract(line, $fields) end as fields from lines
), framed as (
    select
        record, fields is not null as is_json,
        fields[1] ->> '$' as at_text, fields[2] ->> '$' as station_id, fields[3] ->> '$' as connection_id,
        fields[4] ->> '$' = $from_station as is_from_station,
        case when json_type(fields[5]) = 'VARCHAR' then fields[5] ->> '$' else fields[5]::varchar end as frame
    from enveloped
), cut as (
    select
        * exclude (frame),
        case when json_valid(frame) then json_extract(frame, ['$[0]', '$[1]', '$[2]', '$[3]']) end as parts
    from framed
)
select
    * exclude (parts), parts[1] ->> '$' as kind, parts[2] ->> '$' as uid,
    case when parts[1] ->> '$' = '2' then parts[3] ->> '$' end as action,
    case when parts[1] ->> '$' = '2' then parts[4] else parts[3] end::varchar as payload
from cut
order by record
"""


def lines_of(body: bytes) -> pl.DataFrame:
    """Return the lines of a log, numbered; blank ones are none."""
    text = pl.Series(LINE, body.decode("utf-8", "replace").split("\n"), dtype=pl.String)
    return numbered(text.to_frame().filter(pl.col(LINE).str.strip_chars() != ""))


def read_frames(lines: pl.DataFrame, envelope: Envelope) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cut lines into frames.

    Args:
        lines: ``RECORD`` and ``LINE``.
        envelope: Who wrote them.

    Returns:
        Frames (schema ``FRAME``) in the order of the lines, and what was rejected.
    """
    paths = [f"$.{name}" for name in (envelope.at, envelope.station, envelope.connection, envelope.direction, "frame")]
    cut = query(CUT, {"lines": lines}, fields=paths, from_station=envelope.from_station)
    stamp = pl.col("at_text").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)
    frames, rejected = check(cut.with_columns(at=stamp), CHECKS, entity="frame")
    return frames.select(pl.col(name).cast(dtype) for name, dtype in FRAME.items()), rejected


def decode(frames: pl.DataFrame, shape: str, *, keep: Collection[str] = ()) -> pl.DataFrame:
    """Decode payloads into columns; what is missing or of another type is NULL.

    Args:
        frames: Frames of one action.
        shape: DuckDB's JSON structure, like ``{"connectorId": "BIGINT"}``.
        keep: Columns of ``frames`` to keep beside ``RECORD``.
    """
    columns = ", ".join(f'"{name}"' for name in (RECORD, *keep))
    return query(
        f"select {columns}, unnest(json_transform(payload, $shape)) from frames order by record",  # noqa: S608 - own names
        {"frames": frames},
        shape=shape,
    )


def query(sql: str, tables: Mapping[str, pl.DataFrame], **parameters: object) -> pl.DataFrame:
    """Run SQL over frames, in UTC."""
    with _database(os.getpid()).cursor() as cursor:
        cursor.execute("set timezone = 'UTC'; set enable_progress_bar = false")
        for name, table in tables.items():
            cursor.register(name, table)
        return cursor.execute(sql, parameters).pl()


@cache
def _database(process_id: int) -> duckdb.DuckDBPyConnection:  # noqa: ARG001 - a forked child needs its own
    """Return an empty database in memory; opening one takes longer than most queries."""
    return duckdb.connect()
