"""What operators see: status, metrics that Prometheus can read, structured logs, the audit log."""

import asyncio
import io
import json
import logging
import re
from datetime import timedelta

import pytest
import yaml
from typer.testing import CliRunner

from core.audit import verify
from core.time_grid import parse_instant
from ocpp_bridge import logs
from ocpp_bridge.security import hash_password
from orchestration.cli.app import app
from orchestration.cli.output import console

SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (-?[0-9.e+-]+)$')


def read_metrics(text):
    """Read Prometheus' text format strictly: every family once, with help and type before its samples."""
    found, kinds, family = {}, {}, None
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ", 3)[2]
            assert family not in kinds, f"{family} comes twice"
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family
            kinds[name] = kind
        else:
            match = SAMPLE.match(line)
            assert match, line
            assert match[1] == family
            labels = tuple(sorted(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2] or "")))
            assert (match[1], labels) not in found
            found[(match[1], labels)] = float(match[3])
    assert all(kind == "counter" for name, kind in kinds.items() if name.endswith("_total"))
    return found


async def charging(lone, kit, station, power_kw=10.5):
    """Have a station charge under a plan, with a meter near its limit; return the plan's id."""
    await lone.settled("CP-1")
    await station.status(1, "Charging")
    transaction_id = await station.start(1)
    plan_id = await lone.publish([kit.entry("CP-1", 11, transaction_id=transaction_id)])
    await lone.reaches(plan_id, "CP-1", "verified")
    await station.meter(1, {"value": str(power_kw), "measurand": "Power.Active.Import", "unit": "kW"})
    return plan_id


async def test_the_status_is_complete(lone, kit):
    async with lone.station("CP-1") as station:
        plan_id = await charging(lone, kit, station)
        found = (await lone.client.get("/stations")).json()
        site, one = found["site"], found["stations"][0]
        assert (site["plan_id"], site["limit_kw"], site["power_kw"]) == (plan_id, 30, 10.5)
        assert parse_instant(site["valid_until"]) > parse_instant(site["at"])
        assert site["override"] is None
        assert (one["vendor"], one["model"], one["firmware"]) == ("test", "raw", "1")
        assert (one["units"], one["max_periods"], one["upstream"]) == (["A", "W"], 24, None)
        assert parse_instant(site["at"]) - parse_instant(one["last_seen_at"]) < timedelta(seconds=5)
        connector = one["connectors"][0]
        assert (connector["plan_state"], connector["evidence"]) == ("verified", "composite")
        assert connector["above_limit"] is False
        await station.meter(1, {"value": "14", "measurand": "Power.Active.Import", "unit": "kW"})
        connector = (await lone.client.get("/stations")).json()["stations"][0]["connectors"][0]
        assert connector["above_limit"] is True


async def test_prometheus_reads_the_metrics(lone, kit):
    async with lone.station("CP-1") as station:
        await charging(lone, kit, station)
        found = read_metrics((await lone.client.get("/metrics")).text)
    connector = (("connector", "1"), ("station", "CP-1"))
    assert found[("depotwise_bridge_power_kw", connector)] == 10.5
    assert found[("depotwise_bridge_connector_limit_kw", connector)] == pytest.approx(10.97, abs=0.1)
    assert found[("depotwise_bridge_connector_evidence_rung", connector)] == 2
    assert found[("depotwise_bridge_limit_kw", (("group", ""),))] == 30
    assert found[("depotwise_bridge_station_connected", (("station", "CP-1"), ("version", "1.6")))] == 1
    assert found[("depotwise_bridge_deliveries", (("state", "verified"),))] == 1
    assert found[("depotwise_bridge_problems", ())] == 0
    ends_s = found[("depotwise_bridge_plan_valid_until_seconds", ())]
    assert ends_s - found[("depotwise_bridge_clock_seconds", ())] == pytest.approx(4 * 3600, abs=60)


