"""The verdict on a departure: what counts as evidence, what is ready, and why not."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.readiness import Cause, Departure, State, judge_departure
from tests.reporting.depot import BEFORE_DAWN, MORNING, hours

LEFT = MORNING + hours(1)
PLUGGED = Departure(
    vehicle_id="bus-01",
    block_id="B-1",
    departure_at=MORNING,
    required_soc_pct=80.0,
    predicted_soc_pct=84.0,
    battery_kwh=100.0,
    efficiency=0.9,
    max_kw=50.0,
    reading_soc_pct=60.0,
    reading_at=BEFORE_DAWN - hours(0.1),
    reading_source="rfms",
    is_parked_since_reading=True,
    planned_kwh_ahead=27.0,
    plugged_at=MORNING - hours(6),
    is_plugged=True,
    is_at_depot=True,
)


def test_soc_at_pull_out_within_a_point_of_the_need_is_ready() -> None:
    verdicts = [
        judge_departure(replace(PLUGGED, reading_soc_pct=soc, reading_at=MORNING), as_of=LEFT).state
        for soc in (78.9, 79.0, 80.0, 100.0)
    ]
    assert verdicts == [State.SHORT, State.READY, State.READY, State.READY]


@pytest.mark.parametrize(
    ("change", "rung", "soc_pct"),
    [
        pytest.param({}, 1, 60.0, id="fresh"),
        pytest.param({"reading_at": BEFORE_DAWN - hours(9)}, 2, 60.0, id="parked since"),
        pytest.param({"metered_kwh": 10.0, "metered_at": BEFORE_DAWN}, 3, 69.0, id="charged since"),
        pytest.param({"metered_kwh": 90.0, "metered_at": BEFORE_DAWN}, 3, 100.0, id="charged to the full"),
        pytest.param({"metered_kwh": 0.1, "metered_at": BEFORE_DAWN}, 1, 60.0, id="noise of the meter"),
        pytest.param(
            {"metered_kwh": 10.0, "metered_at": BEFORE_DAWN, "battery_kwh": None}, 1, 60.0, id="battery unknown"
        ),
    ],
)
def test_evidence_has_the_rung_that_it_deserves(change: dict[str, object], rung: int, soc_pct: float) -> None:
    soc = judge_departure(replace(PLUGGED, **change), as_of=BEFORE_DAWN).soc
    assert soc is not None
    assert (soc.rung, soc.soc_pct) == (rung, pytest.approx(soc_pct))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"reading_soc_pct": None, "reading_at": None}, id="never reported"),
        pytest.param({"reading_at": BEFORE_DAWN - hours(2), "is_parked_since_reading": False}, id="driven since"),
        pytest.param({"reading_at": BEFORE_DAWN - hours(25)}, id="silent for more than a day"),
    ],
)
def test_without_evidence_the_soc_is_unknown_and_never_zero(change: dict[str, object]) -> None:
    for as_of in (BEFORE_DAWN, LEFT):
        judgement = judge_departure(replace(PLUGGED, **change), as_of=as_of)
        assert (judgement.state, judgement.soc, judgement.missing_kwh) == (State.UNKNOWN, None, None)


@pytest.mark.parametrize(
    ("change", "state", "cause"),
    [
        pytest.param({}, State.CHARGING, None, id="on course"),
        pytest.param({"reading_soc_pct": 85.0}, State.READY, None, id="already full enough"),
        pytest.param({"predicted_soc_pct": 70.0}, State.SHORT, Cause.TOO_LITTLE_ENERGY, id="planned short"),
        pytest.param({"planned_kwh_ahead": 5.0}, State.SHORT, Cause.BEHIND_PLAN, id="charger does not follow"),
        pytest.param({"faulty_since": BEFORE_DAWN}, State.SHORT, Cause.CHARGER_FAULT, id="its charger is broken"),
        pytest.param(
            {"faulty_since": BEFORE_DAWN, "reading_soc_pct": 85.0}, State.READY, None, id="broken after it was full"
        ),
        pytest.param({"predicted_soc_pct": None}, State.UNKNOWN, Cause.NO_PREDICTION, id="in no plan"),
        pytest.param({"required_soc_pct": None}, State.UNKNOWN, Cause.NO_REQUIREMENT, id="need unknown"),
        pytest.param({"is_plugged": False}, State.NOT_PLUGGED, Cause.NOT_PLUGGED_IN, id="cable forgotten"),
        pytest.param(
            {"is_plugged": False, "is_plug_known": False}, State.DUE_BACK, None, id="nobody could have seen a cable"
        ),
    ],
)
def test_outlook_before_pull_out(change: dict[str, object], state: State, cause: Cause | None) -> None:
    judgement = judge_departure(replace(PLUGGED, **change), as_of=BEFORE_DAWN)
    assert (judgement.state, judgement.cause) == (state, cause)


def test_a_vehicle_that_is_out_is_due_back_however_full_and_missing_once_late() -> None:
    away = replace(PLUGGED, is_plugged=False, is_at_depot=False, reading_soc_pct=99.0, plugged_at=None)
    expected = replace(away, expected_arrival_at=BEFORE_DAWN - hours(1.9))
    late = replace(away, expected_arrival_at=BEFORE_DAWN - hours(2.1))
    moved_along = replace(away, expected_arrival_at=BEFORE_DAWN, planned_return_at=BEFORE_DAWN - hours(9))
    assert judge_departure(expected, as_of=BEFORE_DAWN).state is State.DUE_BACK
    assert judge_departure(late, as_of=BEFORE_DAWN).cause is Cause.NOT_SEEN_BACK
    assert judge_departure(moved_along, as_of=BEFORE_DAWN).cause is Cause.NOT_SEEN_BACK


def test_shortfall_is_grid_side_energy_and_full_power_says_when_at_the_earliest() -> None:
    judgement = judge_departure(replace(PLUGGED, predicted_soc_pct=71.0), as_of=BEFORE_DAWN)
    assert judgement.missing_pp == pytest.approx(9.0)
    assert judgement.missing_kwh == pytest.approx(10.0)  # 9 kWh in the battery, 0.9 on the way there
    assert judgement.ready_at is not None
    assert judgement.ready_at - BEFORE_DAWN == pytest.approx(hours(20 / 0.9 / 50), abs=timedelta(seconds=1))


def test_never_plugged_in_and_unknown_are_told_apart_afterwards() -> None:
    silent = replace(PLUGGED, reading_at=None, reading_soc_pct=None)
    never = replace(silent, plugged_at=None, is_plugged=False)
    assert judge_departure(silent, as_of=LEFT).state is State.UNKNOWN
    assert judge_departure(never, as_of=LEFT).state is State.NOT_PLUGGED
    assert judge_departure(replace(never, is_plug_known=False), as_of=LEFT).state is State.UNKNOWN


def test_full_enough_without_ever_being_plugged_in_is_ready() -> None:
    rested = replace(PLUGGED, plugged_at=None, is_plugged=False, reading_soc_pct=95.0)
    assert judge_departure(rested, as_of=LEFT).state is State.READY


def test_an_early_pull_out_is_judged_when_it_happened() -> None:
    early = replace(PLUGGED, pulled_out_at=BEFORE_DAWN, reading_soc_pct=70.0)
    assert judge_departure(early, as_of=BEFORE_DAWN + hours(0.1)).state is State.SHORT


@given(
    soc=st.none() | st.floats(0, 100),
    required=st.none() | st.floats(0, 100),
    predicted=st.none() | st.floats(0, 100),
    age_h=st.floats(0, 48),
    flags=st.tuples(*[st.booleans()] * 4),
    as_of_h=st.floats(-12, 12),
)
def test_ready_never_rests_on_less_than_a_reading_and_a_verdict_is_final(
    soc: float | None,
    required: float | None,
    predicted: float | None,
    age_h: float,
    flags: tuple[bool, ...],
    as_of_h: float,
) -> None:
    departure = replace(
        PLUGGED,
        reading_soc_pct=soc,
        reading_at=MORNING - hours(age_h),
        required_soc_pct=required,
        predicted_soc_pct=predicted,
        is_parked_since_reading=flags[0],
        is_plugged=flags[1],
        is_at_depot=flags[1] or flags[2],
        plugged_at=MORNING - hours(1) if flags[3] else None,
    )
    judgement = judge_departure(departure, as_of=MORNING + hours(as_of_h))
    if judgement.state is State.READY:
        assert judgement.soc is not None
        assert required is not None
        assert judgement.soc.rung <= 3
        assert judgement.soc.soc_pct >= required - 1
    if as_of_h >= 0:
        assert judgement.state not in {State.CHARGING, State.DUE_BACK}
    assert judgement.state.is_ok == (judgement.cause is None)
