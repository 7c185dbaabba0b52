"""Every action that an OCPP 2.0.1 or 2.1 station may start, answered; the same tolerance as for 1.6."""

from collections.abc import Mapping
from typing import Any, Final

from core.clock import Clock
from core.time_grid import format_instant
from ocpp_bridge.handlers_v16 import Handler, need_text, need_whole, optional_text
from ocpp_bridge.happenings import Happenings, Start
from ocpp_bridge.metering import read_samples
from ocpp_bridge.protocol import whole
from ocpp_bridge.stations import Station
from ocpp_bridge.transactions import Stop
from ocpp_bridge.wire import CallRefusedError, Payload

SIMPLE_ANSWERS: Final[Mapping[str, Payload]] = {
    "ClearedChargingLimit": {},
    "DataTransfer": {"status": "UnknownVendorId"},
    "FirmwareStatusNotification": {},
    "Get15118EVCertificate": {"status": "Failed", "exiResponse": ""},
    "GetCertificateStatus": {"status": "Failed"},
    "LogStatusNotification": {},
    "NotifyChargingLimit": {},
    "NotifyCustomerInformation": {},
    "NotifyDisplayMessages": {},
    "NotifyEVChargingNeeds": {"status": "Processing"},
    "NotifyEVChargingSchedule": {"status": "Accepted"},
    "NotifyEvent": {},
    "NotifyMonitoringReport": {},
    "NotifyReport": {},
    "PublishFirmwareStatusNotification": {},
    "ReportChargingProfiles": {},
    "ReservationStatusUpdate": {},
    "SecurityEventNotification": {},
    "SignCertificate": {"status": "Rejected"},
}
SIMPLE_ANSWERS_21: Final[Mapping[str, Payload]] = {
    **SIMPLE_ANSWERS,
    "BatterySwap": {},
    "ClosePeriodicEventStream": {},
    "NotifyDERAlarm": {},
    "NotifyDERStartStop": {},
    "NotifyPeriodicEventStream": {},
    "NotifyPriorityCharging": {},
    "NotifySettlement": {},
    "OpenPeriodicEventStream": {"status": "Rejected"},
    "PullDynamicScheduleUpdate": {"status": "Rejected"},
    "ReportDERControl": {},
}


class Handlers2:
    """Answers to an OCPP 2.0.1 or 2.1 station's calls."""

    def __init__(self, happenings: Happenings, clock: Clock, *, version: str, heartbeat_interval_s: int) -> None:
        self._happenings = happenings
        self._clock = clock
        self._heartbeat_interval_s = heartbeat_interval_s
        self._simple = SIMPLE_ANSWERS_21 if version == "2.1" else SIMPLE_ANSWERS
        self._handlers: dict[str, Handler] = {
            "Authorize": self._authorize,
            "BootNotification": self._boot,
            "Heartbeat": lambda *_: {"currentTime": self._now()},
            "MeterValues": self._meter_values,
            "StatusNotification": self._status,
            "TransactionEvent": self._transaction_event,
        }
        if version == "2.1":
            self._handlers["VatNumberValidation"] = lambda _, payload: {
                "vatNumber": need_text(payload, "vatNumber"),
                "status": "Rejected",
            }

    @property
    def actions(self) -> frozenset[str]:
        """The actions that are answered."""
        return frozenset(self._handlers) | frozenset(self._simple)

    def handle(self, station: Station, action: str, payload: Payload) -> Payload:
        """Return the answer to a call.

        Raises:
            CallRefusedError: the action is none of a station's, or its payload cannot be understood.
        """
        self._happenings.heard(station, payload)
        if action in self._simple:
            return dict(self._simple[action])
        handler = self._handlers.get(action)
        if handler is None:
            raise CallRefusedError("NotImplemented", "unknown action, or not for a station to send")
        try:
            return handler(station, payload)
        except CallRefusedError as refusal:  # 2.x spells it right
            code = refusal.code.replace("OccurenceConstraint", "OccurrenceConstraint")
            raise CallRefusedError(code, refusal.description) from refusal

    def _now(self) -> str:
        return format_instant(self._clock.now().replace(microsecond=0))

    def _boot(self, station: Station, payload: Payload) -> Payload:
        about = _part(payload, "chargingStation")
        self._happenings.boot(
            station,
            vendor=optional_text(about, "vendorName"),
            model=optional_text(about, "model"),
            firmware=optional_text(about, "firmwareVersion"),
        )
        return {"status": "Accepted", "currentTime": self._now(), "interval": self._heartbeat_interval_s}

    def _authorize(self, _: Station, payload: Payload) -> Payload:
        return {"idTokenInfo": self._token_info(need_text(_part(payload, "idToken"), "idToken"))}

    def _status(self, station: Station, payload: Payload) -> Payload:
        self._happenings.status(station, need_whole(payload, "evseId"), need_text(payload, "connectorStatus"), None)
        return {}

    def _meter_values(self, station: Station, payload: Payload) -> Payload:
        self._read_meter(station, need_whole(payload, "evseId"), None, payload)
        return {}

    def _transaction_event(self, station: Station, payload: Payload) -> Payload:
        event = need_text(payload, "eventType")
        info = _part(payload, "transactionInfo")
        external_id = need_text(info, "transactionId")
        token = optional_text(_part(payload, "idToken"), "idToken")
        at = self._happenings.instant(payload.get("timestamp"))
        number = whole(_part(payload, "evse").get("id")) or self._happenings.connector_of(station, external_id)
        if number is not None and event != "Ended":
            self._happenings.begin(station, number, Start(token, at, None, external_id))
        if number is not None:
            self._read_meter(station, number, external_id, payload)
        if event == "Ended":
            reason = optional_text(info, "stoppedReason") or "Local"
            self._happenings.end(station, external_id, Stop(at, None, reason), token=token)
        return {} if token is None else {"idTokenInfo": self._token_info(token)}

    def _read_meter(self, station: Station, number: int, external_id: str | None, payload: Payload) -> None:
        for stamp, sample in read_samples(payload.get("meterValue")):
            self._happenings.meter(station, number, external_id, self._happenings.instant(stamp), sample)

    def _token_info(self, token: str) -> Payload:
        return {"status": "Accepted" if self._happenings.may_charge(token) else "Invalid"}


def _part(payload: Payload, name: str) -> dict[str, Any]:
    part = payload.get(name)
    return part if isinstance(part, dict) else {}
