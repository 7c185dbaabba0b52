"""A browser for the tests that need one."""

from collections.abc import Iterator

import pytest

from tests.browser.chromium import chromium, find_chromium
from tests.conftest import skip_for_want_of


@pytest.fixture(scope="session")
def browser() -> Iterator[str]:
    """The DevTools address of a headless Chromium."""
    executable = find_chromium()
    if executable is None:
        skip_for_want_of("browser", "no Chromium is installed (Debian, Ubuntu: apt install chromium)")
    with chromium(executable) as address:
        yield address
