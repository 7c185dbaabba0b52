"""What stands behind the night: silent telematics, connectors, quarantine, forecasts, other ways to charge."""

import re
from collections import Counter
from itertools import groupby
from urllib.parse import quote

from reporting.markup import Child, Html, join, tag
from reporting.view import Comparison, ConnectorLine, ForecastLine, OperationsView, Policy, StaleSource
from reporting.wording import NOT_KNOWN, age_text

SHOWN_PER_SOURCE = 24
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
TROUBLE = frozenset({"rejected", "expired", "transaction_changed"})
STATE_SIGNS = dict.fromkeys(TROUBLE, "✖") | {"pending": "…", "sent": "…", "accepted": "✔", "verified": "✔✔"}
TARGET_NAMES = {"return_at": "Return time", "soc_at_arrival_pct": "SoC at arrival"}
UNIT_NAMES = {"hours": "h", "pp": "points"}


def stale_block(view: OperationsView) -> Html:
    """Return the vehicles that have been silent for longer than their source promises, and whom to call."""
    if not view.stale:
        return tag("p", "Every vehicle has reported within the time that its source promises.", class_="none")
    by_source = groupby(view.stale, key=lambda line: line.source_id)
    return join([_source_block(list(lines), view) for _, lines in by_source])


def _source_block(lines: list[StaleSource], view: OperationsView) -> Html:
    first = lines[0]
    if first.source_id is None:
        title: Child = tag("h3", f"Never heard of ({len(lines)})")
    else:
        promise = f"promised every {first.promised_min:.0f} min" if first.promised_min is not None else "no promise"
        title = join(tag("h3", f"{first.source_id}: {len(lines)} silent, {promise}"), tag("p", _owner(first)))
    silences = [
        tag("li", tag("b", line.vehicle_id), f" {age_text(line.last_at, view.as_of)}")
        for line in lines[:SHOWN_PER_SOURCE]
    ]
    more = len(lines) - SHOWN_PER_SOURCE
    return join(title, tag("ul", silences, tag("li", f"and {more} more") if more > 0 else None, class_="chips"))


def _owner(line: StaleSource) -> Html:
    contact = line.contact or "no contact on record"
    link = tag("a", contact, href=f"mailto:{quote(contact)}") if EMAIL.fullmatch(contact) else contact
    meanwhile = f". Meanwhile: {line.on_failure}" if line.on_failure else ""
    return join("Call ", line.owner or "its owner", " (", link, ")", meanwhile)


def connectors_block(view: OperationsView) -> Html:
    """Return what became of the plan at each connector, trouble first, and sessions without a known vehicle."""
    if not view.connectors:
        return tag("p", "The site has no connectors on record.", class_="none")
    counts = Counter(line.state or "nothing published" for line in view.connectors)
    summary = ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in sorted(counts.items()))
    trouble = [line for line in view.connectors if line.state in TROUBLE or _is_unknown_guest(line)]
    rest = [line for line in view.connectors if line not in trouble]
    return join(
        tag("p", summary[0].upper() + summary[1:], "."),
        _connector_table(trouble, view) if trouble else None,
        tag("details", tag("summary", f"The other {len(rest)} connectors"), _connector_table(rest, view))
        if rest
        else None,
    )


def _is_unknown_guest(line: ConnectorLine) -> bool:
    return line.is_in_use and line.vehicle_id is None


def _connector_table(lines: list[ConnectorLine], view: OperationsView) -> Html:
    names = ("Connector", "Vehicle", "State", "Evidence", "Since")
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in names]))
    return tag("div", tag("table", head, tag("tbody", [_connector_row(line, view) for line in lines])), class_="scroll")


def _connector_row(line: ConnectorLine, view: OperationsView) -> Html:
    vehicle = line.vehicle_id or ("in use, vehicle unknown" if line.is_in_use else "free")
    state = f"{STATE_SIGNS.get(line.state, '')} {line.state.replace('_', ' ')}" if line.state else "nothing published"
    is_trouble = line.state in TROUBLE or _is_unknown_guest(line)
    return tag(
        "tr",
        tag("th", f"{line.station_id} / {line.connector_id}", scope="row"),
        tag("td", vehicle),
        tag("td", state),
        tag("td", line.evidence or NOT_KNOWN, tag("small", line.detail) if line.detail else None),
        tag("td", age_text(line.updated_at, view.as_of) if line.updated_at else NOT_KNOWN),
        class_="attention" if is_trouble else None,
    )


def quarantine_block(view: OperationsView) -> Html:
    """Return what was not trusted tonight, by reason, each with an example."""
    if not view.quarantine:
        return tag("p", "Nothing was quarantined this night.", class_="none")
    names = ("Rows", "Would have become", "Reason", "For example")
    rows = [
        tag(
            "tr",
            tag("td", f"{line.rows:,}", class_="number"),
            tag("td", line.entity.replace("_", " ")),
            tag("th", line.reason.replace("_", " "), scope="row"),
            tag("td", line.example or "not shown: personal data"),
        )
        for line in view.quarantine
    ]
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in names]))
    return tag("div", tag("table", head, tag("tbody", rows)), class_="scroll")


def forecast_block(view: OperationsView) -> Html:
    """Return how the night was forecast, and how well as far as it has come true."""
    if not view.forecasts:
        return tag("p", "No forecast was made for this night; plans went by what was known.", class_="none")
    return tag(
        "ul", [tag("li", tag("b", TARGET_NAMES[line.target]), ": ", _forecast_text(line)) for line in view.forecasts]
    )


def _forecast_text(line: ForecastLine) -> str:
    rungs = ", ".join(f"{number} on rung {rung}" for rung, number in line.rungs)
    vehicles = "1 vehicle" if line.forecasts == 1 else f"{line.forecasts} vehicles"
    made = f"{vehicles} by {' and '.join(line.names)} ({rungs}). "
    if not line.scored or line.mean_absolute_error is None:
        return made + "What came true is not known yet."
    unit = UNIT_NAMES.get(line.unit, line.unit)
    within = "" if line.within_90_pct is None else f"; {line.within_90_pct:.0f} % fell within the stated 90 %"
    return f"{made}Known by now: {line.scored}, off by {line.mean_absolute_error:.1f} {unit} on average{within}."


def comparison_block(comparison: Comparison) -> Html:
    """Return the plan's cost, peak and readiness beside other ways to charge."""
    names = ("", f"Cost {comparison.currency}", "Peak kW", "Ready")
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in names]))
    rows = [_policy_row(policy) for policy in comparison.policies]
    return tag("div", tag("table", head, tag("tbody", rows), class_="figures"), class_="scroll")


def _policy_row(policy: Policy) -> Html:
    figures = (
        NOT_KNOWN if policy.cost_total is None else f"{policy.cost_total:,.2f}",
        NOT_KNOWN if policy.peak_kw is None else f"{policy.peak_kw:.0f}",
        NOT_KNOWN if policy.ready_pct is None else f"{policy.ready_pct:.1f} %",
    )
    return tag("tr", tag("th", policy.name, scope="row"), [tag("td", figure, class_="number") for figure in figures])
