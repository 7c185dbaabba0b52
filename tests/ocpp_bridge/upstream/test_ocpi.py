"""Charging profiles through a CPO's OCPI 2.2.1 interface: for active sessions only, with results that come later."""

import socket

import pytest

from ocpp_bridge.upstream.ocpi import OcpiProtocol, token_forms
from ocpp_bridge.wire import Answer
from simulator.back_ends.ocpi import Cpo

EVSES = {1: "DE-CPO-E1", 2: "DE-CPO-E2"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
async def cpo(monkeypatch):
    monkeypatch.setenv("CPO_TOKEN", "what they know us by")
    monkeypatch.setenv("CPO_PEER_TOKEN", "what we know them by")
    async with Cpo("what they know us by", "what we know them by").serving() as one:
        yield one


@pytest.fixture
async def bridge(kit, tmp_path, cpo):
    config = kit.config_dict(tmp_path / "state", stations=("HUB",), connectors=2, limit_kw=30)
    port = free_port()
    config["http"] = {"host": "127.0.0.1", "port": port, "callback_url": f"http://127.0.0.1:{port}"}
    parties = {"country_code": "DE", "party_id": "DWF", "to_country_code": "DE", "to_party_id": "CPO"}
    tokens = {"token_env": "CPO_TOKEN", "peer_token_env": "CPO_PEER_TOKEN"}
    config["publishers"] = [{"name": "cpo", "kind": "ocpi", "url": cpo.url, "timeout_s": 2.0, **tokens, **parties}]
    config["stations"][0]["publisher"] = "cpo"
    for connector in config["stations"][0]["connectors"]:
        connector["evse_uid"] = EVSES[connector["connector_id"]]
        connector["max_kw"] = 11
    async with kit.running_bridge(config) as running:
        running.http = f"http://127.0.0.1:{port}"
        yield running


async def connector_of(bridge, number=1):
    station = (await bridge.client.get("/stations")).json()["stations"][0]
    return station["connectors"][number - 1]


async def test_a_plan_becomes_the_profile_of_an_active_session(bridge, cpo, kit):
    assert (await cpo.tell(bridge.http, "s-1", EVSES[1], "ACTIVE"))["status_code"] == 1000
    assert (await connector_of(bridge))["transaction_id"] == "s-1"
    plan_id = await bridge.publish([kit.entry("HUB", 11, 5, transaction_id="s-1")])
    entry = await bridge.reaches(plan_id, "HUB", "verified")
    assert entry["evidence"] == "composite"
    profile = cpo.profiles["s-1"]
    assert profile["charging_rate_unit"] == "A"
    assert [period["limit"] for period in profile["charging_profile_period"]] == [15.9, 7.2]
    assert profile["duration"] > 3600
    sent = next(header for header in cpo.headers if "ocpi-to-party-id" in header)
    assert (sent["ocpi-to-party-id"], sent["ocpi-from-party-id"]) == ("CPO", "DWF")


async def test_without_a_session_an_entry_is_refused_with_the_reason(bridge, cpo, kit):
    plan_id = await bridge.publish([kit.entry("HUB", 11)])
    entry = await bridge.reaches(plan_id, "HUB", "rejected")
    assert "OCPI sets limits for active sessions only" in entry["detail"]
    plan_id = await bridge.publish([kit.entry("HUB", 11, transaction_id="never-heard-of")])
    entry = await bridge.reaches(plan_id, "HUB", "rejected")
    assert "the CPO knows no active session of that id" in entry["detail"]
    assert cpo.requests == [("PUT", "never-heard-of")], "asking again would be asking too often"


async def test_a_plan_for_another_session_is_refused(bridge, cpo, kit):
    await cpo.tell(bridge.http, "s-1", EVSES[1], "ACTIVE")
    plan_id = await bridge.publish([kit.entry("HUB", 11, transaction_id="s-0")])
    entry = await bridge.reaches(plan_id, "HUB", "transaction_changed")
    assert "s-1" in entry["detail"]
    await cpo.tell(bridge.http, "s-1", EVSES[1], "COMPLETED", method="PATCH")
    assert (await connector_of(bridge))["transaction_id"] is None
    plan_id = await bridge.publish([kit.entry("HUB", 11, transaction_id="s-1")])
    entry = await bridge.reaches(plan_id, "HUB", "transaction_changed")
    assert "has ended" in entry["detail"]


@pytest.mark.parametrize(
    ("result", "words"),
    [("NOT_SUPPORTED", "does not support"), ("REJECTED", "rejected the profile")],
)
async def test_what_the_cpo_refuses_at_once(bridge, cpo, kit, result, words):
    await cpo.tell(bridge.http, "s-1", EVSES[1], "ACTIVE")
    cpo.refuses["s-1"] = result
    plan_id = await bridge.publish([kit.entry("HUB", 11, transaction_id="s-1")])
    assert words in (await bridge.reaches(plan_id, "HUB", "rejected"))["detail"]


@pytest.mark.parametrize("verdict", ["REJECTED", "UNKNOWN"])
async def test_what_the_charge_point_refuses_later(bridge, cpo, kit, verdict):
    await cpo.tell(bridge.http, "s-1", EVSES[1], "ACTIVE")
    cpo.verdict = verdict
    plan_id = await bridge.publish([kit.entry("HUB", 11, transaction_id="s-1")])
    assert verdict in (await bridge.reaches(plan_id, "HUB", "rejected"))["detail"]


async def test_asked_too_often_or_without_a_result_it_is_tried_again(bridge, cpo, kit):
    await cpo.tell(bridge.http, "s-1", EVSES[1], "ACTIVE")
    cpo.refuses["s-1"] = "TOO_OFTEN"
    plan_id = await bridge.publish([kit.entry("HUB", 11, transaction_id="s-1")])
    await kit.eventually(lambda: len(cpo.requests) >= 2, 60, lambda: "not tried again")
    assert (await bridge.states(plan_id))[("HUB", 1)]["state"] == "sent"
    del cpo.refuses["s-1"]
    await bridge.reaches(plan_id, "HUB", "accepted", "verified", seconds=60)


async def test_what_no_session_holds_counts_at_the_hardware_s_maximum(bridge, cpo, kit):
    for _ in range(2):
        await cpo.tell(bridge.http, "s-1", EVSES[1], "ACTIVE")
    assert (await connector_of(bridge))["may_hold_kw"] == 11
    plan_id = await bridge.publish([kit.entry("HUB", 5, transaction_id="s-1")])
    await bridge.reaches(plan_id, "HUB", "verified")
    assert (await connector_of(bridge))["may_hold_kw"] == pytest.approx(5, abs=0.1)
    assert (await connector_of(bridge, 2))["may_hold_kw"] == 11
    await cpo.tell(bridge.http, "s-1", EVSES[1], "COMPLETED")
    assert (await connector_of(bridge))["may_hold_kw"] == 11


async def test_revoking_deletes_the_profile(bridge, cpo, kit):
    await cpo.tell(bridge.http, "s-1", EVSES[1], "ACTIVE")
    plan_id = await bridge.publish([kit.entry("HUB", 5, transaction_id="s-1")])
    await bridge.reaches(plan_id, "HUB", "verified")
    assert (await bridge.client.post("/revoke", json={"station_id": None})).json()["cleared"] == ["HUB"]
    assert cpo.profiles == {}
    assert ("DELETE", "s-1") in cpo.requests


async def test_a_connector_that_a_plan_leaves_out_loses_its_profile(bridge, cpo, kit):
    await cpo.tell(bridge.http, "s-1", EVSES[1], "ACTIVE")
    plan_id = await bridge.publish([kit.entry("HUB", 5, transaction_id="s-1")])
    await bridge.reaches(plan_id, "HUB", "verified")
    await bridge.publish([])
    await kit.eventually(lambda: ("DELETE", "s-1") in cpo.requests, 60, lambda: "nothing was deleted")
    assert cpo.profiles == {}


async def test_a_dry_run_says_what_would_be_sent(bridge, cpo, kit):
    await cpo.tell(bridge.http, "s-1", EVSES[1], "ACTIVE")
    plan_id = await bridge.publish([kit.entry("HUB", 5, transaction_id="s-1")], dry_run=True)
    assert '"session_id": "s-1"' in (await bridge.states(plan_id))[("HUB", 1)]["detail"]
    assert cpo.requests == []


async def test_only_the_cpo_may_tell_sessions(bridge, cpo):
    url = "/ocpi/2.2.1/sessions/DE/CPO/s-1"
    told = {"status": "ACTIVE", "evse_uid": EVSES[1]}
    assert (await bridge.client.put(url, json=told)).status_code == 401  # the bridge's own token is none of theirs
    stranger = await bridge.client.put(url, json=told, headers={"Authorization": "Token nonsense"})
    assert stranger.status_code == 401
    raw = {"Authorization": f"Token {cpo.peer_token}"}  # older peers do not encode it
    answer = (await bridge.client.put(url, json={**told, "evse_uid": "ELSEWHERE"}, headers=raw)).json()
    assert answer["status_code"] == 2003
    answer = (await bridge.client.patch(url, json={"status": "COMPLETED"}, headers=raw)).json()
    assert answer["status_code"] == 2003


def test_tokens_are_read_in_both_forms():
    assert "example-token" in token_forms("Token ZXhhbXBsZS10b2tlbgo=")  # the specification's own, with a line end
    assert token_forms("Token plain text") == ["plain text"]
    assert token_forms("Bearer x") == []


def test_an_active_profile_is_read_as_a_composite():
    periods = [{"startPeriod": -60.0, "limit": 15.9}, {"startPeriod": 840.0, "limit": 7.2}]
    answer = Answer("", {"status": "Accepted", "charging_rate_unit": "A", "periods": periods})
    composite = OcpiProtocol().composite(answer)
    assert (composite.unit, composite.periods) == ("A", ((-60.0, 15.9), (840.0, 7.2)))
    assert OcpiProtocol().composite(Answer("", {"status": "Unknown"})) is None
