"""Sampled values: units, phases, places, defaults, and kWh that are called Wh."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ingestion.charging.log import MINUTE, T0, answer, meter, read, reasons, start

POWER, REGISTER = "Power.Active.Import", "Energy.Active.Import.Register"


def sample(value: object, measurand: str | None = POWER, **more: object) -> dict[str, object]:
    return {"value": value, **({"measurand": measurand} if measurand else {}), **more}


def row(samples: list[dict[str, object]], **message: Any) -> dict[str, Any]:
    return read([meter(T0, samples, **message)]).rows["meter_value"].to_dicts()[0]


@pytest.mark.parametrize(
    ("samples", "column", "expected"),
    [
        pytest.param([sample("7000", unit="W")], "power_kw", 7.0, id="watts"),
        pytest.param([sample("7", unit="kW")], "power_kw", 7.0, id="kilowatts"),
        pytest.param([sample(7000)], "power_kw", 7.0, id="a number, no unit"),
        pytest.param([sample("4265924", None)], "energy_register_kwh", 4265.924, id="nothing but a value"),
        pytest.param([sample("12.5", REGISTER, unit="kWh")], "energy_register_kwh", 12.5, id="kWh"),
        pytest.param([sample("55", "SoC", unit="Percent", location="EV")], "soc_pct", 55.0, id="SoC of the car"),
        pytest.param([sample("11", "Power.Offered", unit="kW")], "offered_kw", 11.0, id="offered"),
        pytest.param([sample("5", "Power.Active.Export", unit="kW")], "power_kw", -5.0, id="discharge is negative"),
        pytest.param(
            [sample("1000", unit="W", phase=p) for p in ("L1", "L2", "L3")], "power_kw", 3.0, id="phases are summed"
        ),
        pytest.param(
            [sample("1000", unit="W", phase=p) for p in ("L1-N", "L2-N", "N")],
            "power_kw",
            2.0,
            id="the neutral is none",
        ),
        pytest.param(
            [sample("3000", unit="W"), *(sample("1000", unit="W", phase=p) for p in ("L1", "L2", "L3"))],
            "power_kw",
            3.0,
            id="the whole before its phases",
        ),
        pytest.param(
            [sample("2900", unit="W", location="Outlet"), sample("3100", unit="W", location="Inlet")],
            "power_kw",
            2.9,
            id="the outlet before the inlet",
        ),
        pytest.param(
            [sample("2900", unit="W"), sample("zzz", unit="W", format="SignedData")], "power_kw", 2.9, id="signed data"
        ),
    ],
)
def test_samples_become_canonical_units(samples: list[dict[str, object]], column: str, expected: float) -> None:
    assert row(samples)[column] == pytest.approx(expected)


def test_unknown_stays_null_and_never_zero() -> None:
    only_soc = row([sample("55", "SoC")])
    assert [only_soc[name] for name in ("power_kw", "energy_register_kwh", "offered_kw")] == [None, None, None]
    assert row([sample("0", unit="W")])["power_kw"] == 0.0


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        pytest.param([sample("55", "SoC"), sample("NaN", unit="W")], "value_not_a_number", id="not a number"),
        pytest.param([sample("55", "SoC"), sample("12", unit="Wh")], "unit_of_another_quantity", id="power in Wh"),
    ],
)
def test_a_bad_sample_is_left_out_with_a_reason(samples: list[dict[str, object]], reason: str) -> None:
    found = read([meter(T0, samples)])
    assert reasons(found) == {reason: 1}
    assert found.rows["meter_value"].select("soc_pct", "power_kw").rows() == [(55.0, None)]


def test_a_reading_of_voltages_or_of_nothing_gives_no_row() -> None:
    found = read(
        [meter(T0, [sample("231", "Voltage", unit="V")]), meter(T0, []), meter(T0 + MINUTE, [sample("1", unit="W")])]
    )
    assert found.rows["meter_value"].height == 1
    assert found.rejected.is_empty()


@pytest.mark.parametrize("number", [-1, 0, 9223372036854775807])
def test_a_number_that_stands_for_none_is_none(number: int) -> None:
    found = read([meter(T0, [sample("1", unit="W")], transaction=number)])
    assert found.rows["meter_value"]["transaction_id"].to_list() == [None]
    assert reasons(found) == {"transaction_id_placeholder": 1}


def test_a_clock_of_1970_gives_way_to_the_log() -> None:
    found = read([meter(T0, [sample("1", unit="W")], said="1970-01-01T00:00:09Z")])
    assert found.rows["meter_value"]["observed_at"].to_list() == [T0]
    assert reasons(found) == {"clock_never_set": 1}


@pytest.mark.parametrize(
    "registers",
    [
        pytest.param([4.2667, 4.2677, 4.2687], id="stands at a thousandth of the start"),
        pytest.param([9.0, 9.001, 9.0023], id="grows a thousandth of the power drawn"),
    ],
)
def test_a_register_in_kwh_that_is_called_wh_is_left_empty(registers: list[float]) -> None:
    """The lifetime register began at 4266 kWh and 7 kW flow; the samples say Wh."""
    samples = [
        meter(T0 + (k + 1) * 10 * MINUTE, [sample(str(1000 * value), None, unit="Wh"), sample("7", unit="kW")])
        for k, value in enumerate(registers)
    ]
    found = read([start(T0, "1", meter_wh=4_265_924), answer(T0, "1", 7), *samples])
    assert found.rows["meter_value"]["energy_register_kwh"].to_list() == [None] * 3
    assert reasons(found) == {"kwh_labelled_wh": 3}


def test_a_register_that_starts_anew_with_each_transaction_is_believed() -> None:
    samples = [
        meter(T0 + k * 10 * MINUTE, [sample(str(1166 * k), None, unit="Wh"), sample("7", unit="kW")])
        for k in range(1, 4)
    ]
    found = read([start(T0, "1", meter_wh=4_265_924), answer(T0, "1", 7), *samples])
    assert found.rows["meter_value"]["energy_register_kwh"].to_list() == [1.166, 2.332, 3.498]


def test_a_register_that_stands_still_while_waiting_is_believed() -> None:
    samples = [meter(T0 + k * timedelta(hours=1), [sample("5000", None), sample("0", unit="W")]) for k in range(1, 4)]
    found = read([start(T0, "1", meter_wh=5000), answer(T0, "1", 7), *samples])
    assert found.rejected.is_empty()


VALUES = st.one_of(st.floats(0, 1e5, allow_nan=False).map(lambda value: round(value, 3)), st.integers(0, 100_000))


@settings(max_examples=20, deadline=None)
@given(phases=st.dictionaries(st.sampled_from(["L1", "L2", "L3"]), VALUES, min_size=1), as_text=st.booleans())
def test_phases_sum_to_the_whole_whatever_their_order(phases: dict[str, float], as_text: bool) -> None:
    samples = [sample(str(value) if as_text else value, unit="W", phase=name) for name, value in phases.items()]
    expected = sum(phases.values()) / 1000
    assert row(samples)["power_kw"] == pytest.approx(expected)
    assert row(samples[::-1])["power_kw"] == pytest.approx(expected)
