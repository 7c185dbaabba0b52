"""An operator's word reaches the charger: decided, planned, published, delivered, and taken back."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from orchestration.steps.overrides import OverrideError, cancel, decide, overrides_in_force, unplanned_sites
from tests.chain.yard import MAX_KW, SITE, TAGS, Yard, limits_kw, running_yard, transaction_profiles


@pytest.fixture
async def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Yard]:
    monkeypatch.setenv("DEPOTWISE_BRIDGE_TOKEN", "a token for tests only")
    with running_yard(tmp_path) as running:
        await running.open()
        yield running
        await running.close()


def inputs_of(yard: Yard, plan_id: str, vehicle_id: str) -> dict:
    plan = yard.workplace.landing.read("plan").filter(pl.col("plan_id") == plan_id).row(0, named=True)
    document = json.loads(plan["inputs_json"])
    return {**next(one for one in document["vehicles"] if one["vehicle_id"] == vehicle_id), "plan": document}


async def test_charge_now_is_in_the_next_plan_and_at_the_charger_until_it_is_cancelled(yard: Yard) -> None:
    await yard.plug_in("CP-A", TAGS["van-1"], soc_pct=70)
    before = await yard.answer_events()
    (entry,) = before.planned.publication.connectors
    assert entry.periods[0].limit_kw == 0, "the evening is dear, so it waits"

    yard.pass_time(1)
    decided = await asyncio.to_thread(
        decide, yard.workplace, subject="van-1", action="charge-now", as_of=yard.clock.now, reason="called out early"
    )
    assert unplanned_sites(yard.workplace, sites=[SITE], as_of=yard.clock.now).keys() == {SITE}
    now = await yard.plan("override")
    (entry,) = now.planned.publication.connectors
    assert entry.periods[0].limit_kw >= 0.9 * MAX_KW
    assert max(limits_kw(transaction_profiles(yard.stations["CP-A"])[-1])) >= 0.9 * MAX_KW
    found = inputs_of(yard, now.planned.plan_id, "van-1")
    assert found["notes"] == found["plan"]["overrides"] == [decided.override.note]
    assert "called out early" in decided.override.note
    assert unplanned_sites(yard.workplace, sites=[SITE], as_of=yard.clock.now) == {}

    yard.pass_time(1)
    await asyncio.to_thread(cancel, yard.workplace, decided.override.override_id, as_of=yard.clock.now)
    assert unplanned_sites(yard.workplace, sites=[SITE], as_of=yard.clock.now).keys() == {SITE}
    after = await yard.plan("override")
    (entry,) = after.planned.publication.connectors
    assert entry.periods[0].limit_kw == 0
    assert inputs_of(yard, after.planned.plan_id, "van-1")["notes"] == []
    # What held then can still be read, and cancelling twice is refused.
    assert [one.override_id for one in _in_force(yard, minutes_ago=1)] == [decided.override.override_id]
    with pytest.raises(OverrideError, match="over already"):
        cancel(yard.workplace, decided.override.override_id, as_of=yard.clock.now)


def _in_force(yard: Yard, *, minutes_ago: float) -> list:
    return overrides_in_force(yard.workplace, site_id=SITE, as_of=yard.clock.now - timedelta(minutes=minutes_ago))


@pytest.mark.parametrize(
    ("subject", "action", "message"),
    [
        ("van-9", "charge-now", "neither a vehicle nor a connector"),
        ("van-1", "hurry", "no action"),
        ("van-1", "target=140", "0 to 100"),
        ("van-1", "departure=06:00", "departure=06:00"),
        ("van-1", "departure=2026-02-09T06:00:00Z", "in the past"),
        ("CP-A/1", "target=80", "belongs to a vehicle"),
    ],
)
async def test_an_override_that_says_nothing_is_refused(yard: Yard, subject: str, action: str, message: str) -> None:
    with pytest.raises(OverrideError, match=message):
        decide(yard.workplace, subject=subject, action=action, as_of=yard.clock.now)
    assert _in_force(yard, minutes_ago=0) == []
