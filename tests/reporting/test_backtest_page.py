"""The backtest page: it needs nothing else, and draws what the document says."""

import re
from typing import Any

import pytest

from reporting.backtest_page import build_backtest_page

LEVELS = (2.5, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 97.5)
HOURS = {
    "12": {"mae": 4.0, "width_90": 9.0, "coverage_90": 90.0, "rows": 40},
    "4": {"mae": 1.0, "width_90": 3.0, "coverage_90": 91.0, "rows": 1200},
    "1": {"mae": None, "width_90": None, "coverage_90": None, "rows": 0},
}

WORST = [{"name": "bus <i>", "mae": 4.0, "rows": 9}, {"name": "bus 2", "mae": 1.0, "rows": 5}]


def figures(mae: float, **more: Any) -> dict[str, Any]:
    return {
        "mae": mae, "median_ae": 0.5, "p90_ae": 3.0, "pinball": 0.4, "width_90": 6.0,
        "coverage": {"50": 50.0, "80": 79.5, "90": 90.4, "95": 95.0},
        "readiness": {"careful_pct": 7.25, "median_pct": 40.0}, **more,
    }  # fmt: skip


DOCUMENT: dict[str, Any] = {
    "set": "fleet <b>", "target": "return_at", "unit": "hours", "test_from": "2026-01-01", "test_to": "2026-02-01",
    "rows": 1240, "promoted": "trees", "decision": {"reason": "trees beat the median"},
    "forecasts": {"median": figures(2.0), "trees": figures(1.25), "told": figures(0.9, conditional_on=["distance_km"])},
    "pictures": {
        "reliability": [{"claimed_pct": level, "seen_pct": min(100.0, level + 2)} for level in LEVELS],
        "by_hours_left": HOURS,
        "worst": {"subjects": 12, "worst": WORST},
    },
}  # fmt: skip


def test_the_page_is_one_file_and_escapes_what_others_wrote() -> None:
    page = build_backtest_page(DOCUMENT)
    assert "<b>" not in page
    assert "<i>" not in page
    assert not re.search(r"<script|https?://|url\(", page)
    assert page.count("<svg") == 2


def test_forecasters_stand_best_first_and_the_one_in_use_is_marked() -> None:
    page = build_backtest_page(DOCUMENT)
    names = re.findall(r'<th scope="row">([^<]+)</th>', page)
    assert names[:3] == ["told (told distance_km)", "trees", "median"]
    assert re.findall(r'<tr class="promoted"><th scope="row">([^<]+)', page) == ["trees"]
    assert "7.2 %" in page


def test_the_pictures_follow_the_numbers() -> None:
    page = build_backtest_page(DOCUMENT)
    line = re.search(r'd="M([^"]+)" class="seen"', page)
    assert line is not None
    drawn = [tuple(map(float, point.split())) for point in line.group(1).split("L")]
    assert drawn == [pytest.approx((level, 100 - min(100.0, level + 2)), abs=0.01) for level in LEVELS]
    heights = [float(height) for height in re.findall(r'height="([\d.]+)" class="bar"', page)]
    assert heights == pytest.approx([100.0, 25.0]), "nothing was asked an hour ahead: there is no bar"
    assert re.findall(r"width:([\d.]+)%", page) == ["100", "25"]


def test_what_was_never_asked_is_said() -> None:
    empty = {
        "reliability": DOCUMENT["pictures"]["reliability"],
        "by_hours_left": None,
        "worst": {"subjects": 0, "worst": []},
    }
    page = build_backtest_page({**DOCUMENT, "pictures": empty})
    assert "Nothing was asked" in page
    assert "Nobody has five rows" in page
