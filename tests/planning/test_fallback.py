"""The fallback ladder: each rung, and the order between them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.fallback import CHARGER, DEFAULT_SOC_PCT, Reading, SocEstimate, SocEvidence, estimate_soc

AS_OF = datetime(2026, 2, 9, 22, tzinfo=UTC)


def estimate(evidence: SocEvidence) -> SocEstimate:
    return estimate_soc(evidence, as_of=AS_OF, fresh_within=timedelta(hours=1), usable_kwh=80.0, efficiency=0.9)


def reading(age: timedelta, soc_pct: float = 40.0) -> Reading:
    return Reading(soc_pct, AS_OF - age, "geotab")


@pytest.mark.parametrize(
    ("evidence", "soc_pct", "rung"),
    [
        (SocEvidence(reading(timedelta(minutes=20))), 40.0, 1),
        (SocEvidence(reading(timedelta(hours=5))), 40.0, 2),
        (SocEvidence(reading(timedelta(hours=5)), charged_kwh=16.0), 58.0, 3),
        (SocEvidence(reading(timedelta(hours=5)), moved_since=True, forecast_soc_pct=33.0), 33.0, 4),
        (SocEvidence(forecast_soc_pct=31.0, forecast_rung=5), 31.0, 5),
        (SocEvidence(reading(timedelta(hours=5)), moved_since=True), DEFAULT_SOC_PCT, 6),
        (SocEvidence(), DEFAULT_SOC_PCT, 6),
    ],
    ids=["fresh", "stale", "charger counted", "forecast", "history", "drove on, no forecast", "nothing known"],
)
def test_each_rung(evidence: SocEvidence, soc_pct: float, rung: int) -> None:
    result = estimate(evidence)
    assert result.soc_pct == pytest.approx(soc_pct)
    assert result.rung == rung


def test_a_fresh_reading_still_counts_what_was_charged_since() -> None:
    result = estimate(SocEvidence(reading(timedelta(minutes=30)), charged_kwh=8.0))
    assert (result.soc_pct, result.rung) == (pytest.approx(49.0), 1)


def test_without_a_reading_what_the_charger_counted_is_added_to_the_forecast() -> None:
    forecast = estimate(SocEvidence(forecast_soc_pct=30.0, counted_kwh=16.0))
    assert (forecast.soc_pct, forecast.rung) == (pytest.approx(48.0), 4)
    assert "charger meter" in forecast.source
    default = estimate(SocEvidence(counted_kwh=8.0))
    assert (default.soc_pct, default.rung) == (pytest.approx(DEFAULT_SOC_PCT + 9.0), 6)


@pytest.mark.parametrize(("shown_pct", "rung"), [(52.0, 1), (85.0, 4)], ids=["a short way", "frozen since the morning"])
def test_a_reading_that_the_way_back_cannot_have_left_is_not_believed(shown_pct: float, rung: int) -> None:
    evidence = SocEvidence(
        reading(timedelta(minutes=5), shown_pct),
        forecast_soc_pct=35.0,
        forecast_high_soc_pct=50.0,
        arrival_soc_pct=shown_pct,
    )
    result = estimate(evidence)
    assert result.rung == rung
    assert result.soc_pct == (shown_pct if rung == 1 else 35.0)
    assert ("contradicts" in result.source) == (rung == 4)


def test_what_the_charger_reads_of_the_battery_itself_is_believed() -> None:
    known = Reading(85.0, AS_OF, CHARGER)
    assert estimate(SocEvidence(known, forecast_high_soc_pct=50.0, arrival_soc_pct=85.0)).rung == 1


@given(charged=st.floats(0, 500), soc=st.floats(0, 100))
def test_an_estimate_stays_within_the_battery(charged: float, soc: float) -> None:
    result = estimate(SocEvidence(reading(timedelta(hours=3), soc), charged_kwh=charged))
    assert soc - 1e-9 <= result.soc_pct <= 100.0


@given(
    start_pct=st.floats(2.0, 60.0),
    charged_kwh=st.lists(st.floats(0.0, 6.0), min_size=2, max_size=12).filter(lambda steps: sum(steps) < 30),
    gain_error=st.floats(-0.05, 0.05),
)
def test_readings_of_a_stay_are_never_worse_together_than_the_newest_alone(
    start_pct: float, charged_kwh: list[float], gain_error: float
) -> None:
    """Whole percents of a course whose gain is not quite as believed: the rounding of the newest and a little."""
    true_gain = 100 * 0.9 / 80.0 * (1 + gain_error)
    counted_kwh = [sum(charged_kwh[:step]) for step in range(len(charged_kwh) + 1)]
    told = [(float(round(start_pct + true_gain * kwh)), counted_kwh[-1] - kwh) for kwh in counted_kwh]
    newest = Reading(told[-1][0], AS_OF, "geotab")
    found = estimate(SocEvidence(newest, charged_kwh=0.0, earlier=tuple(told[:-1]), counted_kwh=counted_kwh[-1]))
    assert found.soc_pct == pytest.approx(start_pct + true_gain * counted_kwh[-1], abs=0.75)


def test_twenty_whole_percents_tell_a_course_to_a_fraction_of_one() -> None:
    rng = np.random.default_rng(5)
    errors_pp = []
    for _ in range(200):
        start_pct, gain = rng.uniform(5.0, 30.0), 100 * 0.9 / 80.0 * rng.normal(1.0, 0.02)
        counted_kwh = np.arange(20) * 2.3
        told = np.round(start_pct + gain * counted_kwh)
        earlier = tuple(zip(told[:-1].tolist(), (counted_kwh[-1] - counted_kwh[:-1]).tolist(), strict=True))
        found = estimate(SocEvidence(Reading(float(told[-1]), AS_OF, "geotab"), charged_kwh=0.0, earlier=earlier))
        errors_pp.append(found.soc_pct - (start_pct + gain * counted_kwh[-1]))
    # A whole percent alone is off by 0.29 as a rule.
    assert float(np.std(errors_pp)) < 0.17
    assert abs(float(np.mean(errors_pp))) < 0.05


def test_readings_that_do_not_follow_the_meter_leave_the_newest_alone() -> None:
    """A jump of four points: no course of charging explains it."""
    newest = Reading(40.0, AS_OF - timedelta(minutes=10), "geotab")
    jumped = SocEvidence(newest, charged_kwh=1.0, earlier=((44.0, 3.0), (40.0, 2.0)))
    assert estimate(jumped).soc_pct == pytest.approx(41.125)


@pytest.mark.parametrize(
    ("counted_kwh", "newest_pct", "is_stuck"), [(4.0, 40.0, True), (2.0, 40.0, False), (4.0, 44.0, False)]
)
def test_a_reading_that_stands_still_while_the_charger_counts_is_not_believed(
    counted_kwh: float, newest_pct: float, *, is_stuck: bool
) -> None:
    """4 kWh are four and a half points of this battery; of 2 kWh a whole percent may show nothing yet."""
    newest = Reading(newest_pct, AS_OF, "geotab")
    told = SocEvidence(newest, charged_kwh=0.0, earlier=((40.0, counted_kwh),), forecast_soc_pct=25.0, counted_kwh=5.0)
    found = estimate(told)
    assert found.rung == (4 if is_stuck else 1)
    if is_stuck:
        assert found.soc_pct == pytest.approx(25.0 + 5 * 1.125)
        assert found.source.endswith("its reading stands still")


def test_readings_of_a_full_battery_say_nothing_of_its_course() -> None:
    newest = Reading(100.0, AS_OF, "geotab")
    assert estimate(SocEvidence(newest, charged_kwh=0.0, earlier=((99.0, 9.0), (100.0, 5.0)))).soc_pct == 100.0
