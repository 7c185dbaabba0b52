"""The page's content as of an instant: power under the plan in force, bars, quarantine, silence, connectors."""

from datetime import date
from pathlib import Path

import pytest

from core.landing import Landing
from core.time_grid import SLOT, parse_instant
from reporting.loading import load_view, write_page
from reporting.nights import night_before
from reporting.operations import build_page
from reporting.view import Span
from tests.reporting.depot import BEFORE_DAWN, EVENING, MORNING, Depot, busy_night, hours


def test_a_site_that_nobody_feeds_still_has_a_view(tmp_path: Path) -> None:
    view = load_view(Depot(tmp_path).landing, site_id="north", as_of=EVENING)
    assert (view.name, view.plan_id, view.newest_data_at) == ("Depot North", None, None)
    assert (view.departures, view.gantt, view.quarantine, view.stale, view.connectors, view.forecasts) == ((),) * 6
    assert [slot.planned_kw for slot in view.power] == [None] * 96


def test_a_site_of_which_only_the_time_zone_is_known_has_a_view(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    depot.land("site", site_id="bare", timezone="America/New_York")
    view = load_view(depot.landing, site_id="bare", as_of=EVENING)
    assert (view.name, view.currency) == ("bare", None)
    assert {(slot.limit_kw, slot.price_per_kwh) for slot in view.power} == {(None, None)}
    assert "America/New_York (EST)" in build_page(view)


def test_an_unknown_site_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"no site 'south' is known as of .*; known: north"):
        load_view(Depot(tmp_path).landing, site_id="south", as_of=EVENING)
    with pytest.raises(LookupError, match=r"known: none"):
        load_view(Landing(tmp_path / "empty"), site_id="north", as_of=EVENING)


@pytest.mark.parametrize(
    ("morning", "slots"),
    [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100), (date(2026, 2, 10), 96)],
    ids=["clocks go forward", "clocks go back", "an ordinary night"],
)
def test_a_night_has_as_many_slots_as_it_has(tmp_path: Path, morning: date, slots: int) -> None:
    span = night_before(morning, "Europe/Berlin")
    depot = Depot(tmp_path)
    depot.vehicle("bus-01")
    depot.duty("bus-01", span.end_at - hours(6))
    view = load_view(depot.landing, site_id="north", as_of=span.start_at)
    assert (view.span, len(view.power), len(view.departures)) == (span, slots, 1)


def test_the_night_that_is_shown_holds_as_of_unless_another_is_asked_for(tmp_path: Path) -> None:
    landing = busy_night(tmp_path).landing
    next_day = parse_instant("2026-02-10T13:00:00Z")
    assert load_view(landing, site_id="north", as_of=next_day).departures == ()
    last_night = Span(EVENING, MORNING + hours(3))
    assert len(load_view(landing, site_id="north", as_of=next_day, span=last_night).departures) == 5


