"""Signals from files and addresses, through the run of ingestion: prices, weather, load of the site."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.landing import Landing
from ingestion.http import Policy, open_client
from ingestion.payloads import PayloadArchive
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry
from ingestion.reports import IngestReport
from ingestion.run import ingest_source

AS_OF = datetime(2026, 2, 10, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUICK = Policy(attempts=2, wait_initial_s=0.01, requests_per_min=60_000)


class Signal:
    """One signal's source and where it lands."""

    def __init__(self, kind: str, folder: Path, **place: Any) -> None:
        contract = {"owner": "o", "contact": "c", "freshness_min": 60, "latency_min": 15, "on_failure": "later"}
        self.source = Source.model_validate({"source_id": "signal", "kind": kind, **contract, **place})
        self.landing = Landing(folder / "landing")
        self.payloads = PayloadArchive(folder / "payloads")

    def ingest(self, as_of: datetime = AS_OF) -> IngestReport:
        return ingest_source(
            self.source,
            registry=Registry(),
            landing=self.landing,
            payloads=self.payloads,
            as_of=as_of,
            client_factory=lambda source: open_client(source.source_id, source.url, policy=QUICK),
        )

    def rows(self, entity: str, as_of: datetime | None = None) -> list[dict[str, Any]]:
        return self.landing.read(entity, as_of=as_of).to_dicts()


EMBER = (
    "Country,Datetime (UTC),Datetime (Local),Price (EUR/MWhe)\n"
    "DEMO,2026-02-10 23:00:00,2026-02-11 00:00:00,-12.5\n"
    "DEMO,2026-02-11 23:00:00,2026-02-12 00:00:00,80\n"
)


def test_tomorrows_prices_are_known_at_the_nightly_job_and_the_day_afters_are_not(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text(EMBER, encoding="utf-8")
    signal = Signal("day_ahead", tmp_path, path=tmp_path / "prices.csv")
    assert signal.ingest().landed == 2
    known = signal.rows("price", as_of=AS_OF)
    assert [(one["series_id"], one["price_per_kwh"]) for one in known] == [("DEMO", -0.0125)]
    assert known[0]["available_at"] == datetime(2026, 2, 10, 12, tzinfo=UTC)


def test_a_document_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    (folder / "a.csv").write_text(EMBER, encoding="utf-8")
    signal = Signal("day_ahead", tmp_path, path=folder)
    assert signal.ingest().read == 2
    assert signal.ingest(AS_OF + HOUR).read == 0
    (folder / "a.csv").write_text(EMBER.replace("80", "81"), encoding="utf-8")
    again = signal.ingest(AS_OF + 2 * HOUR)
    assert (again.landed, again.duplicates) == (1, 1)
    assert [one["price_per_kwh"] for one in signal.rows("price")] == [-0.0125, 0.081]


def test_our_own_price_table_may_say_when_it_was_known(tmp_path: Path) -> None:
    text = (
        "series_id,start_at,end_at,price_per_kwh,currency,available_at\n"
        "Z,2026-02-10T23:00:00Z,2026-02-10T23:15:00Z,0.2,EUR,2026-02-10T13:10:00Z\n"
        "Z,2026-02-10T23:15:00Z,2026-02-10T23:15:00Z,0.2,EUR,2026-02-10T13:10:00Z\n"
        "Z,,,0.2,EUR,\n"
    )
    (tmp_path / "own.csv").write_text(text, encoding="utf-8")
    signal = Signal("day_ahead", tmp_path, path=tmp_path / "own.csv")
    report = signal.ingest()
    assert (report.landed, report.reasons) == (1, {"ends_before_start": 1, "no_start_at": 1})
    assert signal.rows("price")[0]["available_at"] == datetime(2026, 2, 10, 13, 10, tzinfo=UTC)


def test_quarter_hours_of_energy_charts_from_an_address(tmp_path: Path, serve) -> None:
    begin = int(datetime(2026, 2, 10, 23, tzinfo=UTC).timestamp())
    answer = {
        "unix_seconds": [begin + 900 * k for k in range(4)],
        "price": [100.0, -5.0, 0.0, 40.0],
        "unit": "EUR / MWh",
    }

    async def prices(_request: Request) -> Response:
        return Response(json.dumps(answer), media_type="application/json")

    signal = Signal("day_ahead", tmp_path, url=serve(Starlette(routes=[Route("/price", prices)])) + "/price")
    assert signal.ingest().landed == 4
    rows = signal.rows("price")
    assert [one["price_per_kwh"] for one in rows] == [0.1, -0.005, 0.0, 0.04]
    assert {one["end_at"] - one["start_at"] for one in rows} == {timedelta(minutes=15)}
    assert signal.ingest(AS_OF + HOUR).read == 0


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("day_ahead", "a,b\n1,2\n", "is no day-ahead table; it has the columns"),
        ("day_ahead", '{"unix_seconds": [1', "is no answer with unix_seconds"),
        ("weather", '{"hourly": {"time": ["2026-0', "is no JSON"),
        ("weather", '{"error": true, "reason": "Latitude must be in range"}', "refused the request: Latitude must be"),
        ("weather", '{"utc_offset_seconds": 3600, "hourly": {}}', "holds local times"),
        ("weather", '{"hourly": {"time": ["2026-01-01T00:00"]}}', "is no answer with hourly time and temperature_2m"),
        ("site_load", "start_at\n2026-02-10T00:00:00Z\n", "holds neither base_load_kw nor pv_kw"),
    ],
)
def test_a_document_that_cannot_be_read_is_a_clear_failure(tmp_path: Path, kind: str, text: str, message: str) -> None:
    (tmp_path / "doc.csv").write_text(text, encoding="utf-8")
    report = Signal(kind, tmp_path, path=tmp_path / "doc.csv", site_id="north").ingest()
    assert report.failure is not None
    assert message in report.failure.message
    assert report.read == 0


