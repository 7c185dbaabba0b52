"""The archive of provider bytes: once by content, readable, damaged files told, retention kept."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.payloads import DamagedPayloadError, PayloadArchive, retention_of

T0 = datetime(2026, 2, 2, 23, 30, tzinfo=UTC)


@pytest.fixture
def archive(tmp_path):
    return PayloadArchive(tmp_path / "payloads")


@settings(deadline=None)
@given(body=st.binary(max_size=2000), name=st.text(max_size=30))
def test_what_is_stored_is_read(tmp_path_factory, body, name):
    archive = PayloadArchive(tmp_path_factory.mktemp("payloads"))
    payload = archive.store("rfms", name, body, as_of=T0)
    assert archive.read("rfms", payload.sha256) == (name, body)


def test_the_place_is_source_date_and_content(archive):
    payload = archive.store("rfms", "vehiclestatuses", b"{}", as_of=T0)
    assert (archive.root / "rfms" / "2026-02-02" / f"{payload.sha256}.gz").exists()
    assert archive.read("rfms", payload.sha256) == ("vehiclestatuses", b"{}")


def test_the_same_bytes_are_kept_once_even_on_another_day(archive):
    first = archive.store("rfms", "a", b"{}", as_of=T0)
    again = archive.store("rfms", "a", b"{}", as_of=T0 + timedelta(days=1))
    assert (first.is_new, again.is_new, first.sha256) == (True, False, again.sha256)
    assert len(list(archive.root.rglob("*.gz"))) == 1


def test_equal_input_gives_equal_files(archive, tmp_path):
    other = PayloadArchive(tmp_path / "other")
    for one in (archive, other):
        one.store("rfms", "a", b"text" * 100, as_of=T0)
    files = [next(one.root.rglob("*.gz")).read_bytes() for one in (archive, other)]
    assert files[0] == files[1]


@pytest.mark.parametrize("kept", [slice(-4), slice(20), slice(0), slice(5, None)])
def test_a_damaged_file_is_told(archive, kept):
    payload = archive.store("rfms", "a", b"text" * 100, as_of=T0)
    path = next(archive.root.rglob("*.gz"))
    path.write_bytes(path.read_bytes()[kept])
    with pytest.raises(DamagedPayloadError, match="delete it"):
        archive.read("rfms", payload.sha256)


def test_what_was_never_stored_is_told(archive):
    with pytest.raises(FileNotFoundError, match="never fetched, or its retention ended"):
        archive.read("rfms", "0" * 64)


def test_retention_deletes_whole_days_and_no_other_source(archive):
    for days in (0, 5, 20):
        archive.store("rfms", "a", f"{days}".encode(), as_of=T0 - timedelta(days=days))
    archive.store("frames", "a", b"old", as_of=T0 - timedelta(days=20))
    assert archive.expire("rfms", keep=timedelta(days=14), as_of=T0) == 1
    assert sorted(path.parent.name for path in (archive.root / "rfms").rglob("*.gz")) == ["2026-01-28", "2026-02-02"]
    assert len(list((archive.root / "frames").rglob("*.gz"))) == 1


def test_payloads_with_positions_are_kept_shorter():
    assert retention_of("rfms_v4") == retention_of("geotab") < retention_of("ocpp_bridge")