def test_each_slot_shows_the_plan_that_was_in_force_in_it(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    depot.vehicle("bus-01")
    depot.plan(EVENING, {"bus-01": {"charges": (0, 20)}}, power_kw=10.0)
    depot.plan(EVENING + 4 * SLOT, {"bus-01": {"charges": (0, 2)}}, power_kw=30.0)
    depot.plan(EVENING + 8 * SLOT, {}, power_kw=1.0)
    view = load_view(depot.landing, site_id="north", as_of=EVENING + 6 * SLOT)
    planned = {slot.start_at: slot.planned_kw for slot in view.power}
    assert [planned[EVENING + k * SLOT] for k in range(-1, 8)] == [None, 10, 10, 10, 10, 30, 30, 0, 0]
    assert [step.power_kw for step in view.gantt[0].planned] == [10, 10, 10, 10, 30, 30]


def test_power_is_metered_until_now_and_the_metered_rest_of_the_site_replaces_what_was_expected(
    tmp_path: Path,
) -> None:
    depot = busy_night(tmp_path)
    for hour, load_kw in ((2, 31.0), (30, 99.0)):
        at = EVENING + hours(hour)
        depot.land("site_load", at=EVENING, source="meter", site_id="north", start_at=at, end_at=at + SLOT,
                   base_load_kw=load_kw, pv_kw=1.0)  # fmt: skip
    view = load_view(depot.landing, site_id="north", as_of=EVENING + hours(3))
    at = {slot.start_at: slot for slot in view.power}
    assert at[EVENING + hours(2)].metered_kw == pytest.approx(20.0)
    assert at[EVENING + hours(2)].other_kw == pytest.approx(30.0)
    assert at[EVENING + hours(4)].metered_kw is None
    assert at[EVENING + hours(4)].other_kw == pytest.approx(18.0)
    assert {slot.limit_kw for slot in view.power} == {260.0, 250.0}


def test_the_day_ahead_price_is_shown_and_the_plan_s_where_there_is_none(tmp_path: Path) -> None:
    depot = busy_night(tmp_path)
    day_ahead = load_view(depot.landing, site_id="north", as_of=EVENING).power
    assert {slot.price_per_kwh for slot in day_ahead} == {0.11}
    other = Depot(tmp_path / "other")
    other.plan(EVENING, {})
    own = load_view(other.landing, site_id="north", as_of=EVENING).power
    assert [slot.price_per_kwh for slot in own if slot.start_at == EVENING] == [0.2]


def test_bars_hold_stay_energy_and_departure(tmp_path: Path) -> None:
    view = load_view(busy_night(tmp_path).landing, site_id="north", as_of=BEFORE_DAWN)
    bar = view.gantt[0]
    assert (bar.vehicle_id, bar.departures) == ("bus-01", (MORNING + hours(0.5),))
    assert bar.plugged == (Span(EVENING + hours(1.1), BEFORE_DAWN),)
    metered_kwh = sum(step.power_kw * 0.25 for step in bar.metered)
    assert metered_kwh == pytest.approx(45.0)
    assert [bar.vehicle_id for bar in view.gantt] == [f"bus-0{k}" for k in range(1, 7)]


def test_before_the_night_bars_are_expectations(tmp_path: Path) -> None:
    view = load_view(busy_night(tmp_path).landing, site_id="north", as_of=EVENING)
    assert {len(bar.plugged) + len(bar.metered) for bar in view.gantt} == {0}
    assert view.gantt[0].expected == (Span(EVENING + hours(1), MORNING + hours(0.5)),)


def test_quarantine_is_counted_by_reason_without_anybody_s_data(tmp_path: Path) -> None:
    depot = busy_night(tmp_path)
    for line in range(3):
        depot.land("quarantined_row", at=EVENING, source="geotab", entity="vehicle_position", record_ref=f"page {line}",
                   reason="outside_earth", detail="latitude 152.1", is_restricted=True)  # fmt: skip
    depot.land("quarantined_row", at=EVENING - hours(20), source="rfms", entity="trip", record_ref="old",
               reason="older")  # fmt: skip
    view = load_view(depot.landing, site_id="north", as_of=BEFORE_DAWN)
    assert [(line.reason, line.rows, line.example) for line in view.quarantine] == [
        ("outside_earth", 3, None),
        ("soc_out_of_range", 1, "SoC is 140 %"),
    ]


def test_silence_is_measured_against_the_source_s_promise(tmp_path: Path) -> None:
    view = load_view(busy_night(tmp_path).landing, site_id="north", as_of=BEFORE_DAWN)
    silent = {line.vehicle_id: line for line in view.stale}
    assert sorted(silent) == ["bus-05", "bus-06"]
    assert (silent["bus-05"].promised_min, silent["bus-05"].contact) == (60.0, "data@example.org")
    assert (silent["bus-06"].last_at, silent["bus-06"].source_id) == (None, None)


def test_connectors_show_what_became_of_the_newest_plan(tmp_path: Path) -> None:
    depot = busy_night(tmp_path)
    newer = depot.plan(EVENING + hours(4), {})
    depot.land("profile_state", at=EVENING + hours(1), source="bridge", plan_id=newer, site_id="north",
               station_id="CP-1", connector_id=1, state="sent", evidence="none")  # fmt: skip
    view = load_view(depot.landing, site_id="north", as_of=BEFORE_DAWN)
    states = {line.connector_id: (line.state, line.vehicle_id, line.is_in_use) for line in view.connectors}
    assert states == {
        1: ("sent", "bus-01", True),
        2: ("accepted", "bus-02", True),
        3: ("rejected", "bus-03", True),
        4: (None, None, False),
        5: (None, "bus-05", True),
        6: (None, None, False),
        9: (None, None, True),
    }


def test_forecasts_are_scored_once_they_have_come_true(tmp_path: Path) -> None:
    landing = busy_night(tmp_path).landing
    before = load_view(landing, site_id="north", as_of=EVENING).forecasts[0]
    after = load_view(landing, site_id="north", as_of=BEFORE_DAWN).forecasts[0]
    assert (before.forecasts, before.scored, before.mean_absolute_error) == (1, 0, None)
    assert (after.scored, after.within_90_pct, after.rungs) == (1, 100.0, ((5, 1),))
    assert after.mean_absolute_error == pytest.approx(0.25)


def test_another_site_s_rows_stay_out(tmp_path: Path) -> None:
    depot = busy_night(tmp_path)
    quiet = load_view(depot.landing, site_id="north", as_of=BEFORE_DAWN)
    depot.land("site", site_id="south", name="South", timezone="Europe/Madrid")
    depot.land("connector", station_id="CP-S", connector_id=1, site_id="south", max_kw=50.0)
    depot.land("duty", block_id="S", operating_date=MORNING.date(), site_id="south", vehicle_id="bus-77",
               planned_departure_at=MORNING)  # fmt: skip
    depot.land("charging_transaction", at=EVENING, source="bridge", station_id="CP-S", connector_id=1,
               transaction_id="1", started_at=EVENING, vehicle_id="bus-77", meter_start_kwh=1.0)  # fmt: skip
    depot.land("meter_value", at=EVENING + hours(1), source="bridge", station_id="CP-S", connector_id=1,
               energy_register_kwh=50.0)  # fmt: skip
    assert load_view(depot.landing, site_id="north", as_of=BEFORE_DAWN) == quiet


def test_a_page_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "operations.html"
    write_page(path, "<!doctype html>old")
    write_page(path, "<!doctype html>new é")
    assert path.read_text(encoding="utf-8") == "<!doctype html>new é"
    assert [entry.name for entry in path.parent.iterdir()] == ["operations.html"]


def test_the_page_names_connectors_that_charge_nobody_who_comes(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    for number in (1, 2):
        depot.vehicle(f"bus-0{number}", connector_id=number)
    depot.land("connector", station_id="CP-2", connector_id=1, site_id="north", current_type="dc", max_kw=50.0)
    depot.plug_in("bus-01", EVENING, connector_id=1)
    for station_id, is_connected, after_h in (("CP-1", True, -9), ("CP-2", True, -9), ("CP-1", False, 1)):
        depot.land("station_link", at=EVENING + hours(after_h), source="bridge", station_id=station_id,
                   is_connected=is_connected)  # fmt: skip
    before, after = (load_view(depot.landing, site_id="north", as_of=EVENING + hours(h)) for h in (1.1, 2))
    assert [line.closed_since for line in before.connectors] == [None] * 3
    assert [line.closed_since for line in after.connectors] == [None, EVENING + hours(1), None]
    assert "CP-1/2 is out of order or silent since 19:00: plug in elsewhere what comes to it." in build_page(after)
    assert "plug in elsewhere" not in build_page(before)
