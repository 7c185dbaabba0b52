"""Transactions from frames: numbered by the answer, repeated, offline, never stopped, cut in two by a page."""

import itertools
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ingestion.charging.log import MINUTE, T0, answer, line, meter, read, reasons, stamp, start, status, stop

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
POWER = {"measurand": "Power.Active.Import", "unit": "kW", "value": "7.0"}


def sessions(lines: list[str], carry: Any = None) -> list[dict[str, Any]]:
    return read(lines, carry).rows["charging_transaction"].to_dicts()


def test_a_transaction_is_numbered_by_the_answer_to_its_start() -> None:
    began, ended = sessions([start(T0, "1"), answer(T0 + SECOND, "1", 7), stop(T0 + HOUR, 7, reason="Local")])
    assert (began["transaction_id"], began["started_at"], began["ended_at"]) == ("7", T0, None)
    assert began["available_at"] == T0 + SECOND
    assert (ended["started_at"], ended["ended_at"], ended["observed_at"]) == (T0, T0 + HOUR, T0 + HOUR)
    assert (ended["energy_kwh"], ended["meter_start_kwh"], ended["meter_end_kwh"]) == (15.0, 1.0, 16.0)
    assert (ended["stop_reason"], ended["token"], ended["is_estimated"]) == ("Local", "hash", False)


def test_message_ids_count_within_a_connection_only() -> None:
    lines = [
        start(T0, "1", connection="old"),
        start(T0 + MINUTE, "1", station="CP-2", connection="other"),
        answer(T0 + 2 * MINUTE, "1", 8, station="CP-2", connection="other"),
        answer(T0 + 3 * MINUTE, "1", 7, connection="old"),
    ]
    assert {(one["station_id"], one["transaction_id"]) for one in sessions(lines)} == {("CP-1", "7"), ("CP-2", "8")}


def test_a_message_id_that_is_used_again_takes_the_next_answer() -> None:
    lines = [
        start(T0, "1"), answer(T0 + SECOND, "1", 7), stop(T0 + MINUTE, 7),
        start(T0 + HOUR, "1", meter_wh=16_000), answer(T0 + HOUR + SECOND, "1", 8),
    ]  # fmt: skip
    assert [one["transaction_id"] for one in sessions(lines)] == ["7", "7", "8"]


def test_a_start_that_is_told_again_is_the_same_transaction() -> None:
    """A station repeats a start with its original time when the answer got lost; its stop bears the later number."""
    lines = [
        start(T0, "1"), answer(T0 + SECOND, "1", 7),
        start(T0 + MINUTE, "9", said=stamp(T0)), answer(T0 + MINUTE + SECOND, "9", 8),
        stop(T0 + HOUR, 8),
    ]  # fmt: skip
    found = read(lines)
    rows = found.rows["charging_transaction"].to_dicts()
    assert [(one["transaction_id"], one["energy_kwh"]) for one in rows] == [("7", None), ("7", 15.0)]
    assert reasons(found) == {"duplicate_start": 1}


@pytest.mark.parametrize("number", [-1, 0, 9223372036854775807])
def test_a_stop_without_a_number_ends_the_only_open_transaction(number: int) -> None:
    ended = sessions([start(T0, "1"), answer(T0 + SECOND, "1", 7), stop(T0 + HOUR, number)])[-1]
    assert (ended["transaction_id"], ended["energy_kwh"]) == ("7", 15.0)


def test_a_stop_without_a_number_is_no_guess_between_two() -> None:
    lines = [
        start(T0, "1"), answer(T0, "1", 7), start(T0, "2", connector=2), answer(T0, "2", 8), stop(T0 + HOUR, -1),
    ]  # fmt: skip
    found = read(lines)
    assert found.rows["charging_transaction"]["ended_at"].null_count() == 2
    assert reasons(found) == {"stop_without_start": 1}


