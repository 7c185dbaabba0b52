"""What a plan takes of a forecast: the median, moved towards the careful side as far as the fleet needs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.steps.return_forecasts import (
    SILENT_LEVEL,
    ReturnForecast,
    narrowed,
    return_forecasts,
    with_fleet_caution,
)
from planning.fallback import Reading

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
    assert found.silent_soc_pct == pytest.approx(20.0 + 200.0 * (SILENT_LEVEL - 0.05))
    alone = return_forecasts(rows.filter(pl.col("target") == "return_at"))["van"]
    assert alone.silent_soc_pct is None


def used_pp(level: float) -> float:
    """Return what the way home took, by the chance that it was no more."""
    return float(np.interp(level, (0.5, 0.9, 0.975), (6.0, 8.0, 10.0)))


def arrived(heard_pct: float, *, scale: float = 1.0, **known: float | None) -> ReturnForecast:
    """Return the forecast of a van that is back and told ``heard_pct`` last; its own margin is 20 points."""
    made = replace(forecast(), **{"silent_soc_pct": 18.0, "lowest_soc_pct": 10.0, "high_soc_pct": 70.0} | known)
    return narrowed(made, Reading(heard_pct, NOON, "geotab"), lambda level: scale * used_pp(level))


def test_the_middle_lies_between_both_estimates_by_their_spreads() -> None:
    found = arrived(50.0)
    share = 2.0**2 / (20.0**2 + 2.0**2)
    assert found.median_soc_pct == pytest.approx(share * 40 + (1 - share) * 44)
    equal = arrived(50.0, low_soc_pct=38.0)
    assert equal.median_soc_pct == pytest.approx(42.0)


def test_the_spread_is_that_of_two_that_err_independently() -> None:
    found, middle = arrived(50.0), arrived(50.0).median_soc_pct or 0.0
    below = [middle - (soc_pct or 0.0) for soc_pct in (found.low_soc_pct, found.silent_soc_pct)]
    assert below == pytest.approx(
        [(20.0**-2 + 2.0**-2) ** -0.5, (22.0**-2 + (used_pp(1 - SILENT_LEVEL) - 6.0) ** -2) ** -0.5]
    )


def test_who_drove_no_further_came_with_what_it_told() -> None:
    found = arrived(50.0, scale=0.0)
    assert {found.median_soc_pct, found.low_soc_pct, found.silent_soc_pct, found.lowest_soc_pct} == {50.0}


@given(st.floats(0, 75), st.floats(0, 10))
def test_it_came_with_no_more_than_it_told_and_no_less_than_the_way_leaves(heard_pct: float, scale: float) -> None:
    found = arrived(heard_pct, scale=scale)
    known = [found.lowest_soc_pct, found.silent_soc_pct, found.low_soc_pct, found.median_soc_pct]
    values = [soc_pct for soc_pct in known if soc_pct is not None]
    assert len(values) == 4
    assert values == sorted(values)
    assert max(0.0, heard_pct - scale * 10.0) - 1e-9 <= values[0]
    assert values[-1] <= heard_pct
    assert found.high_soc_pct == 70.0


def test_what_the_forecast_held_impossible_is_not_believed() -> None:
    assert arrived(99.0).median_soc_pct == 40.0


def test_without_a_median_only_the_bounds_count() -> None:
    found = arrived(30.0, median_soc_pct=None, low_soc_pct=None)
    assert (found.median_soc_pct, found.low_soc_pct, found.silent_soc_pct) == (None, None, 20.0)
