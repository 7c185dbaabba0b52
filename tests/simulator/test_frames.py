import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ocpp.messages import CallResult, unpack, validate_payload

from core.pseudonyms import keyed_hash
from core.time_grid import parse_instant
from simulator.output.frames import registers_at_live_start, write_frames
from simulator.world.history import World


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("frames")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEPOTWISE_HASH_KEY", "a key for tests only")
        write_frames(world, place)
    return place


@pytest.fixture(scope="module")
def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*/*.jsonl")) for line in path.open(encoding="utf-8")]


def calls(lines: list[dict[str, Any]], action: str) -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Return (line, request, answer) of every call of an action."""
    answers = {(line["connection_id"], line["frame"][1]): line["frame"][2] for line in lines if line["frame"][0] == 3}
    return [
        (line, line["frame"][3], answers[line["connection_id"], line["frame"][1]])
        for line in lines
        if line["frame"][0] == 2 and line["frame"][2] == action
    ]


def test_lines_have_the_frame_logs_form_and_lie_in_their_hour(folder: Path):
    for path in folder.glob("*/*.jsonl"):
        instants = []
        for text in path.open(encoding="utf-8"):
            line = json.loads(text)
            assert set(line) == {"at", "station_id", "connection_id", "direction", "frame"}
            assert (line["direction"], line["frame"][0]) in {("in", 2), ("out", 3)}
            assert line["at"].startswith(path.stem)
            instants.append(parse_instant(line["at"]))
        assert instants == sorted(instants)


async def test_frames_are_valid_ocpp(lines: list[dict[str, Any]]):
    """One frame of every action and set of fields, and its answer."""
    kinds: dict[tuple[str, tuple[str, ...], int], tuple[Any, Any]] = {}
    for action in {line["frame"][2] for line in lines if line["frame"][0] == 2}:
        for line, request, answer in calls(lines, action):
            values = request.get("meterValue", [{}])[0].get("sampledValue", [])
            kinds[action, tuple(sorted(request)), len(values)] = (line["frame"], answer)
    for (action, *_), (frame, answer) in kinds.items():
        await validate_payload(unpack(json.dumps(frame)), "1.6")
        await validate_payload(CallResult(frame[1], answer, action=action), "1.6")
    assert {action for action, *_ in kinds} == {
        "Authorize", "BootNotification", "Heartbeat", "MeterValues", "StartTransaction", "StatusNotification",
        "StopTransaction",
    }  # fmt: skip


def test_transactions_carry_the_energy_that_flowed(world: World, lines: list[dict[str, Any]]):
    starts = {answer["transactionId"]: request for _, request, answer in calls(lines, "StartTransaction")}
    stops = {request["transactionId"]: request for _, request, _ in calls(lines, "StopTransaction")}

    assert len(starts) == len(world.sessions)
    assert starts.keys() == stops.keys()
    metered_wh = sum(stops[number]["meterStop"] - starts[number]["meterStart"] for number in starts)
    assert metered_wh / 1000 == pytest.approx(sum(session.energy_kwh for session in world.sessions), abs=1)


def test_registers_never_run_backwards_and_go_on_live(world: World, lines: list[dict[str, Any]]):
    registers: dict[tuple[str, int], list[int]] = defaultdict(list)
    for line, request, _ in calls(lines, "MeterValues"):
        sampled = {one["measurand"]: one for one in request["meterValue"][0]["sampledValue"]}
        registers[line["station_id"], request["connectorId"]].append(
            int(sampled["Energy.Active.Import.Register"]["value"])
        )
    at_start = registers_at_live_start(world)
    for connector in world.fleet.connectors:
        values = registers[connector.station_id, connector.connector_id]
        assert values == sorted(values)
        assert not values or values[-1] <= round(1000 * at_start[connector.index])


def test_statuses_follow_a_transaction_in_order(lines: list[dict[str, Any]]):
    shown: dict[tuple[str, int], list[str]] = defaultdict(list)
    for line, request, _ in calls(lines, "StatusNotification"):
        shown[line["station_id"], request["connectorId"]].append(request["status"])
    following = {
        "Available": {"Preparing", "Available"},
        "Preparing": {"Charging", "SuspendedEVSE", "SuspendedEV", "Finishing"},
        "Charging": {"SuspendedEVSE", "SuspendedEV", "Finishing"},
        "SuspendedEVSE": {"Charging", "SuspendedEV", "Finishing"},
        "SuspendedEV": {"Finishing", "SuspendedEVSE"},
        "Finishing": {"Available"},
    }
    for (_, connector_id), statuses in shown.items():
        if connector_id > 0:
            assert all(later in following[earlier] for earlier, later in pairwise(statuses))


def test_no_plain_token_is_written(world: World, folder: Path):
    text = "".join(path.read_text() for path in folder.glob("*/*.jsonl"))

    assert not [vehicle.token for vehicle in world.fleet.vehicles if vehicle.token in text]
    assert keyed_hash(world.fleet.vehicles[0].token) in text


def test_nothing_is_logged_after_the_live_start(world: World, lines: list[dict[str, Any]]):
    assert max(parse_instant(line["at"]) for line in lines) < world.scenario.live_start_at
