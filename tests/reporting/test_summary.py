"""Readiness figures: every departure counted once."""

from datetime import date
from pathlib import Path

import pytest

from reporting.loading import load_view
from reporting.summary import comparison_of, night_summary
from reporting.view import Policy
from tests.reporting.depot import BEFORE_DAWN, EVENING, MORNING, Depot, busy_night, hours
from tests.reporting.test_console import RUN


def test_every_departure_is_in_one_class(tmp_path: Path) -> None:
    view = load_view(busy_night(tmp_path).landing, site_id="north", as_of=MORNING + hours(4))
    missed = {("bus-04", MORNING + hours(2)), ("bus-02", MORNING + hours(9)), ("bus-99", MORNING)}
    assert night_summary(view, infeasible=missed) == {
        "departures": 6, "ready": 1, "not_ready": 2, "not_plugged": 2, "unknown": 1, "infeasible": 1,
        "ready_pct": pytest.approx(16.67),
    }  # fmt: skip


def test_what_is_on_course_counts_as_ready_while_it_is_still_ahead(tmp_path: Path) -> None:
    landing = busy_night(tmp_path).landing
    before, during = (night_summary(load_view(landing, site_id="north", as_of=at)) for at in (EVENING, BEFORE_DAWN))
    assert (before["ready"], before["not_ready"]) == (5, 1)
    assert (during["ready"], during["not_ready"], during["not_plugged"], during["unknown"]) == (3, 1, 1, 1)


def test_sites_add_up_and_no_departures_are_no_percentage(tmp_path: Path) -> None:
    busy = load_view(busy_night(tmp_path / "a").landing, site_id="north", as_of=BEFORE_DAWN)
    empty = load_view(Depot(tmp_path / "b").landing, site_id="north", as_of=BEFORE_DAWN)
    assert night_summary(busy, empty) == night_summary(busy)
    assert night_summary(busy, busy)["departures"] == 12
    assert night_summary(empty)["ready_pct"] is None


def test_a_run_s_document_holds_the_comparison() -> None:
    comparison = comparison_of(RUN)
    assert comparison.currency == "EUR"
    assert comparison.policies[0] == Policy("This plan", 212.4, 118.2, 95.0)
    assert comparison.policies[1] == Policy("Best simple rule: llf_smallest_peak", 238.9, None, 95.0)
    assert date.fromisoformat(RUN["as_of"][:10]) == MORNING.date()
