"""A browser for the tests that need one."""

from collections.abc import Iterator

import pytest

from tests.browser.chromium import chromium, find_chromium
from tests.conftest import required


@pytest.fixture(scope="session")
def browser() -> Iterator[str]:
    """The DevTools address of a headless Chromium."""
    executable = find_chromium()
    if executable is None:
        reason = "no Chromium is installed (Debian, Ubuntu: apt install chromium)"
        if required("browser"):
            pytest.fail(reason)
        pytest.skip(reason)
    with chromium(executable) as address:
        yield address
