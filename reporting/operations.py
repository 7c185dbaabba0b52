"""The operations page: which bus is not ready, and why, in one HTML file that needs nothing else.

No script, no request, no font, no picture from anywhere: it opens from a disk, from an e-mail, and in ten years. A
page holds the sites it is given, each in a section of its own: an operator gets the page of one depot, whoever answers
for several gets them on one page in the order of their need, and both are the same file format.
"""

from datetime import timedelta
from importlib.resources import files

from reporting.board import board_table, counts_block, headline_block
from reporting.details import comparison_block, connectors_block, forecast_block, quarantine_block, stale_block
from reporting.markup import Child, Html, join, tag
from reporting.night_charts import gantt_table, power_figure
from reporting.nights import clock_text, day_text, zone_text
from reporting.view import Comparison, OperationsView
from reporting.wording import age_text, closed_text, headline

# The page may draw itself, and nothing else: no script, no request, no form.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
OLD_DATA = timedelta(minutes=30)


def build_page(*views: OperationsView, comparison: Comparison | None = None) -> str:
    """Return the page of one or several sites as one HTML document.

    Args:
        views: A section is made of each.
        comparison: Other ways to charge all the sites; one of a single site stands in its view.

    Raises:
        ValueError: there is no site to show.
    """
    if not views:
        raise ValueError("give at least one site's view; load_view makes one")
    title = " | ".join(f"{view.name}: {headline(view).summary}" for view in views)
    links = tag("nav", tag("ul", [_link(k, view) for k, view in enumerate(views)]), aria_label="Sites")
    whole = comparison_block(comparison) if comparison else None
    sites = [_site(k, view) for k, view in enumerate(views)]
    main = tag("main", sites, _part("All sites against other ways to charge", whole) if whole else None)
    body = tag("body", links if len(views) > 1 else None, main)
    return f"<!doctype html>\n{tag('html', _head(title), body, lang='en')}\n"


def _head(title: str) -> Html:
    style = Html(files("reporting").joinpath("operations.css").read_text(encoding="utf-8"))
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", style),
    )


def _link(number: int, view: OperationsView) -> Html:
    told = headline(view)
    return tag(
        "li", tag("a", tag("b", view.name), f" {'✔' if told.is_good else '!'} {told.summary}", href=f"#site-{number}")
    )


def _site(number: int, view: OperationsView) -> Html:
    comparison = comparison_block(view.comparison) if view.comparison else None
    return tag(
        "section",
        _header(number, view),
        headline_block(view),
        _warnings(view),
        counts_block(view),
        _part("Readiness at pull-out", board_table(view), class_="wide"),
        _part("Site power, limit and price", power_figure(view), class_="wide"),
        _part("The plan, vehicle by vehicle", gantt_table(view), class_="wide"),
        tag(
            "div",
            _part("Silent telematics", stale_block(view)),
            _part("Did the plan reach the chargers?", connectors_block(view)),
            _part("Quarantined rows", quarantine_block(view)),
            _part("How good were the forecasts?", forecast_block(view)),
            _part("Against other ways to charge", comparison) if comparison else None,
            class_="parts",
        ),
        id=f"site-{number}",
        class_="site",
        aria_labelledby=f"site-{number}-name",
    )


def _header(number: int, view: OperationsView) -> Html:
    span, zone = view.span, view.timezone
    night = f"Night of {day_text(span.start_at, zone)} to {day_text(span.end_at, zone)}"
    plan = (
        f"plan {view.plan_id} of {clock_text(view.plan_as_of, zone)}" if view.plan_id and view.plan_as_of else "no plan"
    )
    return tag(
        "header",
        tag("div", tag("h1", view.name, id=f"site-{number}-name"), tag("p", night, class_="night")),
        tag(
            "div",
            tag("p", "as of ", tag("b", clock_text(view.as_of, zone)), class_="as-of"),
            tag("p", f"newest data {age_text(view.newest_data_at, view.as_of)} · {plan}"),
            tag("p", f"{day_text(view.as_of, zone)}, times in {zone_text(span, zone)}"),
        ),
    )


def _warnings(view: OperationsView) -> Html | None:
    """Return what makes the whole page worth less than it looks."""
    told = []
    if view.plan_id is None:
        told.append("There is no plan for this night: chargers go by their safe default.")
    if view.newest_data_at is None:
        told.append("No vehicle and no charger of this site has ever been heard of.")
    elif any(not line.is_gone for line in view.departures) and view.as_of - view.newest_data_at > OLD_DATA:
        told.append(f"The newest report of any vehicle or charger came {age_text(view.newest_data_at, view.as_of)}.")
    told.extend(closed_text(line, view) for line in view.connectors if line.closed_since)
    return tag("ul", [tag("li", text) for text in told], class_="warnings") if told else None


def _part(title: str, *content: Child, class_: str | None = None) -> Html:
    return tag("section", tag("h2", title), join(*content), class_=f"part {class_ or ''}".strip())
