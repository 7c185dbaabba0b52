"""Programs that the demo starts, waits for, and ends by their own process id."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

LOGGER = logging.getLogger(__name__)
STOP_PATIENCE_S = 5.0


class ServiceError(RuntimeError):
    """A program failed, or did not become ready; the message holds the end of what it said."""


class Service:
    """A module run as a child program that prints a line when it is ready; a context manager that ends it.

    Invariants: it does not outlive the block, nor the process that started it, even where that is killed (on Linux).
    """

    def __init__(self, name: str, arguments: Sequence[str], *, ready: str, log: Path, env: Mapping[str, str]) -> None:
        self.name, self.ready, self.log = name, ready, log
        child = ["-m", "orchestration.demo.mortal", str(os.getpid())]
        self._arguments, self._env = [sys.executable, "-u", *child, *arguments], {**os.environ, **env}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=self._env
            )
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            LOGGER.warning("%s did not stop in %.0f s and was killed", self.name, STOP_PATIENCE_S)
            process.kill()
            process.wait()

    def wait_ready(self, *, timeout_s: float = 60.0) -> None:
        """Wait for the ready line.

        Raises:
            ServiceError: the program ended, or did not say it in time.
        """
        deadline = time.monotonic() + timeout_s
        while self.ready not in self.log.read_text(encoding="utf-8", errors="replace"):
            if self._process is None or self._process.poll() is not None:
                raise ServiceError(f"{self.name} ended before it was ready:\n{_tail(self.log)}")
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.name} was not ready in {timeout_s:.0f} s:\n{_tail(self.log)}")
            time.sleep(0.05)


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def run_program(arguments: Sequence[str], *, env: Mapping[str, str]) -> None:
    """Run a program to its end.

    Raises:
        ServiceError: it failed; the message holds what it said.
    """
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env={**os.environ, **env}, check=False
    )
    if done.returncode:
        raise ServiceError(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
