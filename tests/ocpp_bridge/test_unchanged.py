"""A new plan that changes nothing for a connector sends it nothing."""

import asyncio
from datetime import UTC, datetime, timedelta


async def test_only_the_connector_whose_course_changes_gets_a_new_profile(bridge, kit):
    async with bridge.station("CP-1") as one, bridge.station("CP-2") as two:
        await bridge.settled("CP-1")
        await bridge.settled("CP-2")
        ids = [await one.start(1), await two.start(1)]
        now = datetime.now(UTC)

        def entries(second_kw):
            return [
                kit.entry("CP-1", 8, 0, 11, now=now, transaction_id=ids[0]),
                kit.entry("CP-2", second_kw, now=now, transaction_id=ids[1]),
            ]

        first = await bridge.publish(entries(10), now=now, hours=10)
        await bridge.reaches(first, "CP-1", "accepted", "verified")
        await bridge.reaches(first, "CP-2", "accepted", "verified")
        sent = [len(station.installed("TxProfile")) for station in (one, two)]

        as_of = now + timedelta(seconds=1)
        second = await bridge.publish(entries(7), now=now, hours=10.25, as_of=as_of)
        await bridge.reaches(second, "CP-2", "accepted", "verified")
        entry = await bridge.reaches(second, "CP-1", "accepted", "verified")
        assert first in entry["detail"]
        await asyncio.sleep(0.3)
        assert [len(station.installed("TxProfile")) for station in (one, two)] == [sent[0], sent[1] + 1]
        assert one.allowed_kw(1, now + timedelta(minutes=20)) == 0
        assert (await bridge.states(first))[("CP-1", 1)]["state"] == "superseded"


async def test_a_profile_that_soon_ends_is_renewed(lone, kit):
    async with lone.station("CP-1") as station:
        await lone.settled("CP-1")
        transaction_id = await station.start(1)
        now = datetime.now(UTC)
        plan = [kit.entry("CP-1", 8, now=now, transaction_id=transaction_id)]
        first = await lone.publish(plan, now=now, hours=3)
        await lone.reaches(first, "CP-1", "accepted", "verified")
        sent = len(station.installed("TxProfile"))
        second = await lone.publish(plan, now=now, hours=10, as_of=now + timedelta(seconds=1))
        await lone.reaches(second, "CP-1", "verified")
        assert len(station.installed("TxProfile")) == sent + 1
        assert station.allowed_kw(1, now + timedelta(hours=9)) > 7
