"""The closed loop: nothing is known before it happens, limits hold for everybody, and knowing more is worth more."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planning.replay.knowledge import PerfectForesight, PresentOnly
from planning.replay.loop import Contender, Played, continues, replay
from planning.replay.policies import Orders, policy_of
from planning.replay.scoring import infeasible_of, score
from planning.replay.world import GuestStay, TrueStay, World
from planning.site_state import SiteState, VehicleRequest
from tests.planning.replay.yard import SLOT_MIN, START, Timetable, stay, world

SLOT = timedelta(minutes=SLOT_MIN)
RULES = ("fcfs", "edf", "llf", "cheapest_slot", "llf_min_peak")
LAWFUL = ("optimiser", *RULES)
STAYS = [stay(0, arrive_h=3), stay(1, arrive_h=5.1, start=20), stay(2, arrive_h=6), stay(3, arrive_h=9, leave_h=16)]


@cache
def usual(kind: str) -> Played:
    return play(kind)


def play(kind: str, stays: list[TrueStay] = STAYS, **changes: object) -> Played:
    return replay(world(stays, **changes), Contender(kind, Timetable(stays), policy_of(kind)))


def foresight(over: World) -> Played:
    return replay(
        over, Contender("perfect_foresight", PerfectForesight(over), policy_of("foresight"), is_omniscient=True)
    )


@pytest.mark.parametrize("kind", LAWFUL)
def test_every_policy_keeps_the_limits_and_charges_nobody_who_is_away(kind: str) -> None:
    over = world(STAYS)
    played = usual(kind)
    assert (played.charging_kw + 8.0 <= 40.0 + 1e-6).all()
    assert (played.charging_kw <= 33.0 + 1e-6).all()
    there = np.zeros(over.settled.slots, dtype=int)
    for one in STAYS:
        first = int(np.ceil((one.plugged_at - START) / SLOT))
        there[first : int((one.unplugged_at - START) / SLOT)] += 1
    assert (played.charging_kw <= 11.0 * there + 1e-6).all()


@pytest.mark.parametrize("kind", ["optimiser", "edf", "llf_min_peak"])
def test_everybody_leaves_ready_where_there_is_room(kind: str) -> None:
    departures = usual(kind).departures
    assert len(departures) == len(STAYS)
    assert all(departure.soc_pct >= departure.required_soc_pct - 1 for departure in departures)


def test_energy_is_conserved() -> None:
    played = usual("optimiser")
    gained = sum(departure.soc_pct for departure in played.departures) - sum(one.start_soc_pct or 0 for one in STAYS)
    assert played.charging_kw.sum() * SLOT_MIN / 60 == pytest.approx(gained / 100 * 70.0 / 0.9, rel=1e-6)


@pytest.mark.parametrize(("minutes_before", "minutes_there"), [(0, 30), (0.2, 29), (6, 24), (30, 0)])
def test_a_vehicle_is_charged_to_the_minute_in_which_it_is_unplugged(minutes_before: int, minutes_there: int) -> None:
    one = stay(0, arrive_h=13, start=5, need=95)
    early = replace(one, unplugged_at=one.unplugged_at - timedelta(minutes=minutes_before))
    played = play("uncontrolled", [early])
    last = int((one.unplugged_at - START) / SLOT) - 1
    assert played.charging_kw[last - 1] == pytest.approx(11.0)
    assert played.charging_kw[last] == pytest.approx(11.0 * minutes_there / SLOT_MIN)
    assert played.charging_kw[last + 1 :].max() == 0
    gained = (played.departures[0].soc_pct - 5) / 100 * 70.0 / 0.9
    assert played.charging_kw.sum() * SLOT_MIN / 60 == pytest.approx(gained)


def test_who_is_unplugged_seconds_before_a_slot_ends_is_foreseen_to_charge_in_it() -> None:
    one = stay(0, arrive_h=16, leave_h=18, start=40, need=65)
    late = replace(one, unplugged_at=one.unplugged_at - timedelta(seconds=20))
    whole, nearly = (foresight(world([each])) for each in (one, late))
    assert nearly.charging_kw.max() == pytest.approx(whole.charging_kw.max(), rel=0.02)
    assert nearly.departures[0].soc_pct == pytest.approx(65, abs=0.5)


def test_foresight_wants_nothing_more_of_who_is_about_to_leave() -> None:
    one = stay(0, arrive_h=16, leave_h=17.75, start=40, need=65)
    wanted = {}

    def watching(site: SiteState, requests: Sequence[VehicleRequest], at: datetime) -> Orders:
        wanted[at] = requests[0].requirement.soc_pct if requests else None
        return policy_of("foresight")(site, requests, at)

    over = world([one])
    replay(over, Contender("seer", PerfectForesight(over), watching, is_omniscient=True))
    assert wanted == {
        START + timedelta(hours=16): 65.0,
        START + timedelta(hours=16.5): 65.0,
        START + timedelta(hours=17): 65.0,
        START + timedelta(hours=17.5): 0.0,
    }


def test_nothing_is_seen_before_it_happens() -> None:
    forecaster = Timetable(STAYS)
    replay(world(STAYS), Contender("planned", forecaster, policy_of("fcfs")))
    plugged_at = {one.vehicle_id: one.plugged_at for one in STAYS}
    assert len(forecaster.seen) > 20
    for seen in forecaster.seen:
        assert all(plugged_at[name] <= seen.at for name in seen.of_vehicles())
        readings = [reading for one in seen.plugged for reading, _ in one.readings]
        assert all(reading.observed_at <= seen.at for reading in readings)


def test_what_comes_later_changes_nothing_before() -> None:
    """Another evening for the last van, told to nobody: until it should have come, all is the same."""
    changed = [*STAYS[:3], replace(STAYS[3], plugged_at=STAYS[3].plugged_at + timedelta(hours=3), start_soc_pct=5.0)]
    one, other = (
        replay(world(stays), Contender("planned", Timetable(STAYS), policy_of("edf"))) for stays in (STAYS, changed)
    )
    arrival = 9 * 60 // SLOT_MIN
    np.testing.assert_array_equal(one.charging_kw[:arrival], other.charging_kw[:arrival])
    assert not np.array_equal(one.charging_kw, other.charging_kw)


def test_knowing_everything_costs_least_and_knowing_nothing_most() -> None:
    """One van comes early and little is there to do; that three more will come is what makes it dear."""
    stays = [stay(0, arrive_h=3, need=90), *(stay(k, arrive_h=10, leave_h=17, start=20) for k in (1, 2, 3))]
    over = world(stays)
    best = foresight(over)
    nothing = Contender("nothing", PresentOnly(Timetable(stays)), policy_of("optimiser"))
    assert infeasible_of(best) == 0
    assert score(over, best, 0).cost < 0.97 * score(over, replay(over, nothing), 0).cost


def test_uncontrolled_charging_breaks_the_limit_and_is_seen_to() -> None:
    over = world(STAYS, limit_kw=30.0)
    figures = score(over, play("uncontrolled", limit_kw=30.0), 0)
    assert figures.over_limit_kw == pytest.approx(figures.peak_kw - 30.0)
    assert figures.peak_kw > 35.0


def test_a_guest_gets_the_sites_default_and_counts_under_the_limit() -> None:
    guest = GuestStay(("CP-3", 1), START + timedelta(hours=4), START + timedelta(hours=8))
    stays = STAYS[:3]
    over = replace(world(stays), guests=(guest,))
    played = replay(over, Contender("planned", Timetable(stays), policy_of("llf")))
    assert played.charging_kw[9] >= 4.2
    assert (played.charging_kw <= 32.0 + 1e-6).all()


def test_profiles_that_go_on_are_not_new_ones() -> None:
    """Where nothing deviates, most plans leave most connectors with what they hold."""
    at = START
    held = ((at, 4.2), (at + 2 * SLOT, 0.0))
    assert continues(held, ((at + SLOT, 4.2), held[1]), at + SLOT)
    assert not continues(held, ((at + SLOT, 4.3), held[1]), at + SLOT)
    assert not continues(None, held, at)
    played = usual("edf")
    assert played.profiles_unchanged > played.profiles


@settings(max_examples=3)
@given(st.lists(st.tuples(st.floats(1, 10), st.floats(11, 19), st.floats(5, 60)), min_size=1, max_size=4))
def test_any_night_ends_with_a_departure_each_and_within_limits(nights: list[tuple[float, float, float]]) -> None:
    stays = [stay(k, arrive_h=a, leave_h=b, start=s) for k, (a, b, s) in enumerate(nights)]
    played = play("llf", stays)
    assert sorted(d.vehicle_id for d in played.departures) == sorted(one.vehicle_id for one in stays)
    assert (played.charging_kw + 8.0 <= 40.0 + 1e-6).all()
    assert all(0 <= d.soc_pct <= 100 + 1e-6 for d in played.departures)
