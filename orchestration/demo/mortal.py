"""The process that the demo's programs run in: ``python -m orchestration.demo.mortal PARENT_PID MODULE ARGUMENTS…``.

It is told to stop when the demo dies, however that happens, so that no bridge and no simulator outlives it.
"""

import runpy
import signal
import sys

from orchestration.dbt_child import die_with_parent


def main() -> None:
    """Run a module as a program."""
    die_with_parent(int(sys.argv[1]), by=signal.SIGTERM)
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
