"""Faults: each hides or breaks what it says and nothing else, and every contender meets the same."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from planning.fallback import CHARGER
from planning.replay.faults import FAULTS, FROZEN_AT_PCT, LATE_BY, OUTAGE_AFTER, Disturbed, is_hit
from planning.replay.knowledge import PerfectForesight
from planning.replay.loop import Contender, replay
from planning.replay.observation import Observation
from planning.replay.policies import Orders, policy_of
from planning.site_state import ConnectorState, CurrentType, SiteState, VehicleRequest
from tests.planning.replay.yard import SLOT_MIN, START, Timetable, stay, world

STAYS = [stay(number, kind="tram", arrive_h=3 + number, need=60) for number in range(4)]
HIT = [one.vehicle_id for one in STAYS if is_hit(one.vehicle_id, 3)]


def seen_under(name: str, **changes: object) -> list[Observation]:
    """Return what the inner forecaster saw under a fault."""
    fault, inner = FAULTS[name], Timetable(STAYS)
    over = fault.world(world(STAYS, **changes))
    replay(over, Contender("planned", Disturbed(inner, fault, over), policy_of("edf")))
    return inner.seen


def test_the_names_hit_some_and_spare_some() -> None:
    assert 0 < len(HIT) < len(STAYS)


def test_no_fault_changes_nothing() -> None:
    plain = Timetable(STAYS)
    replay(world(STAYS), Contender("planned", plain, policy_of("edf")))
    assert seen_under("none") == plain.seen


def test_stale_readings_leave_the_charger_to_count_from_plug_in() -> None:
    for seen in seen_under("stale_soc"):
        assert set(seen.seen_until) == {one.vehicle_id for one in STAYS}
        for one in seen.plugged:
            assert all(seen.at - reading.observed_at >= timedelta(hours=3) for reading, _ in one.readings)
            if not one.readings:
                assert one.charged_kwh == one.counted_kwh


def test_frozen_vehicles_show_the_same_with_fresh_time_stamps() -> None:
    last = [seen for seen in seen_under("frozen_soc") if len(seen.plugged) == 4][-1]
    shown = {one.vehicle_id: one.reading for one in last.plugged}
    for name, reading in shown.items():
        assert reading is not None
        assert last.at - reading.observed_at <= timedelta(minutes=30)
        assert (reading.soc_pct == FROZEN_AT_PCT) == (name in HIT)


def test_lost_ids_leave_guests() -> None:
    last = [seen for seen in seen_under("lost_ids") if len(seen.plugged) == 4][-1]
    assert sum(one.vehicle_id is None for one in last.plugged) == len(HIT)


def test_an_outage_leaves_readings_of_before() -> None:
    silent_at = START + OUTAGE_AFTER
    for seen in seen_under("telematics_outage"):
        readings = [reading for one in seen.plugged for reading, _ in one.readings]
        assert all(reading.observed_at <= silent_at for reading in readings)
        assert bool(seen.seen_until) == (seen.at > silent_at)


@pytest.mark.parametrize("name", ["none", "stale_soc", "frozen_soc", "lost_ids", "telematics_outage"])
def test_what_a_dc_station_reads_by_the_cable_no_fault_of_telematics_touches(name: str) -> None:
    dc = tuple(ConnectorState(f"CP-{number}", 1, "dc", 11.0, 4.14, 4.2) for number in range(4))
    last = [seen for seen in seen_under(name, connectors=dc) if len(seen.plugged) == 4][-1]
    for one in last.plugged:
        assert one.reading is not None
        assert (one.reading.source, one.reading.observed_at) == (CHARGER, last.at)
        assert one.charged_kwh == 0.0
    assert all(not one.station_readings for seen in seen_under(name) for one in seen.plugged)


@pytest.mark.parametrize("name", ["dead_charger", "faulty_charger"])
def test_a_dead_charger_gives_nothing_to_anybody(name: str) -> None:
    over = FAULTS[name].world(world(STAYS))
    [dead] = over.dead
    played = replay(over, Contender("planned", Timetable(STAYS), policy_of("edf")))
    victim = next(one.vehicle_id for one in STAYS if one.connector == dead)
    soc = {departure.vehicle_id: departure.soc_pct for departure in played.departures}
    assert soc.pop(victim) == pytest.approx(30.0)
    assert min(soc.values()) > 60


@pytest.mark.parametrize(("current", "fallback_kw", "shows_after_h"), [("ac", 4.2, 0), ("ac", 0.0, 6), ("dc", 0.0, 0)])
def test_a_faulty_charger_shows_once_it_was_to_give_something(
    current: CurrentType, fallback_kw: float, shows_after_h: float
) -> None:
    """Its fallback or DC's cable check at plug-in, else the power that it is ordered to give, here six hours later."""
    connectors = tuple(ConnectorState(f"CP-{number}", 1, current, 11.0, 4.14, fallback_kw) for number in range(4))
    over = FAULTS["faulty_charger"].world(world(STAYS, connectors=connectors))
    [dead] = over.dead
    begins_at = next(one.plugged_at for one in STAYS if one.connector == dead) + timedelta(hours=6)
    seen: dict[bool, list[datetime]] = {True: [], False: []}

    def late(site: SiteState, requests: Sequence[VehicleRequest], at: datetime) -> Orders:
        state = next(item for item in site.connectors if item.key == dead)
        seen[state.is_out_of_service].append(at)
        return Orders({item.key: 11.0 if at >= begins_at else 0.0 for item in site.connectors}, {}, 0.0)

    replay(over, Contender("late", Timetable(STAYS), late))
    shown_at = begins_at + timedelta(hours=shows_after_h - 6)
    assert max(seen[False]) <= shown_at <= min(seen[True]) <= shown_at + timedelta(minutes=SLOT_MIN)


