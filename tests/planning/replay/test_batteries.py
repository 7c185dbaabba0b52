"""True batteries: they conserve energy, stop when full, and a bench's table is met at its points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.replay.batteries import BenchBattery, SheetBattery
from planning.site_state import VehicleSpec

SPEC = VehicleSpec("van", 60.0, taper_power_kw=11.0, taper_knee_soc_pct=80.0, taper_end_fraction=0.2, efficiency=0.9)
BENCH = BenchBattery(
    capacity_kwh=60.0,
    soc=np.array([0.0, 0.8, 1.0]),
    limit_kw=np.array([11.0, 11.0, 2.0]),
    power_kw=np.array([0.0, 5.0, 11.0]),
    stored_kw=np.array([[0.0, 4.4, 10.0], [0.0, 4.2, 9.6], [0.0, 4.0, 9.0]]),
)


def test_a_sheet_battery_takes_what_its_taper_allows() -> None:
    battery = SheetBattery(SPEC, "ac", 11.0)
    assert battery.charge(0.5, 22.0, 0.25) == (pytest.approx(11.0), pytest.approx(0.5 + 11 * 0.25 * 0.9 / 60))
    drawn, soc = battery.charge(0.9, 11.0, 1 / 60)
    assert drawn == pytest.approx(11.0 * (1 - 0.5 * 0.8))
    assert soc == pytest.approx(0.9 + drawn / 60 * 0.9 / 60)


def test_a_bench_battery_stores_what_the_bench_measured() -> None:
    drawn, soc = BENCH.charge(0.0, 5.0, 1 / 60)
    assert (drawn, (soc - 0.0) * 60.0 * 60) == (pytest.approx(5.0), pytest.approx(4.4))
    drawn, soc = BENCH.charge(0.9, 11.0, 1 / 60)
    assert drawn == pytest.approx(6.5)


@pytest.mark.parametrize("battery", [SheetBattery(SPEC, "ac", 11.0), BENCH])
@given(soc=st.floats(0, 1), offered=st.floats(0, 30), hours=st.sampled_from([0.25, 0.5, 1.0]))
def test_no_battery_overflows_or_takes_more_than_offered(battery, soc: float, offered: float, hours: float) -> None:
    drawn, after = battery.charge(soc, offered, hours)
    assert 0 <= drawn <= min(offered, 11.0) + 1e-9
    assert soc - 1e-12 <= after <= 1.0
    assert (after - soc) * battery.capacity_kwh <= drawn * hours + 1e-9
