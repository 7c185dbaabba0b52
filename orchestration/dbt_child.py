"""The process that dbt runs in: ``python -m orchestration.dbt_child PARENT_PID ARGUMENTS…``.

It dies with the process that started it (on Linux, by the kernel's word), so that a killed run leaves no writer behind.
Elsewhere the inherited lock still keeps the next run waiting until this one is over. Nothing but that belongs here.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int, *, by: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to signal this process when its parent dies; leave at once if that has happened already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, by)
    if os.getppid() != parent_pid:
        sys.exit(1)


def main() -> None:
    """Run dbt's command line."""
    die_with_parent(int(sys.argv[1]))
    from dbt.cli.main import cli  # noqa: PLC0415 (seconds to import; a parent that died meanwhile is noticed first)

    sys.argv = ["dbt", *sys.argv[2:]]
    cli()


if __name__ == "__main__":
    main()
