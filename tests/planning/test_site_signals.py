"""Prices, load and peaks per slot, from what was known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from planning.site_signals import carbon_signal, load_forecast, price_signal, site_import

START = datetime(2026, 2, 9, 13, tzinfo=UTC)


def hourly_prices(begin: datetime, values: list[float]) -> pl.DataFrame:
    starts = [begin + timedelta(hours=k) for k in range(len(values))]
    return pl.DataFrame(
        {"start_at": starts, "end_at": [start + timedelta(hours=1) for start in starts], "price_per_kwh": values},
        schema_overrides={"start_at": pl.Datetime("us", "UTC"), "end_at": pl.Datetime("us", "UTC")},
    )


def test_hourly_prices_fill_their_quarter_hours_with_the_mark_up() -> None:
    signal = price_signal(hourly_prices(START, [0.1, 0.2]), start_at=START, slots=8, markup_per_kwh=0.05)
    assert signal is not None
    assert signal.values == pytest.approx([0.15] * 4 + [0.25] * 4)
    assert signal.assumed_slots == 0


def test_beyond_the_published_day_the_same_hour_of_the_latest_day_counts() -> None:
    yesterday = [0.01 * k for k in range(24)]
    signal = price_signal(
        hourly_prices(START - timedelta(hours=24), yesterday), start_at=START, slots=120, markup_per_kwh=0.0
    )
    assert signal is not None
    assert signal.assumed_slots == 120
    assert signal.values[:96] == pytest.approx(np.repeat(yesterday, 4))
    assert signal.values[96:] == pytest.approx(np.repeat(yesterday, 4)[:24])


def test_no_price_at_all_is_no_price_rather_than_zero() -> None:
    assert price_signal(hourly_prices(START, []), start_at=START, slots=4, markup_per_kwh=0.1) is None


def site_load(days: int) -> pl.DataFrame:
    starts = [START - timedelta(days=days) + timedelta(minutes=15 * k) for k in range(96 * days)]
    loads = [10.0 + start.hour + (5.0 if start.weekday() >= 5 else 0.0) for start in starts]
    return pl.DataFrame(
        {"start_at": starts, "base_load_kw": loads, "pv_kw": [0.0] * len(starts)},
        schema_overrides={"start_at": pl.Datetime("us", "UTC")},
    )


def test_load_follows_the_hour_and_the_kind_of_day() -> None:
    forecast = load_forecast(site_load(14), start_at=START, slots=4, timezone="UTC", typical_load_kw=99.0)
    assert forecast.base_load_kw == pytest.approx([23.0] * 4)
    assert forecast.history_days == 15


def test_load_without_history_is_the_configured_one_and_careful_for_the_limit() -> None:
    forecast = load_forecast(site_load(0), start_at=START, slots=3, timezone="Europe/Berlin", typical_load_kw=20.0)
    assert forecast.base_load_kw == pytest.approx([20.0] * 3)
    assert forecast.base_load_high_kw == pytest.approx([24.0] * 3)
    assert forecast.pv_low_kw == pytest.approx([0.0] * 3)


def meters(*samples: tuple[str, int, float]) -> pl.DataFrame:
    """Readings as station, minute after the start, and register in kWh."""
    return pl.DataFrame(
        {
            "station_id": [station for station, _, _ in samples],
            "connector_id": [1] * len(samples),
            "observed_at": [START + timedelta(minutes=minute) for _, minute, _ in samples],
            "energy_register_kwh": [register for _, _, register in samples],
        },
        schema={
            "station_id": pl.String,
            "connector_id": pl.Int64,
            "observed_at": pl.Datetime("us", "UTC"),
            "energy_register_kwh": pl.Float64,
        },
    )


def other_load(slots: int) -> pl.DataFrame:
    starts = [START + timedelta(minutes=15 * k) for k in range(slots)]
    return pl.DataFrame(
        {"start_at": starts, "base_load_kw": [20.0] * slots, "pv_kw": [None] * slots},
        schema={"start_at": pl.Datetime("us", "UTC"), "base_load_kw": pl.Float64, "pv_kw": pl.Float64},
    )


def test_site_import_is_what_the_registers_rose_by() -> None:
    readings = meters(("A", 0, 100.0), ("A", 15, 102.5), ("A", 30, 102.5), ("B", 5, 7.0), ("B", 25, 11.0))
    table = site_import(readings, other_load(2))
    assert table["ev_kw"].to_list() == pytest.approx([10.0 + 8.0, 8.0])
    assert table["import_kw"].to_list() == pytest.approx([38.0, 28.0])


def test_a_meter_that_begins_anew_gives_no_negative_power() -> None:
    table = site_import(meters(("A", 0, 100.0), ("A", 15, 101.0), ("A", 30, 0.5), ("A", 45, 1.5)), other_load(3))
    assert table["ev_kw"].to_list() == pytest.approx([4.0, 0.0, 4.0])


def test_site_import_leaves_out_slots_of_unknown_load() -> None:
    table = site_import(meters(("A", 0, 100.0), ("A", 60, 110.0)), other_load(1))
    assert table.rows() == [(START, 20.0, pytest.approx(10.0), pytest.approx(30.0), True)]


def test_energy_that_flowed_in_a_gap_is_an_estimate_and_energy_that_did_not_is_none() -> None:
    charging = [("A", 0, 0.0), ("A", 15, 10.0), ("A", 45, 20.0), ("A", 60, 30.0)]
    resting = [("B", 0, 5.0), ("B", 60, 5.0)]
    table = site_import(meters(*charging, *resting), other_load(4))
    assert table["is_estimated"].to_list() == [False, True, True, False]


def test_site_import_without_meters_is_the_other_load() -> None:
    assert site_import(meters(), other_load(2))["import_kw"].to_list() == [20.0, 20.0]


def intensities(
    begin: datetime, grams: list[float], *, minutes: int, issued_at: datetime | None = None
) -> pl.DataFrame:
    starts = [begin + timedelta(minutes=minutes * k) for k in range(len(grams))]
    instant = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        {
            "start_at": starts,
            "end_at": [start + timedelta(minutes=minutes) for start in starts],
            "issued_at": starts if issued_at is None else [issued_at] * len(starts),
            "emissions_gco2e_per_kwh": grams,
        },
        schema_overrides={"start_at": instant, "end_at": instant, "issued_at": instant},
    )


def test_a_slot_has_the_mean_carbon_intensity_of_its_five_minutes() -> None:
    signal = carbon_signal(intensities(START, [100.0, 200, 300, 400, 400, 400], minutes=5), start_at=START, slots=2)
    assert signal is not None
    assert signal.values == pytest.approx([0.2, 0.4])
    assert signal.assumed_slots == 0


def test_the_latest_word_on_an_intensity_counts_and_the_day_before_where_there_is_none() -> None:
    yesterday = intensities(START - timedelta(days=1), [100.0] * 24, minutes=60)
    first = intensities(START, [500.0], minutes=60, issued_at=START - timedelta(hours=2))
    second = intensities(START, [300.0], minutes=60, issued_at=START - timedelta(hours=1))
    signal = carbon_signal(pl.concat([second, yesterday, first]), start_at=START, slots=8)
    assert signal is not None
    assert signal.values == pytest.approx([0.3] * 4 + [0.1] * 4)
    assert signal.assumed_slots == 4


def test_no_intensity_at_all_is_none_rather_than_zero() -> None:
    assert carbon_signal(intensities(START, [], minutes=60), start_at=START, slots=4) is None
