"""Frames from the bridge over HTTP and from copied files, through the run of ingestion."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.landing import Landing
from core.pseudonyms import keyed_hash
from ingestion.http import Policy, open_client
from ingestion.payloads import PayloadArchive
from ingestion.registry.models import Connector, Source
from ingestion.registry.registry import Registry
from ingestion.reports import IngestReport
from ingestion.run import ingest_source
from ocpp_bridge.frame_log import FrameLog
from tests.ingestion.charging.log import MINUTE, T0, stamp

QUICK = Policy(attempts=3, wait_initial_s=0.01, wait_max_s=0.05, requests_per_min=60_000)
TOKEN = "a-secret-token"
CONNECTOR = Connector(
    station_id="CP-1", connector_id=1, site_id="north", current_type="ac", phases=3, nominal_voltage_v=230, max_kw=22,
    min_kw=4.14, fallback_kw=4.2,
)  # fmt: skip
REGISTRY = Registry(connectors=(CONNECTOR,))


def contract(kind: str, **place: Any) -> Source:
    return Source.model_validate(
        {
            "source_id": "frames",
            "kind": kind,
            "owner": "o",
            "contact": "c",
            "freshness_min": 15,
            "latency_min": 1,
            "on_failure": "later",
            **place,
        }
    )


def write(log: FrameLog, at: datetime, direction: str, frame: list[Any]) -> None:
    log.write(frame, at=at, station_id="CP-1", connection_id="c1", direction=direction)


def write_session(log: FrameLog, at: datetime, *, uid: str = "1", number: int = 7, samples: int = 3) -> None:
    payload = {"connectorId": 1, "idTag": "04ABCD", "meterStart": 0, "timestamp": stamp(at)}
    write(log, at, "in", [2, uid, "StartTransaction", payload])
    write(log, at + timedelta(seconds=1), "out", [3, uid, {"transactionId": number}])
    for k in range(1, samples + 1):
        then = at + k * MINUTE
        values = [{"timestamp": stamp(then), "sampledValue": [{"value": str(100 * k)}]}]
        write(
            log,
            then,
            "in",
            [2, f"m{k}", "MeterValues", {"connectorId": 1, "transactionId": number, "meterValue": values}],
        )
    end = at + 30 * MINUTE
    write(
        log,
        end,
        "in",
        [2, "s", "StopTransaction", {"transactionId": number, "meterStop": 5000, "timestamp": stamp(end)}],
    )


class Bridge:
    """``GET /frames`` over a real frame log, with the bridge's cursors."""

    def __init__(self, log: FrameLog) -> None:
        self.log = log
        self.largest = 10_000
        self.failures: list[int] = []
        self.asked: list[str | None] = []

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/frames", self._frames)])

    async def _frames(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Response(status_code=401)
        if self.failures:
            return Response(status_code=self.failures.pop(0))
        after = request.query_params.get("after")
        self.asked.append(after)
        lines, cursor = self.log.read(after, min(int(request.query_params["limit"]), self.largest))
        return Response(b"".join(lines), headers={"X-Next-Cursor": cursor}, media_type="application/x-ndjson")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FrameLog]:
    frames = FrameLog(tmp_path / "frames", keyed_hash)
    yield frames
    frames.close()


class Run:
    """Runs of ingestion of one source into one landing zone."""

    def __init__(self, source: Source, folder: Path) -> None:
        self.source = source
        self.landing = Landing(folder / "landing")
        self.payloads = PayloadArchive(folder / "payloads")

    def __call__(self, as_of: datetime) -> IngestReport:
        return ingest_source(
            self.source, registry=REGISTRY, landing=self.landing, payloads=self.payloads, as_of=as_of,
            client_factory=lambda source: open_client(source.source_id, source.url, policy=QUICK),
        )  # fmt: skip

    def sessions(self) -> list[dict[str, Any]]:
        return self.landing.read("charging_transaction").to_dicts()


@pytest.fixture
def bridge_run(log: FrameLog, serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Bridge, Run]:
    monkeypatch.setenv("DEPOTWISE_BRIDGE_TOKEN", TOKEN)
    bridge = Bridge(log)
    credentials = {"token_env": "DEPOTWISE_BRIDGE_TOKEN"}
    return bridge, Run(contract("ocpp_bridge", url=serve(bridge.app()), credentials=credentials), tmp_path)


