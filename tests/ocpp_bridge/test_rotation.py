"""Fallbacks that do not fit together take turns, and never overlap."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.rotation import DAY_S, Share, windows


@given(st.lists(st.floats(0, 20), min_size=1, max_size=12), st.floats(20, 60))
def test_whoever_has_a_turn_at_the_same_time_fits(fallbacks, limit_kw):
    found = windows([Share(fallback, (None,)) for fallback in fallbacks], {None: limit_kw})
    if sum(fallbacks) <= limit_kw:
        assert found == [None] * len(fallbacks)
        return
    for at in range(0, DAY_S, 60):
        together = sum(
            fallback
            for fallback, window in zip(fallbacks, found, strict=True)
            if window.start_s - 60 <= at < window.end_s + 60  # clocks a minute off
        )
        assert together <= limit_kw + 1e-6


def test_a_group_takes_turns_of_its_own():
    shares = [Share(10.0, (None, "g")), Share(10.0, (None, "g")), Share(10.0, (None,))]
    first, second, third = windows(shares, {None: 30.0, "g": 10.0})
    assert first.end_s < second.start_s
    assert third == first


def test_a_fallback_above_the_limit_cannot_be_rotated(kit, tmp_path):
    with pytest.raises(ValueError, match="alone exceeds"):
        windows([Share(10.0, (None,))], {None: 5.0})
    with pytest.raises(ValueError, match="alone exceeds"):
        BridgeConfig.model_validate(kit.config_dict(tmp_path, limit_kw=4, fallback="rotate"))


async def test_stations_hold_their_fallbacks_in_turns(kit, tmp_path):
    config = kit.config_dict(tmp_path, limit_kw=5, fallback="rotate")
    async with (
        kit.running_bridge(config) as running,
        running.station("CP-1") as one,
        running.station("CP-2") as two,
    ):
        await running.settled("CP-1")
        await running.settled("CP-2")
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        seen = set()
        for minutes in range(0, 3 * 1440, 20):
            at = midnight + timedelta(minutes=minutes, seconds=30)
            allowed = [round(station.allowed_kw(1, at), 2) for station in (one, two)]
            assert sum(allowed) <= 5
            seen.add(tuple(allowed))
        assert {(4.14, 0.0), (0.0, 4.14)} <= seen
        stations = (await running.client.get("/stations")).json()["stations"]
        assert sum(one["connectors"][0]["may_hold_kw"] for one in stations) <= 5
        ids = [await one.start(1), await two.start(1)]
        plan_id = await running.publish(
            [kit.entry("CP-1", 5, transaction_id=ids[0]), kit.entry("CP-2", 0, transaction_id=ids[1])], limit_kw=5
        )
        await running.reaches(plan_id, "CP-1", "verified")
        await running.reaches(plan_id, "CP-2", "verified")