def test_a_charger_without_power_is_known_by_its_silence_and_tells_of_no_plug() -> None:
    over = FAULTS["dead_charger"].world(world(STAYS))
    [dead] = over.dark
    victim = next(one for one in STAYS if one.connector == dead)
    sites = []

    def watching(site: SiteState, requests: Sequence[VehicleRequest], at: datetime) -> Orders:
        sites.append(next(item for item in site.connectors if item.key == dead))
        return policy_of("edf")(site, requests, at)

    inner = Timetable(STAYS)
    replay(over, Contender("watching", inner, watching))
    assert all(state.is_out_of_service and state.transaction_id is None for state in sites)
    assert all(dead not in {one.connector for one in seen.plugged} for seen in inner.seen)
    there = [seen for seen in inner.seen if victim.plugged_at <= seen.at < victim.unplugged_at]
    assert there
    for seen in there:
        assert [reading.soc_pct for reading, _ in seen.unplaced[victim.vehicle_id]][-1] == victim.start_soc_pct


def test_no_peak_is_driven_up_for_a_vehicle_at_a_faulty_charger() -> None:
    """Once it was to give something and did not, no level that was right for all is left for a higher one."""
    over = FAULTS["faulty_charger"].world(world(STAYS))
    [dead] = over.dead
    others = [one for one in STAYS if one.connector != dead]
    played = replay(over, Contender("planned", Timetable(STAYS), policy_of("optimiser")))
    whole = replay(world(STAYS), Contender("planned", Timetable(STAYS), policy_of("optimiser")))
    assert played.charging_kw.max() <= 1.02 * whole.charging_kw.max()
    seer = Contender("seer", PerfectForesight(over), policy_of("foresight"), is_omniscient=True)
    knows = Contender("knows", PerfectForesight(world(others)), policy_of("foresight"), is_omniscient=True)
    assert replay(over, seer).charging_kw.max() == pytest.approx(replay(world(others), knows).charging_kw.max())


def test_a_late_return_comes_later_and_is_not_told() -> None:
    over = FAULTS["late_return"].world(world(STAYS))
    late = [new for old, new in zip(STAYS, over.stays, strict=True) if old != new]
    assert len(late) == 1
    was = next(one for one in STAYS if one.vehicle_id == late[0].vehicle_id)
    assert late[0] == replace(was, plugged_at=was.plugged_at + LATE_BY)
    for seen in seen_under("late_return"):
        if seen.at < late[0].plugged_at:
            assert seen.seen_until[was.vehicle_id] < was.plugged_at
            assert was.vehicle_id not in seen.of_vehicles()
