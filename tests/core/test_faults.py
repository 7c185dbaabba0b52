"""Connectors that charge nobody: by their stations' word, or by their silence."""

from datetime import UTC, datetime, timedelta

import polars as pl

from core.faults import SILENT_AFTER, silent_connectors
from core.schema import INSTANT

NOW = datetime(2026, 2, 9, 18, tzinfo=UTC)
CONNECTORS = pl.DataFrame({"station_id": ["CP-1", "CP-1", "CP-2"], "connector_id": [1, 2, 1]})
Link = tuple[str, bool, datetime]
LINK = {"station_id": pl.String(), "is_connected": pl.Boolean(), "observed_at": INSTANT}


def silent(*links: Link, as_of: datetime = NOW) -> list[tuple[str, int, datetime]]:
    return list(silent_connectors(pl.DataFrame(list(links), schema=LINK, orient="row"), CONNECTORS, as_of=as_of).rows())


def test_a_station_that_is_gone_closes_its_connectors_after_a_while() -> None:
    gone_at = NOW - SILENT_AFTER
    links: tuple[Link, ...] = (
        ("CP-1", True, NOW - timedelta(days=3)),
        ("CP-1", False, gone_at),
        ("CP-2", True, NOW - timedelta(days=3)),
    )
    assert silent(*links) == [("CP-1", 1, gone_at), ("CP-1", 2, gone_at)]
    assert silent(*links, as_of=NOW - timedelta(seconds=1)) == []


def test_one_that_is_back_is_open_again() -> None:
    other: Link = ("CP-2", True, NOW - timedelta(days=3))
    gone: Link = ("CP-1", False, NOW - timedelta(hours=2))
    assert silent(gone, other) != []
    assert silent(gone, ("CP-1", True, NOW - timedelta(hours=1)), other) == []


def test_where_nobody_is_heard_of_it_is_the_network() -> None:
    gone: tuple[Link, ...] = tuple((name, False, NOW - timedelta(hours=2)) for name in ("CP-1", "CP-2"))
    assert silent(*gone) == []
    elsewhere: Link = ("CP-9", True, NOW - timedelta(hours=2))
    assert silent(*gone, elsewhere) == []


def test_of_whom_nothing_was_ever_heard_nothing_is_known() -> None:
    assert silent(("CP-2", True, NOW - timedelta(hours=2))) == []
