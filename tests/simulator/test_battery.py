import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.world.battery import DC_CABINET, ON_BOARD_CHARGER, VOLTAGE_LIMIT, Battery

VAN = Battery(60.0, ON_BOARD_CHARGER.to_terminal_kw(11.04), ON_BOARD_CHARGER)
BUS = Battery(350.0, 150.0, DC_CABINET)
socs = st.floats(0, 1)
powers = st.floats(0, 200)


@given(soc=socs, offered_kw=powers, minutes=st.integers(1, 15), battery=st.sampled_from([VAN, BUS]))
def test_charge_conserves_energy(soc: float, offered_kw: float, minutes: int, battery: Battery):
    charge = battery.charge(soc, offered_kw, minutes / 60)

    assert charge.soc == pytest.approx(soc + charge.stored_kwh / battery.capacity_kwh, abs=1e-8)
    assert 0 <= charge.stored_kwh <= charge.grid_kw * minutes / 60 + 1e-9
    assert charge.grid_kw <= offered_kw
    assert soc <= charge.soc <= 1


@given(soc=socs, offered_kw=st.floats(2, 200), battery=st.sampled_from([VAN, BUS]))
def test_charge_loses_what_equipment_and_cells_lose(soc: float, offered_kw: float, battery: Battery):
    charge = battery.charge(soc, offered_kw, 1 / 60)

    if charge.soc < 1:
        lost_kw = charge.grid_kw - 60 * charge.stored_kwh
        assert lost_kw >= charge.grid_kw * battery.losses.proportional - 1e-6


@given(lower=socs, higher=socs)
def test_power_falls_towards_the_voltage_limit(lower: float, higher: float):
    lower, higher = sorted((lower, higher))

    assert BUS.terminal_limit_kw(higher) <= BUS.terminal_limit_kw(lower) + 1e-9
    assert BUS.open_circuit_voltage(lower) <= BUS.open_circuit_voltage(higher) < VOLTAGE_LIMIT


def test_bus_tapers_late_and_van_on_ac_hardly():
    assert BUS.grid_limit_kw(0.75) == BUS.grid_limit_kw(0.2)
    assert BUS.grid_limit_kw(0.99) < 0.4 * BUS.grid_limit_kw(0.2)
    assert VAN.grid_limit_kw(0.95) == VAN.grid_limit_kw(0.2)


def test_efficiency_is_worse_at_low_power_on_ac():
    def efficiency(offered_kw: float) -> float:
        charge = VAN.charge(0.5, offered_kw, 1 / 12)
        return charge.stored_kwh / (charge.grid_kw / 12)

    assert efficiency(4.14) < efficiency(11.04)
    assert efficiency(11.04) == pytest.approx(0.91, abs=0.02)


def test_full_battery_takes_nothing():
    assert VAN.grid_limit_kw(1.0) == 0
    assert VAN.charge(1.0, 11, 0.25).grid_kw == 0
