"""The fallback ladder: each rung, and the order between them."""

from datetime import UTC, datetime, timedelta

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
