"""Sizing: hand-made fleets whose least depot is known, and what must hold for any."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planning.sizing import READY_SHARE, TAPER_SHARE, Depot, Night, Prices, Site, charge, grown, size, steps

SITE = Site(attended=np.ones(96, dtype=bool), pv_kw_per_kwp=np.zeros(96))
NOBODY = replace(SITE, attended=np.zeros(96, dtype=bool))
PRICES = Prices()


def night(count: int, *, need_kwh: float = 20.0, arrive: int = 24, leave: int = 72, week: str = "w1") -> Night:
    return Night(
        week=week,
        vehicle_ids=tuple(f"van-{k}" for k in range(count)),
        is_dc=np.zeros(count, dtype=bool),
        arrival_slot=np.full(count, arrive),
        departure_slot=np.full(count, leave),
        need_kwh=np.full(count, need_kwh),
        max_kw=np.full(count, 11.0),
    )


def test_the_least_grid_is_the_energy_over_the_time() -> None:
    """Six vans of 20 kWh in twelve hours: 10 kW, less what being ready forgives."""
    sized = size([night(6)], SITE, PRICES, target_pct=100)
    best = sized.best.depot
    assert best.grid_kw == pytest.approx(10.0, abs=1.0)
    assert (best.battery_kwh, best.pv_kwp, best.dc_chargers) == (0, 0, 0)
    assert sized.best.ready_pct == sized.best.confidence_pct == 100


def test_where_somebody_replugs_fewer_chargers_do() -> None:
    shared = size([night(6)], SITE, PRICES, target_pct=100).best.depot
    alone = size([night(6)], NOBODY, PRICES, target_pct=100).best.depot
    # Each van holds a charger for two hours at 11 kW: one charger could serve six in twelve hours.
    assert shared.ac_chargers <= 2
    assert alone.ac_chargers == 6


def test_a_battery_is_built_where_grid_is_dear_and_time_is_short() -> None:
    rush = night(10, arrive=30, leave=38)
    dear = size([rush], SITE, replace(PRICES, grid_per_kw=5000.0), target_pct=100).best.depot
    cheap = size([rush], SITE, PRICES, target_pct=100).best.depot
    assert dear.battery_kwh > cheap.battery_kwh == 0
    assert dear.grid_kw < cheap.grid_kw


def test_an_unreachable_target_gives_what_chargers_for_all_reach() -> None:
    hopeless = [night(2, need_kwh=500.0), night(2, need_kwh=10.0)]
    sized = size(hopeless, SITE, PRICES, target_pct=100)
    assert sized.best.ready_pct == 50


def test_weeks_that_differ_make_the_answer_unsure() -> None:
    weeks = [night(4, week=f"w{k}", need_kwh=18.0 + (k == 3) * 25.0) for k in range(8)]
    sized = size(weeks, NOBODY, PRICES, target_pct=87)
    assert 0 < sized.best.confidence_pct < 100
    assert sized.best.ready_low_pct < sized.best.ready_pct


def test_the_curve_rises_with_what_is_spent() -> None:
    curve = size([night(6), night(5, need_kwh=40.0)], SITE, PRICES, target_pct=100).curve
    assert [one.cost for one in curve] == sorted(one.cost for one in curve)
    assert curve[0].ready_pct < 100 == curve[-1].ready_pct


def test_a_roadmap_only_adds() -> None:
    now = Depot(2, 1, 50.0)
    fleets = {
        str(year): size(grown([night(6)], count), NOBODY, PRICES, target_pct=100)
        for year, count in ((2027, 6), (2028, 12))
    }
    plan = steps(now, fleets, PRICES)
    assert [year for year, _, _ in plan] == ["2027", "2028"]
    assert plan[0][1] == Depot(6, 1, 50.0)
    assert plan[0][2] == 4 * PRICES.ac_charger
    assert plan[1][1].ac_chargers == 12


@settings(max_examples=15)
@given(ac=st.integers(0, 8), grid=st.floats(0, 80), battery=st.floats(0, 100))
def test_no_depot_gives_more_than_it_has(ac: int, grid: float, battery: float) -> None:
    (ready,), (peak,) = charge([night(6)], Depot(ac, 0, grid, battery), SITE, PRICES)
    assert peak <= grid + 1e-9
    assert ready.sum() * 20.0 * (1 - READY_SHARE) <= 12.25 * grid + battery + 1e-6
    assert ready.sum() * 20.0 * (1 - READY_SHARE) <= 12.25 * ac * 11.0 + 1e-6


def test_no_more_is_charged_than_chargers_give() -> None:
    (ready,), (peak,) = charge([night(4)], Depot(2, 0, 1000.0), NOBODY, PRICES)
    assert ready.sum() == 2
    assert peak == pytest.approx(2 * TAPER_SHARE * 11.0)