def test_frames_of_the_bridge_land_page_by_page(log: FrameLog, bridge_run: tuple[Bridge, Run]) -> None:
    bridge, run = bridge_run
    bridge.largest = 2
    write_session(log, T0)
    report = run(T0 + timedelta(hours=2))
    assert report.failure is None
    assert (report.read, report.landed, report.quarantined) == (6, 6, 0)
    assert len(bridge.asked) >= 4
    session = run.sessions()[0]
    assert (session["transaction_id"], session["energy_kwh"], session["site_id"]) == ("7", 5.0, "north")
    assert (session["metering_point"], session["token"]) == ("evse_ac_out", keyed_hash("04ABCD"))
    assert run.landing.read("meter_value")["energy_register_kwh"].to_list() == [0.1, 0.2, 0.3]


def test_the_next_run_goes_on_where_the_last_one_ended(log: FrameLog, bridge_run: tuple[Bridge, Run]) -> None:
    bridge, run = bridge_run
    write_session(log, T0, samples=0)
    run(T0 + timedelta(hours=2))
    write_session(log, T0 + timedelta(hours=3), uid="2", number=8, samples=0)
    bridge.asked.clear()
    report = run(T0 + timedelta(hours=5))
    assert (report.read, report.landed) == (3, 3)
    assert bridge.asked[0] is not None
    assert [one["transaction_id"] for one in run.sessions()] == ["7", "8"]
    assert run(T0 + timedelta(hours=5)).read == 0


def test_what_happened_after_the_run_waits_for_a_later_one(log: FrameLog, bridge_run: tuple[Bridge, Run]) -> None:
    _, run = bridge_run
    write_session(log, T0)
    early = run(T0 + 10 * MINUTE)  # the stop came at half past
    assert early.read == 5
    assert run.sessions()[0]["ended_at"] is None
    assert run(T0 + 10 * MINUTE).landed == 0
    late = run(T0 + timedelta(hours=1))
    assert late.entities["charging_transaction"] == 1
    ended = run.sessions()
    assert [(one["ended_at"], one["energy_kwh"]) for one in ended] == [(T0 + 30 * MINUTE, 5.0)]


def test_a_busy_bridge_is_asked_again(log: FrameLog, bridge_run: tuple[Bridge, Run]) -> None:
    bridge, run = bridge_run
    bridge.failures = [500, 429]
    write_session(log, T0)
    assert run(T0 + timedelta(hours=1)).landed == 6


def test_a_bridge_that_refuses_us_is_a_clear_failure(
    bridge_run: tuple[Bridge, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = bridge_run
    monkeypatch.setenv("DEPOTWISE_BRIDGE_TOKEN", "another")
    report = run(T0)
    assert report.failure is not None
    assert "credentials were refused" in report.failure.message
    assert "another" not in report.failure.message


def test_hourly_files_give_the_same_as_the_bridge(
    log: FrameLog, bridge_run: tuple[Bridge, Run], tmp_path: Path
) -> None:
    _, run = bridge_run
    write_session(log, T0 + 50 * MINUTE)  # runs into the next hour, and so into the next file
    run(T0 + timedelta(hours=3))
    files = Run(contract("ocpp_files", path=tmp_path / "frames"), tmp_path / "files")
    report = files(T0 + timedelta(hours=3))
    assert (report.read, report.landed) == (6, 6)
    assert len(list((tmp_path / "frames").glob("*.jsonl"))) == 2
    assert files.landing.read("meter_value").equals(run.landing.read("meter_value"))
    own = ["source", "ingested_at"]
    assert (
        files.landing.read("charging_transaction").drop(own).equals(run.landing.read("charging_transaction").drop(own))
    )


def test_a_line_that_is_still_being_written_waits(log: FrameLog, tmp_path: Path) -> None:
    write_session(log, T0, samples=1)
    log.close()
    file = next((tmp_path / "frames").glob("*.jsonl"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    run = Run(contract("ocpp_files", path=tmp_path / "frames"), tmp_path / "files")
    assert run(T0 + timedelta(hours=1)).read == 3
    file.write_bytes(whole)
    report = run(T0 + timedelta(hours=1))
    assert (report.read, report.landed) == (1, 1)
    assert run.sessions()[0]["energy_kwh"] == 5.0


def test_a_folder_that_is_not_there_is_a_clear_failure(tmp_path: Path) -> None:
    report = Run(contract("ocpp_files", path=tmp_path / "nowhere"), tmp_path)(T0)
    assert report.failure is not None
    assert "is no file or folder; correct path of this source" in report.failure.message
