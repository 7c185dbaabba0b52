"""Dagster's user interface as ``depotwise ui`` serves it: the asset graph is drawn, and nothing covers it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.registry.starter import write_starter
from tests.browser.chromium import open_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
START_S = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_served(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the user interface ended before it served anything"
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"no user interface at {url} after {START_S:.0f} s")


@pytest.fixture(scope="module")
def dagster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home: Path = tmp_path_factory.mktemp("ui-home")
    write_starter(home / "config")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli", "--home", str(home), "ui", "--port", str(port)],
        env=os.environ | {"DEPOTWISE_CONFIG": str(home / "config")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_served(url, process)
        yield url
    finally:
        # Its web server, daemon and code servers are of its own process group.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_asset_graph_is_drawn(dagster_url: str, browser: str) -> None:
    with open_page(browser, width=1600, height=1000) as page:
        page.open(f"{dagster_url}/asset-groups")
        page.wait_for("document.body.innerText.includes('telematics')", timeout_s=60)
        text = page.evaluate("document.body.innerText")
    for group in ("telematics", "charging", "forecasts", "plans"):
        assert group in text
    assert "Join the Dagster community" not in text
