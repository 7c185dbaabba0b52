"""What landing knows of a departure, and the verdict that follows: rows in, lines out."""

from pathlib import Path

import pytest

from reporting.loading import load_view
from reporting.readiness import Cause, State
from reporting.view import DepartureLine
from reporting.wording import cause_text
from tests.reporting.depot import BEFORE_DAWN, EVENING, MORNING, Depot, busy_night, hours

LEFT = MORNING + hours(4)


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    """A depot with one bus that leaves at 06:00 local and needs 80 %."""
    depot = Depot(tmp_path)
    depot.vehicle("bus-01", connector_id=1)
    depot.duty("bus-01", MORNING)
    return depot


def line_of(depot: Depot, as_of=LEFT, vehicle_id: str = "bus-01") -> DepartureLine:
    view = load_view(depot.landing, site_id="north", as_of=as_of)
    return next(line for line in view.departures if line.departure.vehicle_id == vehicle_id)


def planned(depot: Depot, **fields: object) -> None:
    line = {"requested_departure_at": MORNING, "expected_arrival_at": EVENING, "min_target_soc_pct": 80.0}
    depot.plan(EVENING, {"bus-01": line | {"predicted_departure_soc_pct": 84.0} | fields})


def test_every_state_is_told_apart_and_those_not_ready_come_first(tmp_path: Path) -> None:
    view = load_view(busy_night(tmp_path).landing, site_id="north", as_of=BEFORE_DAWN)
    assert [(line.departure.vehicle_id, line.judgement.state) for line in view.departures] == [
        ("bus-03", State.SHORT),
        ("bus-04", State.NOT_PLUGGED),
        ("bus-05", State.UNKNOWN),
        ("bus-01", State.READY),
        ("bus-02", State.CHARGING),
        ("bus-06", State.DUE_BACK),
    ]


def test_energy_counted_after_the_last_report_carries_the_soc_forward(depot: Depot) -> None:
    depot.report("bus-01", EVENING, 40.0)
    depot.plug_in("bus-01", EVENING + hours(0.1), meter_start_kwh=500.0)
    depot.meter(EVENING + hours(4), 545.0)
    soc = line_of(depot).judgement.soc
    assert soc is not None
    assert (soc.rung, soc.soc_pct) == (3, pytest.approx(40 + 45 * 0.9))


def test_energy_of_two_sessions_counts_and_a_replaced_meter_does_not(depot: Depot) -> None:
    depot.report("bus-01", EVENING, 40.0)
    depot.plug_in("bus-01", EVENING + hours(1), meter_start_kwh=500.0, ended_at=EVENING + hours(2), meter_end_kwh=510.0)
    depot.plug_in("bus-01", EVENING + hours(3), meter_start_kwh=510.0)
    depot.meter(EVENING + hours(4), 530.0)
    depot.meter(EVENING + hours(5), 1.0)
    assert line_of(depot).departure.metered_kwh == pytest.approx(30.0)


def test_power_samples_count_where_a_charger_has_no_register(depot: Depot) -> None:
    depot.report("bus-01", EVENING, 40.0)
    depot.plug_in("bus-01", EVENING + hours(1))
    for quarter in range(5):
        at = EVENING + hours(1 + quarter / 4)
        depot.land("meter_value", at=at, source="bridge", station_id="CP-1", connector_id=1, power_kw=20.0)
    assert line_of(depot).departure.metered_kwh == pytest.approx(20.0)


def test_a_charger_that_knows_the_soc_is_evidence(depot: Depot) -> None:
    depot.plug_in("bus-01", EVENING)
    depot.meter(MORNING - hours(0.25), 10.0, soc_pct=88.0)
    judgement = line_of(depot).judgement
    assert judgement.state is State.READY
    assert judgement.soc is not None
    assert judgement.soc.source == "charger"


def test_a_report_from_before_a_drive_is_no_evidence(depot: Depot) -> None:
    depot.report("bus-01", EVENING - hours(3), 95.0)
    depot.land("trip", at=EVENING, source="rfms", vehicle_id="bus-01", started_at=EVENING - hours(2),
               ended_at=EVENING, end_site_id="north")  # fmt: skip
    depot.plug_in("bus-01", EVENING + hours(0.2))
    assert line_of(depot).judgement.cause is Cause.OLD_REPORT


