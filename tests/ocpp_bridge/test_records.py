"""What the bridge writes down: frames, events, publications, transactions; and what it keeps out of them."""

import asyncio
import errno
import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.publication import Publication
from ocpp_bridge.events import EventLog
from ocpp_bridge.frame_log import CursorError, FrameLog
from ocpp_bridge.outbox import Delivery, Evidence, Outbox, State, Verdict
from ocpp_bridge.redaction import HIDDEN, redact
from ocpp_bridge.store import Store
from ocpp_bridge.transactions import Stop, Transactions

T0 = datetime(2026, 2, 10, 18, 59, 59, tzinfo=UTC)
KEY = ("CP-1", 1)


def write(log, at, number):
    log.write([2, str(number), "Heartbeat", {}], at=at, station_id="CP-1", connection_id="c", direction="in")


def numbers(lines):
    return [int(json.loads(line)["frame"][1]) for line in lines]


# --- frames ------------------------------------------------------------------------------------------------------


def test_frames_go_to_hourly_files_and_are_read_in_order(tmp_path):
    log = FrameLog(tmp_path, str)
    for k in range(4):
        write(log, T0 + timedelta(seconds=k), k)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-02-10T18.jsonl", "2026-02-10T19.jsonl"]
    lines, cursor = log.read(None, 3)
    assert numbers(lines) == [0, 1, 2]
    assert numbers(log.read(cursor, 10)[0]) == [3]


def test_a_clock_that_jumps_back_hides_no_frame_from_a_reader(tmp_path):
    log = FrameLog(tmp_path, str)
    write(log, T0 + timedelta(hours=5), 1)
    _, cursor = log.read(None, 10)
    write(log, T0, 2)
    log.close()
    again = FrameLog(tmp_path, str)
    write(again, T0 - timedelta(days=400), 3)
    assert numbers(again.read(cursor, 10)[0]) == [2, 3]


def test_half_a_line_left_by_a_kill_is_cut_off(tmp_path):
    log = FrameLog(tmp_path, str)
    write(log, T0, 1)
    log.close()
    file = tmp_path / "2026-02-10T18.jsonl"
    file.write_bytes(file.read_bytes() + b'{"at":"2026-02')
    assert numbers(FrameLog(tmp_path, str).read(None, 10)[0]) == [1]
    again = FrameLog(tmp_path, str)
    write(again, T0, 2)
    assert numbers(again.read(None, 10)[0]) == [1, 2]


