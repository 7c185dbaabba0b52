from collections import defaultdict
from itertools import pairwise

import pytest

from simulator.scenario import Scenario
from simulator.world.charging import STEP, STEP_HOURS
from simulator.world.history import EMPTY_SOC, STARTING_SOC, World, build_world


def test_soc_before_plus_charged_less_driven_is_soc_after(world: World):
    """The chain closes over the whole history, on the way's own charging included."""
    for vehicle in world.fleet.vehicles:
        capacity_kwh = vehicle.battery.capacity_kwh
        stored_kwh = sum(
            (session.soc - session.soc_at_plug) * capacity_kwh
            for session in world.sessions
            if session.stay.wish.vehicle is vehicle
        )
        driven = [one for one in world.driven if one.drive.vehicle is vehicle]
        used_kwh = sum(one.drive.energy_kwh - one.away_kwh for one in driven)
        expected = STARTING_SOC + (stored_kwh - used_kwh) / capacity_kwh

        assert world.soc_at_live_start[vehicle.index] == pytest.approx(expected, abs=1e-6)
        assert all(one.soc_after >= EMPTY_SOC - 1e-9 for one in driven)


def test_each_part_of_a_life_begins_where_the_last_one_ended(world: World):
    for vehicle in world.fleet.vehicles:
        parts = [(one.drive.departure_at, one.soc_before, one.soc_after) for one in world.driven
                 if one.drive.vehicle is vehicle]  # fmt: skip
        parts += [(one.stay.wish.plug_at, one.soc_at_plug, one.soc) for one in world.sessions
                  if one.stay.wish.vehicle is vehicle]  # fmt: skip
        soc = STARTING_SOC
        for _, before, after in sorted(parts):
            assert before == pytest.approx(soc, abs=1e-9)
            soc = after


def test_charging_stays_within_the_limits_of_site_and_feeder(world: World):
    site_kw: dict[tuple[str, int], float] = defaultdict(float)
    group_kw: dict[tuple[str, int], float] = defaultdict(float)
    for session in world.sessions:
        for k, power_kw in enumerate(session.powers_kw):
            step = session.first_step + k
            assert power_kw == 0 or power_kw <= session.stay.max_kw + 1e-9
            site_kw[session.stay.wish.site_id, step] += power_kw
            if session.stay.connector.group_id:
                group_kw[session.stay.connector.group_id, step] += power_kw
    sites = {site.site_id: site for site in world.fleet.sites}
    limits = {group_id: limit_kw for site in world.fleet.sites for group_id, limit_kw in site.groups}
    for (site_id, step), power_kw in site_kw.items():
        at = world.scenario.history_start_at + step * STEP
        assert power_kw <= world.vehicles_limit_kw(sites[site_id], at) + 1e-6
    assert all(power_kw <= limits[group_id] + 1e-6 for (group_id, _), power_kw in group_kw.items())
    assert sum(site_kw.values()) * STEP_HOURS > 500


def test_vehicles_usually_left_ready_in_the_history(world: World):
    enough = [one.away_kwh == 0 for one in world.driven]

    assert sum(enough) / len(enough) > 0.9


def test_one_vehicle_a_connector_and_one_connector_a_vehicle(world: World):
    by_connector, by_vehicle = defaultdict(list), defaultdict(list)
    for stay in world.stays:
        span = (stay.wish.plug_at, stay.wish.unplug_at)
        assert span[0] < span[1]
        by_connector[stay.connector.index].append(span)
        if stay.wish.vehicle:
            assert stay.connector.current_type == stay.wish.vehicle.current_type
            assert stay.connector.site_id == stay.wish.vehicle.site_id
            by_vehicle[stay.wish.vehicle.index].append(span)
    for spans in (*by_connector.values(), *by_vehicle.values()):
        spans.sort()
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


def test_nobody_is_plugged_in_while_driving(world: World):
    for drive in world.drives:
        for stay in world.stays:
            if stay.wish.vehicle is drive.vehicle:
                assert stay.wish.unplug_at <= drive.departure_at or stay.wish.plug_at >= drive.return_at


@pytest.mark.parametrize(("vehicles", "days", "seed"), [(2, 3, 1), (12, 8, 3), (9, 4, 7)])
def test_no_transaction_runs_across_the_live_start(vehicles: int, days: int, seed: int):
    scenario = Scenario(seed=seed, vehicles=vehicles, days=days)
    start = scenario.live_start_at

    stays = build_world(scenario).stays

    assert any(stay.wish.plug_at > start for stay in stays)
    assert not [stay for stay in stays if stay.wish.plug_at <= start < stay.wish.unplug_at]


def test_same_seed_same_world_and_another_seed_another(world: World):
    again, other = build_world(world.scenario), build_world(Scenario(seed=4, vehicles=12, days=8))

    assert [one.soc_after for one in again.driven] == [one.soc_after for one in world.driven]
    assert [drive.return_at for drive in other.drives[:5]] != [drive.return_at for drive in world.drives[:5]]


def test_two_vehicles_make_one_depot_with_a_van_and_a_truck():
    world = build_world(Scenario(vehicles=2, days=3))

    assert [site.site_id for site in world.fleet.sites] == ["north"]
    assert [vehicle.model.vehicle_class for vehicle in world.fleet.vehicles] == ["van", "truck"]
    assert [vehicle.home for vehicle in world.fleet.vehicles] == [0, 2]
    assert all(vehicle.index in world.soc_at_live_start for vehicle in world.fleet.vehicles)
