"""The sizing page: readiness against investment, the steps by year and what they cost, in one HTML file.

It needs nothing else: no script, no request, no font. It shows a ``depotwise.size/1`` document and works nothing out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from reporting.charts import nice_top, svg
from reporting.markup import Html, tag

WIDTH, HEIGHT = 100.0, 60.0
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; --ink: #1b2733; --line: #0a6; --soft: #0a63; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; } }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
svg.curve { width: 100%; height: 18rem; border-left: 1px solid; border-bottom: 1px solid; overflow: visible; }
svg.curve .line { fill: none; stroke: var(--line); stroke-width: 2; vector-effect: non-scaling-stroke; }
svg.curve .band { fill: var(--soft); }
svg.curve .target { stroke: var(--ink); stroke-dasharray: 4 4; vector-effect: non-scaling-stroke; }
.axis { display: flex; justify-content: space-between; }
"""


def build_sizing_page(document: Mapping[str, Any]) -> str:
    """Return the page of a ``depotwise.size/1`` document as one HTML document."""
    title = f"{document['site_id']}: chargers, grid and battery for {document['target_pct']:g} % ready"
    cases = {"now": document["now"], **document["years"]}
    body = tag(
        "body",
        tag("h1", title),
        tag("p", _basis(document)),
        tag("h2", "Steps"),
        _steps(document),
        [_case(name, case, document) for name, case in cases.items()],
        tag("h2", "Prices"),
        _prices(document),
    )
    return f"<!doctype html>\n{tag('html', _head(title), body, lang='en')}\n"


def _head(title: str) -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Html(STYLE)),
    )


def _basis(document: Mapping[str, Any]) -> str:
    return (
        f"From {document['nights']} recorded nights in {document['weeks']} weeks. Confidence: the share of "
        "resampled weeks in which the target is met; the band reaches down to the worst twentieth of them."
    )


def _steps(document: Mapping[str, Any]) -> Html:
    there = {"year": "there already", "depot": document["installed"], "cost": 0.0}
    rows = [
        [step["year"], *_depot_cells(step["depot"]), f"{step['cost']:,.0f}"] for step in (there, *document["steps"])
    ]
    return _table(["", *_depot_heads(), f"Cost of the step {document['currency'] or ''}"], rows)


def _case(name: str, case: Mapping[str, Any], document: Mapping[str, Any]) -> Html:
    rows = [
        [
            f"{point['cost']:,.0f}",
            *_depot_cells(point["depot"]),
            f"{point['ready_pct']:.1f}",
            f"{point['ready_low_pct']:.1f}",
            f"{point['confidence_pct']:.0f}",
        ]
        for point in case["curve"]
    ]
    heads = [f"Investment {document['currency'] or ''}", *_depot_heads(), "Ready %", "Worst 5 %", "Confidence %"]
    vehicles = f"{case['vehicles_per_night']:g} vehicles a night"
    return tag(
        "section",
        tag("h2", f"Readiness against investment, {name} ({vehicles})"),
        curve(case["curve"], target_pct=document["target_pct"]),
        _axis(case["curve"]),
        _table(heads, rows),
    )


def curve(points: Sequence[Mapping[str, Any]], *, target_pct: float) -> Html:
    """Return the picture: readiness (0 to 100 %) over investment (from zero), the band below it, and the target."""
    top = nice_top(point["cost"] for point in points)
    ready = [(_x(point["cost"], top), _y(point["ready_pct"])) for point in points]
    low = [(_x(point["cost"], top), _y(point["ready_low_pct"])) for point in points]
    best = next((point for point in points if point["ready_pct"] >= target_pct - 1e-9), points[-1])
    label = f"Readiness rises to {best['ready_pct']:.1f} % at an investment of {best['cost']:,.0f}."
    return svg(
        WIDTH,
        HEIGHT,
        tag("path", d=_path([*ready, *reversed(low)]) + "Z", class_="band"),
        tag("path", d=_path(ready), class_="line"),
        tag("path", d=f"M0 {_y(target_pct):.4g}H{WIDTH:g}", class_="target"),
        label=label,
        class_="curve",
    )


def _axis(points: Sequence[Mapping[str, Any]]) -> Html:
    top = nice_top(point["cost"] for point in points)
    return tag("div", [tag("span", f"{share * top:,.0f}") for share in (0, 0.25, 0.5, 0.75, 1)], class_="axis")


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.4g} {y:.4g}" for x, y in places)


def _x(cost: float, top: float) -> float:
    return WIDTH * cost / top


def _y(percent: float) -> float:
    return HEIGHT * (1 - percent / 100)


def _depot_heads() -> list[str]:
    return ["AC chargers", "DC chargers", "Grid kW", "Battery kWh", "PV kWp"]


def _depot_cells(depot: Mapping[str, Any]) -> list[str]:
    keys = ("ac_chargers", "dc_chargers", "grid_kw", "battery_kwh", "pv_kwp")
    return [f"{depot[key]:,.0f}" for key in keys]


def _prices(document: Mapping[str, Any]) -> Html:
    rows = [[name.replace("_", " "), f"{value:,.0f}"] for name, value in document["prices"].items()]
    return _table(["Unit", document["currency"] or ""], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    return tag(
        "table",
        tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads])),
        tag("tbody", [tag("tr", [tag("td", cell) for cell in row]) for row in rows]),
    )
