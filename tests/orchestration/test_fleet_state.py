"""What is known of a plugged vehicle's battery: every reading of its stay, against what the charger counted."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.settings import Settings
from ingestion.registry import Registry
from ingestion.registry.models import Connector, Site, Vehicle
from ml.way_home import WayHome
from orchestration.steps.fleet_state import read_fleet_state
from orchestration.steps.requests import Habits, RequestBook
from orchestration.steps.return_forecasts import ReturnForecast
from orchestration.steps.workplace import Workplace
from planning.fallback import CHARGER, SocEvidence, estimate_soc
from planning.site_state import Expected, VehicleRequest
from tests.reporting.depot import EVENING, Depot, hours

EFFICIENCY, USABLE_KWH = 0.9, 100.0
CHARGED_KWH = 8.0  # every half hour


def registry() -> Registry:
    vehicle = Vehicle(vehicle_id="bus-1", site_id="north", usable_kwh=USABLE_KWH, dc_max_kw=80.0, efficiency=EFFICIENCY)
    connector = Connector(
        station_id="CP-1",
        connector_id=1,
        site_id="north",
        current_type="dc",
        max_kw=50.0,
        min_kw=5.0,
        fallback_kw=0.0,
        phases=3,
        nominal_voltage_v=230.0,
    )
    return Registry(
        sites=(), sources=(), connectors=(connector,), vehicles=(vehicle,), tokens=(), assignments=(), duties=()
    )


def evidence(depot: Depot, *, halves: int) -> SocEvidence:
    fleet = read_fleet_state(depot.landing, registry(), site_id="north", as_of=EVENING + halves * hours(0.5))
    return fleet.vehicles[0].evidence


def charging(depot: Depot, *, start_pct: float, halves: int) -> None:
    """A bus that charges 8 kWh every half hour and tells whole percents a minute after each."""
    depot.vehicle("bus-1", connector_id=1)
    depot.report("bus-1", EVENING - hours(5), 90.0, at_site_id=None, speed_kmh=30.0)
    depot.plug_in("bus-1", EVENING)
    for half in range(halves + 1):
        at = EVENING + half * hours(0.5)
        depot.meter(at, 500.0 + half * CHARGED_KWH)
        gained_pct = 100 * (half + 1 / 30) * CHARGED_KWH * EFFICIENCY / USABLE_KWH
        depot.report("bus-1", at + timedelta(minutes=1), round(start_pct + gained_pct))


def test_every_reading_of_the_stay_counts_with_what_was_charged_since(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    charging(depot, start_pct=30.4, halves=4)
    known = evidence(depot, halves=4)
    assert known.reading is not None
    told_pct = [round(30.4 + 7.2 * (half + 1 / 30)) for half in range(4)]
    assert [soc_pct for soc_pct, _ in known.earlier] == told_pct[:-1]
    assert known.reading.soc_pct == told_pct[-1]
    since = [charged_kwh for _, charged_kwh in known.earlier]
    assert since == pytest.approx([8.0 * (4 - half - 1 / 30) for half in range(3)])
    assert known.charged_kwh == pytest.approx(8.0 * (1 - 1 / 30))
    assert known.counted_kwh == pytest.approx(32.0)
    found = estimate_soc(
        known,
        as_of=EVENING + hours(2),
        fresh_within=hours(1),
        usable_kwh=USABLE_KWH,
        efficiency=EFFICIENCY,
    )
    assert found.soc_pct == pytest.approx(30.4 + 28.8, abs=0.5)


def test_what_the_station_reads_of_the_battery_goes_before_what_the_vehicle_sends(tmp_path: Path) -> None:
    """The vehicle's own 85 % came later; they are what its maker's back end said in the morning."""
    depot = Depot(tmp_path)
    depot.vehicle("bus-1", connector_id=1)
    depot.plug_in("bus-1", EVENING)
    for minutes in (0, 5, 10):
        depot.meter(EVENING + timedelta(minutes=minutes), 500.0 + minutes / 5, soc_pct=40.0 + minutes / 5)
    depot.report("bus-1", EVENING + timedelta(minutes=12), 85.0)
    known = evidence(depot, halves=1)
    assert known.reading is not None
    assert (known.reading.soc_pct, known.reading.source) == (42.0, CHARGER)
    assert known.earlier == ((40.0, 2.0), (41.0, 1.0))


def test_a_silent_meter_leaves_the_newest_reading_alone(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    depot.vehicle("bus-1", connector_id=1)
    depot.plug_in("bus-1", EVENING)
    depot.report("bus-1", EVENING + hours(0.1), 30.0)
    depot.report("bus-1", EVENING + hours(0.6), 37.0)
    known = evidence(depot, halves=2)
    assert known.earlier == ()
    assert known.charged_kwh is None
    assert known.reading is not None
    assert known.reading.soc_pct == 37.0


@pytest.mark.parametrize("back_by", ["was seen elsewhere", "its trip ended", "was unplugged"])
def test_who_stands_unplugged_drives_no_peak_up_and_later_holds_no_room(
    settings: Settings, tmp_path: Path, back_by: str
) -> None:
    site = Workplace(settings).registry.site("north")
    depot = Depot(tmp_path)
    depot.vehicle("bus-1", connector_id=1)
    depot.duty("bus-1", EVENING + hours(12))
    was_plugged = back_by == "was unplugged"
    depot.report("bus-1", EVENING - hours(9 if was_plugged else 0.1), 40.0, at_site_id=None, speed_kmh=30.0)
    if was_plugged:
        depot.report("bus-1", EVENING - hours(8.9), 40.0)
        depot.plug_in("bus-1", EVENING - hours(8), ended_at=EVENING)
    for half in range(9):
        depot.report("bus-1", EVENING + half * hours(0.5) + hours(0.05), 40.0)
    if back_by == "its trip ended":
        depot.land("trip", at=EVENING, source="geotab", vehicle_id="bus-1", started_at=EVENING - hours(3),
                   ended_at=EVENING, end_site_id="north")  # fmt: skip
    asked = {stood_h: request_of(depot, site, stood_h=stood_h) for stood_h in (0.25, 1.0, 3.5)}
    assert asked[0.25].arrival is not None
    assert asked[0.25].expected is None
    assert asked[1.0].arrival is not None
    assert asked[1.0].expected == Expected(None, 0.0)
    assert asked[3.5].arrival is None


@pytest.mark.parametrize(("last_word_h", "presence"), [(-1.0, "out"), (0.5, "at_depot")])
def test_who_was_unplugged_and_never_heard_of_again_has_left(tmp_path: Path, last_word_h: float, presence: str) -> None:
    """Its telematics is silent; the last that it told is that it stood at the depot, before or after."""
    depot = Depot(tmp_path)
    depot.vehicle("bus-1", connector_id=1)
    depot.report("bus-1", EVENING + hours(last_word_h), 80.0)
    depot.plug_in("bus-1", EVENING - hours(8), ended_at=EVENING)
    fleet = read_fleet_state(depot.landing, registry(), site_id="north", as_of=EVENING + hours(12))
    assert fleet.vehicles[0].presence == presence


@pytest.mark.parametrize(
    ("speed_kmh", "presence", "back_h"),
    [(None, "at_depot", -1.0), (0.0, "out", 0.0)],
    ids=["without a fix", "seen elsewhere"],
)
def test_a_report_without_a_fix_moves_nobody(
    tmp_path: Path, speed_kmh: float | None, presence: str, back_h: float
) -> None:
    depot = Depot(tmp_path)
    depot.vehicle("bus-1")
    depot.report("bus-1", EVENING - hours(1), 41.0, at_site_id=None, speed_kmh=30.0)
    depot.report("bus-1", EVENING, 40.0)
    depot.report("bus-1", EVENING + hours(0.5), 40.0, at_site_id=None, speed_kmh=speed_kmh)
    [state] = read_fleet_state(depot.landing, registry(), site_id="north", as_of=EVENING + hours(1)).vehicles
    assert state.presence == presence
    assert state.back_at == EVENING + hours(back_h)


def test_where_a_trip_ended_that_no_report_located_nobody_knows(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    depot.vehicle("bus-1")
    depot.report("bus-1", EVENING - hours(12), 90.0)
    depot.land("trip", at=EVENING, source="geotab", vehicle_id="bus-1", started_at=EVENING - hours(3),
               ended_at=EVENING)  # fmt: skip
    depot.report("bus-1", EVENING - hours(2), 60.0, at_site_id=None, speed_kmh=30.0)
    depot.report("bus-1", EVENING + hours(0.1), 40.0, at_site_id=None)
    [state] = read_fleet_state(depot.landing, registry(), site_id="north", as_of=EVENING + hours(1)).vehicles
    assert state.presence == "out"


def request_of(depot: Depot, site: Site, *, stood_h: float) -> VehicleRequest:
    as_of = EVENING + hours(stood_h)
    fleet = read_fleet_state(depot.landing, registry(), site_id="north", as_of=as_of)
    assert fleet.vehicles[0].presence == "at_depot"
    return RequestBook(site, as_of, as_of + hours(36), {}, Habits()).request(fleet.vehicles[0])


def silent_forecast() -> ReturnForecast:
    return ReturnForecast(
        EVENING, EVENING + hours(1), 40.0, 30.0, 4, EVENING, "trees", silent_soc_pct=27.0, lowest_soc_pct=22.0
    )


def test_who_is_plugged_in_and_tells_nothing_is_taken_to_have_come_with_little_and_charged_further_under_the_peak(
    settings: Settings, tmp_path: Path
) -> None:
    depot = Depot(tmp_path)
    depot.vehicle("bus-1", connector_id=1)
    depot.plug_in("bus-1", EVENING)
    depot.meter(EVENING, 500.0)
    depot.meter(EVENING + hours(1), 510.0)
    fleet = read_fleet_state(depot.landing, registry(), site_id="north", as_of=EVENING + hours(1))
    forecast = silent_forecast()
    site = Workplace(settings).registry.site("north")
    as_of = EVENING + hours(1)
    book = RequestBook(site, as_of, as_of + hours(36), {}, Habits(), {"bus-1": forecast})
    request = book.request(fleet.vehicles[0])
    gained_pp = 100 * 10.0 * EFFICIENCY / USABLE_KWH
    assert request.soc.rung == 4
    assert request.soc.soc_pct == pytest.approx(27.0 + gained_pp)
    assert request.least_soc_pct == pytest.approx(22.0 + gained_pp)
    assert request.spare_pp == pytest.approx(5.0)
    assert f"may have as little as {22.0 + gained_pp:.0f} %" in request.notes[0]


@pytest.mark.parametrize(
    ("late_h", "asked_h", "is_awaited"),
    [(2.0, 1.0, True), (2.0, 2.9, False), (0.1, 1.0, False)],
    ids=["will be told", "should have been told", "tells nothing"],
)
def test_late_telematics_of_a_plugged_vehicle_is_waited_for_as_long_as_it_goes_on(
    settings: Settings, tmp_path: Path, *, late_h: float, asked_h: float, is_awaited: bool
) -> None:
    """Its reports come so late; the last was of the way home."""
    depot = Depot(tmp_path)
    depot.vehicle("bus-1", connector_id=1)
    depot.plug_in("bus-1", EVENING)
    depot.meter(EVENING, 500.0)
    observed_at = EVENING - hours(0.6)
    told_at = EVENING + hours(asked_h - 0.1) if late_h > 1 else observed_at + hours(late_h)
    soc_pct = 55.0 if told_at - hours(late_h) < EVENING else None
    depot.report("bus-1", told_at - hours(late_h), soc_pct, at_site_id=None, speed_kmh=30.0, available_at=told_at)
    depot.land("trip", at=EVENING - hours(0.1), source="geotab", vehicle_id="bus-1", started_at=EVENING - hours(3),
               ended_at=EVENING - hours(0.1), end_site_id="north")  # fmt: skip
    as_of = EVENING + hours(asked_h)
    state = read_fleet_state(depot.landing, registry(), site_id="north", as_of=as_of).vehicles[0]
    forecast = silent_forecast()
    site = Workplace(settings).registry.site("north")
    request = RequestBook(site, as_of, as_of + hours(36), {}, Habits(), {"bus-1": forecast}).request(state)
    assert request.soc.soc_pct == pytest.approx(27.0)
    assert request.expected == (Expected(None, 40.0) if is_awaited else None)


def van_depot(depot: Depot, *, duty_in_h: float = 12.0) -> None:
    """A bus that is back since ``EVENING``, with 40 %, and tells so."""
    depot.vehicle("bus-1", connector_id=1)
    depot.duty("bus-1", EVENING + hours(duty_in_h))
    depot.report("bus-1", EVENING - hours(0.2), 42.0, at_site_id=None, speed_kmh=30.0)
    depot.report("bus-1", EVENING, 40.0)


def test_whom_nobody_recognised_is_presumed_where_it_probably_stands(settings: Settings, tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    van_depot(depot)
    depot.plug_in(None, EVENING + hours(0.1))
    depot.meter(EVENING + hours(0.1), 500.0)
    depot.meter(EVENING + hours(0.6), 510.0)
    as_of = EVENING + hours(0.6)
    fleet = read_fleet_state(depot.landing, registry(), site_id="north", as_of=as_of)
    [state], [transaction] = fleet.vehicles, fleet.transactions
    assert transaction.is_presumed
    assert (state.presence, state.transaction) == ("plugged", transaction)
    assert state.evidence.charged_kwh == pytest.approx(10.0)
    site = Workplace(settings).registry.site("north")
    request = RequestBook(site, as_of, as_of + hours(36), {}, Habits()).request(state)
    assert request.plugged_at == ("CP-1", 1)
    assert request.soc.soc_pct == pytest.approx(40.0 + 100 * 10.0 * EFFICIENCY / USABLE_KWH)
    assert ["presumed there" in note for note in request.notes] == [True]


def test_a_guest_who_came_before_the_vehicle_stays_a_guest(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    van_depot(depot)
    depot.plug_in(None, EVENING - hours(2))
    fleet = read_fleet_state(depot.landing, registry(), site_id="north", as_of=EVENING + hours(0.6))
    assert [state.presence for state in fleet.vehicles] == ["at_depot"]
    assert [entry.vehicle_id for entry in fleet.transactions] == [None]


FORECAST = ReturnForecast(EVENING, EVENING + hours(1), 40.0, 30.0, 4, EVENING, "trees", 55.0, 22.0)
WAY = WayHome((0.25, 1.0, 4.0), ((1.5, 6.0, 14.0), (2.0, 8.0, 17.0), (2.25, 9.0, 18.5), (2.5, 10.0, 20.0)), 4.0)


def forecast_request(depot: Depot, settings: Settings, *, as_of: datetime) -> VehicleRequest:
    """Return the bus's request where its return was forecast, and what ways home take is known."""
    state = read_fleet_state(depot.landing, registry(), site_id="north", as_of=as_of).vehicles[0]
    site = Workplace(settings).registry.site("north")
    habits = Habits(way_home={"unknown": WAY})
    return RequestBook(site, as_of, as_of + hours(36), {}, habits, {"bus-1": FORECAST}).request(state)


