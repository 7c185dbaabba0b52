"""Problems assembled from what is known: stays, powers, idle reserve, and where each input came from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from planning.assembly import assemble, idle_reserve_kw
from planning.documents import problem_from_record, problem_record
from planning.fallback import SocEstimate
from planning.feasibility import violations
from planning.model import NO_CONNECTOR, Group
from planning.requirements import Requirement
from planning.site_state import ArrivalEstimate, ConnectorState, Expected, SiteState, VehicleRequest, VehicleSpec
from planning.solve import solve
from planning.uncertainty import Outlook, Quantiles

START = datetime(2026, 2, 10, 18, tzinfo=UTC)
AS_OF = START + timedelta(minutes=5)
SLOTS = 64
SPEC = VehicleSpec("van-01", usable_kwh=80.0, soh_pct=90.0, ac_max_kw=11.0, taper_power_kw=11.0)


def connector(number: int, **changes: object) -> ConnectorState:
    state = ConnectorState(f"CP-{number}", 1, "ac", max_kw=22.0, min_kw=4.14, fallback_kw=4.2)
    return replace(state, **changes)


def site(*connectors: ConnectorState, **changes: object) -> SiteState:
    state = SiteState(
        site_id="north",
        currency="EUR",
        start_at=START,
        grid_limit_kw=np.full(SLOTS, 100.0),
        base_load_kw=np.full(SLOTS, 20.0),
        pv_kw=np.zeros(SLOTS),
        price_per_kwh=np.full(SLOTS, 0.2),
        connectors=connectors,
        base_load_high_kw=np.full(SLOTS, 25.0),
        safety_margin_kw=3.0,
    )
    return replace(state, **changes)


def request(**changes: object) -> VehicleRequest:
    one = VehicleRequest(
        spec=SPEC,
        requested_departure_at=START + timedelta(hours=12, minutes=10),
        soc=SocEstimate(40.0, 1, "rfms", START - timedelta(minutes=25)),
        requirement=Requirement(80.0, "dispatch", None),
    )
    return replace(one, **changes)


def out(hours: float, **changes: object) -> VehicleRequest:
    return request(arrival=ArrivalEstimate(START + timedelta(hours=hours), "forecast", 4, START), **changes)


def plugged(number: int, transaction_id: str | None = "7", **changes: object) -> VehicleRequest:
    return request(plugged_at=(f"CP-{number}", 1), transaction_id=transaction_id, **changes)


def test_a_plugged_vehicle_starts_now_on_its_connector() -> None:
    problem = assemble(site(connector(1), connector(2, transaction_id="7")), [plugged(2)], as_of=AS_OF).problem
    fleet = problem.fleet
    assert fleet.arrival_slot.tolist() == [0]
    assert fleet.departure_slot.tolist() == [48]  # 06:10 lies in slot 48, which is not available any more
    assert fleet.plugged_connector.tolist() == [1]
    assert fleet.transaction_ids == ("7",)
    assert fleet.battery_kwh.tolist() == [72.0]
    assert fleet.start_soc_pct.tolist() == [40.0]
    assert fleet.min_power_kw.tolist() == [4.2]  # what is published is rounded down to 0.1 kW


def test_a_vehicle_still_out_arrives_late() -> None:
    fleet = assemble(site(connector(1)), [out(2.1)], as_of=AS_OF).problem.fleet
    assert fleet.arrival_slot.tolist() == [9]
    assert fleet.plugged_connector.tolist() == [NO_CONNECTOR]


def test_a_late_arrival_is_cut_back_to_leave_time_to_charge() -> None:
    assembled = assemble(site(connector(1)), [out(11.9)], as_of=AS_OF)
    needed_kwh = 0.4 * 72 / 0.9
    arrival = int(assembled.problem.fleet.arrival_slot[0])
    assert (48 - arrival) * 0.25 * 11 >= needed_kwh
    assert assembled.inputs["vehicles"][0]["arrival"]["is_clipped"] is True
    assert solve(assembled.problem).is_ready.all()


def test_an_arrival_that_is_known_stays_where_it_is_however_little_time_it_leaves() -> None:
    known = request(arrival=ArrivalEstimate(START + timedelta(hours=11.4), "seen", 1, START))
    assembled = assemble(site(connector(1)), [known], as_of=AS_OF)
    assert assembled.problem.fleet.arrival_slot.tolist() == [46]
    assert assembled.inputs["vehicles"][0]["arrival"]["is_clipped"] is False


def test_a_red_telltale_is_planned_last_and_said_so() -> None:
    requests = [
        plugged(1, "1", spec=replace(SPEC, vehicle_id="a"), has_red_telltale=True),
        plugged(2, "2", spec=replace(SPEC, vehicle_id="b")),
    ]
    # Room for one vehicle in the time that there is.
    state = site(
        connector(1, transaction_id="1", fallback_kw=0.0),
        connector(2, transaction_id="2", fallback_kw=0.0),
        grid_limit_kw=np.full(SLOTS, 33.0),
    )
    hurry = [replace(one, requested_departure_at=START + timedelta(hours=7)) for one in requests]
    plan = solve(assemble(state, hurry, as_of=AS_OF).problem)
    assert plan.is_ready.tolist() == [False, True]
    assert plan.reasons[0] is not None
    assert plan.reasons[0].code == "not_dispatchable"


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (request(), "nobody knows when it comes"),
        (request(expected=Expected(None, 0.0)), "is planned for when it is plugged in"),
        (plugged(9), "no connector of the site"),
        (plugged(1, requested_departure_at=START - timedelta(hours=1)), "leave before"),
        (out(40, requested_departure_at=START + timedelta(hours=60)), "comes after the horizon"),
        (out(1, spec=replace(SPEC, ac_max_kw=None, dc_max_kw=50.0)), "fits no connector"),
    ],
)
def test_what_cannot_be_planned_is_left_out_with_its_reason(one: VehicleRequest, said: str) -> None:
    assembled = assemble(site(connector(1)), [one], as_of=AS_OF)
    assert assembled.problem.fleet.size == 0
    assert said in assembled.inputs["excluded"][0]["reason"]


def test_the_margin_is_planned_for_and_recorded_apart() -> None:
    required = replace(out(2).requirement, soc_pct=99.5, margin_pp=1.5)
    assembled = assemble(site(connector(1)), [out(2, requirement=required)], as_of=AS_OF)
    assert assembled.problem.fleet.required_soc_pct[0] == 100.0
    assert assembled.inputs["vehicles"][0]["required"]["soc_pct"] == 99.5


def test_inputs_record_source_age_and_rung() -> None:
    inputs = assemble(site(connector(1)), [out(2)], as_of=AS_OF).inputs
    assert inputs["vehicles"][0] == {
        "vehicle_id": "van-01",
        "soc": {"value_pct": 40.0, "source": "rfms", "rung": 1, "age_min": 30.0},
        "arrival": {
            "at": "2026-02-10T20:00:00Z",
            "source": "forecast",
            "rung": 4,
            "age_min": 5.0,
            "slot": 8,
            "is_clipped": False,
        },
        "departure": {"at": "2026-02-11T06:10:00Z", "source": "dispatch"},
        "required": {"soc_pct": 80.0, "margin_pp": 0.0, "owner": "dispatch", "energy_need_kwh": None},
        "is_dispatchable": True,
        "notes": [],
    }


def test_idle_connectors_keep_their_fallback_out_of_the_plan() -> None:
    state = site(connector(1, transaction_id="7"), connector(2), connector(3))
    problem = assemble(state, [plugged(1), out(2, spec=replace(SPEC, vehicle_id="van-02"))], as_of=AS_OF).problem
    room = problem.grid_limit_kw - problem.other_load_kw
    ev_limit = 100 - 25 - 3
    assert room[0] == pytest.approx(ev_limit - 2 * 4.2)  # connectors 2 and 3 are idle
    assert room[8] == pytest.approx(ev_limit - 4.2)  # one of them has its vehicle
    assert room[-1] == pytest.approx(ev_limit - 3 * 4.2)  # everybody has left


def test_guests_are_reserved_what_they_are_given() -> None:
    state = site(connector(1, transaction_id="7"), connector(2, transaction_id="guest", fallback_kw=0.0))
    problem = assemble(state, [plugged(1)], as_of=AS_OF).problem
    assert (problem.grid_limit_kw - problem.other_load_kw)[0] == pytest.approx(72 - 4.2)
    assert problem.connectors is not None
    assert [item.index for item in problem.connectors.items] == [0]


def test_a_guest_is_load_that_drives_up_a_peak() -> None:
    state = site(connector(1, transaction_id="7"), connector(2, transaction_id="guest"))
    with_guest = assemble(state, [plugged(1)], as_of=AS_OF).problem
    assert with_guest.base_load_kw.tolist() == pytest.approx([24.2] * 8 + [20.0] * (SLOTS - 8))
    assert solve(with_guest).peak_kw >= 24.2 - 1e-6


def test_idle_reserve_counts_a_plugged_vehicle_without_a_transaction_as_idle() -> None:
    reserve = idle_reserve_kw(site(connector(1), connector(2)), [(("CP-2", 1), 4, 8)])
    assert reserve[0].tolist() == [4.2] * SLOTS
    assert reserve[1].tolist() == [4.2] * 4 + [0.0] * 4 + [4.2] * (SLOTS - 8)


def test_groups_shrink_by_their_own_idle_connectors() -> None:
    group = Group("feeder", np.full(SLOTS, 30.0))
    state = site(connector(1, transaction_id="7", group_id="feeder"), connector(2, group_id="feeder"), groups=(group,))
    problem = assemble(state, [plugged(1)], as_of=AS_OF).problem
    assert problem.groups[0].limit_kw[0] == pytest.approx(30 - 4.2)
    assert violations(problem, solve(problem)) == []


def test_a_bay_is_kept_unless_somebody_else_still_stands_in_it() -> None:
    state = site(connector(1, transaction_id="7"), connector(2))
    other = replace(SPEC, vehicle_id="van-02")
    stays = plugged(1)
    waits = out(2, spec=other, bay=("CP-1", 1))
    fleet = assemble(state, [stays, waits], as_of=AS_OF).problem.fleet
    assert fleet.bay_connector.tolist() == [NO_CONNECTOR, NO_CONNECTOR]
    leaves = replace(stays, requested_departure_at=START + timedelta(hours=1))
    fleet = assemble(state, [leaves, waits], as_of=AS_OF).problem.fleet
    assert fleet.bay_connector.tolist() == [NO_CONNECTOR, 0]


def test_a_vehicle_of_both_currents_takes_the_weakest_that_serves_it() -> None:
    both = replace(SPEC, dc_max_kw=50.0)
    state = site(connector(1), connector(2, current_type="dc", max_kw=60.0, min_kw=5.0))
    slow = out(1, spec=both)
    fast = out(1, spec=both, requested_departure_at=START + timedelta(hours=2, minutes=30))
    assert not assemble(state, [slow], as_of=AS_OF).problem.fleet.is_dc[0]
    hurried = assemble(state, [fast], as_of=AS_OF).problem.fleet
    assert hurried.is_dc[0]
    assert hurried.max_power_kw.tolist() == [50.0]


@pytest.mark.parametrize(("minutes", "slot"), [(730, 48), (735, 48), (739, 48), (740, 48), (745, 49)])
def test_a_vehicle_is_ready_before_its_driver_unplugs_it(minutes: int, slot: int) -> None:
    early = plugged(
        1, requested_departure_at=START + timedelta(minutes=minutes), unplugged_before=timedelta(minutes=10)
    )
    assembled = assemble(site(connector(1, transaction_id="7")), [early], as_of=START)
    assert assembled.problem.fleet.departure_slot.tolist() == [slot]


@pytest.mark.parametrize("minutes", [1, 9, 20])
def test_a_vehicle_that_is_about_to_leave_is_still_planned(minutes: int) -> None:
    leaves_at = START + timedelta(minutes=minutes)
    leaving = plugged(1, requested_departure_at=leaves_at, unplugged_before=timedelta(minutes=10))
    problem = assemble(site(connector(1, transaction_id="7")), [leaving], as_of=START).problem
    assert problem.fleet.departure_slot.tolist() == [1]
    assert problem.base_load_kw[0] == 20.0  # it is no guest


def test_a_vehicle_that_comes_and_leaves_within_the_slot_that_begins_is_not_planned() -> None:
    passing = out(0.1, requested_departure_at=START + timedelta(minutes=14))
    assert assemble(site(connector(1)), [passing], as_of=START).problem.fleet.size == 0


def test_a_bay_in_which_nobody_planned_still_stands_is_no_bay() -> None:
    gone = plugged(1, requested_departure_at=START)  # it was to leave, and is planned no more, but its transaction runs
    comes = out(3, spec=replace(SPEC, vehicle_id="van-02"), bay=("CP-1", 1))
    problem = assemble(site(connector(1, transaction_id="7"), connector(2)), [gone, comes], as_of=AS_OF).problem
    assert problem.connectors is not None
    assert [item.index for item in problem.connectors.items] == [1]
    assert problem.fleet.bay_connector.tolist() == [NO_CONNECTOR]
    assert problem_from_record(problem_record(problem)).fleet.vehicle_ids == ("van-02",)


def test_an_outlook_is_held_to_the_sites_confidence_and_recorded() -> None:
    outlook = Outlook(Quantiles((0.1, 0.5, 0.9), (1.5, 2.0, 3.0)), Quantiles((0.1, 0.5, 0.9), (30.0, 40.0, 50.0)))
    careful, bold = (
        assemble(site(connector(1), confidence=confidence), [out(2.0, outlook=outlook)], as_of=AS_OF)
        for confidence in (0.99, 0.8)
    )
    (margin,) = [vehicle["buffer"] for vehicle in careful.inputs["vehicles"]]
    assert margin["confidence"] == pytest.approx(0.99)
    assert margin["arrival_risk"] + margin["soc_risk"] == pytest.approx(0.01)
    fleet = careful.problem.fleet
    assert fleet.start_soc_pct[0] == pytest.approx(40.0 - margin["soc_margin_pp"], abs=0.01)
    assert fleet.arrival_slot[0] == np.ceil((2.0 + margin["arrival_margin_min"] / 60) * 4)
    # Certainty costs: both are later and emptier than at four in five.
    assert fleet.arrival_slot[0] > bold.problem.fleet.arrival_slot[0]
    assert fleet.start_soc_pct[0] < bold.problem.fleet.start_soc_pct[0]


def test_a_vehicle_on_one_phase_draws_a_third_of_what_its_post_could_give() -> None:
    single = replace(SPEC, phases=1, ac_max_kw=7.4)
    here = plugged(1, spec=single)
    fleet = assemble(site(connector(1, transaction_id="7", max_kw=11.0)), [here], as_of=AS_OF).problem.fleet
    assert fleet.max_power_kw.tolist() == [pytest.approx(11.0 / 3)]
    assert fleet.min_power_kw.tolist() == [1.4]  # six amperes on one phase, rounded up


def test_standby_and_heat_of_a_vehicle_reach_the_problem_and_its_plan() -> None:
    spec = replace(SPEC, standby_kw=0.4, precondition_kw=6.0, precondition_min=30.0)
    problem = assemble(site(connector(1), connector(2)), [plugged(1, spec=spec)], as_of=AS_OF).problem
    assert problem.fleet.standby_kw == pytest.approx([0.4])
    plan = solve(problem)
    assert violations(problem, plan) == []
    leaves = int(problem.fleet.departure_slot[0])
    assert (plan.power_kw[0, leaves - 2 : leaves] >= 6.0 - 1e-6).all()
    plain = assemble(site(connector(1)), [plugged(1)], as_of=AS_OF).problem.fleet
    assert plain.standby_kw is None
    assert plain.preconditioning is None


def test_a_weak_connector_leaves_half_of_its_power_for_the_battery() -> None:
    spec = replace(SPEC, standby_kw=5.0)
    problem = assemble(site(connector(1, max_kw=7.0)), [plugged(1, spec=spec)], as_of=AS_OF).problem
    assert problem.fleet.standby_kw == pytest.approx([3.5])
