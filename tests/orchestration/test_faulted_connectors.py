"""Which connectors cannot charge anybody, by the last word of their stations or by their silence."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.steps.transactions import faulted_connectors
from planning.site_state import ConnectorState
from tests.reporting.depot import EVENING, Depot, hours

CONNECTORS = tuple(ConnectorState("CP-1", number, "dc", 50.0, 5.0, 0.0) for number in (1, 2))


def say(depot: Depot, status: str, *, connector_id: int, after_h: float) -> None:
    depot.land("connector_status", at=EVENING + hours(after_h), source="ocpp", station_id="CP-1",
               connector_id=connector_id, status=status, error_code=None)  # fmt: skip


@pytest.mark.parametrize("status", ["faulted", "unavailable"])
def test_a_connector_that_says_so_is_closed_from_then_on(tmp_path: Path, status: str) -> None:
    depot = Depot(tmp_path)
    say(depot, "charging", connector_id=1, after_h=0.0)
    say(depot, status, connector_id=1, after_h=1.0)
    assert faulted_connectors(depot.landing, CONNECTORS, as_of=EVENING + hours(0.5)) == {}
    assert faulted_connectors(depot.landing, CONNECTORS, as_of=EVENING + hours(3)) == {("CP-1", 1): EVENING + hours(1)}


def test_a_station_that_says_so_of_itself_closes_all_its_connectors(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    say(depot, "faulted", connector_id=0, after_h=0.0)
    found = faulted_connectors(depot.landing, CONNECTORS, as_of=EVENING + hours(1))
    assert found == {("CP-1", 1): EVENING, ("CP-1", 2): EVENING}


def test_one_that_charges_again_is_open(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    say(depot, "faulted", connector_id=1, after_h=0.0)
    say(depot, "suspended_ev", connector_id=1, after_h=1.0)
    assert faulted_connectors(depot.landing, CONNECTORS, as_of=EVENING + hours(2)) == {}


def test_a_silent_station_closes_what_nothing_runs_on(tmp_path: Path) -> None:
    """What charges there may go on: it keeps the profile that it was given last."""
    depot = Depot(tmp_path)
    other = ConnectorState("CP-2", 1, "dc", 50.0, 5.0, 0.0)
    for station_id, is_connected, after_h in (("CP-1", True, -30.0), ("CP-2", True, -30.0), ("CP-1", False, 0.0)):
        depot.land("station_link", at=EVENING + hours(after_h), source="bridge", station_id=station_id,
                   is_connected=is_connected)  # fmt: skip
    busy = (replace(CONNECTORS[0], transaction_id="7"), CONNECTORS[1], other)
    assert faulted_connectors(depot.landing, busy, as_of=EVENING + hours(1)) == {("CP-1", 2): EVENING}
    assert faulted_connectors(depot.landing, busy, as_of=EVENING + hours(0.1)) == {}
    full = (busy[0], busy[1], replace(other, transaction_id="8"))
    assert faulted_connectors(depot.landing, full, as_of=EVENING + hours(1)) == {("CP-1", 2): EVENING}
    say(depot, "faulted", connector_id=2, after_h=-1.0)
    found = faulted_connectors(depot.landing, (*CONNECTORS, other), as_of=EVENING + hours(1))
    assert found == {("CP-1", 1): EVENING, ("CP-1", 2): EVENING - hours(1)}
