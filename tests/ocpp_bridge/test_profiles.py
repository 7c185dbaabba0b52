"""Plans become profiles: never above the plan, the least energy lost, units, rounding, phases and minimum right."""

import itertools
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocpp_bridge import profiles
from ocpp_bridge.curves import SILENT, constant, steps
from ocpp_bridge.profiles import Capabilities, Place, Slot, Wiring
from ocpp_bridge.protocol_v16 import Ocpp16
from ocpp_bridge.wire import schema_error

NOW = datetime(2026, 2, 10, 18, 0, 7, tzinfo=UTC)
NOW_S = NOW.timestamp()
AC = Wiring("ac", 3, 230.0, 22.0, 4.14)
DC = Wiring("dc", 3, 400.0, 150.0, 5.0)

limits = st.lists(st.floats(0, 200, allow_nan=False), min_size=1, max_size=40)
wirings = st.builds(
    Wiring,
    st.sampled_from(["ac", "dc"]),
    st.sampled_from([1, 3]),
    st.sampled_from([110.0, 230.0, 240.0, 400.0, 750.0]),
    st.just(200.0),
    st.sampled_from([0.0, 1.38, 4.14, 10.0]),
    vehicle_phases=st.sampled_from([None, 1, 3]),
)


@settings(deadline=None)
@given(limits, wirings, st.sampled_from(["A", "W"]), st.integers(1, 12), st.floats(0.1, 2000))
def test_a_profile_never_allows_more_than_the_target(values, wiring, unit, max_periods, slot_s):
    target = steps([(NOW_S + k * slot_s, value) for k, value in enumerate(values)])
    end_s = float(math.floor(NOW_S + len(values) * slot_s + 5))
    curve = profiles.plan_steps(target, end_s=end_s, now_s=NOW_S, unit=unit, wiring=wiring)
    curve = profiles.compress(curve, end_s=end_s, now_s=NOW_S, max_periods=max_periods)
    place = Place(1, Slot.TRANSACTION, 3, "7")
    profile = profiles.plan_profile(curve, place=place, end_s=end_s, as_of=NOW, unit=unit, wiring=wiring)
    assert 1 <= len(profile.periods) <= max_periods
    assert profile.periods[0].start_s == 0
    assert all(later.start_s > earlier.start_s for earlier, later in itertools.pairwise(profile.periods))
    assert profile.valid_to <= datetime.fromtimestamp(end_s, UTC)
    reserved = profile.reserved_kw(wiring)
    for edge in {*reserved.edges(NOW_S), *target.edges(NOW_S)}:
        if edge < profile.valid_to.timestamp():
            assert reserved.at(edge) <= target.at(edge) + 1e-6
    for period in profile.periods:
        amperes = profiles.kw_per_unit(unit, wiring) * period.limit * 1000 / (wiring.voltage_v * wiring.lines)
        assert period.limit == 0 or amperes >= wiring.least_a - 0.1 * 1000 / wiring.voltage_v
    assert schema_error("1.6", *Ocpp16().install(profile)) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=9), st.integers(1, 5))
def test_compression_loses_the_least_energy(values, max_periods):
    end_s = NOW_S + 900.0 * len(values)
    curve = steps([(NOW_S + 900 * k, float(value)) for k, value in enumerate(values)]).until(end_s, SILENT)
    found = profiles.compress(curve, end_s=end_s, now_s=NOW_S, max_periods=max_periods)
    weight = [900.0 if k < 8 else 900 * profiles.FAR_WEIGHT for k in range(len(values))]

    def loss(cuts):
        parts = [values[a:b] for a, b in itertools.pairwise([0, *cuts, len(values)])]
        lowest = [min(part) for part in parts for _ in part]
        return sum((value - low) * w for value, low, w in zip(values, lowest, weight, strict=True))

    best = min(
        loss(cuts)
        for count in range(min(max_periods, len(values)))
        for cuts in itertools.combinations(range(1, len(values)), count)
    )
    lost = sum((value - found.at(NOW_S + 900 * k)) * weight[k] for k, value in enumerate(values))
    assert lost == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize(
    ("reserved_kw", "unit", "wiring", "expected"),
    [
        (11.0, "A", AC, 15.9),
        (11.0, "W", AC, 11000.0),
        (4.14, "A", AC, 6.0),
        (4.13, "A", AC, 0.0),
        (0.0, "A", AC, 0.0),
        (50.0, "W", DC, 50000.0),
        (4.9, "W", DC, 0.0),
        (50.0, "A", DC, 125.0),
        (11.04, "A", Wiring("ac", 3, 230.0, 22.0, 4.14, vehicle_phases=1), 16.0),
        (11.04, "W", Wiring("ac", 3, 230.0, 22.0, 4.14, vehicle_phases=1), 3680.0),
        (3.68, "A", Wiring("ac", 1, 230.0, 7.4, 1.38), 16.0),
    ],
)
def test_limits_are_in_the_right_unit_and_rounded_down(reserved_kw, unit, wiring, expected):
    assert profiles.to_limit(reserved_kw, unit=unit, wiring=wiring) == pytest.approx(expected)


def test_a_single_phase_vehicle_reserves_all_phases_until_metering_says_otherwise():
    wiring = Wiring("ac", 3, 230.0, 22.0, 4.14, vehicle_phases=1)
    assert wiring.reserve_factor == 3
    profile = profiles.plan_profile(
        constant(16.0), place=Place(1, Slot.TRANSACTION, 1, "7"), end_s=NOW_S + 900, as_of=NOW, unit="A", wiring=wiring
    )
    assert profile.phases == 1
    assert profile.reserved_kw(wiring).at(NOW_S) == pytest.approx(11.04)


def test_unit_follows_the_current_type_unless_the_station_cannot():
    assert profiles.choose_unit(Capabilities(), AC) == "A"
    assert profiles.choose_unit(Capabilities(), DC) == "W"
    assert profiles.choose_unit(Capabilities(units=frozenset({"W"})), AC) == "W"
    assert profiles.choose_unit(Capabilities(units=frozenset()), AC) == "A"


def test_schedules_start_a_little_in_the_past_and_lasting_ones_never_end():
    base = profiles.base_profile(2, 4.2, unit="A", wiring=AC, as_of=NOW)
    assert base.start_at == NOW.replace(microsecond=0) - timedelta(seconds=60)
    assert base.valid_to is None
    assert profiles.is_ours(base.profile_id)
    assert len({profiles.profile_id(c, slot) for c in range(50) for slot in Slot}) == 50 * len(Slot)
