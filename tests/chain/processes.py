"""Which processes a session of the operating system holds, so that tests can tell what was left running."""

import sys
from pathlib import Path

import pytest

STATE, SESSION = 0, 3  # fields of /proc/<pid>/stat after the name


def living_in_session(session_id: int) -> list[str]:
    """Return the command lines of a session's living processes (Linux alone tells)."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells which processes a session holds")
    return [line for path in Path("/proc").glob("[0-9]*") if (line := _command_line(path, session_id))]


def _command_line(path: Path, session_id: int) -> str | None:
    """Return the command line of a process if it lives in the session; None if not, or if it has just ended."""
    try:
        fields = (path / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        if int(fields[SESSION]) != session_id or fields[STATE] in "ZX":
            return None
        return (path / "cmdline").read_bytes().replace(b"\0", b" ").decode() or path.name
    except (FileNotFoundError, ProcessLookupError):
        return None
