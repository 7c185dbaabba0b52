"""The operations page in a real browser: it draws itself, asks for nothing, can be read on a wall and on a phone."""

import struct
import zlib
from collections.abc import Iterator

import pytest

from reporting.loading import load_view, write_page
from reporting.operations import build_page
from tests.browser.chromium import Page, open_page
from tests.reporting.depot import BEFORE_DAWN, busy_night

pytestmark = pytest.mark.browser
SIZES = [pytest.param((1280, 900), id="wall"), pytest.param((390, 844), id="phone")]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the page of a night with every kind of trouble lies."""
    folder = tmp_path_factory.mktemp("night")
    view = load_view(busy_night(folder / "landing").landing, site_id="north", as_of=BEFORE_DAWN)
    write_page(folder / "operations.html", build_page(view))
    return (folder / "operations.html").as_uri()


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest, browser: str, address: str) -> Iterator[Page]:
    width, height = request.param
    with open_page(browser, width=width, height=height) as page:
        page.open(address)
        yield page


def scan_lines(png: bytes) -> bytes:
    """Return the unpacked scan lines of a PNG, which are differences between neighbours: all alike on a blank page."""
    data, position = b"", 8
    while position < len(png):
        length, kind = struct.unpack(">I4s", png[position : position + 8])
        data += png[position + 8 : position + 8 + length] if kind == b"IDAT" else b""
        position += 12 + length
    return zlib.decompress(data)


def test_it_asks_for_nothing_and_complains_of_nothing(page: Page, address: str) -> None:
    assert page.requests == [address]
    assert page.errors == []


def test_its_policy_refuses_scripts_and_requests(page: Page) -> None:
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=http://127.0.0.1:9/x onerror=window.bad=1>')"
    )
    page.wait_for("new Promise(done => setTimeout(() => done(true), 300))")
    assert page.evaluate("window.bad === undefined && document.scripts.length === 0")
    assert any("Content Security Policy" in error for error in page.errors)


def test_the_headline_is_seen_without_scrolling_and_what_is_not_ready_comes_first(page: Page) -> None:
    box = page.evaluate("JSON.parse(JSON.stringify(document.querySelector('.headline .sum').getBoundingClientRect()))")
    inner = page.evaluate("[innerWidth, innerHeight]")
    assert box["top"] >= 0
    assert box["bottom"] <= inner[1]
    assert page.evaluate("document.querySelector('.headline .sum').innerText").endswith("3 of 6 ready or on course")
    rows = page.evaluate("[...document.querySelectorAll('.board tbody tr')].map(row => row.innerText.trim())")
    assert [row.split()[1] for row in rows[:3]] == ["bus-03", "bus-04", "bus-05"]
    assert page.evaluate("document.querySelectorAll('.board tr.attention').length") == 3


def test_it_fits_the_width_and_can_be_read_from_afar(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sizes = page.evaluate(
        "['.headline .sum', '.board tr.attention th b'].map(s => "
        "parseFloat(getComputedStyle(document.querySelector(s)).fontSize))"
    )
    is_wall = page.evaluate("innerWidth >= 1000")
    assert sizes[0] >= (44 if is_wall else 26)
    assert sizes[1] >= (30 if is_wall else 20)


def test_charts_are_drawn(page: Page) -> None:
    def boxes(selector: str) -> list[tuple[float, float]]:
        found = f"[...document.querySelectorAll('{selector}')].map(shape => shape.getBoundingClientRect())"
        return [(width, height) for width, height in page.evaluate(f"{found}.map(box => [box.width, box.height])")]

    ((planned_width, planned_height),) = boxes("svg.power path.planned")
    assert planned_width > 200
    assert planned_height > 40
    bars = boxes("svg.bar path.p4")
    assert len(bars) == 6
    assert all(width > 10 and height > 5 for width, height in bars)


def test_something_is_to_be_seen_by_day_and_by_night(page: Page) -> None:
    paper = []
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        assert len(set(scan_lines(page.screenshot()))) > 100
        paper.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert paper == ["rgb(244, 245, 247)", "rgb(16, 19, 23)"]


def test_a_blank_page_would_be_noticed(browser: str) -> None:
    with open_page(browser) as page:
        page.open("data:text/html,<title>blank</title>")
        assert len(set(scan_lines(page.screenshot()))) < 10


def test_on_paper_nothing_stays_folded(page: Page) -> None:
    height = "document.querySelector('details table').getBoundingClientRect().height"
    assert page.evaluate("document.querySelector('details').open") is False
    page.prefer("light", media="print")
    assert page.evaluate(height) > 100
