"""Tariffs: days of 92, 96 and 100 quarter-hours, seasons over the turn of the year, rates of the US database."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.time_grid import slots_in_local_day
from ingestion.columns import numbered
from ingestion.signals.tariff import read_schedules, schedule_records, slot_prices, urdb_schedules

ZONE = "America/Los_Angeles"
DOCUMENT = {
    "effective": "2019-07-01",
    "schedule": [
        {
            "id": "Summer-Weekday", "effective_start": "05-01", "effective_end": "10-31", "dow_mask": "WEEKDAYS",
            "times": [0, 8.5, 21.5], "tariffs": [0.15, 0.23, 0.15], "demand_charge": 20,
        },
        {
            "id": "Summer-Weekend", "effective_start": "05-01", "effective_end": "10-31", "dow_mask": "WEEKENDS",
            "times": [0], "tariffs": [0.15], "demand_charge": 20,
        },
        {
            "id": "Winter", "effective_start": "11-01", "effective_end": "4-30", "dow_mask": "ALL",
            "times": [0, 12], "tariffs": [0.13, 0.14], "demand_charge": 11,
        },
    ],
}  # fmt: skip


def rates(document: dict[str, Any] = DOCUMENT) -> pl.DataFrame:
    reading = read_schedules(numbered(schedule_records(document, tariff_id="t", currency="USD")))
    assert reading.rejected.is_empty()
    return reading.rows["tariff_rate"]


@pytest.mark.parametrize(
    ("day", "slots", "dear"),
    [
        pytest.param(date(2019, 7, 3), 96, 52, id="summer, Wednesday"),
        pytest.param(date(2019, 7, 6), 96, 0, id="summer, Saturday"),
        pytest.param(date(2020, 1, 1), 96, 48, id="winter, after the turn of the year"),
        pytest.param(date(2020, 3, 8), 92, 48, id="an hour is skipped before noon"),
        pytest.param(date(2019, 11, 3), 100, 48, id="an hour comes twice before noon"),
    ],
)
def test_every_slot_of_a_local_day_has_its_price(day: date, slots: int, dear: int) -> None:
    priced = slot_prices(rates(), day=day, timezone=ZONE)
    assert priced.height == slots
    cheapest = priced["price_per_kwh"].min()
    assert priced.filter(pl.col("price_per_kwh") > cheapest).height == dear
    assert priced["start_at"].slice(1).equals(priced["end_at"].slice(0, slots - 1), check_names=False)


def test_prices_follow_the_local_clock() -> None:
    priced = slot_prices(rates(), day=date(2019, 7, 3), timezone=ZONE)
    dear = priced.filter(pl.col("price_per_kwh") == 0.23)["start_at"]
    assert (dear[0], dear[-1]) == (datetime(2019, 7, 3, 15, 30, tzinfo=UTC), datetime(2019, 7, 4, 4, 15, tzinfo=UTC))


def test_a_day_without_a_price_is_an_error_and_no_guess() -> None:
    summer = rates().filter(pl.col("season_start") == "05-01")
    with pytest.raises(ValueError, match="gives 0 prices for the 96 slots of 2019-12-24"):
        slot_prices(summer, day=date(2019, 12, 24), timezone=ZONE)


def test_two_prices_for_an_hour_are_an_error() -> None:
    twice = pl.concat([rates(), rates()])
    with pytest.raises(ValueError, match="gives 192 prices for the 96 slots"):
        slot_prices(twice, day=date(2019, 7, 3), timezone=ZONE)


def urdb(**more: object) -> dict[str, Any]:
    night, day = 0, 1
    weekday = [[night] * 7 + [day] * 15 + [night] * 2 for _ in range(12)]
    return {
        "label": "abc", "startdate": 1_561_939_200,
        "energyratestructure": [[{"rate": 0.1, "adj": 0.02, "unit": "kWh"}], [{"rate": 0.3, "unit": "kWh"}]],
        "energyweekdayschedule": weekday, "energyweekendschedule": [[night] * 24 for _ in range(12)],
        "flatdemandstructure": [[{"rate": 8.0}], [{"rate": 12.5}]], "flatdemandmonths": [0] * 5 + [1] * 4 + [0] * 3,
        **more,
    }  # fmt: skip


def test_a_rate_of_the_us_database_is_a_schedule_per_month_and_kind_of_day() -> None:
    found = read_schedules(urdb_schedules(urdb())).rows["tariff_rate"]
    july = found.filter(schedule_id="month-07-weekdays")
    assert july.select("start_minute", "end_minute", "price_per_kwh").rows() == [
        (0, 420, pytest.approx(0.12)),
        (420, 1320, 0.3),
        (1320, 1440, pytest.approx(0.12)),
    ]
    assert july["demand_price_per_kw"].unique().to_list() == [12.5]
    assert found.filter(schedule_id="month-02-weekends")["demand_price_per_kw"].to_list() == [8.0]
    assert july["effective_date"].unique().to_list() == ["2019-07-01"]


@settings(max_examples=20, deadline=None)
@given(
    day=st.dates(date(2018, 1, 1), date(2030, 12, 31)), zone=st.sampled_from([ZONE, "Europe/Berlin", "Asia/Kolkata"])
)
def test_no_day_of_any_year_is_without_prices(day: date, zone: str) -> None:
    found = read_schedules(urdb_schedules(urdb())).rows["tariff_rate"]
    assert slot_prices(found, day=day, timezone=zone).height == slots_in_local_day(day, zone)
