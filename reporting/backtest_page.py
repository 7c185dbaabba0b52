"""The backtest page: every forecaster's figures, whether intervals hold, and who is forecast worst, in one HTML file.

It needs nothing else: no script, no request, no font. It shows ``depotwise.backtest/1`` and works nothing out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from reporting.charts import nice_top, svg
from reporting.markup import Html, tag

SIDE = 100.0
HORIZONS = ("12", "4", "1")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; --ink: #1b2733; --line: #0a6; --soft: #8884; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; } }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--soft); }
th:first-child, td:first-child { text-align: left; }
tr.promoted { font-weight: 700; }
figure { margin: 1rem 0 2rem; max-width: 34rem; }
svg { display: block; width: 100%; height: 18rem; border-left: 1px solid; border-bottom: 1px solid; overflow: visible; }
svg.reliability { height: auto; aspect-ratio: 1; }
svg .seen { fill: none; stroke: var(--line); stroke-width: 2; vector-effect: non-scaling-stroke; }
svg .claimed { fill: none; stroke: var(--ink); stroke-dasharray: 4 4; vector-effect: non-scaling-stroke; }
svg .bar { fill: var(--line); }
.axis { display: flex; justify-content: space-between; }
.axis.bars > span { flex: 1; text-align: center; }
span.bar { display: block; height: .8rem; background: var(--line); min-width: 1px; }
td.drawn { width: 50%; }
.scroll { overflow-x: auto; }
"""


def build_backtest_page(document: Mapping[str, Any]) -> str:
    """Return the page of a ``depotwise.backtest/1`` document as one HTML document."""
    title = f"{document['target']} of {document['set']}, {document['test_from']} to {document['test_to']}"
    pictures, unit = document["pictures"], str(document["unit"])
    body = tag(
        "body",
        tag("h1", title),
        tag("p", f"{document['rows']:,} rows. Used: {document['promoted']}, for {document['decision']['reason']}."),
        tag("h2", "Forecasters"),
        tag("div", _figures(document), class_="scroll"),
        tag("h2", "Reliability"),
        _reliability(pictures["reliability"]),
        tag("h2", "Error by hours ahead"),
        _by_hours(pictures["by_hours_left"], unit),
        tag("h2", "Worst forecast"),
        _worst(pictures["worst"], unit),
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


def _table(heads: Sequence[str], rows: Sequence[Html]) -> Html:
    return tag("table", tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads])), tag("tbody", rows))


def _figures(document: Mapping[str, Any]) -> Html:
    unit = document["unit"]
    heads = [
        "forecaster", f"MAE {unit}", "median", "P90", "pinball", "50 %", "80 %", "90 %", "95 %", "width 90 %",
        "nights changed",
    ]  # fmt: skip
    ordered = sorted(document["forecasts"].items(), key=lambda item: (item[1]["mae"], item[0]))
    return _table(heads, [_row(name, figures, is_promoted=name == document["promoted"]) for name, figures in ordered])


def _row(name: str, figures: Mapping[str, Any], *, is_promoted: bool) -> Html:
    errors = (figures["mae"], figures["median_ae"], figures["p90_ae"], figures["pinball"])
    covered = (figures["coverage"][claim] for claim in ("50", "80", "90", "95"))
    readiness = figures["readiness"]
    told = f" (told {', '.join(figures['conditional_on'])})" if "conditional_on" in figures else ""
    cells = [
        *(f"{value:.2f}" for value in errors),
        *(f"{share:.1f}" for share in covered),
        f"{figures['width_90']:.2f}",
        "-" if readiness is None else f"{readiness['careful_pct']:.1f} %",
    ]
    shown = [tag("th", name + told, scope="row"), [tag("td", cell) for cell in cells]]
    return tag("tr", shown, class_="promoted" if is_promoted else None)


def _reliability(points: Sequence[Mapping[str, float]]) -> Html:
    """Draw how often the truth lay at or below each quantile against what the quantile claims."""
    line = "M" + "L".join(f"{point['claimed_pct']:.4g} {SIDE - point['seen_pct']:.4g}" for point in points)
    said = ", ".join(f"{point['claimed_pct']:g} % saw {point['seen_pct']:.1f} %" for point in points)
    return tag(
        "figure",
        svg(
            SIDE,
            SIDE,
            tag("path", d=f"M0 {SIDE:g}L{SIDE:g} 0", class_="claimed"),
            tag("path", d=line, class_="seen"),
            label=f"Reliability: {said}",
            class_="reliability",
        ),
        tag("div", tag("span", "claims 0 %"), tag("span", "100 %"), class_="axis"),
        tag("figcaption", "Line: how often the truth lay at or below a quantile. Dashes: as often as it claims."),
    )


def _by_hours(by_hours: Mapping[str, Mapping[str, Any]] | None, unit: str) -> Html:
    known = [] if by_hours is None else [(hours, by_hours[hours]) for hours in HORIZONS if by_hours[hours]["rows"]]
    if not known:
        return tag("p", "Nothing was asked between half an hour and sixteen hours ahead.")
    top = nice_top(figures["mae"] for _, figures in known)
    wide = SIDE / len(known)
    bars = [
        tag(
            "rect",
            x=f"{place * wide + wide * 0.2:.4g}",
            y=f"{SIDE - SIDE * figures['mae'] / top:.4g}",
            width=f"{wide * 0.6:.4g}",
            height=f"{SIDE * figures['mae'] / top:.4g}",
            class_="bar",
        )
        for place, (_, figures) in enumerate(known)
    ]
    said = [f"about {hours} h: {figures['mae']:.2f} {unit}, {figures['rows']:,} rows" for hours, figures in known]
    return tag(
        "figure",
        svg(SIDE, SIDE, *bars, label=f"Mean absolute error by hours ahead: {'; '.join(said)}", class_="hours"),
        tag("div", [tag("span", text) for text in said], class_="axis bars"),
        tag("figcaption", f"Mean absolute error; the picture is {top:g} {unit} high."),
    )


def _worst(worst: Mapping[str, Any], unit: str) -> Html:
    """List whose forecasts erred most, each with a bar."""
    if not worst["worst"]:
        return tag("p", "Nobody has five rows or more.")
    most = max(one["mae"] for one in worst["worst"]) or 1.0
    rows = [
        tag(
            "tr",
            tag("th", one["name"], scope="row"),
            tag("td", f"{one['mae']:.2f}"),
            tag("td", f"{one['rows']:,}"),
            tag("td", tag("span", class_="bar", style=f"width:{100 * one['mae'] / most:.4g}%"), class_="drawn"),
        )
        for one in worst["worst"]
    ]
    return tag(
        "div",
        tag("p", f"Of {worst['subjects']:,} with five rows or more."),
        _table(["vehicle or station", f"MAE {unit}", "rows", ""], rows),
        class_="scroll",
    )