def test_a_full_disk_is_told_and_survived(tmp_path, monkeypatch):
    log = FrameLog(tmp_path, str)
    write(log, T0, 1)
    real_write = os.write

    def full(descriptor, data):
        real_write(descriptor, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    write(log, T0, 2)
    assert log.lost == 1
    assert "No space left" in log.problem
    monkeypatch.undo()
    write(log, T0, 3)
    assert log.problem is None
    assert numbers(log.read(None, 10)[0]) == [1, 3]


@pytest.mark.parametrize("cursor", ["x", "2026-02-10T18", "2026-02-10T18:-1", "../x:1"])
def test_a_cursor_of_another_kind_is_refused(tmp_path, cursor):
    with pytest.raises(CursorError):
        FrameLog(tmp_path, str).read(cursor, 1)


def test_old_files_are_removed_but_never_the_newest(tmp_path):
    log = FrameLog(tmp_path, str)
    for days in (0, 1, 2):
        write(log, T0 + timedelta(days=days), days)
    assert log.remove_old(T0 + timedelta(days=100), days=30) == 2
    assert numbers(log.read(None, 10)[0]) == [2]


@pytest.mark.parametrize(
    "frame",
    [
        [2, "1", "Authorize", {"idTag": "SECRET"}],
        [3, "1", {"idTagInfo": {"status": "Accepted", "parentIdTag": "SECRET"}}],
        [2, "1", "ChangeConfiguration", {"key": "AuthorizationKey", "value": "SECRET"}],
        [3, "1", {"configurationKey": [{"key": "authorizationkey", "value": "SECRET", "readonly": False}]}],
        [2, "1", "SendLocalList", {"localAuthorizationList": [{"idTag": "SECRET"}]}],
        [2, "1", "TransactionEvent", {"idToken": {"idToken": "SECRET", "type": "Central"}}],
        [2, "1", "SetNetworkProfile", {"connectionData": {"basicAuthPassword": "SECRET"}}],
        [
            2,
            "1",
            "SetVariables",
            {"setVariableData": [{"variable": {"name": "BasicAuthPassword"}, "attributeValue": "SECRET"}]},
        ],
        [2, "1", "DataTransfer", {"data": '{"idTag": "SECRET"}'}],
    ],
    ids=lambda frame: str(frame[2])[:20],
)
def test_no_secret_and_no_plain_token_is_logged(frame):
    text = json.dumps(redact(frame, lambda token: f"hash-of-{len(token)}"))
    assert "SECRET" not in text
    assert HIDDEN in text or "hash-of-6" in text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_redaction_takes_anything_and_keeps_the_rest(value):
    redacted = redact(value, str)
    assert type(redacted) is type(value)


# --- events ------------------------------------------------------------------------------------------------------


async def test_cursors_go_on_after_a_restart_and_none_is_given_twice(tmp_path):
    log = EventLog(tmp_path / "events.sqlite")
    log.add("status", at=T0, station_id="CP-1", connector_id=1, status="Available")
    assert log.read(0) == []  # what is not stored yet cannot be seen
    log.close()
    again = EventLog(tmp_path / "events.sqlite")
    first = again.read(0)
    assert [event["data"] for event in first] == [{"status": "Available"}]
    again.add("status", at=T0, station_id="CP-1", connector_id=1, status="Preparing")
    waiting = asyncio.create_task(again.wait(first[-1]["cursor"], 5))
    await asyncio.sleep(0)
    again.flush()
    assert (await waiting)[0]["cursor"] > first[-1]["cursor"]
    again.close()


# --- publications -------------------------------------------------------------------------------------------------


@pytest.fixture
def outbox(tmp_path):
    return Outbox(Store(tmp_path / "outbox.sqlite"))


def publication_of(kit, plan_id, as_of=T0, **changes):
    document = kit.publication(plan_id, [kit.entry("CP-1", 11, now=T0)], now=T0, as_of=as_of, **changes)
    return Publication.model_validate(document)


def test_a_publication_supersedes_the_one_before(kit, outbox):
    assert outbox.accept(publication_of(kit, "a"), received_at=T0) is Verdict.STORED
    assert outbox.accept(publication_of(kit, "a"), received_at=T0) is Verdict.SAME
    assert outbox.accept(publication_of(kit, "a", hours=9), received_at=T0) is Verdict.CONFLICT
    later = T0 + timedelta(minutes=1)
    assert outbox.accept(publication_of(kit, "b", as_of=later), received_at=later) is Verdict.STORED
    assert [one.state for one in outbox.deliveries("a")] == [State.SUPERSEDED]
    assert outbox.accept(publication_of(kit, "c"), received_at=later) is Verdict.STALE
    assert outbox.accept(publication_of(kit, "a"), received_at=later) is Verdict.REPLAYED
    assert outbox.in_force().plan_id == "b"


def test_a_dry_run_supersedes_nothing(kit, outbox):
    outbox.accept(publication_of(kit, "a"), received_at=T0)
    outbox.accept(publication_of(kit, "dry", dry_run=True), received_at=T0)
    assert outbox.in_force().plan_id == "a"
    assert [one.state for one in outbox.deliveries("a")] == [State.PENDING]


def test_states_survive_a_restart(kit, tmp_path):
    store = Store(tmp_path / "o.sqlite")
    outbox = Outbox(store)
    outbox.accept(publication_of(kit, "a"), received_at=T0)
    outbox.update("a", [Delivery("CP-1", 1, State.VERIFIED, Evidence.METERED, T0, "seen")])
    store.close()
    found = Outbox(Store(tmp_path / "o.sqlite"))
    assert found.deliveries("a") == [Delivery("CP-1", 1, State.VERIFIED, Evidence.METERED, T0, "seen")]
    assert found.counts() == {"verified": 1}


def test_what_did_not_commit_is_not_there(kit, tmp_path):
    store = Store(tmp_path / "o.sqlite")

    def fail():
        with store.writing(durably=True) as db:
            db.execute("insert into credential values ('a', 'b')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.connection.execute("select count(*) from credential").fetchone()[0] == 0


# --- transactions -------------------------------------------------------------------------------------------------


@pytest.fixture
def book(tmp_path):
    return Transactions(Store(tmp_path / "t.sqlite"))


def test_numbers_are_new_even_after_the_database_was_lost(book):
    transaction, is_new = book.begin(KEY, token="t", started_at=T0, meter_start_wh=0)
    assert is_new
    assert 100_000_000 < int(transaction.external_id) < 2**31


def test_a_new_start_ends_the_transaction_that_nobody_ended(book):
    first, _ = book.begin(KEY, token="t", started_at=T0, meter_start_wh=0)
    second, _ = book.begin(KEY, token="u", started_at=T0 + timedelta(hours=1), meter_start_wh=5)
    assert book.running(KEY) == second
    assert book.has_ended("CP-1", first.external_id)
    assert book.all_running() == [second]


def test_an_end_is_matched_by_number_then_token_then_by_being_the_only_one(book):
    one, _ = book.begin(KEY, token="t", started_at=T0, meter_start_wh=0)
    two, _ = book.begin(("CP-1", 2), token="u", started_at=T0, meter_start_wh=0)
    assert book.end("CP-1", "-1", Stop(T0)) is None  # two are open: nobody knows which
    assert book.end("CP-1", "-1", Stop(T0), token="u") == ("CP-1", 2)
    assert book.end("CP-1", two.external_id, Stop(T0)) is None  # told twice
    assert book.end("CP-1", one.external_id, Stop(T0, 5.0, "Local")) == KEY
    assert book.end("CP-1", "-1", Stop(T0)) is None
    assert book.running(KEY) is None