async def test_the_command_shows_it(lone, kit, tmp_path, monkeypatch):
    monkeypatch.setattr(console, "width", 220)
    config = kit.config_dict(tmp_path / "state", stations=("CP-1",))
    config["http"]["port"] = lone.bridge.http_port
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")

    async def run(*arguments):
        return await asyncio.to_thread(CliRunner().invoke, app, ["bridge", "status", "--config", str(file), *arguments])

    async with lone.station("CP-1") as station:
        plan_id = await charging(lone, kit, station)
        limit = {"ev_limit_kw": 20, "valid_until": "2099-01-01T00:00:00Z", "reason": "grid operator"}
        assert (await lone.client.put("/limits", json=limit)).status_code == 200
        shown = await run()
        assert shown.exit_code == 0, shown.output
        first, second, _, row = shown.output.splitlines()[:4]
        assert first == "ok"
        assert second.startswith(f"north: plan {plan_id} of ")
        assert "power 10.5 kW" in second
        assert "limited to 20 kW until 2099-01-01T00:00:00Z (grid operator)" in second
        assert row.split()[:2] == ["CP-1", "yes"]
        for word in ("1.6", "Charging", "verified", "composite", "10.5"):
            assert word in row
        document = json.loads((await run("--json")).output.splitlines()[-1])
        assert document["schema"] == "depotwise.bridge_status/1"
        assert document["stations"][0]["connectors"][0]["plan_state"] == "verified"


async def test_every_change_is_in_the_audit_log(lone, kit, tmp_path):
    file = tmp_path / "state" / "audit.jsonl"
    async with lone.station("CP-1") as station:
        plan_id = await charging(lone, kit, station)
        await lone.publish([kit.entry("CP-1", 9)], dry_run=True)
        limit = {"ev_limit_kw": 20, "valid_until": "2099-01-01T00:00:00Z", "reason": "grid operator"}
        await lone.client.put("/limits", json=limit)
        await lone.client.post("/revoke", json={"station_id": "CP-1"})
        assert (await lone.client.put("/publications/x", json={})).status_code == 422  # changes nothing
    entries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    told = [(one["what"], one["by"]) for one in entries]
    assert told[:2] == [("credentials", "the configuration")] * 2
    assert told[2:] == [("publication", "http"), ("publication", "http"), ("limit", "http"), ("revoke", "http")]
    assert entries[2]["detail"]["plan_id"] == plan_id
    assert [one["detail"].get("dry_run") for one in entries[2:4]] == [False, True]
    assert entries[4]["detail"]["reason"] == "grid operator"
    assert verify(file).problem is None
    assert kit.token not in file.read_text(encoding="utf-8")
    shown = CliRunner().invoke(app, ["audit", "verify", str(file)])
    assert (shown.exit_code, "6 lines, whole" in shown.output) == (0, True)
    file.write_text(file.read_text(encoding="utf-8").replace("grid operator", "nobody"), encoding="utf-8")
    assert CliRunner().invoke(app, ["audit", "verify", str(file)]).exit_code == 1


async def test_changed_credentials_are_told_once_and_never_shown(kit, tmp_path, monkeypatch):
    config = kit.config_dict(tmp_path / "state")

    def changes():
        lines = (tmp_path / "state" / "audit.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["detail"]["change"] for line in lines]

    async with kit.running_bridge(config):
        assert changes() == ["station CP-1: new", "station CP-2: new", "the HTTP token: new"]
    async with kit.running_bridge(config):
        assert len(changes()) == 3
    config["stations"][0]["password_hash"] = hash_password(b"a new password")
    config["stations"] = config["stations"][:1]
    monkeypatch.setenv("DEPOTWISE_BRIDGE_TOKEN", "another token")
    async with kit.running_bridge(config):
        assert changes()[3:] == ["station CP-1: changed", "station CP-2: gone", "the HTTP token: changed"]
    text = (tmp_path / "state" / "audit.jsonl").read_text(encoding="utf-8")
    assert "another token" not in text
    assert config["stations"][0]["password_hash"] not in text


async def test_an_audit_log_that_cannot_be_written_holds_nothing_up(lone, kit, tmp_path):
    (tmp_path / "state" / "audit.jsonl").unlink()
    (tmp_path / "state" / "audit.jsonl").mkdir()
    async with lone.station("CP-1") as station:
        await charging(lone, kit, station)
    reasons = (await lone.client.get("/health")).json()["reasons"]
    assert any(reason.startswith("the audit log cannot be written") for reason in reasons)
    found = read_metrics((await lone.client.get("/metrics")).text)
    assert found[("depotwise_bridge_audit_lost_total", ())] == 1


def test_logs_are_json_objects_that_name_the_station():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    logger = logging.getLogger("ocpp_bridge.test_logs")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("%s: lost\nand found", "CP-1", extra={"station_id": "CP-1", "plan_id": None})
    line = json.loads(stream.getvalue())
    assert (line["level"], line["message"], line["station_id"]) == ("error", "CP-1: lost\nand found", "CP-1")
    assert "plan_id" not in line
    assert line["error"].endswith("ValueError: no")
    assert parse_instant(line["at"]).tzinfo is not None
    assert stream.getvalue().count("\n") == 1
