"""Lines of logs as frames: two envelopes, torn lines, whatever a socket may have brought."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.charging.frames import CAPTURE, FRAME, OUR_LOG, lines_of, read_frames
from ingestion.charging.ocpp16 import read_ocpp16
from tests.ingestion.charging.log import T0, line, stamp


def test_a_line_of_our_log_is_a_frame() -> None:
    text = (
        line(T0, "in", [2, "u1", "Heartbeat", {"x": "ü"}]) + "\n" + line(T0, "out", [3, "u1", {"currentTime": "now"}])
    )
    frames, rejected = read_frames(lines_of(text.encode()), OUR_LOG)
    assert rejected.is_empty()
    assert frames.schema == FRAME
    assert frames.drop("record", "at").rows() == [
        ("CP-1", "c1", True, "2", "u1", "Heartbeat", '{"x":"ü"}'),
        ("CP-1", "c1", False, "3", "u1", None, '{"currentTime":"now"}'),
    ]
    assert frames["at"].to_list() == [T0, T0]


def test_a_line_of_a_capture_holds_its_frame_as_text() -> None:
    entry = {
        "source": "https://example.org/issues/5", "charger": "X", "direction": "recv",
        "csms_log_time": "2024-07-09T12:02:19+10:00", "frame": '[2, "7","Heartbeat",{}]',
    }  # fmt: skip
    frames, rejected = read_frames(lines_of(json.dumps(entry).encode()), CAPTURE)
    assert rejected.is_empty()
    assert frames.row(0, named=True)["at"] == datetime(2024, 7, 9, 2, 2, 19, tzinfo=UTC)
    assert frames["action"].to_list() == ["Heartbeat"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (line(T0, "in", [2, "1", "Heartbeat", {}])[:-9], "not_json"),
        ("NULL and void", "not_json"),
        (line(T0, "in", [9, "1", {}]), "not_a_frame"),
        (line(T0, "in", [2]), "not_a_frame"),
        (line(T0, "in", []), "not_a_frame"),
        (json.dumps({"at": "noon", "station_id": "CP-1", "frame": [2, "1", "Heartbeat", {}]}), "no_instant"),
        (json.dumps({"at": stamp(T0), "frame": [2, "1", "Heartbeat", {}]}), "no_station"),
        (json.dumps({"at": stamp(T0), "station_id": "CP-1", "frame": '[2,"1"'}), "not_a_frame"),
    ],
)
def test_what_is_no_frame_is_refused_and_the_rest_is_read(text: str, reason: str) -> None:
    good = line(T0, "in", [2, "1", "Heartbeat", {}])
    frames, rejected = read_frames(lines_of(f"{good}\n{text}\n\n{good}\n".encode()), OUR_LOG)
    assert frames["record"].to_list() == [0, 2]
    assert rejected.select("record", "reason").rows() == [(1, reason)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
ACTION = st.sampled_from(["StartTransaction", "StopTransaction", "MeterValues", "StatusNotification", "Odd"])
FIELD = st.sampled_from(
    [
        "connectorId",
        "transactionId",
        "timestamp",
        "meterStart",
        "meterStop",
        "meterValue",
        "idTag",
        "status",
        "transactionData",
    ]
)
PAYLOAD = st.dictionaries(FIELD, JSON, max_size=6) | JSON
ANY_FRAME = st.one_of(
    st.tuples(st.just(2), st.text(max_size=4), ACTION, PAYLOAD),
    st.tuples(st.just(3), st.text(max_size=4), PAYLOAD),
    JSON,
)


@settings(max_examples=40, deadline=None)
@given(entries=st.lists(st.tuples(st.sampled_from(["in", "out"]), ANY_FRAME), max_size=6), torn=st.integers(0, 40))
def test_no_frame_whatever_breaks_the_reading_of_the_others(entries: list[tuple[str, object]], torn: int) -> None:
    text = "\n".join(line(T0, direction, frame) for direction, frame in entries)  # type: ignore[arg-type]  # no frame at all is the point
    lines = lines_of(text[: len(text) - torn].encode("utf-8", "replace"))
    frames, rejected = read_frames(lines, OUR_LOG)
    assert frames.height + rejected["record"].n_unique() == lines.height
    found = read_ocpp16(frames)
    assert json.loads(json.dumps(found.carry)) == found.carry
