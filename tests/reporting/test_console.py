"""The last screen of a run says what the night came to."""

import io
from typing import Any

import pytest
from rich.console import Console

from reporting.console import print_run
from reporting.wording import NOT_KNOWN

RUN: dict[str, Any] = {
    "schema": "depotwise.run/1", "job": "demo", "as_of": "2026-02-10T09:00:00Z", "run_id": "abc", "seconds": 214.2,
    "rows": {"read": 123456, "landed": 123000, "duplicates": 400, "quarantined": 56},
    "readiness": {"departures": 40, "ready": 38, "not_ready": 1, "not_plugged": 1, "unknown": 0, "infeasible": 1,
                  "ready_pct": 95.0},
    "cost": {"currency": "EUR", "total": 212.4, "uncontrolled_total": 340.1, "best_rule": "llf_smallest_peak",
             "best_rule_total": 238.9},
    "emissions_kgco2e": None, "peak_kw": 118.2, "limit_kw": 160.0, "uncontrolled_peak_kw": 260.0,
    "fcfs_ready_pct": 92.5, "best_rule_ready_pct": 95.0,
    "profiles": {"sent": 80, "accepted": 78, "verified": 60, "rejected": 2},
    "warehouse": "data/home/warehouse/warehouse.duckdb", "published": "data/home/published/marts.duckdb",
    "page": "data/home/reports/operations.html",
}  # fmt: skip


def screen(run: dict[str, Any], *, width: int = 120) -> str:
    """Return what a terminal would show, without colours."""
    out = io.StringIO()
    print_run(run, console=Console(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize(
    "told",
    [
        "38 of 40 departures ready at pull-out (95.0 %)",
        "1 not ready, 1 never plugged in, 1 could not have been made ready by anybody",
        "80 sent, 78 accepted, 60 verified, 2 rejected",
        "123,456 read = 123,000 landed + 400 duplicates + 56 quarantined",
        "data/home/reports/operations.html",
        "make ui",
    ],
)
def test_the_screen_states_what_the_night_came_to(told: str) -> None:
    assert told in screen(RUN)


def test_the_plan_stands_beside_other_ways_to_charge() -> None:
    rows = [line.split() for line in screen(RUN).splitlines()]
    assert ["This", "plan", "95.0", "%", "212.40", "118"] in rows
    assert ["Uncontrolled", "charging", NOT_KNOWN, "340.10", "260"] in rows
    assert ["First", "come,", "first", "served", "at", "the", "limit", "92.5", "%", NOT_KNOWN, NOT_KNOWN] in rows


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    cost = RUN["cost"] | {"total": None, "uncontrolled_total": None, "best_rule": None, "best_rule_total": None}
    readiness = RUN["readiness"] | {"departures": 0, "ready": 0, "ready_pct": None}
    shown = screen(RUN | {"cost": cost, "readiness": readiness, "limit_kw": None, "page": None})
    assert "None" not in shown
    assert "0 of 0 departures ready" in shown


def test_paths_survive_a_narrow_terminal_and_names_are_no_markup() -> None:
    cost = RUN["cost"] | {"best_rule": "[red]rule[/red]"}
    shown = screen(RUN | {"cost": cost}, width=60)
    assert "[red]rule" in shown
    assert "operations.html" in shown
