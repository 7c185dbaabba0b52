"""Frame logs: our own and captures of others, tokens that must not be kept, transactions without a number."""

import json

from core.landing import Landing
from core.pseudonyms import keyed_hash

START = [
    2,
    "1",
    "StartTransaction",
    {"connectorId": 1, "idTag": "04:AB:CD", "meterStart": 0, "timestamp": "2024-03-01T10:00:00Z"},
]
ANSWER = [3, "1", {"transactionId": 9, "idTagInfo": {"status": "Accepted"}}]
STOP = [2, "2", "StopTransaction", {"transactionId": 9, "meterStop": 7000, "timestamp": "2024-03-01T11:00:00Z"}]


def captured(at: str, direction: str, frame: list[object], *, charger: str = "Maker X (SN1)") -> str:
    thread = "https://example.org/issues/77"
    line = {
        "source": thread,
        "charger": charger,
        "direction": direction,
        "csms_log_time": at,
        "frame": json.dumps(frame),
    }
    return json.dumps(line)


def logged(at: str, direction: str, frame: list[object]) -> str:
    return json.dumps({"at": at, "station_id": "CP-1", "connection_id": "c1", "direction": direction, "frame": frame})


def run(run_import, *lines: str):
    return run_import("ocpp_frames", {"frames.jsonl": "\n".join(lines)})


def test_a_capture_names_its_station_and_hashes_its_tokens(run_import, landing: Landing) -> None:
    report = run(
        run_import,
        captured("2024-03-01T11:00:01+01:00", "recv", START),
        captured("2024-03-01T11:00:02+01:00", "send", ANSWER),
        captured("2024-03-01T12:00:01+01:00", "recv", STOP),
    )
    assert report.rows == {"read": 3, "landed": 3, "duplicates": 0, "quarantined": 0}
    session = landing.read("charging_transaction").row(0, named=True)
    assert (session["station_id"], session["transaction_id"], session["energy_kwh"]) == (
        "ocpp_frames:maker-x-77",
        "9",
        7.0,
    )
    assert session["token"] == keyed_hash("04:AB:CD")
    assert landing.read("connector")["site_id"].to_list() == ["ocpp_frames:unknown"]


def test_tokens_of_our_own_log_are_hashed_already(run_import, landing: Landing) -> None:
    start = [START[0], START[1], START[2], {**START[3], "idTag": "feed"}]
    run(run_import, logged("2024-03-01T10:00:01Z", "in", start), logged("2024-03-01T10:00:02Z", "out", ANSWER))
    session = landing.read("charging_transaction").row(0, named=True)
    assert (session["station_id"], session["token"], session["ended_at"]) == ("CP-1", "feed", None)


def test_a_start_that_nobody_answered_is_kept_without_its_token(run_import, landing: Landing) -> None:
    report = run(run_import, captured("2024-03-01T11:00:01+01:00", "recv", START), '{"csms_log_time": "2024-')
    assert report.rows == {"read": 2, "landed": 0, "duplicates": 0, "quarantined": 2}
    assert report.reasons == {"not_json": 1, "start_without_answer": 1}
    kept = landing.read("quarantined_row")["record_json"].to_list()
    assert "04:AB:CD" not in str(kept)
    assert any("***" in text for text in kept)


def test_a_heartbeat_lands_though_it_gives_no_row(run_import) -> None:
    lines = [
        captured("2024-03-01T11:00:00Z", "recv", [2, "7", "Heartbeat", {}]),
        captured("2024-03-01T11:00:00Z", "send", [3, "7", {"currentTime": "2024-03-01T11:00:00Z"}]),
        captured(
            "2024-03-01T11:00:01Z",
            "recv",
            [2, "8", "StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Available"}],
        ),
    ]
    assert run(run_import, *lines).rows == {"read": 3, "landed": 3, "duplicates": 0, "quarantined": 0}
    assert run(run_import, *lines).rows == {"read": 3, "landed": 0, "duplicates": 3, "quarantined": 0}
