"""A bridge as a process of its own, which can be killed, and what it costs. Ends with its run, however that ends."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.bridge.documents import TOKEN

Json = dict[str, Any]
REPOSITORY = Path(__file__).resolve().parents[2]
READY_S = 90.0
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end_with_parent() -> None:
    """Have Linux kill this process when the one that started it ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)


class BridgeProcess:
    """``python -m ocpp_bridge`` on fixed ports and one state folder; it can be started again after a kill."""

    def __init__(self, config: Json, folder: Path) -> None:
        self.station_port, self.http_port = free_port(), free_port()
        config["listeners"][0]["port"], config["http"]["port"] = self.station_port, self.http_port
        folder.mkdir(parents=True, exist_ok=True)
        self._file, self._errors = folder / "bridge.yaml", folder / "bridge.log"
        self._file.write_text(yaml.safe_dump(config), encoding="utf-8")
        self._process: asyncio.subprocess.Process | None = None
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.http_port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=60,
            trust_env=False,
        )

    @property
    def url(self) -> str:
        """Where stations connect."""
        return f"ws://127.0.0.1:{self.station_port}"

    @property
    def is_running(self) -> bool:
        """Say whether it lives."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        with self._errors.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ocpp_bridge", "--config", str(self._file), "--log-level", "WARNING"),
                cwd=REPOSITORY,
                env={**os.environ, "DEPOTWISE_BRIDGE_TOKEN": TOKEN, "DEPOTWISE_HASH_KEY": "a key for runs only"},
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                preexec_fn=end_with_parent,
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), READY_S)
        assert line == b"bridge ready\n", self.errors()

    async def kill(self) -> None:
        """End it as a power cut would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Ask it to end; return its exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        return await asyncio.wait_for(self._process.wait(), 30)

    def errors(self) -> str:
        """Return what it wrote to stderr, in all its lives."""
        return self._errors.read_text(encoding="utf-8") if self._errors.exists() else ""

    def cpu_s(self) -> float:
        """Return the processor time that it has used, in seconds."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def memory_mb(self) -> float:
        """Return its resident memory."""
        return int(self._proc("statm").split()[1]) * PAGE_BYTES / 1e6

    def _proc(self, name: str) -> str:
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/{name}").read_text(encoding="utf-8")


@asynccontextmanager
async def bridge_process(config: Json, folder: Path) -> AsyncIterator[BridgeProcess]:
    """Start a bridge; whatever happens, it is gone afterwards.

    Raises:
        AssertionError: it ended badly when it was asked to, or something went wrong in one of its lives.
    """
    bridge = BridgeProcess(config, folder)
    try:
        await bridge.start()
        yield bridge
        assert await bridge.stop() == 0
        assert "Traceback" not in bridge.errors(), bridge.errors()[-3000:]
    finally:
        await bridge.client.aclose()
        if bridge.is_running:
            await bridge.kill()


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Stopwatch:
    """Wall time and the bridge's processor time of a phase."""

    def __init__(self, bridge: BridgeProcess) -> None:
        self._bridge = bridge
        self._wall_s, self._cpu_s = time.monotonic(), bridge.cpu_s()

    def read(self) -> tuple[float, float]:
        """Return wall and processor seconds since the beginning."""
        return time.monotonic() - self._wall_s, self._bridge.cpu_s() - self._cpu_s
