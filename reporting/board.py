"""The top of the page: the headline, the counts, and the readiness board.

Markup of what ``view`` holds: nothing here judges a departure or reads anything.
"""

from collections import Counter

from reporting.markup import Html, join, tag
from reporting.nights import clock_text
from reporting.readiness import State
from reporting.view import DepartureLine, OperationsView
from reporting.wording import (
    STATE_NAMES,
    action_text,
    cause_text,
    energy_text,
    evidence_text,
    headline,
    state_text,
)

SURE_MATCH = 0.9
COLUMNS = ("Pull-out", "Vehicle", "State", "SoC", "Bay", "Why, and on what evidence")


def headline_block(view: OperationsView) -> Html:
    """Return the sentence that says it all, and a line for each thing that somebody has to do."""
    told = headline(view)
    sign = "✔" if told.is_good else "!"
    problems = (
        tag("ul", [tag("li", tag("b", vehicle), " ", text) for vehicle, text in told.problems])
        if told.problems
        else None
    )
    summary = tag("p", tag("span", sign, class_="sign", aria_hidden="true"), tag("strong", told.summary), class_="sum")
    return tag("div", summary, problems, class_="headline good" if told.is_good else "headline bad")


def counts_block(view: OperationsView) -> Html | None:
    """Return how many departures are in each state."""
    counts = Counter(line.judgement.state for line in view.departures)
    if not counts:
        return None
    shown = [state for state in reversed(State) if counts[state] or state in {State.READY, State.SHORT}]
    return tag(
        "ul", [_count(state, counts[state]) for state in shown], class_="counts", aria_label="Departures by state"
    )


def _count(state: State, number: int) -> Html:
    sign, name = STATE_NAMES[state]
    return tag(
        "li",
        tag("span", str(number), class_="number"),
        tag("span", tag("span", sign, class_="sign", aria_hidden="true"), " ", name),
        class_=f"count {state}",
    )


def board_table(view: OperationsView) -> Html:
    """Return a row per planned departure, those that are not ready first."""
    if not view.departures:
        return tag("p", "No duties leave from here between the times above.", class_="none")
    head = tag("tr", [tag("th", name, scope="col") for name in COLUMNS])
    rows = [_row(line, view) for line in view.departures]
    caption = tag(
        "caption", "Planned departures, those that are not ready first, then by pull-out time", class_="aside"
    )
    return tag("table", caption, tag("thead", head), tag("tbody", rows), class_="board")


def _row(line: DepartureLine, view: OperationsView) -> Html:
    departure, state = line.departure, line.judgement.state
    sign, name = state_text(line)
    duty = join(departure.block_id, f" · route {departure.route_id}" if departure.route_id else None)
    needs_somebody = not state.is_ok or departure.has_red_battery_telltale
    return tag(
        "tr",
        tag("td", tag("b", clock_text(departure.departure_at, view.timezone)), class_="time"),
        tag("th", tag("b", departure.vehicle_id), tag("small", duty), scope="row"),
        tag("td", tag("span", tag("i", sign, aria_hidden="true"), " ", name, class_=f"state {state}")),
        tag("td", _soc(line)),
        tag("td", _bay(line), class_="bay"),
        tag("td", _why(line, view), class_="why"),
        class_="attention" if needs_somebody else None,
    )


def _soc(line: DepartureLine) -> Html:
    """Return a bar with the SoC, a mark at what is required, and both as numbers."""
    soc, required = line.judgement.soc, line.departure.required_soc_pct
    needed = f"of {required:.0f} %" if required is not None else "need unknown"
    bar = tag(
        "span",
        tag("span", class_="fill", style=f"width:{soc.soc_pct:.0f}%") if soc else None,
        tag("span", class_="need", style=f"left:{min(required, 99):.0f}%") if required is not None else None,
        class_="soc",
        aria_hidden="true",
    )
    number = tag("b", f"{soc.soc_pct:.0f} %" if soc else "? %")
    return join(tag("span", number, " ", needed, class_="pct"), bar, _outlook(line))


def _outlook(line: DepartureLine) -> Html | None:
    predicted, state = line.departure.predicted_soc_pct, line.judgement.state
    if line.is_gone or predicted is None or state in {State.READY, State.NOT_PLUGGED}:
        return None
    return tag("small", f"→ {predicted:.0f} % planned")


def _bay(line: DepartureLine) -> Html:
    departure = line.departure
    if departure.station_id is None:
        return tag("span", "none yet")
    confidence = departure.match_confidence
    doubt = f"match {confidence:.0%} sure" if confidence is not None and confidence < SURE_MATCH else None
    is_planned = departure.plugged_at is None
    return join(
        f"{departure.station_id} / {departure.connector_id}",
        tag("small", "planned") if is_planned else None,
        tag("small", doubt) if doubt else None,
    )


def _why(line: DepartureLine, view: OperationsView) -> Html:
    """Return the cause and what to do, the planner's own reason, and what the SoC rests on."""
    departure, judgement = line.departure, line.judgement
    action = action_text(line)
    is_short = judgement.state is State.SHORT and not line.is_gone
    ready_at = clock_text(judgement.ready_at, view.timezone) if judgement.ready_at and is_short else None
    return join(
        tag("span", cause_text(line, view), class_="cause") if cause_text(line, view) else None,
        tag("span", f"→ {action}", class_="action") if action else None,
        tag("small", f"at full power from now, ready at {ready_at} at the earliest") if ready_at else None,
        tag("small", f"plan: {departure.reason_text}") if departure.reason_text and is_short else None,
        tag("small", _evidence(line, view)),
    )


def _evidence(line: DepartureLine, view: OperationsView) -> str:
    departure, soc = line.departure, line.judgement.soc
    if soc is not None:
        text = evidence_text(soc, at=min(view.as_of, departure.pull_out_at))
        counted = departure.metered_kwh if soc.rung == 3 else None
        return f"{text}, {energy_text(counted)} counted since" if counted else text
    if departure.planned_soc_source:
        return f"plan goes by {departure.planned_soc_source}, rung {departure.planned_soc_rung}"
    return "no evidence of its SoC"
