"""The sizing page: it needs nothing else, and shows what the document says."""

import re

import pytest

from reporting.sizing_page import build_sizing_page, curve

DEPOT = {"ac_chargers": 5, "dc_chargers": 1, "grid_kw": 85.0, "battery_kwh": 0.0, "pv_kwp": 0.0}


def point(cost: float, ready: float) -> dict:
    return {"depot": DEPOT, "cost": cost, "ready_pct": ready, "ready_low_pct": ready - 2, "confidence_pct": 50.0}


CASE = {"vehicles_per_night": 4.8, **point(68750.0, 99.2), "curve": [point(40000.0, 60.0), point(68750.0, 99.2)]}
DOCUMENT = {
    "site_id": "north <b>",
    "currency": "EUR",
    "target_pct": 99.0,
    "nights": 58,
    "weeks": 9,
    "prices": {"ac_charger": 2500.0},
    "installed": DEPOT,
    "now": CASE,
    "years": {"2028": CASE},
    "steps": [{"year": "now", "depot": DEPOT, "cost": 12500.0}],
}


def test_the_page_is_one_file_and_escapes_what_others_wrote() -> None:
    page = build_sizing_page(DOCUMENT)
    assert "<b>" not in page
    assert not re.search(r"<script|https?://|url\(", page)
    assert page.count("<svg") == 2
    assert "12,500" in page
    assert "58 recorded nights in 9 weeks" in page


def test_the_curve_starts_at_nothing_and_says_where_the_target_is_met() -> None:
    picture = curve(CASE["curve"], target_pct=99.0)
    assert "Readiness rises to 99.2 % at an investment of 68,750." in picture
    line = re.search(r'd="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)" class="line"', picture)
    assert line is not None
    x0, y0, x1, y1 = map(float, line.groups())
    assert (x0 / x1, y0) == (pytest.approx(40000 / 68750, abs=1e-3), pytest.approx(24.0))
    assert y1 == pytest.approx(60 * 0.008, abs=1e-3)
