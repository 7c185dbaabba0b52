"""Lines of a frame log, as tests write them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion.charging.frames import OUR_LOG, lines_of, read_frames
from ingestion.charging.ocpp16 import FramesRead, read_ocpp16

T0 = datetime(2026, 2, 1, 18, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"


def line(at: datetime, direction: str, frame: list[Any], *, station: str = "CP-1", connection: str = "c1") -> str:
    entry = {
        "at": stamp(at), "station_id": station, "connection_id": connection, "direction": direction, "frame": frame,
    }  # fmt: skip
    return json.dumps(entry, separators=(",", ":"))


def start(
    at: datetime, uid: str, *, connector: int = 1, meter_wh: object = 1000, said: str | None = None, **place: str
) -> str:
    payload = {"connectorId": connector, "idTag": "hash", "meterStart": meter_wh, "timestamp": said or stamp(at)}
    return line(at, "in", [2, uid, "StartTransaction", payload], **place)


def answer(at: datetime, uid: str, transaction: object, **place: str) -> str:
    payload = {"transactionId": transaction, "idTagInfo": {"status": "Accepted"}}
    return line(at, "out", [3, uid, payload], **place)


def stop(
    at: datetime, transaction: object, *, meter_wh: object = 16_000, said: str | None = None, **more: object
) -> str:
    payload = {"transactionId": transaction, "meterStop": meter_wh, "timestamp": said or stamp(at), **more}
    return line(at, "in", [2, f"stop-{at:%H%M}", "StopTransaction", payload])


def meter(
    at: datetime,
    samples: Sequence[dict[str, object]],
    *,
    transaction: object = 7,
    said: str | None = None,
    connector: int = 1,
) -> str:
    values = [{"timestamp": said or stamp(at), "sampledValue": list(samples)}]
    payload = {"connectorId": connector, "transactionId": transaction, "meterValue": values}
    return line(at, "in", [2, f"meter-{at:%H%M%S}", "MeterValues", payload])


def status(at: datetime, name: str, *, connector: int = 1, error: str = "NoError", said: str | None = "") -> str:
    payload = {"connectorId": connector, "status": name, "errorCode": error}
    if said is not None:
        payload["timestamp"] = said or stamp(at)
    return line(at, "in", [2, f"status-{at:%H%M}", "StatusNotification", payload])


def read(lines: Sequence[str], carry: Any = None) -> FramesRead:
    """Read lines of our own log; every line must be a frame."""
    frames, rejected = read_frames(lines_of("\n".join(lines).encode()), OUR_LOG)
    assert rejected.is_empty(), rejected
    return read_ocpp16(frames, carry=carry)


def reasons(read_frames: FramesRead) -> dict[str, int]:
    return dict(read_frames.rejected["reason"].value_counts(sort=True).sort("reason").iter_rows())
