"""Headless Chromium through its own DevTools protocol: open a page, look at it, ask it, listen to what it does.

No driver and no library of browsers in between; one socket, one process, ended by its id.
"""

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


class BrowserError(RuntimeError):
    """The browser did not do what it was asked."""


def find_chromium() -> str | None:
    """Return the path of an installed Chromium, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab: what it shows, what it logged, what it asked the network for."""

    def __init__(self, connection: ClientConnection, session_id: str) -> None:
        self._connection = connection
        self._session_id = session_id
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    @property
    def errors(self) -> list[str]:
        """What the console showed as a warning or an error, uncaught exceptions and refused loads included."""
        logged = [event["params"]["entry"] for event in self._of("Log.entryAdded")]
        called = [event["params"] for event in self._of("Runtime.consoleAPICalled")]
        thrown = [event["params"]["exceptionDetails"]["text"] for event in self._of("Runtime.exceptionThrown")]
        return [
            *thrown,
            *(entry["text"] for entry in logged if entry["level"] in {"warning", "error"}),
            *(str(call["args"]) for call in called if call["type"] in {"warning", "error", "assert"}),
        ]

    @property
    def requests(self) -> list[str]:
        """The addresses that the page asked for, itself included, in order."""
        return [event["params"]["request"]["url"] for event in self._of("Network.requestWillBeSent")]

    def open(self, url: str, *, timeout_s: float = 30.0) -> None:
        """Go to an address and wait until it has loaded."""
        loaded_before = len(self._of("Page.loadEventFired"))
        answer = self.command("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        self._listen(lambda: len(self._of("Page.loadEventFired")) > loaded_before, timeout_s=timeout_s)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window in CSS pixels."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def prefer(self, scheme: str, *, media: str = "") -> None:
        """Prefer a colour scheme (``light`` or ``dark``), and pretend to be a medium such as ``print``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", features=features, media=media)

    def evaluate(self, expression: str) -> Any:
        """Return what a JavaScript expression, or the promise that it makes, comes to."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, *, timeout_s: float = 30.0) -> Any:
        """Wait until an expression is truthy, and return it."""
        deadline = time.monotonic() + timeout_s
        while not (value := self.evaluate(expression)):
            if time.monotonic() > deadline:
                raise BrowserError(f"{expression} did not come true within {timeout_s:.0f} s")
            time.sleep(0.1)
        return value

    def screenshot(self, path: Path | None = None, *, whole_page: bool = False) -> bytes:
        """Return what is to be seen as PNG, and keep it where a path is given."""
        answer = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole_page)
        data = base64.b64decode(answer["data"])
        if path is not None:
            path.write_bytes(data)
        return data

    def command(self, method: str, *, timeout_s: float = 60.0, **params: Any) -> dict[str, Any]:
        """Send one DevTools command and return its result."""
        number = next(self._numbers)
        message = {"id": number, "sessionId": self._session_id, "method": method, "params": params}
        self._connection.send(json.dumps(message))
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self._receive(deadline - time.monotonic())
            if answer.get("id") == number and answer.get("sessionId") == self._session_id:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    def _listen(self, is_done: Any, *, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_done():
            self._receive(deadline - time.monotonic())

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(timeout=max(0.0, timeout_s)))
        if "method" in message:
            self.events.append(message)
        return message

    def _of(self, method: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["method"] == method]


@contextmanager
def chromium(executable: str) -> Iterator[str]:
    """Run a browser with an empty profile; yield the address of its DevTools socket."""
    with tempfile.TemporaryDirectory(prefix="depotwise-chromium-", ignore_cleanup_errors=True) as profile:
        command = [executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"TMPDIR": profile},  # what it leaves behind goes with the profile
            start_new_session=True,  # its own process group, so that its children end with it
        )
        try:
            yield _devtools_address(process, Path(profile) / "DevToolsActivePort")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)


@contextmanager
def open_page(address: str, *, width: int = 1280, height: int = 900) -> Iterator[Page]:
    """Open a tab in a running browser, and close it afterwards."""
    with connect(address, max_size=None, compression=None) as connection:
        target_id = _browser_command(connection, "Target.createTarget", url="about:blank")["targetId"]
        session = _browser_command(connection, "Target.attachToTarget", targetId=target_id, flatten=True)
        page = Page(connection, session["sessionId"])
        page.resize(width, height)
        yield page
        _browser_command(connection, "Target.closeTarget", targetId=target_id)


def _browser_command(connection: ClientConnection, method: str, **params: Any) -> dict[str, Any]:
    connection.send(json.dumps({"id": 0, "method": method, "params": params}))
    while True:
        answer: dict[str, Any] = json.loads(connection.recv(timeout=30))
        if answer.get("id") == 0 and "sessionId" not in answer:
            return dict(answer["result"])


def _devtools_address(process: subprocess.Popen[bytes], file: Path, *, timeout_s: float = 60.0) -> str:
    """Wait for the file in which the browser says where it listens."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        lines = file.read_text().split() if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise BrowserError(f"the browser did not start within {timeout_s:.0f} s (exit code {process.poll()})")