def test_a_planned_drive_voids_an_old_report_even_when_telematics_is_down(depot: Depot) -> None:
    depot.duty("bus-01", EVENING - hours(8))
    depot.report("bus-01", EVENING - hours(9), 95.0)
    depot.plug_in("bus-01", EVENING)
    assert line_of(depot).judgement.state is State.UNKNOWN


def test_the_last_word_on_the_way_in_counts_as_home(depot: Depot) -> None:
    depot.report("bus-01", EVENING - hours(0.1), 90.0, at_site_id=None, speed_kmh=30.0)
    depot.land("trip", at=EVENING, source="rfms", vehicle_id="bus-01", started_at=EVENING - hours(2),
               ended_at=EVENING, end_site_id="north")  # fmt: skip
    soc = line_of(depot).judgement.soc
    assert soc is not None
    assert (soc.rung, soc.soc_pct) == (2, 90.0)


def test_the_departure_is_judged_when_the_vehicle_really_left(depot: Depot) -> None:
    depot.report("bus-01", MORNING - hours(0.5), 85.0)
    depot.land("trip", at=MORNING, source="rfms", vehicle_id="bus-01", started_at=MORNING - hours(0.4),
               start_site_id="north")  # fmt: skip
    depot.report("bus-01", MORNING - hours(0.05), 70.0, at_site_id=None, speed_kmh=50.0)
    line = line_of(depot)
    assert (line.departure.pulled_out_at, line.judgement.state) == (MORNING - hours(0.4), State.READY)


def test_shunting_in_the_yard_is_no_pull_out(depot: Depot) -> None:
    depot.land("trip", at=MORNING, source="rfms", vehicle_id="bus-01", started_at=MORNING - hours(1),
               ended_at=MORNING - hours(0.9), start_site_id="north", end_site_id="north", distance_km=0.2)  # fmt: skip
    assert line_of(depot).departure.pulled_out_at is None


def test_a_session_before_the_last_drive_does_not_make_it_plugged_in(depot: Depot) -> None:
    depot.plug_in("bus-01", EVENING - hours(5), ended_at=EVENING - hours(4), meter_end_kwh=5.0)
    depot.land("trip", at=EVENING, source="rfms", vehicle_id="bus-01", started_at=EVENING - hours(4),
               ended_at=EVENING, end_site_id="north")  # fmt: skip
    depot.report("bus-01", EVENING + hours(0.1), 50.0)
    assert line_of(depot).judgement.state is State.NOT_PLUGGED


def test_a_cable_that_only_the_vehicle_knows_of_counts_until_the_charger_saw_it_pulled(depot: Depot) -> None:
    planned(depot)
    depot.report("bus-01", EVENING, 50.0, is_plugged=True)
    assert line_of(depot, as_of=EVENING + hours(1)).departure.is_plugged
    depot.plug_in("bus-01", EVENING + hours(0.1), ended_at=EVENING + hours(2))
    line = line_of(depot, as_of=EVENING + hours(3))
    assert (line.departure.is_plugged, line.judgement.state) == (False, State.NOT_PLUGGED)


def test_a_report_without_a_place_moves_nobody(depot: Depot) -> None:
    depot.report("bus-01", EVENING, 82.0)
    depot.report("bus-01", EVENING + hours(1), None, at_site_id=None)
    assert line_of(depot, as_of=EVENING + hours(2)).departure.is_at_depot


def test_the_plan_in_force_at_pull_out_sets_the_need_and_later_plans_do_not(depot: Depot) -> None:
    planned(depot)
    late = {"requested_departure_at": MORNING, "min_target_soc_pct": 10.0, "predicted_departure_soc_pct": 84.0}
    depot.plan(MORNING + hours(0.5), {"bus-01": late})
    depot.plan(MORNING - hours(1), {"bus-01": late | {"min_target_soc_pct": 77.0}})
    assert line_of(depot).departure.required_soc_pct == 77.0


def test_without_a_plan_dispatch_sets_the_need(depot: Depot) -> None:
    depot.report("bus-01", MORNING - hours(0.2), 79.5)
    line = line_of(depot)
    assert (line.departure.required_soc_pct, line.judgement.state) == (80.0, State.READY)


