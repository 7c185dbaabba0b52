"""What a plan takes of a forecast: the median, moved towards the careful side as far as the fleet needs."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from orchestration.steps.return_forecasts import ReturnForecast, return_forecasts, with_fleet_caution

NOON = datetime(2026, 2, 10, 12, tzinfo=UTC)


def forecast(*, low_soc_pct: float | None = 20.0, late_h: float = 2.0) -> ReturnForecast:
    return ReturnForecast(
        median_at=NOON,
        late_at=NOON + timedelta(hours=late_h),
        median_soc_pct=40.0,
        low_soc_pct=low_soc_pct,
        rung=4,
        newest_input_at=NOON,
        name="rule",
    )


def test_one_vehicle_is_planned_at_its_careful_side() -> None:
    careful = with_fleet_caution({"van": forecast()}, out={"van"}, battery_kwh={"van": 60.0})["van"]
    assert careful.planned_at == NOON + timedelta(hours=2)
    assert careful.planned_soc_pct == 20.0


def test_many_vehicles_are_planned_between_their_medians_and_their_careful_sides() -> None:
    returns = {f"van-{number}": forecast() for number in range(20)}
    careful = with_fleet_caution(returns, out=set(returns), battery_kwh=dict.fromkeys(returns, 60.0))
    one = careful["van-0"]
    assert NOON + timedelta(hours=0.8) < one.planned_at < NOON + timedelta(hours=1.6)
    assert one.planned_soc_pct == pytest.approx(40 - 20 * one.caution)


def test_vehicles_that_are_back_do_not_count() -> None:
    returns = {f"van-{number}": forecast() for number in range(20)}
    careful = with_fleet_caution(returns, out={"van-3"}, battery_kwh=dict.fromkeys(returns, 60.0))
    assert careful["van-3"].planned_soc_pct == 20.0


def test_what_nobody_forecast_stays_unknown() -> None:
    unknown = forecast(low_soc_pct=None)
    assert with_fleet_caution({"van": unknown}, out={"van"}, battery_kwh={"van": 60.0})["van"].planned_soc_pct is None


def test_a_careful_side_before_the_median_moves_nothing() -> None:
    assert forecast(late_h=-1.0).planned_at == NOON


def test_a_silent_vehicle_is_planned_for_with_a_quantile_between_those_that_are_forecast() -> None:
    known = {"subject_id": "1", "vehicle_id": "van", "predicted_at": NOON, "rung": 4, "newest_input_at": NOON}
    soc = {"q025": 10.0, "q05": 20.0, "q10": 30.0, "q50": 50.0, "q90": 60.0, "q975": 70.0}
    hours = dict.fromkeys(soc, 2.0)
    targets = (("return_at", hours), ("soc_at_arrival_pct", soc))
    rows = pl.DataFrame([{**known, "target": target, "name": "rule", **values} for target, values in targets])
    found = return_forecasts(rows)["van"]
    assert (found.low_soc_pct, found.lowest_soc_pct) == (30.0, 10.0)
    assert found.silent_soc_pct == pytest.approx(26.0)
    alone = return_forecasts(rows.filter(pl.col("target") == "return_at"))["van"]
    assert alone.silent_soc_pct is None
