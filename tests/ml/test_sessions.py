"""Charging sessions: what the first message said, what came of it, and who it was."""

from datetime import UTC, datetime, timedelta

import polars as pl

from core.entities import ENTITIES
from ml.sessions import charging_sessions, session_questions

T0 = datetime(2026, 3, 2, 22, tzinfo=UTC)


def versions(*rows: dict[str, object], entity: str = "charging_transaction") -> pl.DataFrame:
    schema = ENTITIES[entity].schema
    base = {"station_id": "CP", "connector_id": 1, "transaction_id": "7", "started_at": T0}
    full = [{name: {**base, **row}.get(name) for name in schema} for row in rows]
    return pl.DataFrame(full, schema=schema).sort("available_at", maintain_order=True)


def at(minute: int) -> datetime:
    return T0 + timedelta(minutes=minute)


NO_MATCH = ENTITIES["session_match"].empty()
BEGIN = {"available_at": at(1), "requested_kwh": 20.0, "token": "abc"}
END = {"available_at": at(130), "ended_at": at(120), "energy_kwh": 11.0, "requested_kwh": 30.0}


def only(frame: pl.DataFrame) -> dict[str, object]:
    assert frame.height == 1
    return frame.row(0, named=True)


def test_what_was_said_later_is_not_known_at_plug_in() -> None:
    restated = {**BEGIN, "available_at": at(40), "requested_kwh": 25.0}
    session = only(charging_sessions(versions(BEGIN, restated, END), NO_MATCH, timezone="America/New_York"))
    assert session["requested_kwh"] == 20.0
    assert (session["ended_at"], session["energy_kwh"], session["known_at"]) == (at(120), 11.0, at(130))
    assert session["user_id"] == "abc", "a token stands for its user"
    assert str(session["operating_date"]) == "2026-03-02"


def test_a_session_that_lasts_has_no_outcome() -> None:
    session = only(charging_sessions(versions(BEGIN), NO_MATCH, timezone="UTC"))
    assert (session["ended_at"], session["energy_kwh"], session["known_at"]) == (None, None, None)


def test_the_outcome_is_what_was_known_of_it_first() -> None:
    corrected = {**END, "available_at": at(900), "energy_kwh": 12.0}
    session = only(charging_sessions(versions(BEGIN, END, corrected), NO_MATCH, timezone="UTC"))
    assert (session["energy_kwh"], session["known_at"]) == (11.0, at(130))


def test_a_source_that_tells_of_sessions_when_they_are_over_says_nothing_at_plug_in() -> None:
    session = only(charging_sessions(versions(END), NO_MATCH, timezone="UTC"))
    assert session["requested_kwh"] is None
    assert session["energy_kwh"] == 11.0


def test_a_match_names_the_vehicle_if_it_was_made_by_then() -> None:
    for matched_at, expected in ((at(1), "van-1"), (at(60), None)):
        match = versions({"vehicle_id": "van-1", "available_at": matched_at}, entity="session_match")
        bare = {key: value for key, value in BEGIN.items() if key != "token"}
        session = only(charging_sessions(versions(bare, END), match, timezone="UTC"))
        assert (session["vehicle_id"], session["user_id"]) == (expected, expected)


def test_a_session_is_asked_about_at_plug_in_and_calibrated_with_its_site() -> None:
    rows = session_questions(charging_sessions(versions({**BEGIN, "site_id": "north"}, END), NO_MATCH, timezone="UTC"))
    question = only(rows)
    assert question["predicted_at"] == T0
    assert question["row_key"] == "CP/1/7@2026-03-02T22:00:00Z"
    assert question["stage"] == "north"
