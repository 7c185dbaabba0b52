"""The live night without a back end: offline stations charge without limit, and everything else follows."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from simulator.charge_point.profiles import read_profile
from simulator.live.night import Night, make_stations
from simulator.live.site_meter import SiteMeter
from simulator.output.frames import registers_at_live_start
from simulator.output.signals import write_signals
from simulator.providers.telematics import Telematics
from simulator.world.history import World


class Live:
    """A night that the test moves."""

    def __init__(self, world: World, folder: Path) -> None:
        # The history's own records are not what is tested here.
        self.world = replace(world)
        self.registers = registers_at_live_start(world)
        self.stations = make_stations(world, self.registers)
        self.telematics = Telematics(world)
        self.telematics.release(world.scenario.live_start_at)
        write_signals(world, folder)
        meter = SiteMeter(world, folder / "site_load.csv")
        self.night = Night(world, self.stations, self.telematics, meter, folder)

    def run(self, hours: float) -> None:
        end = self.night.reached_at + timedelta(hours=hours)
        while self.night.reached_at < end:
            self.night.step()


@pytest.fixture
def live(world: World, tmp_path: Path) -> Live:
    return Live(world, tmp_path)


def test_unlimited_night_charges_everybody_who_plugged_in(live: Live, world: World):
    live.run(22)

    outcome = live.night.outcome()
    plugged = {
        stay.wish.vehicle.vehicle_id
        for stay in world.stays
        if stay.wish.vehicle and stay.wish.plug_at > world.scenario.live_start_at
    }
    departed = {one["vehicle_id"]: one for one in outcome["departures"]}
    assert len(departed) >= 9
    assert all(one["soc_pct"] > 85 for name, one in departed.items() if name in plugged)
    assert max(site["minutes_over_limit"] for site in outcome["sites"]) > 30  # nobody held them back


def test_energy_of_registers_is_the_sites_energy(live: Live):
    live.run(22)

    flowed = sum(
        outlet.register_kwh - live.registers[outlet.connector.index]
        for station in live.stations.values()
        for outlet in station.outlets.values()
    )
    assert flowed == pytest.approx(sum(site["vehicles_kwh"] for site in live.night.outcome()["sites"]), abs=0.05)
    assert flowed > 300


def test_profiles_hold_vehicles_back(live: Live):
    for station in live.stations.values():
        profile = {
            "chargingProfileId": 1,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Absolute",
            "chargingSchedule": {
                "chargingRateUnit": "W",
                "startSchedule": "2026-02-09T11:00:00Z",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 0}],
            },
        }
        read = read_profile(0, profile, units=("W",), received_at=live.night.reached_at)
        station.profiles.install(read, None)

    live.run(22)

    assert sum(site["vehicles_kwh"] for site in live.night.outcome()["sites"]) == 0
    assert max(one["soc_pct"] for one in live.night.outcome()["departures"]) < 80


def test_vehicles_report_their_departure_soc(live: Live, world: World):
    live.run(22)

    samples = [sample for _, sample in live.telematics.statuses.items(0, 10**9)]
    for departure in live.night.outcome()["departures"]:
        vehicle = next(one for one in world.fleet.vehicles if one.vehicle_id == departure["vehicle_id"])
        if vehicle.model.vehicle_class != "van":
            ignitions = [one for one in samples if one.vehicle is vehicle and one.trigger == "ignition_on"]
            first = next(one for one in ignitions if one.at.isoformat() >= departure["departure_at"][:19])
            assert first.soc_pct == pytest.approx(departure["soc_pct"], abs=0.01)


def test_counters_of_vehicles_never_run_backwards(live: Live, world: World):
    live.run(22)

    for vehicle in world.fleet.vehicles:
        log = live.telematics.statuses if vehicle.model.vehicle_class != "van" else live.telematics.log_records
        mine = sorted((sample.at, sample.odometer_km, sample.energy_used_kwh) for _, sample in log.items(0, 10**9)
                      if sample.vehicle is vehicle)  # fmt: skip
        assert [one[1] for one in mine] == sorted(one[1] for one in mine)
        assert [one[2] for one in mine] == sorted(one[2] for one in mine)


def test_held_clock_holds_the_depot_and_readers_do_not_run_ahead(live: Live, world: World):
    class Clock:
        def now(self):
            return world.scenario.live_start_at + timedelta(hours=3)

    assert live.night.now(Clock()) == world.scenario.live_start_at
    live.run(1)
    assert live.night.now(Clock()) == world.scenario.live_start_at + timedelta(hours=1)
