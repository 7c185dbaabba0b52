"""The plan as a picture that stands alone."""

import base64
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from reporting.plan_plot import plan_markdown, plan_svg
from reporting.site_power import plan_signals

PROBLEM: dict[str, Any] = {
    "start_at": "2026-02-09T17:00:00Z", "slot_minutes": 15, "slots": 4, "grid_limit_kw": [100.0, 100.0, 80.0, 80.0],
    "base_load_kw": [20.0] * 4, "pv_kw": [0.0, 30.0, 0.0, 0.0], "price_per_kwh": [0.1] * 4,
}  # fmt: skip
PLAN: dict[str, Any] = {
    "vehicles": [{"power_kw": [0.0, 50.0, 0.0, 0.0]}, {"power_kw": [0.0, 10.0, 30.0, 0.0]}],
    "battery_kw": [5.0, 0.0, 0.0, -5.0],
}


def test_signals_add_up_what_the_site_draws() -> None:
    signals = plan_signals(PROBLEM, PLAN)
    assert signals["other_kw"].to_list() == [25.0, -10.0, 20.0, 15.0]
    assert signals["planned_kw"].to_list() == [0.0, 60.0, 30.0, 0.0]
    assert plan_signals(PROBLEM, {"vehicles": [], "battery_kw": None})["planned_kw"].to_list() == [0.0] * 4


def test_a_plan_of_another_length_than_its_problem_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        plan_signals(PROBLEM, PLAN | {"battery_kw": [0.0]})


def test_the_picture_is_an_svg_document_of_its_own() -> None:
    root = ET.fromstring(plan_svg(PROBLEM, PLAN))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert [path.get("class") for path in root.iter("{http://www.w3.org/2000/svg}path")] == [
        "other",
        "planned",
        "limit",
    ]
    assert root.get("aria-label") == "Planned peak 60 kW, import limit 80 to 100 kW"


def test_markdown_holds_the_picture_and_its_words() -> None:
    markdown = plan_markdown(PROBLEM, PLAN)
    picture, words = markdown.split("\n\n")
    data = picture.removeprefix("![Planned peak 60 kW, import limit 80 to 100 kW](data:image/svg+xml;base64,")
    assert base64.b64decode(data.rstrip(")")).decode() == plan_svg(PROBLEM, PLAN)
    assert words == "Planned peak 60 kW, import limit 80 to 100 kW."
    assert len(markdown) < 20_000
