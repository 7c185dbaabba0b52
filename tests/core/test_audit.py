"""The audit log: any change of what was written shows."""

import json
import multiprocessing
from datetime import UTC, datetime

import pytest

from core.audit import FIRST, AuditLog, verify

NOW = datetime(2026, 2, 10, 18, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


def fill(path, count=5):
    log = AuditLog(path)
    return [log.append("limit", at=NOW, by="http", detail={"ev_limit_kw": float(k), "why": "Ä"}) for k in range(count)]


def test_a_log_is_whole_and_says_its_last_hash(path):
    hashes = fill(path)
    found = verify(path)
    assert (found.lines, found.last_hash, found.problem) == (5, hashes[-1], None)
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert (first["previous"], first["by"], first["at"]) == (FIRST, "http", "2026-02-10T18:00:00Z")


@pytest.mark.parametrize("victim", range(5))
def test_any_changed_removed_swapped_or_repeated_line_shows(path, victim):
    fill(path)
    lines = path.read_bytes().splitlines(keepends=True)
    changed = lines.copy()
    changed[victim] = changed[victim].replace(b'"ev_limit_kw":', b'"ev_limit_kw":1')
    repeated = [*lines[: victim + 1], lines[victim], *lines[victim + 1 :]]
    variants = [changed, repeated]
    if victim < 4:
        variants += [[*lines[:victim], *lines[victim + 1 :]]]
        swapped = lines.copy()
        swapped[victim], swapped[victim + 1] = swapped[victim + 1], swapped[victim]
        variants += [swapped]
    for variant in variants:
        path.write_bytes(b"".join(variant))
        found = verify(path)
        assert found.problem is not None
        assert found.lines <= victim + 1


def test_a_cut_end_shows_against_a_hash_that_was_noted(path):
    hashes = fill(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    assert verify(path).problem is None
    assert "ends before" in verify(path, must_hold=hashes[-1]).problem
    assert verify(path, must_hold=hashes[1]).problem is None


def test_a_forged_line_with_a_right_hash_of_its_own_breaks_the_chain(path):
    fill(path)
    other = path.with_name("other.jsonl")
    fill(other, 1)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], other.read_bytes(), *lines[2:]]))
    assert verify(path).problem.startswith("line 3 does not follow")


def test_half_a_line_of_a_power_cut_is_cut_off(path):
    fill(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"at":"2026')
    assert verify(path).problem == "line 3 is no entry"
    fill(path, 1)
    assert verify(path).problem is None
    assert path.read_bytes().startswith(whole)
    assert verify(path).lines == 3


def test_appending_after_a_tampered_end_does_not_mend_it(path):
    fill(path, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"nonsense\n")
    fill(path, 1)
    assert verify(path).problem == "line 2 is no entry"


def test_several_processes_write_one_chain(path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=fill, args=(path, 20)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert verify(path).problem is None
    assert verify(path).lines == 60


def test_a_log_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(OSError, match="file"):
        fill(tmp_path / "file" / "audit.jsonl", 1)
