"""Sets of prices, tariffs and emissions."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from core.landing import Landing
from ingestion.columns import UnreadableError

PRICES = "Country,Datetime (UTC),Datetime (Local),Price (EUR/MWhe)"


def test_day_ahead_dates_of_both_styles_are_one_series(run_import, landing: Landing) -> None:
    lines = [
        PRICES,
        "Netherlands,2023-01-02 03:00:00,2023-01-02 04:00:00,-3.61",
        "Netherlands,,,0.0",
        "Netherlands,02/01/2023 03:00,02/01/2023 04:00,-3.61",
        "Netherlands,13/01/2023 03:00,13/01/2023 04:00,50",
        "Netherlands,14/01/2023 03:00,14/01/2023 04:00,n/a",
    ]
    report = run_import("day_ahead", {"nl_day_ahead.csv": "\n".join(lines)})
    assert report.rows == {"read": 5, "landed": 2, "duplicates": 1, "quarantined": 2}
    assert report.reasons == {"no_price_per_kwh": 1, "no_start_at": 1}
    prices = landing.read("price")
    assert prices["price_per_kwh"].to_list() == [-0.00361, 0.05]
    assert prices["start_at"][0] == datetime(2023, 1, 2, 3, tzinfo=UTC)
    assert (prices["end_at"] - prices["start_at"]).to_list() == [timedelta(hours=1)] * 2
    assert prices["series_id"].unique().to_list() == ["NL"]


def test_day_and_month_mistaken_in_one_of_the_two_stamps_is_noticed(run_import) -> None:
    report = run_import(
        "day_ahead", {"nl_day_ahead.csv": f"{PRICES}\nNetherlands,2023-01-02 03:00:00,2023-02-01 04:00:00,1.0\n"}
    )
    assert report.reasons == {"stamps_disagree": 1}


def test_a_price_is_known_from_its_auction_on_the_day_before(run_import, landing: Landing) -> None:
    run_import(
        "day_ahead", {"nl_day_ahead.csv": f"{PRICES}\nNetherlands,2023-07-02 21:00:00,2023-07-02 23:00:00,1.0\n"}
    )
    assert landing.read("price")["available_at"][0] == datetime(2023, 7, 1, 11, tzinfo=UTC)


SUMMER = {
    "effective_start": "06-01",
    "effective_end": "9-30",
    "dow_mask": "ALL",
    "times": [0, 8.5, 21],
    "tariffs": [0.1, 0.3, 0.1],
    "demand_charge": 15.5,
}


def test_tariff_blocks_cover_the_day_and_names_settle_the_days(run_import, landing: Landing) -> None:
    weekend = {**SUMMER, "id": "Summer-Weekend", "times": [0], "tariffs": [0.1]}
    broken = {**SUMMER, "id": "Winter", "effective_start": "10-01", "times": [0, 8]}
    schedule = [{**SUMMER, "id": "Summer-Weekday"}, weekend, broken]
    report = run_import("tariff", {"some_tariff.json": json.dumps({"effective": "2019-3-1", "schedule": schedule})})
    assert report.rows == {"read": 3, "landed": 2, "duplicates": 0, "quarantined": 1}
    assert report.reasons == {"blocks_do_not_match": 1, "days_contradict_name": 2}
    rates = landing.read("tariff_rate").filter(schedule_id="Summer-Weekday")
    assert rates.select("start_minute", "end_minute", "price_per_kwh").rows() == [
        (0, 510, 0.1),
        (510, 1260, 0.3),
        (1260, 1440, 0.1),
    ]
    assert rates.select("tariff_id", "days", "season_end", "effective_date", "demand_price_per_kw").row(0) == (
        "some_tariff",
        "weekdays",
        "09-30",
        "2019-03-01",
        15.5,
    )


def test_two_tariffs_of_one_name_stay_two(run_import, landing: Landing) -> None:
    document = json.dumps({"name": "T", "effective": "2019-03-01", "schedule": [{**SUMMER, "id": "Summer"}]})
    run_import("tariff", {"t_2018.json": document, "t_2019.json": document.replace("0.3", "0.4")})
    rates = landing.read("tariff_rate")
    assert sorted(rates["tariff_id"].unique()) == ["t_2018", "t_2019"]
    assert rates.filter(start_minute=510)["price_per_kwh"].to_list() == [0.3, 0.4]


@pytest.mark.parametrize("text", ['{"effective"', '{"schedule": []}', "[]"])
def test_another_document_is_no_tariff(run_import, text: str) -> None:
    with pytest.raises(UnreadableError, match="is no tariff document"):
        run_import("tariff", {"t.json": text})


def moer_line(clock: str, measured: float, forecasts: list[object]) -> str:
    return ",".join([f"2019-05-31 {clock}+00:00", str(measured), *map(str, forecasts)])


def test_measured_and_forecast_emissions_in_grams(run_import, landing: Landing) -> None:
    header = ",".join(["time", "moer", *(f"f{k}" for k in range(1, 37))])
    forecasts: list[object] = [round(0.1 + 0.01 * k, 2) for k in range(1, 37)]
    may = [header, moer_line("23:50:00", 0.2, forecasts), moer_line("23:55:00", 0.25, ["?", *forecasts[1:]])]
    june = [header, moer_line("23:55:00", 0.25, ["?", *forecasts[1:]])]
    files = {"SGIP_X_2019-05.csv": "\n".join(may), "SGIP_X_2019-06.csv": "\n".join(june)}
    report = run_import("moer", files)
    assert report.rows == {"read": 3, "landed": 2, "duplicates": 1, "quarantined": 0}
    assert report.reasons == {"no_emissions": 2}
    rows = landing.read("carbon_intensity")
    assert rows["region_id"].unique().to_list() == ["SGIP_X"]
    assert rows.filter(kind="measured")["emissions_gco2e_per_kwh"].to_list() == [200.0, 250.0]
    issued_at = datetime(2019, 5, 31, 23, 50, tzinfo=UTC)
    third = rows.filter(kind="forecast", issued_at=issued_at, start_at=issued_at + timedelta(minutes=15))
    assert third["emissions_gco2e_per_kwh"].to_list() == pytest.approx([130.0])
    assert rows.filter(issued_at=issued_at).height == 37


def test_average_emissions_last_until_the_next_value(run_import, landing: Landing) -> None:
    stamps = (
        "2020-10-30 23:00:00",
        "2020-10-30 23:30:00",
        "2020-10-31 00:00:00",
        "2020-10-31 00:15:00",
        "2020-11-02 00:00:00",
    )
    lines = ["Time,Carbon Intensity", *(f"{stamp},120.5" for stamp in stamps)]
    report = run_import("carbon", {"gb_ci.csv": "\n".join(lines)})
    assert report.rows["landed"] == 5
    rows = landing.read("carbon_intensity")
    minutes = [int(length.total_seconds() / 60) for length in rows["end_at"] - rows["start_at"]]
    assert minutes == [30, 30, 15, 15, 15]  # a gap of days is none of the last one
    assert rows.select("basis", "kind").unique().rows() == [("average", "measured")]
