"""The run of all sources: a kill at any moment ends in the same rows, one failure stops nobody else."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime, timedelta
from typing import get_args

import polars as pl
import pytest

from ingestion import batch, run
from ingestion.cursors import CursorStore
from ingestion.http import Policy, open_client
from ingestion.providers.base import Parsed
from ingestion.registry.models import SourceKind
from ingestion.run import ingest_all, provider_of

T0 = datetime(2026, 2, 2, tzinfo=UTC)
END = T0 + timedelta(hours=12)
MIN = timedelta(minutes=1)
ENTITIES = ("vehicle_snapshot", "vehicle_position", "trip", "quarantined_row")


def history(status) -> list[dict]:
    """A truck's day: out and back twice, with a bad record now and then."""
    records = []
    for k in range(60):
        driving = 10 <= k % 30 < 20
        trigger = "IGNITION_ON" if k % 30 == 10 else "IGNITION_OFF" if k % 30 == 20 else "TIMER"
        km = 1000 + 5 * (min(max(k % 30 - 10, 0), 10) + 10 * (k // 30))
        snapshot = {"wheelBasedSpeed": 60 if driving else 0}
        record = status(T0 + k * 10 * MIN, soc=140 if k == 7 else 90 - k, km=km, snapshot=snapshot)
        records.append({**record, "triggerType": {"triggerType": trigger}})
    records[25]["vin"] = "WDEPX000000000009"
    return records


def landed(depot) -> dict[str, list]:
    """Every version of every row, sorted, but for when it was ingested."""
    found = {}
    for entity in ENTITIES:
        versions = depot.landing.scan(entity).drop("ingested_at").collect()
        found[entity] = versions.sort(versions.columns).rows()
    return found


def test_every_kind_of_source_has_an_adapter():
    assert set(run.PROVIDERS) == set(get_args(SourceKind))
    for kind in get_args(SourceKind):
        provider = provider_of(kind)
        assert callable(provider.fetch)
        assert callable(provider.parse)


class Killed(BaseException):
    """Stands in for a process that stops: nothing catches it, nothing is cleaned up."""


@pytest.mark.parametrize("survived", range(0, 24, 5))
def test_a_run_that_stops_anywhere_and_starts_again_ends_in_the_same_rows(
    make_depot, serve, rfms, status, monkeypatch, survived
):
    monkeypatch.setattr(run, "BATCH_RECORDS", 10)
    url = serve(rfms(statuses=history(status), page_size=7).app())
    undisturbed, killed = make_depot(rfms=url, name="undisturbed"), make_depot(rfms=url, name="killed")
    undisturbed.ingest("rfms-heavy", END)
    writes = iter(range(survived))

    def stop_after_some(append):
        def wrapped(*arguments, **options):
            if next(writes, None) is None:
                raise Killed
            return append(*arguments, **options)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(batch.Destination, "append", stop_after_some(batch.Destination.append))
        patch.setattr(CursorStore, "write", stop_after_some(CursorStore.write))
        with pytest.raises(Killed):
            killed.ingest("rfms-heavy", END)
    killed.ingest("rfms-heavy", END)
    assert landed(killed) == landed(undisturbed)
    assert len(landed(killed)["trip"]) == 4  # two trips, each with its start and its end


def test_a_process_that_is_killed_leaves_nothing_that_a_new_one_trips_over(make_depot, serve, rfms, status, tmp_path):
    url = serve(rfms(statuses=history(status), page_size=2).app())
    undisturbed, killed = make_depot(rfms=url, name="undisturbed"), make_depot(rfms=url, name="killed")
    undisturbed.ingest("rfms-heavy", END)
    program = textwrap.dedent("""
        import sys
        from datetime import datetime
        from pathlib import Path
        from core.landing import Landing
        from ingestion import run
        from ingestion.payloads import PayloadArchive
        from ingestion.registry import load_registry
        run.BATCH_RECORDS = 4
        home = Path(sys.argv[1])
        registry = load_registry(home / "config")
        run.ingest_source(
            registry.source("rfms-heavy"), registry=registry, landing=Landing(home / "landing"),
            payloads=PayloadArchive(home / "payloads"), as_of=datetime.fromisoformat(sys.argv[2]),
        )
    """)
    process = subprocess.Popen([sys.executable, "-c", program, str(killed.folder.parent), END.isoformat()])
    deadline = time.monotonic() + 60
    while not list(killed.landing.root.rglob("vehicle_snapshot/**/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    killed.ingest("rfms-heavy", END)
    assert landed(killed) == landed(undisturbed)


def test_one_failing_source_stops_nobody_else(make_depot, serve, rfms, status):
    depot = make_depot(rfms=serve(rfms(statuses=[status(T0 + MIN)]).app()))  # nothing listens for the others
    hasty = Policy(attempts=1, connect_timeout_s=1)
    reports = ingest_all(
        depot.registry,
        landing=depot.landing,
        payloads=depot.payloads,
        as_of=END,
        client_factory=lambda source: open_client(source.source_id, source.url, policy=hasty),
    )
    failures = {report.source_id: report.failure for report in reports if report.failure is not None}
    assert set(failures) == {"geotab-vans", "bridge-north"}
    assert str(failures["geotab-vans"]).endswith("(owner: Fleet data team, data@example.org)")
    assert depot.rows("vehicle_snapshot") != []


def test_what_an_adapter_does_not_foresee_fails_its_source_alone(make_depot, serve, rfms, status, monkeypatch):
    depot = make_depot(rfms=serve(rfms(statuses=[status(T0 + MIN)]).app()))
    monkeypatch.setattr(
        "ingestion.providers.rfms.parse", lambda page, **_: Parsed([1], {"trip": pl.DataFrame({"a": 1})})
    )
    assert "rfms-heavy: " in depot.ingest("rfms-heavy", END).failure.message
    monkeypatch.undo()


def test_page_bytes_are_kept_and_expire(make_depot, serve, rfms, status):
    depot = make_depot(rfms=serve(rfms(statuses=[status(T0 + MIN)]).app()))
    depot.ingest("rfms-heavy", END)
    kept = sorted(depot.payloads.root.rglob("*.gz"))
    names = {depot.payloads.read("rfms-heavy", path.stem)[0] for path in kept}
    assert names == {"vehicles", "vehiclestatuses", "vehiclepositions"}
    depot.ingest("rfms-heavy", END + timedelta(days=20))
    assert not any(path.exists() for path in kept)


def test_precise_positions_are_kept_two_weeks_and_presence_for_good(make_depot, serve, rfms, status):
    server = rfms(statuses=[status(T0 + timedelta(days=days), km=1000 + days) for days in range(20)])
    server.clock_at = END + timedelta(days=20)
    depot = make_depot(rfms=serve(server.app()))
    depot.ingest("rfms-heavy", T0 + timedelta(days=19, hours=12))
    assert min(row["observed_at"] for row in depot.rows("vehicle_position")) == T0 + timedelta(days=5)
    assert [row["at_site_id"] for row in depot.rows("vehicle_snapshot")] == ["north"] * 20
    assert depot.ingest("rfms-heavy", T0 + timedelta(days=19, hours=12)).read == 0
