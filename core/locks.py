"""Kernel file locks, which death releases: a killed process never leaves one behind."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LockTimeoutError(TimeoutError):
    """Another process held the lock for longer than we would wait."""


@contextmanager
def file_lock(path: Path, *, timeout_s: float = 600.0, inheritable: bool = False) -> Iterator[int]:
    """Hold an exclusive lock on a file; yield its descriptor.

    With ``inheritable``, child processes that inherit the descriptor keep the lock while they live.

    Raises:
        LockTimeoutError: it was not to be had in ``timeout_s`` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LockTimeoutError(
                        f"{path} has been locked by another process for {timeout_s:.0f} s; "
                        "wait for that run to end, or stop it, and start again"
                    ) from None
                time.sleep(0.05)
        os.set_inheritable(file.fileno(), inheritable)
        # Closing the file gives the lock back unless a child still holds the descriptor.
        yield file.fileno()
