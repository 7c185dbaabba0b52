"""Writes the history of charging as OCPP 1.6 frames, in the lines and hourly files of a bridge's frame log.

The log was kept by whoever the stations were connected to then: calls of the station are ``in``, answers ``out``.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from core.pseudonyms import keyed_hash
from core.time_grid import format_instant
from simulator.charge_point.measurands import sampled_values
from simulator.scenario import Scenario
from simulator.world.chance import share, stream
from simulator.world.charging import STEP, STEP_HOURS, Session
from simulator.world.fleet import Connector
from simulator.world.history import World

SECOND = timedelta(seconds=1)
METER_STEPS = 3  # a sample every 15 minutes while energy flows
IDLE_STEPS = 24  # and every two hours while it does not
HEARTBEAT_EVERY = timedelta(hours=4)
FIRST_TRANSACTION = 100_000
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """A call of a station and its answer."""

    at: datetime
    station_id: str
    action: str
    request: Json
    answer: Json
    answer_after: timedelta = timedelta(milliseconds=180)


def write_frames(world: World, folder: Path) -> int:
    """Write ``<folder>/<site_id>/YYYY-MM-DDTHH.jsonl`` for the whole history; return the number of frames.

    Raises:
        core.settings.MissingSecretError: ``DEPOTWISE_HASH_KEY`` is not set.
    """
    frames = 0
    for site in world.fleet.sites:
        messages = sorted(_messages(world, site.site_id), key=lambda message: (message.at, message.station_id))
        hours: dict[str, list[str]] = defaultdict(list)
        for at, line in sorted(_lines(world.scenario, messages), key=lambda pair: pair[0]):
            hours[f"{at:%Y-%m-%dT%H}"].append(line)
            frames += 1
        place = folder / site.site_id
        place.mkdir(parents=True, exist_ok=True)
        for hour, lines in hours.items():
            (place / f"{hour}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return frames


def _lines(scenario: Scenario, messages: list[Message]) -> Iterator[tuple[datetime, str]]:
    """Yield (instant, line) of each call and its answer; ids count within a connection."""
    connections: dict[str, int] = defaultdict(int)
    numbers: dict[str, int] = defaultdict(int)
    for message in messages:
        if message.at >= scenario.live_start_at:
            continue
        station_id = message.station_id
        if message.action == "BootNotification":
            connections[station_id] += 1
            numbers[station_id] = 0
        numbers[station_id] += 1
        connection_id = f"{station_id}-{connections[station_id]}"
        uid = f"{connections[station_id]:x}-{numbers[station_id]:x}"
        call = [2, uid, message.action, message.request]
        yield message.at, _line(message.at, station_id, connection_id, "in", call)
        answered_at = message.at + message.answer_after
        yield answered_at, _line(answered_at, station_id, connection_id, "out", [3, uid, message.answer])


def _line(at: datetime, station_id: str, connection_id: str, direction: str, frame: list[Any]) -> str:
    line = {
        "at": format_instant(at),
        "station_id": station_id,
        "connection_id": connection_id,
        "direction": direction,
        "frame": frame,
    }
    return json.dumps(line, separators=(",", ":"))


def _messages(world: World, site_id: str) -> Iterator[Message]:
    for station_id in sorted({connector.station_id for connector in world.fleet.connectors_of(site_id)}):
        yield from _station_messages(world, station_id)
    registers: dict[int, float] = {}
    sessions = [session for session in world.sessions if session.stay.wish.site_id == site_id]
    for number, session in enumerate(sessions):
        transaction_id = FIRST_TRANSACTION * (1 + [s.site_id for s in world.fleet.sites].index(site_id)) + number
        yield from _session_messages(world, session, transaction_id, registers)


def _station_messages(world: World, station_id: str) -> Iterator[Message]:
    """Yield what a station says of itself: boot, status of its connectors, heartbeats, boots after lost connections."""
    scenario = world.scenario
    chance = stream(scenario.seed, "station", station_id)
    connectors = [connector for connector in world.fleet.connectors if connector.station_id == station_id]
    boots = [scenario.history_start_at + float(chance.uniform(5, 50)) * SECOND]
    for day in range(scenario.days):
        if chance.uniform() < scenario.faults.reconnects_per_day:
            boots.append(boots[0] + timedelta(days=day, hours=10.6 + float(chance.uniform(0, 4))))
    for boot_at in boots:
        yield _boot(boot_at, connectors)
        for connector_id in [0, *(connector.connector_id for connector in connectors)]:
            if boot_at == boots[0] or connector_id == 0:
                yield status(boot_at + (2 + connector_id) * SECOND, station_id, connector_id, "Available")
    beats = int((scenario.live_start_at - boots[0]) / HEARTBEAT_EVERY)
    for k in range(1, beats + 1):
        at = boots[0] + k * HEARTBEAT_EVERY
        yield Message(at, station_id, "Heartbeat", {}, {"currentTime": format_instant(at.replace(microsecond=0))})


def _boot(at: datetime, connectors: list[Connector]) -> Message:
    request = {
        "chargePointVendor": "Ampere Works" if connectors[0].current_type == "ac" else "Gleichstrom",
        "chargePointModel": f"{connectors[0].current_type.upper()}{connectors[0].max_kw:.0f}",
        "chargePointSerialNumber": f"SN{connectors[0].index:06d}",
        "firmwareVersion": "1.8.2",
    }
    answer = {"status": "Accepted", "currentTime": format_instant(at.replace(microsecond=0)), "interval": 14400}
    return Message(at, connectors[0].station_id, "BootNotification", request, answer)


def status(at: datetime, station_id: str, connector_id: int, name: str) -> Message:
    """Return a StatusNotification."""
    request = {
        "connectorId": connector_id,
        "errorCode": "NoError",
        "status": name,
        "timestamp": format_instant(at.replace(microsecond=0)),
    }
    return Message(at, station_id, "StatusNotification", request, {})


def _session_messages(
    world: World, session: Session, transaction_id: int, registers: dict[int, float]
) -> Iterator[Message]:
    """Yield a transaction from plugging in to unplugging; ``registers`` (kWh) run on from one to the next."""
    scenario, stay = world.scenario, session.stay
    station_id, connector_id = stay.connector.station_id, stay.connector.connector_id
    token = keyed_hash(stay.token)
    first_kwh = registers.setdefault(stay.connector.index, _first_register_kwh(scenario, stay.connector))
    registers[stay.connector.index] = first_kwh + session.energy_kwh
    plug_at, unplug_at = stay.wish.plug_at, stay.wish.unplug_at
    start_at = plug_at + 14 * SECOND
    accepted = {"status": "Accepted"}
    yield status(plug_at, station_id, connector_id, "Preparing")
    yield Message(plug_at + 11 * SECOND, station_id, "Authorize", {"idTag": token}, {"idTagInfo": accepted})
    start = {
        "connectorId": connector_id,
        "idTag": token,
        "meterStart": round(1000 * first_kwh),
        "timestamp": format_instant(start_at.replace(microsecond=0)),
    }
    answer = {"transactionId": transaction_id, "idTagInfo": accepted}
    yield Message(start_at, station_id, "StartTransaction", start, answer)
    yield from _meter_messages(world, session, transaction_id, first_kwh, start_at)
    if share(scenario.seed, "lost stop", transaction_id) < scenario.faults.lost_stop_share:
        return  # power failed: the station never says that it ended
    stop = {
        "transactionId": transaction_id,
        "idTag": token,
        "meterStop": round(1000 * registers[stay.connector.index]),
        "timestamp": format_instant(unplug_at.replace(microsecond=0)),
        "reason": "EVDisconnected" if share(scenario.seed, "reason", transaction_id) < 0.7 else "Local",
    }
    yield Message(unplug_at, station_id, "StopTransaction", stop, {"idTagInfo": accepted})
    yield status(unplug_at + SECOND, station_id, connector_id, "Finishing")
    yield status(unplug_at + 9 * SECOND, station_id, connector_id, "Available")


def _meter_messages(
    world: World, session: Session, transaction_id: int, first_kwh: float, start_at: datetime
) -> Iterator[Message]:
    """Yield status changes and meter values of a transaction."""
    stay = session.stay
    register_kwh, state, quiet_steps = first_kwh, "Preparing", 0
    for k, (power_kw, soc) in enumerate(zip(session.powers_kw, session.socs, strict=True)):
        at = world.scenario.history_start_at + (session.first_step + k + 1) * STEP
        register_kwh += power_kw * STEP_HOURS
        if at <= start_at + 20 * SECOND:
            continue
        if at >= stay.wish.unplug_at:
            return
        now = "Charging" if power_kw > 0 else ("SuspendedEV" if soc >= 0.9999 else "SuspendedEVSE")
        if now != state:
            state, quiet_steps = now, 0
            yield status(at - STEP + 20 * SECOND, stay.connector.station_id, stay.connector.connector_id, now)
        quiet_steps += 1
        is_due = (session.first_step + k + 1) % METER_STEPS == 0
        if is_due and (power_kw > 0 or quiet_steps <= METER_STEPS or quiet_steps % IDLE_STEPS < METER_STEPS):
            request = {
                "connectorId": stay.connector.connector_id,
                "transactionId": transaction_id,
                "meterValue": [
                    {
                        "timestamp": format_instant(at.replace(microsecond=0)),
                        "sampledValue": sampled_values(
                            stay.connector,
                            register_kwh=register_kwh,
                            power_kw=power_kw,
                            phases=stay.phases,
                            soc=soc,
                            offered_kw=None,
                        ),
                    }
                ],
            }
            yield Message(at + SECOND, stay.connector.station_id, "MeterValues", request, {})


def registers_at_live_start(world: World) -> dict[int, float]:
    """Return every connector's energy register (kWh) where the history left it, by the connector's index."""
    registers = {
        connector.index: _first_register_kwh(world.scenario, connector) for connector in world.fleet.connectors
    }
    for session in world.sessions:
        registers[session.stay.connector.index] += session.energy_kwh
    return registers


def _first_register_kwh(scenario: Scenario, connector: Connector) -> float:
    return round(500 + 40_000 * share(scenario.seed, "register", connector.index), 3)
