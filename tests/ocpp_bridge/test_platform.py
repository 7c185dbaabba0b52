"""What the platform asks a running bridge between two plans: who is connected, and what happened."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import pytest

from core.landing import Landing
from core.time_grid import parse_instant
from ingestion.registry.models import Bridge
from ingestion.registry.starter import write_starter
from orchestration.sensors import plan_after_plug_in_sensor
from orchestration.steps.events import watch
from orchestration.steps.stations import land_links, links_of

STARTER_BRIDGE = "http://127.0.0.1:9311"


@pytest.fixture
def workplace(lone, tmp_path):
    """One site with the running bridge, and one whose bridge is down."""

    def site(name, url):
        return SimpleNamespace(site_id=name, bridge=Bridge(url=url, token_env="DEPOTWISE_BRIDGE_TOKEN"))

    sites = (
        SimpleNamespace(site_id="east", bridge=None),
        site("north", str(lone.client.base_url)),
        site("south", "http://127.0.0.1:9"),
    )
    return SimpleNamespace(registry=SimpleNamespace(sites=sites), landing=Landing(tmp_path / "landing"))


async def ask(function, *arguments, **named):
    """Ask from a thread, a moment after what happened: events are stored in batches."""
    await asyncio.sleep(0.3)
    return await asyncio.to_thread(function, *arguments, **named)


def links(workplace):
    rows = workplace.landing.read("station_link").sort("observed_at")
    return list(rows.select("station_id", "is_connected", "observed_at").iter_rows())


async def test_who_is_connected_lands_once_a_change(lone, workplace):
    never = await ask(land_links, workplace, as_of=datetime.now(UTC))
    assert (never.landed, links(workplace)) == (0, [])
    async with lone.station("CP-1") as station:
        await station.status(1, "Available")
        reports = [await ask(land_links, workplace, as_of=datetime.now(UTC)) for _ in range(2)]
        assert [(one.landed, one.duplicates) for one in reports] == [(1, 0), (0, 1)]
        heard = (await lone.client.get("/stations")).json()["stations"][0]
    reports = [await ask(land_links, workplace, as_of=datetime.now(UTC)) for _ in range(2)]
    assert [one.landed for one in reports] == [1, 0]
    (_, was_there, since), (_, is_there, last_seen_at) = links(workplace)
    assert (was_there, is_there) == (True, False)
    assert since == parse_instant(heard["since"])
    assert parse_instant(heard["last_seen_at"]) <= last_seen_at <= datetime.now(UTC)


def test_what_is_later_than_as_of_is_left_to_a_later_run():
    now = datetime(2026, 2, 9, 18, tzinfo=UTC)
    told = [
        {"station_id": "CP-1", "connected": True, "since": "2026-02-09T17:59:00Z", "last_seen_at": None},
        {"station_id": "CP-2", "connected": False, "since": None, "last_seen_at": "2026-02-09T18:01:00Z"},
        {"station_id": "CP-3", "connected": False, "since": None, "last_seen_at": None},
    ]
    assert links_of(told, as_of=now)["station_id"].to_list() == ["CP-1"]
    assert links_of(told, as_of=now + timedelta(minutes=1))["station_id"].to_list() == ["CP-1", "CP-2"]
    assert links_of([], as_of=now).is_empty()


async def test_a_site_is_planned_anew_when_somebody_plugs_in_or_leaves(lone, workplace):
    first = await ask(watch, workplace, {})
    assert (first.sites, set(first.cursors)) == ((), {"north"})
    assert [error.split(":")[0] for error in first.errors] == ["south"]
    async with lone.station("CP-1") as station:
        await station.status(1, "Available")
        connected = await ask(watch, workplace, first.cursors)
        assert connected.sites == ()
        await station.status(1, "Preparing")
        plugged = await ask(watch, workplace, connected.cursors)
        assert plugged.sites == ("north",)
        assert (await ask(watch, workplace, plugged.cursors)).sites == ()
        await station.start(1)
        started = await ask(watch, workplace, plugged.cursors)
        assert started.sites == ("north",)
        await station.stop(1)
        await station.status(1, "Available")
        assert (await ask(watch, workplace, started.cursors)).sites == ("north",)


@pytest.fixture
def home(lone, tmp_path, monkeypatch):
    """A home with the starter's configuration, whose first bridge is the running one."""
    write_starter(tmp_path / "home" / "config")
    url = str(lone.client.base_url).rstrip("/")
    for file in (tmp_path / "home" / "config").glob("*.y*ml"):
        file.write_text(file.read_text("utf-8").replace(STARTER_BRIDGE, url), encoding="utf-8")
    monkeypatch.setenv("DEPOTWISE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DEPOTWISE_CONFIG", raising=False)


@pytest.mark.usefixtures("home")
async def test_dagster_ingests_and_plans_the_site_whose_vehicle_plugged_in(lone):
    def look(cursor):
        context = dg.build_sensor_context(cursor=cursor)
        answers = list(plan_after_plug_in_sensor(context))
        return answers, context.cursor

    async with lone.station("CP-1") as station:
        await station.status(1, "Available")
        [first], cursor = await ask(look, None)
        assert isinstance(first, dg.SkipReason)
        await station.status(1, "Preparing")
        [request], after = await ask(look, cursor)
        assert request.tags == {"depotwise/chain": "intraday", "depotwise/sites": "north"}
        assert request.run_config["resources"]["workplace"]["config"]["trigger"] == "plug_in"
        assert after != cursor
        [again], last = await ask(look, after)
        assert (isinstance(again, dg.SkipReason), last) == (True, after)