@pytest.mark.parametrize(
    ("last_pct", "last_h", "planned_pct"),
    [(38.0, 0.25, 37.3), (38.0, 1.0, 31.2), (38.0, 4.5, 22.0), (28.0, 1.0, 21.5), (85.0, 0.25, 22.0)],
    ids=["just before", "an hour before", "too long before", "forecast said more", "not believed"],
)
def test_who_fell_silent_on_the_way_home_is_planned_for_with_what_the_way_leaves(
    settings: Settings, tmp_path: Path, last_pct: float, last_h: float, planned_pct: float
) -> None:
    depot = Depot(tmp_path)
    depot.vehicle("bus-1", connector_id=1)
    depot.report("bus-1", EVENING - hours(last_h), last_pct, at_site_id=None, speed_kmh=30.0)
    depot.plug_in("bus-1", EVENING)
    depot.land("trip", at=EVENING - hours(0.05), source="geotab", vehicle_id="bus-1", started_at=EVENING - hours(6),
               ended_at=EVENING - hours(0.05), end_site_id="north")  # fmt: skip
    request = forecast_request(depot, settings, as_of=EVENING + hours(1.5))
    assert request.soc.soc_pct == pytest.approx(planned_pct, abs=0.3)
    assert request.soc.rung == 4


def test_who_told_its_soc_when_it_was_back_drove_no_further(settings: Settings, tmp_path: Path) -> None:
    """And what it shows once it is plugged in is not believed: the forecast holds it impossible."""
    depot = Depot(tmp_path)
    depot.vehicle("bus-1", connector_id=1)
    depot.report("bus-1", EVENING - hours(0.5), 38.0)
    depot.land("trip", at=EVENING - hours(0.5), source="geotab", vehicle_id="bus-1", started_at=EVENING - hours(6),
               ended_at=EVENING - hours(0.5), end_site_id="north")  # fmt: skip
    depot.plug_in("bus-1", EVENING)
    depot.report("bus-1", EVENING + hours(0.1), 65.0)
    request = forecast_request(depot, settings, as_of=EVENING + hours(0.5))
    assert request.soc.soc_pct == pytest.approx(38.0)


def test_who_was_charged_on_its_way_is_believed(settings: Settings, tmp_path: Path) -> None:
    """It shows more than it told last on the road, and no more than the forecast held possible."""
    depot = Depot(tmp_path)
    depot.vehicle("bus-1", connector_id=1)
    depot.report("bus-1", EVENING - hours(1.0), 38.0, at_site_id=None, speed_kmh=30.0)
    depot.plug_in("bus-1", EVENING)
    depot.report("bus-1", EVENING + hours(0.1), 55.0)
    request = forecast_request(depot, settings, as_of=EVENING + hours(0.5))
    assert request.soc.soc_pct == pytest.approx(55.0)
