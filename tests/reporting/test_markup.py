"""Markup from untrusted text: what goes in as text comes out as the same text and never as markup."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.markup import join, tag
from reporting.redaction import redact


class Reader(HTMLParser):
    """Collects the tags, their attributes and the text of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


@given(st.text(), st.text())
def test_text_and_attributes_come_back_as_they_went_in_but_redacted(text: str, value: str) -> None:
    reader = read(tag("p", text, title=value))
    assert (reader.tags, reader.text) == (["p"], redact(text))
    assert reader.attributes == [("title", redact(value))]


def test_markup_nests_and_what_is_none_or_false_is_left_out() -> None:
    html = tag("td", tag("b", "x"), None, ["&", 3], class_="due", aria_label=None, hidden=False, open=True)
    assert html == '<td class="due" open><b>x</b>&amp;3</td>'
    assert join(tag("br"), "<") == "<br>&lt;"


def test_a_string_made_from_markup_is_text_again() -> None:
    assert tag("p", str(tag("b")) + "!") == "<p>&lt;b&gt;&lt;/b&gt;!</p>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("VIN WDB9634031L123456 is unknown", "VIN [VIN …3456] is unknown"),
        ("token 0123456789abcdef0123 twice", "token [secret] twice"),
        ("idTag 0123456789abcdef0123", "idTag [token]"),
        ("Authorization: Bearer eyJhbGciOi.x-y", "Authorization: Bearer [secret]"),
        ("at 52.51234, -13.387654", "at [position], [position]"),
        ("0.1842 EUR/kWh at 230.15 V", "[position] EUR/kWh at 230.15 V"),
        ("SoC is 140 % in page-3, index 17", "SoC is 140 % in page-3, index 17"),
        ("bus-03\u202e\x00", "bus-03\ufffd\ufffd"),
    ],
)
def test_redaction(text: str, shown: str) -> None:
    assert redact(text) == shown


@given(st.from_regex(re.compile(r"[A-HJ-NPR-Z0-9]{8}[0-9][A-HJ-NPR-Z0-9]{8}", re.ASCII), fullmatch=True))
def test_no_vin_survives(vin: str) -> None:
    assert vin not in redact(f"record of {vin}, twice: {vin}")
    assert vin.lower() not in redact(vin.lower())