def open_meteo(**more: object) -> dict[str, Any]:
    return {
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "hourly_units": {"temperature_2m": "°C"},
        "hourly": {
            "time": ["2026-02-10T12:00", "2026-02-10T13:00", "2026-02-10T15:00", "2026-02-10T16:00"],
            "temperature_2m": [1.5, 2.0, 3.5, None],
        },
        **more,
    }


def test_weather_after_the_fetch_is_a_forecast_and_before_it_an_observation(tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text(json.dumps(open_meteo()), encoding="utf-8")
    signal = Signal("weather", tmp_path, path=tmp_path / "w.json", site_id="north")
    report = signal.ingest()
    assert (report.read, report.landed, report.without_rows) == (4, 4, 1)
    known = signal.rows("weather", as_of=AS_OF)
    assert [(one["start_at"].hour, one["issued_at"].hour, one["temperature_c"]) for one in known] == [
        (12, 12, 1.5),
        (13, 13, 2.0),
        (15, 14, 3.5),
    ]
    assert {one["place_id"] for one in known} == {"north"}


def test_a_forecast_that_says_when_it_was_issued_is_known_a_latency_later(tmp_path: Path) -> None:
    text = json.dumps(open_meteo(issued_at="2026-02-10T13:00:00Z"))
    (tmp_path / "w.json").write_text(text, encoding="utf-8")
    signal = Signal("weather", tmp_path, path=tmp_path / "w.json", site_id="north")
    signal.ingest()
    issued = [(one["start_at"].hour, one["issued_at"].hour, one["available_at"]) for one in signal.rows("weather")]
    at_quarter_past = datetime(2026, 2, 10, 13, 15, tzinfo=UTC)
    assert issued[1:] == [(13, 13, at_quarter_past), (15, 13, at_quarter_past)]


def test_fahrenheit_and_several_places_and_csv(tmp_path: Path) -> None:
    folder = tmp_path / "weather"
    folder.mkdir()
    places = [open_meteo(hourly_units={"temperature_2m": "°F"}), open_meteo()]
    (folder / "w.json").write_text(json.dumps(places), encoding="utf-8")
    (folder / "own.csv").write_text(
        "place_id,start_at,temperature_c\nx,2026-02-10T12:00:00Z,7\nx,,8\n", encoding="utf-8"
    )
    signal = Signal("weather", tmp_path, path=folder, site_id="north")
    assert signal.ingest().reasons == {"no_start_at": 1}
    noon = {one["place_id"]: one["temperature_c"] for one in signal.rows("weather") if one["start_at"].hour == 12}
    assert noon == {"north:0": pytest.approx((1.5 - 32) / 1.8), "north:1": 1.5, "x": 7.0}


LOAD = (
    "site_id,start_at,end_at,base_load_kw,pv_kw\n"
    "north,2026-02-10T13:30:00Z,2026-02-10T13:45:00Z,18.5,0.00\n"
    "north,2026-02-10T14:30:00Z,2026-02-10T14:45:00Z,19.5,x\n"
)


def test_load_that_lies_ahead_of_the_run_waits_for_a_later_one(tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text(LOAD, encoding="utf-8")
    signal = Signal("site_load", tmp_path, path=tmp_path / "load.csv")
    first = signal.ingest()
    assert (first.read, first.landed, first.quarantined) == (1, 1, 0)
    assert signal.ingest().read == 0
    later = signal.ingest(AS_OF + HOUR)
    assert (later.read, later.landed, later.duplicates, later.reasons) == (1, 1, 0, {"solar_kw_unreadable": 1})
    rows = signal.rows("site_load")
    assert [(one["base_load_kw"], one["pv_kw"]) for one in rows] == [(18.5, 0.0), (19.5, None)]
    assert rows[0]["available_at"] == datetime(2026, 2, 10, 14, tzinfo=UTC)
    assert signal.ingest(AS_OF + 2 * HOUR).read == 0


def test_load_that_changes_before_its_time_has_come_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    path.write_text(LOAD, encoding="utf-8")
    signal = Signal("site_load", tmp_path, path=path)
    signal.ingest()
    path.write_text(LOAD.replace("18.5", "18.6"), encoding="utf-8")
    again = signal.ingest(AS_OF + timedelta(minutes=10))
    assert (again.read, again.landed) == (1, 1)
    assert [one["base_load_kw"] for one in signal.rows("site_load")] == [18.6]