def test_a_vehicle_that_never_came_back_from_its_duty_is_missed(depot: Depot) -> None:
    depot.land("duty", at=EVENING - hours(20), block_id="B-day", operating_date=EVENING.date(), site_id="north",
               vehicle_id="bus-01", planned_departure_at=EVENING - hours(10), planned_return_at=EVENING)  # fmt: skip
    planned(depot, expected_arrival_at=EVENING + hours(5))
    assert line_of(depot, as_of=EVENING + hours(1)).judgement.state is State.DUE_BACK
    line = line_of(depot, as_of=EVENING + hours(3))
    assert (line.judgement.cause, line.departure.due_back_at) == (Cause.NOT_SEEN_BACK, EVENING)


def test_an_unmatched_session_charges_nobody(depot: Depot) -> None:
    planned(depot)
    depot.report("bus-01", EVENING, 50.0)
    depot.plug_in(None, EVENING + hours(0.1))
    assert line_of(depot, as_of=EVENING + hours(1)).judgement.state is State.NOT_PLUGGED


def test_a_charger_that_stops_delivering_is_noticed_before_pull_out(depot: Depot) -> None:
    planned(depot, charges=(4, 10))
    depot.plug_in("bus-01", EVENING, meter_start_kwh=0.0)
    depot.report("bus-01", EVENING, 40.0)
    depot.meter(EVENING + hours(1.5), 8.0)
    for hour in range(2, 8):
        depot.meter(EVENING + hours(hour), 8.0)
    assert line_of(depot, as_of=EVENING + hours(1.5)).judgement.state is State.CHARGING
    assert line_of(depot, as_of=EVENING + hours(8)).judgement.cause is Cause.BEHIND_PLAN


def test_a_charger_that_calls_itself_broken_is_named(depot: Depot) -> None:
    planned(depot, charges=(4, 10))
    depot.plug_in("bus-01", EVENING, meter_start_kwh=0.0)
    depot.report("bus-01", EVENING, 40.0)
    depot.land("connector_status", at=EVENING + hours(2), source="ocpp", station_id="CP-1", connector_id=1,
               status="faulted", error_code="GroundFailure")  # fmt: skip
    assert line_of(depot, as_of=EVENING + hours(1)).judgement.state is State.CHARGING
    line = line_of(depot, as_of=EVENING + hours(3))
    assert line.judgement.cause is Cause.CHARGER_FAULT
    view = load_view(depot.landing, site_id="north", as_of=EVENING + hours(3))
    assert "its charger CP-1/1 is out of order since" in cause_text(line, view)


def test_a_red_battery_telltale_tops_the_board_though_the_soc_is_there(depot: Depot) -> None:
    depot.vehicle("bus-00", connector_id=2)
    depot.duty("bus-00", MORNING - hours(1))
    for name in ("bus-00", "bus-01"):
        depot.report(name, MORNING - hours(1.1), 95.0, has_red_battery_telltale=name == "bus-01")
    view = load_view(depot.landing, site_id="north", as_of=MORNING - hours(1))
    first = view.departures[0]
    assert (first.departure.vehicle_id, first.judgement.state) == ("bus-01", State.READY)


def test_nothing_that_became_known_later_is_used(depot: Depot) -> None:
    depot.report("bus-01", EVENING, 40.0)
    depot.land("vehicle_snapshot", at=MORNING - hours(0.1), source="rfms", available_at=MORNING + hours(2),
               vehicle_id="bus-01", soc_pct=95.0, at_site_id="north")  # fmt: skip
    assert line_of(depot, as_of=MORNING + hours(1)).judgement.state is not State.READY
    assert line_of(depot, as_of=MORNING + hours(3)).judgement.state is State.READY


def test_a_withdrawn_duty_is_no_departure(depot: Depot) -> None:
    depot.land("duty", at=EVENING, block_id="B-bus-01", operating_date=MORNING.date(), site_id="north",
               vehicle_id="bus-01", planned_departure_at=MORNING, is_deleted=True)  # fmt: skip
    assert load_view(depot.landing, site_id="north", as_of=LEFT).departures == ()