def test_a_stop_that_never_came_is_estimated_when_the_next_transaction_starts() -> None:
    lines = [
        start(T0, "1"), answer(T0, "1", 7),
        meter(T0 + HOUR, [{"value": "8000"}, {"measurand": "SoC", "value": "66"}]),
        start(T0 + 9 * HOUR, "2", meter_wh=9000), answer(T0 + 9 * HOUR, "2", 8),
    ]  # fmt: skip
    found = read(lines)
    ended = found.rows["charging_transaction"].filter(transaction_id="7", is_estimated=True).row(0, named=True)
    assert (ended["ended_at"], ended["energy_kwh"], ended["soc_end_pct"]) == (T0 + HOUR, 7.0, 66.0)
    assert (ended["stop_reason"], ended["available_at"]) == ("no stop received", T0 + 9 * HOUR)
    assert reasons(found) == {"missing_stop": 1}


def test_an_unknown_transaction_is_quarantined_and_a_repeated_stop_is_not() -> None:
    lines = [start(T0, "1"), answer(T0, "1", 7), stop(T0 + HOUR, 7), stop(T0 + HOUR + MINUTE, 7, said=stamp(T0 + HOUR))]
    found = read([*lines, stop(T0 + 2 * HOUR, 99)])
    assert reasons(found) == {"duplicate_stop": 1, "stop_without_start": 1}
    refused = found.rejected.filter(~pl.col("field_only"))
    assert refused["reason"].to_list() == ["stop_without_start"]
    assert found.rows["charging_transaction"].height == 2


def test_a_register_that_went_back_gives_no_energy() -> None:
    found = read([start(T0, "1"), answer(T0, "1", 7), stop(T0 + HOUR, 7, meter_wh=400)])
    ended = found.rows["charging_transaction"].to_dicts()[-1]
    assert (ended["energy_kwh"], ended["meter_end_kwh"], ended["ended_at"]) == (None, 0.4, T0 + HOUR)
    assert reasons(found) == {"register_went_back": 1}


def test_kwh_where_wh_was_meant_gives_no_energy() -> None:
    samples = [meter(T0 + k * 10 * MINUTE, [POWER]) for k in range(1, 7)]
    found = read([start(T0, "1", meter_wh=4265), answer(T0, "1", 7), *samples, stop(T0 + HOUR, 7, meter_wh=4271)])
    assert found.rows["charging_transaction"].to_dicts()[-1]["energy_kwh"] is None
    assert reasons(found) == {"kwh_labelled_wh": 1}


def test_a_clock_of_1970_gives_way_to_the_log() -> None:
    found = read(
        [
            start(T0, "1", said="1970-01-01T00:03:00Z"),
            answer(T0, "1", 7),
            stop(T0 + HOUR, 7, said="1970-01-01T01:03:00Z"),
        ]
    )
    ended = found.rows["charging_transaction"].to_dicts()[-1]
    assert (ended["started_at"], ended["ended_at"]) == (T0, T0 + HOUR)
    assert reasons(found) == {"clock_never_set": 2}


def test_a_late_backlog_keeps_its_own_times() -> None:
    began = T0 - 5 * HOUR
    ended = sessions(
        [start(T0, "1", said=stamp(began)), answer(T0, "1", 7), stop(T0 + MINUTE, 7, said=stamp(began + HOUR))]
    )[-1]
    assert (ended["started_at"], ended["ended_at"], ended["available_at"]) == (began, began + HOUR, T0 + MINUTE)


def test_samples_that_a_stop_brings_along_belong_to_its_transaction() -> None:
    data = [{"timestamp": stamp(T0 + 30 * MINUTE), "sampledValue": [{"value": "9000"}]}]
    found = read([start(T0, "1", connector=2), answer(T0, "1", 7), stop(T0 + HOUR, 7, transactionData=data)])
    row = found.rows["meter_value"].row(0, named=True)
    assert (row["connector_id"], row["transaction_id"], row["energy_register_kwh"]) == (2, "7", 9.0)


def test_a_number_that_the_back_end_uses_again_stands_for_the_latest_start() -> None:
    lines = [
        start(T0, "1"), answer(T0, "1", 1), stop(T0 + HOUR, 1),
        start(T0 + 2 * HOUR, "2", meter_wh=16_000), answer(T0 + 2 * HOUR, "2", 1),
        stop(T0 + 3 * HOUR, 1, meter_wh=20_000),
    ]  # fmt: skip
    rows = [one for one in sessions(lines) if one["ended_at"] is not None]
    assert [(one["started_at"], one["energy_kwh"]) for one in rows] == [(T0, 15.0), (T0 + 2 * HOUR, 4.0)]


