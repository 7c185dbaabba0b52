"""What the replay's platform knows of who is plugged in: forecasts and matches of then, telematics that is late."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

import pytest

from core.settings import Settings
from ingestion.registry.models import Vehicle
from ml.way_home import WayHome
from orchestration.replay.forecasters import Knowledge, PlatformForecaster, Returns, Run
from orchestration.steps.fleet_state import VehicleState
from orchestration.steps.requests import Habits
from orchestration.steps.return_forecasts import ReturnForecast
from orchestration.steps.workplace import Workplace
from planning.fallback import Reading, SocEvidence
from planning.replay.observation import Observation, PluggedIn
from planning.site_state import ConnectorKey, Expected, VehicleRequest
from tests.reporting.depot import EVENING, hours

PLUGGED_AT, RECOGNISED_AT = EVENING + hours(2.1), EVENING + hours(3)
BUS = Vehicle(vehicle_id="bus-1", site_id="north", usable_kwh=100.0, dc_max_kw=80.0, efficiency=0.9)


def forecast_at(at: datetime) -> Returns:
    """Forecasts whose median SoC tells the hour at which they were made: 40 % at first, a point more every hour."""
    pct = 40.0 + (at - EVENING) / hours(1)
    soc_pct = {"silent_soc_pct": pct - 10, "lowest_soc_pct": pct - 15}
    return {"bus-1": ReturnForecast(at, at + hours(1), pct, pct - 5, 4, at, "trees", **soc_pct)}


def matched(at: datetime, runs: tuple[Run, ...]) -> Mapping[str, str]:
    return {run[2]: "bus-1" for run in runs if at >= RECOGNISED_AT}


@pytest.fixture
def forecaster(settings: Settings) -> PlatformForecaster:
    duty = {"planned_departure_at": EVENING + hours(12), "min_target_soc_pct": 80.0, "distance_km": None}
    state = VehicleState(BUS, "out", None, SocEvidence(), has_red_telltale=False, upcoming=(duty,))
    knowledge = Knowledge(lambda at: {"bus-1": state}, forecast_at, Habits(), matched)
    site = Workplace(settings).registry.site("north")
    currents: Mapping[ConnectorKey, Literal["ac", "dc"]] = {("CP-1", 1): "dc"}
    return PlatformForecaster(site, EVENING, EVENING + hours(20), frozenset({"bus-1"}), knowledge, currents)


def asked(
    forecaster: PlatformForecaster, *, is_named: bool = True, told_until: Callable[[datetime], datetime] = lambda at: at
) -> dict[datetime, VehicleRequest]:
    """Ask every quarter of an hour; return the request of each instant."""
    found: dict[datetime, VehicleRequest] = {}
    for at in (EVENING + k * hours(0.25) for k in range(20)):
        here = PluggedIn(("CP-1", 1), "t-1", PLUGGED_AT, "bus-1" if is_named else None, counted_kwh=0.0)
        seen = Observation(at, (here,) if at >= PLUGGED_AT else (), seen_until={"bus-1": told_until(at)})
        [found[at]] = forecaster.requests(seen)
    return found


def test_who_is_recognised_late_came_with_what_was_forecast_before(forecaster: PlatformForecaster) -> None:
    """Until three hours past it is waited for, with forecasts of a return that is over."""
    requests = asked(forecaster, is_named=False)
    assert requests[EVENING + hours(2.75)].plugged_at is None
    known = requests[RECOGNISED_AT]
    assert known.plugged_at == ("CP-1", 1)
    assert known.soc.soc_pct == pytest.approx(32.0)  # 10 below the 42 % of two hours past, before it was plugged in
    assert known.expected is None


def test_telematics_that_is_late_and_goes_on_is_waited_for(forecaster: PlatformForecaster) -> None:
    requests = asked(forecaster, told_until=lambda at: at - hours(1))
    early, late = requests[EVENING + hours(2.5)], requests[EVENING + hours(4.5)]
    assert early.soc.soc_pct == pytest.approx(31.0)  # the newest that it told was of an hour past
    assert early.expected == Expected(None, 41.0)
    assert late.expected is None


def test_telematics_that_is_silent_is_not_waited_for(forecaster: PlatformForecaster) -> None:
    known = asked(forecaster, told_until=lambda at: EVENING)[EVENING + hours(3)]
    assert known.expected is None
    assert known.soc.soc_pct == pytest.approx(30.0)


def standing_since(at: datetime, *, reading: Reading | None = None) -> VehicleState:
    duty = {"planned_departure_at": EVENING + hours(12), "min_target_soc_pct": 80.0, "distance_km": None}
    evidence = SocEvidence(reading=reading)
    return VehicleState(BUS, "at_depot", None, evidence, has_red_telltale=False, upcoming=(duty,), back_at=at)


def test_whom_nobody_recognises_is_presumed_where_it_probably_stands(settings: Settings) -> None:
    """Its own readings go on; those of before it was plugged in say nothing of what the charger gave."""
    state = standing_since(PLUGGED_AT - hours(0.1))
    knowledge = Knowledge(lambda at: {"bus-1": state}, forecast_at, Habits(), lambda at, runs: {})
    site = Workplace(settings).registry.site("north")
    one = PlatformForecaster(site, EVENING, EVENING + hours(20), frozenset({"bus-1"}), knowledge, {("CP-1", 1): "dc"})
    told = tuple(
        (Reading(pct, PLUGGED_AT + hours(after_h), "geotab"), 0.0) for after_h, pct in ((-0.5, 41.0), (0.5, 44.0))
    )
    for at, counted_kwh in ((PLUGGED_AT + hours(0.5), 5.0), (PLUGGED_AT + hours(1.0), 10.0)):
        here = PluggedIn(("CP-1", 1), "t-1", PLUGGED_AT, None, counted_kwh=counted_kwh)
        [request] = one.requests(Observation(at, (here,), unplaced={"bus-1": told}))
    assert request.plugged_at == ("CP-1", 1)
    assert request.soc.soc_pct == pytest.approx(44.0 + 0.9 * 5.0)


def test_what_a_vehicle_told_before_it_came_is_read_from_before_it_came(settings: Settings) -> None:
    """By the record it was charged from then on, which the replay has not done."""

    def states_at(at: datetime) -> Mapping[str, VehicleState]:
        pct = 41.0 if at <= PLUGGED_AT + hours(0.25) else 90.0
        return {"bus-1": standing_since(PLUGGED_AT - hours(0.1), reading=Reading(pct, at - hours(0.2), "geotab"))}

    habits = Habits(way_home={"unknown": WayHome((0.25, 0.5), ((2.0, 4.0),) * 4, 0.5)})
    site = Workplace(settings).registry.site("north")
    one = PlatformForecaster(
        site,
        EVENING,
        EVENING + hours(20),
        frozenset({"bus-1"}),
        Knowledge(states_at, forecast_at, habits, matched),
        {("CP-1", 1): "dc"},
    )
    found = asked(one)
    assert found[EVENING + hours(4)].soc.soc_pct == pytest.approx(41.0)
