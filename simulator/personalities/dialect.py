"""What a station says of its own accord, in the words of each OCPP version. Pure: payloads only."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from core.time_grid import format_instant
from simulator.personalities.traits import Personality

Json = dict[str, Any]
Request = tuple[str, Json]
CHARGING: Final = {"1.6": "Charging", "2.0.1": "Occupied", "2.1": "Occupied"}


def stamp(epoch_s: float) -> str:
    """Return an instant as stations write it: whole seconds, UTC."""
    return format_instant(datetime.fromtimestamp(int(epoch_s), tz=UTC))


@dataclass(frozen=True, slots=True)
class Session:
    """A transaction as the station names it; in 1.6 the id comes from the back end (None until then)."""

    connector_id: int
    token: str
    transaction_id: str | None
    sequence: int = 0


def boot(personality: Personality, version: str) -> Request:
    """Return BootNotification."""
    if version == "1.6":
        return "BootNotification", {
            "chargePointVendor": "Simulated",
            "chargePointModel": personality.name[:20],
            "firmwareVersion": "1.0",
        }
    about = {"vendorName": "Simulated", "model": personality.name[:20], "firmwareVersion": "1.0"}
    return "BootNotification", {"reason": "PowerUp", "chargingStation": about}


def status(version: str, connector_id: int, *, is_charging: bool, at_s: float) -> Request:
    """Return StatusNotification."""
    if version == "1.6":
        word = "Charging" if is_charging else "Available"
        return "StatusNotification", {
            "connectorId": connector_id,
            "errorCode": "NoError",
            "status": word,
            "timestamp": stamp(at_s),
        }
    word = "Occupied" if is_charging else "Available"
    return "StatusNotification", {
        "timestamp": stamp(at_s),
        "connectorStatus": word,
        "evseId": connector_id,
        "connectorId": 1,
    }


def started(version: str, session: Session, *, meter_wh: float, at_s: float) -> Request:
    """Return the message that a transaction begins."""
    if version == "1.6":
        return "StartTransaction", {
            "connectorId": session.connector_id,
            "idTag": session.token,
            "meterStart": round(meter_wh),
            "timestamp": stamp(at_s),
        }
    return _event("Started", "CablePluggedIn", session, at_s=at_s)


def metered(version: str, connector_id: int, session: Session | None, values: list[Json], *, at_s: float) -> Request:
    """Return the message that carries meter values: of the running transaction if there is one."""
    if version == "1.6":
        known = (
            {} if session is None or session.transaction_id is None else {"transactionId": int(session.transaction_id)}
        )
        return "MeterValues", {"connectorId": connector_id, **known, "meterValue": values}
    if session is None:
        return "MeterValues", {"evseId": connector_id, "meterValue": values}
    action, payload = _event("Updated", "MeterValuePeriodic", session, at_s=at_s)
    return action, {**payload, "meterValue": values}


def ended(version: str, session: Session, *, meter_wh: float, at_s: float, under_minus_one: bool = False) -> Request:
    """Return the message that a transaction is over."""
    if version == "1.6":
        known = int(session.transaction_id) if session.transaction_id is not None else -1
        return "StopTransaction", {
            "transactionId": -1 if under_minus_one else known,
            "idTag": session.token,
            "meterStop": round(meter_wh),
            "timestamp": stamp(at_s),
            "reason": "EVDisconnected",
        }
    action, payload = _event("Ended", "EVCommunicationLost", session, at_s=at_s)
    return action, {**payload, "transactionInfo": {**payload["transactionInfo"], "stoppedReason": "EVDisconnected"}}


def _event(kind: str, trigger: str, session: Session, *, at_s: float) -> Request:
    return "TransactionEvent", {
        "eventType": kind,
        "timestamp": stamp(at_s),
        "triggerReason": trigger,
        "seqNo": session.sequence,
        "transactionInfo": {"transactionId": session.transaction_id, "chargingState": "Charging"},
        "evse": {"id": session.connector_id, "connectorId": 1},
        "idToken": {"idToken": session.token, "type": "ISO14443"},
    }
