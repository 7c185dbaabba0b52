"""Atomic files are whole or absent; locks end with the process that holds them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.files import write_atomic, write_text_atomic
from core.locks import LockTimeoutError, file_lock

HOLDER = """
import sys, time
from pathlib import Path
from core.locks import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_failed_write_leaves_the_old_file_and_no_debris(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_text_atomic(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_process_gives_its_lock_back(tmp_path: Path) -> None:
    path = tmp_path / "writer.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockTimeoutError, match="locked by another process"), file_lock(path, timeout_s=0.1):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with file_lock(path, timeout_s=5):
        pass
    holder.stdout.close()
