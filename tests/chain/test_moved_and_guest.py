"""Plans meet people: a van in another bay than planned, a van that moves, a guest whom nobody knows.

Everything is real but the vehicles: the bridge is a program of its own, the stations are on sockets, and what is judged
in the end is the frames that the stations received.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl
import pytest

from orchestration.steps.ingest import ingest_everything
from orchestration.steps.plan import plan_and_publish
from tests.chain.depot import assert_same_tables, landed
from tests.chain.yard import (
    BAYS,
    EV_LIMIT_KW,
    FALLBACK_KW,
    MIN_KW,
    SITE,
    STRANGER,
    TAGS,
    Yard,
    held_transactions,
    limits_kw,
    running_yard,
    transaction_profiles,
)

SLACK_KW = 1e-6


@pytest.fixture
async def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Yard]:
    monkeypatch.setenv("DEPOTWISE_BRIDGE_TOKEN", "a token for tests only")
    with running_yard(tmp_path) as running:
        await running.open()
        yield running
        await running.close()


def planned_at(yard: Yard, plan_id: str) -> dict[str, str | None]:
    """Return the station that each vehicle of a landed plan is to use."""
    lines = yard.workplace.landing.read("plan_vehicle").filter(pl.col("plan_id") == plan_id)
    return dict(lines.select("vehicle_id", "station_id").iter_rows())


def match_of(yard: Yard, transaction_id: int) -> dict[str, object]:
    matches = yard.workplace.landing.read("session_match", as_of=yard.clock.now)
    return matches.filter(pl.col("transaction_id") == str(transaction_id)).row(0, named=True)


async def test_a_vehicle_in_another_bay_than_planned_gets_its_plan_there(yard: Yard) -> None:
    first = await yard.plan("nightly")
    assert planned_at(yard, first.planned.plan_id) == BAYS
    assert first.planned.publication.connectors == []

    yard.pass_time(15)
    transaction_id = await yard.plug_in("CP-B", TAGS["van-1"], soc_pct=30)
    second = await yard.answer_events()

    assert match_of(yard, transaction_id)["vehicle_id"] == "van-1"
    assert planned_at(yard, second.planned.plan_id) == {"van-1": "CP-B", "van-2": "CP-D"}
    (entry,) = second.planned.publication.connectors
    assert (entry.station_id, entry.vehicle_id, str(entry.transaction_id)) == ("CP-B", "van-1", str(transaction_id))

    profiles = transaction_profiles(yard.stations["CP-B"])
    assert {profile["transactionId"] for profile in profiles} == {transaction_id}
    assert max(limits_kw(profiles[-1])) > FALLBACK_KW
    assert transaction_profiles(yard.stations["CP-A"]) == []
    assert yard.highest_total_kw() <= EV_LIMIT_KW + SLACK_KW


async def test_a_vehicle_that_moves_takes_its_plan_along(yard: Yard) -> None:
    before = await yard.plug_in("CP-A", TAGS["van-1"], soc_pct=30)
    first = await yard.answer_events()
    assert held_transactions(yard.stations["CP-A"]) == {before}

    yard.pass_time(30)
    await yard.unplug("CP-A")
    yard.pass_time(5)
    after = await yard.plug_in("CP-C", TAGS["van-1"], soc_pct=38)
    second = await yard.answer_events()

    assert after != before
    assert second.planned.plan_id != first.planned.plan_id
    assert planned_at(yard, second.planned.plan_id)["van-1"] == "CP-C"
    assert [(entry.station_id, entry.vehicle_id) for entry in second.planned.publication.connectors] == [
        ("CP-C", "van-1")
    ]
    assert held_transactions(yard.stations["CP-C"]) == {after}
    assert {profile["transactionId"] for profile in transaction_profiles(yard.stations["CP-C"])} == {after}
    assert held_transactions(yard.stations["CP-A"]) == set()
    assert {profile["transactionId"] for profile in transaction_profiles(yard.stations["CP-A"])} == {before}
    assert yard.highest_total_kw() <= EV_LIMIT_KW + SLACK_KW


async def test_a_guest_gets_the_default_and_takes_nothing_from_the_plan(yard: Yard) -> None:
    vans = {
        "van-1": await yard.plug_in("CP-A", TAGS["van-1"], soc_pct=20),
        "van-2": await yard.plug_in("CP-D", TAGS["van-2"], soc_pct=20),
    }
    await yard.answer_events()
    yard.pass_time(10)
    guest = await yard.plug_in("CP-B", STRANGER)
    outcome = await yard.answer_events()

    match = match_of(yard, guest)
    assert (match["vehicle_id"], match["method"], match["confidence"]) == (None, "none", 0.0)
    entries = {entry.station_id: entry for entry in outcome.planned.publication.connectors}
    assert set(entries) == {"CP-A", "CP-B", "CP-D"}
    assert entries["CP-B"].vehicle_id is None
    assert str(entries["CP-B"].transaction_id) == str(guest)
    assert {vehicle_id: str(entries[BAYS[vehicle_id]].transaction_id) for vehicle_id in vans} == {
        vehicle_id: str(transaction_id) for vehicle_id, transaction_id in vans.items()
    }

    profiles = transaction_profiles(yard.stations["CP-B"])
    assert {profile["transactionId"] for profile in profiles} == {guest}
    # 4.2 kW over three phases is 6.08 A, which a station is told as 6.0 A: the least that charges at all.
    assert all(MIN_KW - SLACK_KW <= limit_kw <= FALLBACK_KW for limit_kw in limits_kw(profiles[-1]))
    for vehicle_id, transaction_id in vans.items():
        assert held_transactions(yard.stations[BAYS[vehicle_id]]) == {transaction_id}
    assert outcome.planned.plan.is_ready.all()
    assert yard.highest_total_kw() <= EV_LIMIT_KW + SLACK_KW
    states = yard.states(outcome.planned.plan_id)
    assert states.keys() == {"CP-A", "CP-B", "CP-D"}
    assert set(states.values()) <= {"accepted", "verified"}
    lines = yard.workplace.landing.read("plan_vehicle").filter(pl.col("plan_id") == outcome.planned.plan_id)
    assert set(lines["vehicle_id"]) == set(vans)
    assert set(lines["site_id"]) == {SITE}


async def test_an_earlier_instant_again_changes_nothing_although_more_is_known_now(yard: Yard) -> None:
    await yard.plug_in("CP-A", TAGS["van-1"], soc_pct=30)
    first = await yard.answer_events()
    then = yard.clock.now
    yard.pass_time(30)
    await yard.unplug("CP-A")
    await yard.plug_in("CP-C", TAGS["van-1"], soc_pct=38)
    await yard.answer_events()

    home = yard.workplace.settings.home
    before = landed(home)
    await asyncio.to_thread(ingest_everything, yard.workplace, as_of=then)
    again = await asyncio.to_thread(plan_and_publish, yard.workplace, site_id=SITE, as_of=then, trigger="plug_in")
    assert again.planned.plan_id == first.planned.plan_id
    assert again.planned.publication == first.planned.publication
    assert_same_tables(landed(home), before)
