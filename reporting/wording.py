"""How the page says things: states, causes with their numbers, what to do, the headline. Words only, no markup.

Sentences are for somebody who stands in a depot at five in the morning: what, how much, since when, what now.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from reporting.nights import ago_text, clock_text
from reporting.readiness import Cause, SocEvidence, State
from reporting.view import ConnectorLine, DepartureLine, OperationsView

NAMED_IN_HEADLINE = 3
NOT_KNOWN = "\N{EN DASH}"
STATE_NAMES = {
    State.NOT_PLUGGED: ("✖", "Not plugged in"),
    State.SHORT: ("▼", "Short"),
    State.UNKNOWN: ("?", "Unknown"),
    State.CHARGING: ("▲", "Charging"),
    State.DUE_BACK: ("→", "Due back"),
    State.READY: ("✔", "Ready"),
}
GONE_NAMES = {State.READY: "Was ready", State.SHORT: "Was short", State.NOT_PLUGGED: "Never plugged in"}
RUNG_NAMES = {
    1: "fresh",
    2: "parked since",
    3: "counted by the charger",
    4: "forecast",
    5: "from history",
    6: "site default",
}
ACTIONS = {
    Cause.NOT_PLUGGED_IN: "plug it in",
    Cause.NOT_SEEN_BACK: "find out where it is",
    Cause.TOO_LITTLE_ENERGY: "tell the dispatcher",
    Cause.BEHIND_PLAN: "check the charger, tell the dispatcher",
    Cause.CHARGER_FAULT: "plug it in elsewhere, have the charger repaired",
    Cause.NO_REPORT: "read its dashboard",
    Cause.OLD_REPORT: "read its dashboard",
    Cause.NO_REQUIREMENT: "ask dispatch what it needs",
    Cause.NO_PREDICTION: "plan again",
}
PLAIN_CAUSES = {
    Cause.NO_REPORT: "no SoC was ever reported",
    Cause.OLD_REPORT: "its last SoC report is too old",
    Cause.NO_REQUIREMENT: "no plan covers it and dispatch demands no SoC",
    Cause.NO_PREDICTION: "no plan covers it",
}


@dataclass(frozen=True, slots=True)
class Headline:
    """The night in a sentence: how many are ready; then vehicle and what is wrong with it, for each that is not."""

    summary: str
    problems: tuple[tuple[str, str], ...] = ()
    is_good: bool = True

    @property
    def sentence(self) -> str:
        """The whole of it as plain text, for titles and subjects."""
        clauses = [f"{vehicle} {text}".strip() for vehicle, text in self.problems]
        return "; ".join([self.summary, *clauses]) + "."


def headline(view: OperationsView) -> Headline:
    """Say how many departures are ready, and name those that are not with the reason and what to do."""
    lines = view.departures
    if not lines:
        return Headline("No departures are planned for this night")
    problems = [line for line in lines if _is_problem(line)]
    ready = sum(line.judgement.state.is_ok for line in lines)
    told = [(line.departure.vehicle_id, problem_text(line, view)) for line in problems[:NAMED_IN_HEADLINE]]
    if len(problems) > NAMED_IN_HEADLINE:
        told.append(("", f"and {len(problems) - NAMED_IN_HEADLINE} more, on top of the board"))
    return Headline(f"{ready} of {len(lines)} {_ready_word(lines)}", tuple(told), not problems)


def _is_problem(line: DepartureLine) -> bool:
    return not line.judgement.state.is_ok or line.departure.has_red_battery_telltale


def _ready_word(lines: tuple[DepartureLine, ...]) -> str:
    if all(line.is_gone for line in lines):
        return "were ready at pull-out"
    states = {line.judgement.state for line in lines if line.judgement.state.is_ok}
    if states <= {State.READY}:
        return "ready"
    return "ready or on course" if states - {State.DUE_BACK} else "planned to be ready"


def problem_text(line: DepartureLine, view: OperationsView) -> str:
    """Return a clause such as ``not ready: plugged in at 23:40, 12 kWh short; tell the dispatcher``."""
    action = action_text(line)
    return _verdict_text(line) + cause_text(line, view) + (f"; {action}" if action else "")


def _verdict_text(line: DepartureLine) -> str:
    if line.judgement.state.is_ok:
        return ""
    verdict = "not known to be ready: " if line.judgement.state is State.UNKNOWN else "not ready: "
    return f"was {verdict}" if line.is_gone else verdict


def cause_text(line: DepartureLine, view: OperationsView) -> str:
    """Say why a departure is not ready yet, with the number that makes it so; empty when it is."""
    told = [_because(line, view), _missing_text(line)]
    if line.departure.has_red_battery_telltale:
        told.append("red battery tell-tale")
    return ", ".join(part for part in told if part)


def _because(line: DepartureLine, view: OperationsView) -> str:
    departure, cause = line.departure, line.judgement.cause
    if cause is Cause.NOT_PLUGGED_IN:
        return _not_plugged_text(line, view)
    if cause is Cause.NOT_SEEN_BACK:
        return f"due back {_at(departure.due_back_at, view)}, not seen at the depot"
    if cause is Cause.TOO_LITTLE_ENERGY:
        return f"plugged in at {_at(departure.plugged_at, view)}" if departure.plugged_at else "not back yet"
    if cause is Cause.BEHIND_PLAN:
        return f"plugged in at {_at(departure.plugged_at, view)} but behind its plan"
    if cause is Cause.CHARGER_FAULT:
        place = f"{departure.station_id}/{departure.connector_id}"
        return f"its charger {place} is out of order since {_at(departure.faulty_since, view)}"
    if cause is Cause.OLD_REPORT and departure.reading_at:
        age = min(view.as_of, departure.pull_out_at) - departure.reading_at
        return f"last SoC report {ago_text(age)} old, it may have moved since"
    if line.judgement.state is State.DUE_BACK and departure.expected_arrival_at:
        return f"expected by {_at(departure.expected_arrival_at, view)}"
    return PLAIN_CAUSES[cause] if cause else ""


def closed_text(line: ConnectorLine, view: OperationsView) -> str:
    """Say of a connector that charges nobody since when, and what to do."""
    place = f"{line.station_id}/{line.connector_id}"
    since = _at(line.closed_since, view)
    return f"{place} is out of order or silent since {since}: plug in elsewhere what comes to it."


def _not_plugged_text(line: DepartureLine, view: OperationsView) -> str:
    departure = line.departure
    if departure.unplugged_at:
        return f"unplugged since {_at(departure.unplugged_at, view)}"
    if line.is_gone:
        return "never plugged in"
    return f"at the depot since {_at(departure.home_since, view)}, not plugged in"


def _at(instant: datetime | None, view: OperationsView) -> str:
    return clock_text(instant, view.timezone) if instant else "an unknown time"


def _missing_text(line: DepartureLine) -> str:
    judgement = line.judgement
    if judgement.missing_kwh is not None:
        return f"{energy_text(judgement.missing_kwh)} short"
    return f"{judgement.missing_pp:.0f} points short" if judgement.missing_pp is not None else ""


def action_text(line: DepartureLine) -> str:
    """Say what somebody should do now; empty when it is too late or nothing is wrong."""
    if line.is_gone:
        return ""
    if line.departure.has_red_battery_telltale:
        return "do not dispatch it"
    return ACTIONS[line.judgement.cause] if line.judgement.cause else ""


def state_text(line: DepartureLine) -> tuple[str, str]:
    """Return a sign and a name for the state, so that nobody has to tell colours apart."""
    sign, name = STATE_NAMES[line.judgement.state]
    return sign, GONE_NAMES.get(line.judgement.state, name) if line.is_gone else name


def evidence_text(soc: SocEvidence, *, at: datetime) -> str:
    """Say what a SoC rests on, such as ``rfms, 4 min old, rung 1 (fresh)``."""
    return f"{soc.source}, {ago_text(at - soc.observed_at)} old, rung {soc.rung} ({RUNG_NAMES.get(soc.rung, '')})"


def energy_text(energy_kwh: float) -> str:
    """Write energy with as many digits as matter."""
    return f"{energy_kwh:.1f} kWh" if abs(energy_kwh) < 10 else f"{energy_kwh:.0f} kWh"


def age_text(instant: datetime | None, as_of: datetime) -> str:
    """Say how old something is, or that it is not known."""
    if instant is None:
        return "never"
    age = as_of - instant
    return f"{ago_text(age)} ago" if age >= timedelta(minutes=1) else "just now"
