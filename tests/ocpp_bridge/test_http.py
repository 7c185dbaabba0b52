"""The HTTP contract: every endpoint and every status code, over a real socket."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest


async def test_every_endpoint_wants_the_token(lone):
    requests = [
        ("PUT", "/publications/plan-1"),
        ("GET", "/publications/plan-1"),
        ("GET", "/events"),
        ("GET", "/frames"),
        ("PUT", "/limits"),
        ("GET", "/stations"),
        ("POST", "/revoke"),
        ("GET", "/health"),
        ("GET", "/metrics"),
    ]
    async with httpx.AsyncClient(base_url=lone.client.base_url, trust_env=False) as stranger:
        for method, path in requests:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic Zm9v"}):
                answer = await stranger.request(method, path, headers=headers, content=b"{}")
                assert answer.status_code == 401, (method, path)


async def test_a_publication_is_stored_then_the_same_then_a_conflict(lone, kit):
    document = kit.publication("plan-a", [kit.entry("CP-1", 11)])
    first = await lone.client.put("/publications/plan-a", json=document)
    assert first.status_code == 202
    reordered = json.dumps(dict(reversed(document.items())))
    again = await lone.client.put("/publications/plan-a", content=reordered)
    assert again.status_code == 200
    other = await lone.client.put("/publications/plan-a", json={**document, "connectors": [kit.entry("CP-1", 12)]})
    assert other.status_code == 409
    assert "new plan_id" in other.json()["error"]


async def test_an_older_plan_is_stale(lone, kit):
    now = datetime.now(UTC)
    await lone.publish([kit.entry("CP-1", 11)], as_of=now)
    older = kit.publication("plan-old", [kit.entry("CP-1", 11)], as_of=now - timedelta(minutes=1))
    answer = await lone.client.put("/publications/plan-old", json=older)
    assert answer.status_code == 409
    assert "later as_of" in answer.json()["error"]
    assert (await lone.client.get("/publications/plan-old")).status_code == 404


async def test_a_superseded_plan_does_not_come_back(lone, kit):
    now = datetime.now(UTC)
    first = kit.publication("plan-a", [kit.entry("CP-1", 11)], as_of=now)
    assert (await lone.client.put("/publications/plan-a", json=first)).status_code == 202
    newer = await lone.publish([kit.entry("CP-1", 8)], as_of=now)
    replayed = await lone.client.put("/publications/plan-a", json=first)
    assert replayed.status_code == 409
    assert "superseded" in replayed.json()["error"]
    assert {one["state"] for one in (await lone.states("plan-a")).values()} == {"superseded"}
    assert {one["state"] for one in (await lone.states(newer)).values()} == {"pending"}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"site_id": "south"}, "site_id"),
        ({"plan_id": "another"}, "plan_id"),
        ({"schema": "depotwise.publication/2"}, "schema"),
        ({"valid_until": "2020-01-01T00:00:00Z", "as_of": "2019-01-01T00:00:00Z"}, "valid_until"),
        ({"as_of": "2020-01-01T00:00:00"}, "as_of"),
        ({"ev_limit_kw": []}, "ev_limit_kw"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_document_that_makes_no_sense_is_refused_with_its_place(lone, kit, change, path):
    document = {**kit.publication("plan-a", [kit.entry("CP-1", 11)]), **change}
    answer = await lone.client.put("/publications/plan-a", json=document)
    assert answer.status_code == 422
    assert path in [error["path"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ({"station_id": "CP-9"}, "connectors[0].station_id"),
        ({"connector_id": 7}, "connectors[0].connector_id"),
        ({"current_type": "dc"}, "connectors[0].current_type"),
        ({"group_id": "nowhere"}, "connectors[0].group_id"),
        ({"max_kw": 10}, "connectors[0].periods[0].limit_kw"),
        ({"periods": []}, "connectors[0].periods"),
        ({"periods": [{"start_at": "2026-01-01T00:00:00Z", "limit_kw": -1}]}, "connectors[0].periods[0].limit_kw"),
        ({"periods": [{"start_at": "2026-01-01T00:00:00Z", "limit_kw": 2}]}, "connectors[0].periods[0].limit_kw"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_an_entry_that_makes_no_sense_is_refused_with_its_place(lone, kit, entry, path):
    document = kit.publication("plan-a", [{**kit.entry("CP-1", 11), **entry}])
    answer = await lone.client.put("/publications/plan-a", json=document)
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["errors"]] == [path]


async def test_entries_that_exceed_the_limit_are_refused_whole(bridge, kit):
    entries = [kit.entry("CP-1", 15), kit.entry("CP-2", 14, 16)]
    for limit_kw, expected in ((31, 422), (29, 422)):  # the configured 30 kW count, and so do the publication's 29
        document = kit.publication("plan-a", entries, limit_kw=limit_kw)
        answer = await bridge.client.put("/publications/plan-a", json=document)
        assert answer.status_code == expected
        assert answer.json()["errors"][0]["path"] == "ev_limit_kw"
    now = datetime.now(UTC)
    groups = [{"group_id": "feeder", "limit_kw": [{"start_at": kit.iso(now), "limit_kw": 20}]}]
    entries = [kit.entry("CP-1", 11, group_id="feeder"), kit.entry("CP-2", 11, group_id="feeder")]
    answer = await bridge.client.put("/publications/g", json=kit.publication("g", entries, groups=groups))
    assert answer.json()["errors"][0]["path"] == "groups[0].limit_kw"


async def test_what_is_no_json_or_too_large_is_refused(kit, tmp_path):
    config = kit.config_dict(tmp_path, http={"host": "127.0.0.1", "port": 0, "max_body_bytes": 2000})
    async with kit.running_bridge(config) as running:
        assert (await running.client.put("/publications/p", content=b"{nonsense")).status_code == 422
        assert (await running.client.put("/publications/p", content=b"x" * 3000)).status_code == 413
        assert (await running.client.get("/nowhere")).status_code == 404
        assert (await running.client.post("/publications/p")).status_code == 405


async def test_an_unknown_plan_is_not_found(lone):
    assert (await lone.client.get("/publications/none")).status_code == 404


async def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(lone, kit):
    async with lone.station("CP-1") as station:
        await lone.settled("CP-1")
        plan_id = await lone.publish([kit.entry("CP-1", 11)], dry_run=True)
        entry = (await lone.states(plan_id))[("CP-1", 1)]
        assert entry["state"] == "pending"
        assert "SetChargingProfile" in entry["detail"]
        assert "15.9" in entry["detail"]
        await asyncio.sleep(0.4)
        assert len(station.installed("TxDefaultProfile")) == 1  # the fallback


async def test_events_come_by_cursor_and_by_long_poll(lone):
    first = (await lone.client.get("/events", params={"after": 0})).json()
    polling = asyncio.create_task(lone.client.get("/events", params={"after": first["next"], "wait_s": 10}))
    await asyncio.sleep(0.1)
    async with lone.station("CP-1") as station:
        found = (await polling).json()
        assert found["events"][0]["type"] == "station_up"
        assert found["events"][0]["station_id"] == "CP-1"
        assert found["next"] == found["events"][-1]["cursor"]
        await station.status(1, "Available")
        await station.status(1, "Preparing")
        await station.start(1)
        await station.meter(1, {"value": "7400", "measurand": "Power.Active.Import", "unit": "W"})
        await station.stop(1)
        await station.status(1, "Available")
        await asyncio.sleep(0.2)
    await asyncio.sleep(0.2)
    events = (await lone.client.get("/events", params={"after": found["next"]})).json()["events"]
    types = [event["type"] for event in events if event["type"] not in ("status", "profile_state")]
    assert types == ["plugged", "transaction_started", "meter", "transaction_ended", "unplugged", "station_down"]
    assert [event["data"]["power_kw"] for event in events if event["type"] == "meter"] == [7.4]
    assert (await lone.client.get("/events", params={"after": "x"})).status_code == 422
    empty = (await lone.client.get("/events", params={"after": 10_000, "wait_s": 0.1})).json()
    assert empty == {"events": [], "next": 10_000}


async def test_frames_are_complete_redacted_lines_behind_a_cursor(lone):
    async with lone.station("CP-1") as station:
        await station.call("Authorize", {"idTag": "SECRET-TAG"})
        await lone.settled("CP-1")
    first = await lone.client.get("/frames", params={"limit": 2})
    lines = [json.loads(line) for line in first.text.splitlines()]
    assert [line["direction"] for line in lines] == ["in", "out"]
    assert set(lines[0]) == {"at", "station_id", "connection_id", "direction", "frame"}
    assert lines[0]["frame"][2] == "BootNotification"
    rest = await lone.client.get("/frames", params={"after": first.headers["X-Next-Cursor"]})
    assert "SECRET-TAG" not in first.text + rest.text
    authorize = next(json.loads(line) for line in rest.text.splitlines() if "Authorize" in line)
    assert len(authorize["frame"][3]["idTag"]) == 20
    end = await lone.client.get("/frames", params={"after": rest.headers["X-Next-Cursor"]})
    assert end.text == ""
    assert end.headers["X-Next-Cursor"] == rest.headers["X-Next-Cursor"]
    assert (await lone.client.get("/frames", params={"after": "../../etc"})).status_code == 422
    assert (await lone.client.get("/frames", params={"limit": "0"})).status_code == 422


async def test_stations_health_and_metrics(lone, kit):
    assert (await lone.client.get("/health")).json() == {"status": "degraded", "reasons": ["CP-1 is not connected"]}
    async with lone.station("CP-1") as station:
        await lone.settled("CP-1")
        transaction_id = await station.start(1)
        await station.meter(1, {"value": "3.5", "measurand": "Power.Active.Import", "unit": "kW"})
        found = (await lone.client.get("/stations")).json()["stations"][0]
        assert found["connected"] is True
        assert found["version"] == "1.6"
        connector = found["connectors"][0]
        assert connector["transaction_id"] == transaction_id
        assert connector["power_kw"] == 3.5
        assert connector["limit_kw"] == pytest.approx(4.14)
        assert connector["may_hold_kw"] == pytest.approx(4.14)
        assert (await lone.client.get("/health")).json() == {"status": "ok", "reasons": []}
        metrics = (await lone.client.get("/metrics")).text
        assert "depotwise_bridge_stations_connected 1" in metrics
        assert 'depotwise_bridge_limit_kw{group=""} 30' in metrics


async def test_limits_are_checked(lone, kit):
    good = {"ev_limit_kw": 10, "valid_until": kit.iso(datetime.now(UTC) + timedelta(hours=1)), "reason": "meter"}
    assert (await lone.client.put("/limits", json=good)).status_code == 200
    for wrong in (
        {**good, "ev_limit_kw": -1},
        {**good, "valid_until": "2020-01-01T00:00:00Z"},
        {**good, "valid_until": "2030-01-01T00:00:00"},
        {"reason": "nothing"},
    ):
        assert (await lone.client.put("/limits", json=wrong)).status_code == 422


async def test_revoke_is_checked(lone):
    assert (await lone.client.post("/revoke", json={"station_id": "CP-9"})).status_code == 404
    assert (await lone.client.post("/revoke", json={})).status_code == 422
    answer = await lone.client.post("/revoke", json={"station_id": "CP-1"})
    assert answer.json() == {"cleared": [], "pending": ["CP-1"]}