def test_statuses_of_connectors_and_of_the_station() -> None:
    found = read(
        [
            status(T0, "SuspendedEVSE", connector=2, error="HighTemperature"),
            status(T0 + MINUTE, "Available", connector=0, said=None),
            status(T0 + 2 * MINUTE, "Occupied"),
            status(T0 + 3 * MINUTE, "Charging", said=stamp(T0 + 2 * HOUR)),
        ]
    )
    rows = found.rows["connector_status"]
    assert rows.select("connector_id", "status", "error_code", "observed_at").rows() == [
        (2, "suspended_evse", "HighTemperature", T0),
        (0, "available", None, T0 + MINUTE),
        (1, "charging", None, T0 + 3 * MINUTE),
    ]
    assert reasons(found) == {"clock_ahead": 1, "status_unknown": 1}


def test_what_the_back_end_asks_and_errors_give_no_rows() -> None:
    lines = [
        line(T0, "out", [2, "1", "RemoteStartTransaction", {"connectorId": 1, "idTag": "hash"}]),
        line(T0, "in", [3, "1", {"status": "Accepted"}]),
        line(T0, "in", [4, "2", "InternalError", "", {}]),
        line(T0, "in", [2, "3", "DataTransfer", {"vendorId": "x", "data": "not json"}]),
    ]
    found = read(lines)
    assert found.rejected.is_empty()
    assert all(table.is_empty() for table in found.rows.values())


def sampled(k: int) -> list[dict[str, object]]:
    return [POWER, {"value": str(1000 + 1166 * k)}, {"measurand": "SoC", "value": str(20 + k)}]


NIGHT = [
    start(T0, "1"), answer(T0 + SECOND, "1", 7), status(T0 + SECOND, "Charging"),
    start(T0 + MINUTE, "2", connector=2, meter_wh=500), answer(T0 + MINUTE, "2", 8),
    *(meter(T0 + k * 10 * MINUTE, sampled(k)) for k in range(1, 10)),
    start(T0 + 95 * MINUTE, "3", said=stamp(T0)), answer(T0 + 95 * MINUTE, "3", 9),
    stop(T0 + 100 * MINUTE, 9, meter_wh=12_600), stop(T0 + 101 * MINUTE, 9, meter_wh=12_600),
    start(T0 + 200 * MINUTE, "4", connector=2, meter_wh=9000), answer(T0 + 200 * MINUTE, "4", 10),
    stop(T0 + 300 * MINUTE, -1, meter_wh=11_000),
]  # fmt: skip


def landed(rows: list[pl.DataFrame]) -> list[dict[str, Any]]:
    columns = ["station_id", "connector_id", "transaction_id", "observed_at", "available_at", "ended_at", "energy_kwh"]
    return pl.concat(rows).select(*columns, "soc_start_pct", "soc_end_pct").sort(columns).to_dicts()


@settings(max_examples=12, deadline=None)
@given(cuts=st.sets(st.integers(1, len(NIGHT) - 1), max_size=4))
def test_pages_may_be_cut_anywhere(cuts: set[int]) -> None:
    whole = read(NIGHT)
    edges = [0, *sorted(cuts), len(NIGHT)]
    carry: Any = None
    parts = []
    for begin, end in itertools.pairwise(edges):
        part = read(NIGHT[begin:end], carry)
        carry = part.carry
        parts.append(part)
    for entity in ("charging_transaction", "meter_value", "connector_status"):
        got = pl.concat([part.rows[entity] for part in parts], how="diagonal_relaxed")
        assert got.height == whole.rows[entity].height
    assert landed([part.rows["charging_transaction"] for part in parts]) == landed([whole.rows["charging_transaction"]])


def test_reading_a_page_again_with_the_same_carry_gives_the_same_rows() -> None:
    first = read(NIGHT[:6])
    once, again = read(NIGHT[6:], first.carry), read(NIGHT[6:], first.carry)
    assert all(once.rows[entity].equals(again.rows[entity]) for entity in once.rows)
    assert once.carry == again.carry
