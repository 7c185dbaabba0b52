"""The night in numbers: readiness as in ``depotwise.run/1``, and the comparison that such a document holds.

Counting only: the verdicts are ``readiness``'s, costs and peaks are worked out elsewhere.
"""

from collections import Counter
from collections.abc import Mapping, Set
from datetime import datetime
from typing import Any

from reporting.readiness import State
from reporting.view import Comparison, OperationsView, Policy

DepartureKey = tuple[str, datetime]
"""A planned departure: vehicle and planned pull-out."""


def night_summary(*views: OperationsView, infeasible: Set[DepartureKey] = frozenset()) -> dict[str, int | float | None]:
    """Count departures by readiness over one or several sites.

    Every planned departure is in exactly one of ``ready``, ``not_ready``, ``not_plugged`` and ``unknown``, and counts
    in ``ready_pct`` (None when there is none); ``infeasible`` are those of them that perfect foresight could not have
    made ready either. A departure that is still ahead counts as ready while it is on course.
    """
    lines = [line for view in views for line in view.departures]
    ready = sum(line.judgement.state.is_ok for line in lines)
    states = Counter(line.judgement.state for line in lines)
    keys = {(line.departure.vehicle_id, line.departure.departure_at) for line in lines}
    return {
        "departures": len(lines),
        "ready": ready,
        "not_ready": states[State.SHORT],
        "not_plugged": states[State.NOT_PLUGGED],
        "unknown": states[State.UNKNOWN],
        "infeasible": len(keys & infeasible),
        "ready_pct": round(100 * ready / len(lines), 2) if lines else None,
    }


def comparison_of(run: Mapping[str, Any]) -> Comparison:
    """Return the comparison that a ``depotwise.run/1`` document holds."""
    cost = run["cost"]
    return Comparison(
        cost["currency"],
        (
            Policy("This plan", cost["total"], run["peak_kw"], run["readiness"]["ready_pct"]),
            Policy(
                f"Best simple rule: {cost['best_rule'] or 'none'}",
                cost["best_rule_total"],
                ready_pct=run.get("best_rule_ready_pct"),
            ),
            Policy("Uncontrolled charging", cost["uncontrolled_total"], run["uncontrolled_peak_kw"]),
            Policy("First come, first served at the limit", ready_pct=run.get("fcfs_ready_pct")),
        ),
    )
