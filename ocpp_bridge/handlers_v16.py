"""Every action that an OCPP 1.6 station may start, answered. Tolerant of what real stations get wrong.

A required field that is missing or of a wrong type is refused with the fitting error code; anything else that can be
understood is. No action is left without an answer.
"""

from collections.abc import Callable, Mapping
from typing import Final

from core.clock import Clock
from core.time_grid import format_instant
from ocpp_bridge.happenings import Happenings, Start
from ocpp_bridge.metering import read_samples
from ocpp_bridge.protocol import number, whole
from ocpp_bridge.stations import Station
from ocpp_bridge.transactions import Stop
from ocpp_bridge.wire import CallRefusedError, Payload

Handler = Callable[[Station, Payload], Payload]

CSMS_ACTIONS: Final = frozenset(
    {
        "CancelReservation",
        "CertificateSigned",
        "ChangeAvailability",
        "ChangeConfiguration",
        "ClearCache",
        "ClearChargingProfile",
        "DeleteCertificate",
        "ExtendedTriggerMessage",
        "GetCompositeSchedule",
        "GetConfiguration",
        "GetDiagnostics",
        "GetInstalledCertificateIds",
        "GetLocalListVersion",
        "GetLog",
        "InstallCertificate",
        "RemoteStartTransaction",
        "RemoteStopTransaction",
        "ReserveNow",
        "Reset",
        "SendLocalList",
        "SetChargingProfile",
        "SignedUpdateFirmware",
        "TriggerMessage",
        "UnlockConnector",
        "UpdateFirmware",
    }
)


def need_text(payload: Payload, name: str) -> str:
    """Return a required text.

    Raises:
        CallRefusedError: it is missing, or no text.
    """
    value = payload.get(name)
    if value is None:
        raise CallRefusedError("OccurenceConstraintViolation", f"{name} is missing")
    if not isinstance(value, str):
        raise CallRefusedError("TypeConstraintViolation", f"{name} must be a text")
    return value


def need_whole(payload: Payload, name: str) -> int:
    """Return a required whole number; some stations send it as text.

    Raises:
        CallRefusedError: it is missing, or no number.
    """
    if payload.get(name) is None:
        raise CallRefusedError("OccurenceConstraintViolation", f"{name} is missing")
    value = whole(payload[name])
    if value is None:
        raise CallRefusedError("TypeConstraintViolation", f"{name} must be a whole number")
    return value


def optional_text(payload: Payload, name: str) -> str | None:
    """Return a text, or None for anything else."""
    value = payload.get(name)
    return value if isinstance(value, str) else None


class Handlers16:
    """Answers to an OCPP 1.6 station's calls."""

    def __init__(self, happenings: Happenings, clock: Clock, *, heartbeat_interval_s: int) -> None:
        self._happenings = happenings
        self._clock = clock
        self._heartbeat_interval_s = heartbeat_interval_s
        self._handlers: Mapping[str, Handler] = {
            "Authorize": self._authorize,
            "BootNotification": self._boot,
            "DataTransfer": lambda *_: {"status": "UnknownVendorId"},
            "DiagnosticsStatusNotification": lambda *_: {},
            "FirmwareStatusNotification": lambda *_: {},
            "Heartbeat": lambda *_: {"currentTime": self._now()},
            "LogStatusNotification": lambda *_: {},
            "MeterValues": self._meter_values,
            "SecurityEventNotification": lambda *_: {},
            "SignCertificate": lambda *_: {"status": "Rejected"},
            "SignedFirmwareStatusNotification": lambda *_: {},
            "StartTransaction": self._start,
            "StatusNotification": self._status,
            "StopTransaction": self._stop,
        }

    @property
    def actions(self) -> frozenset[str]:
        """The actions that are answered."""
        return frozenset(self._handlers)

    def handle(self, station: Station, action: str, payload: Payload) -> Payload:
        """Return the answer to a call.

        Raises:
            CallRefusedError: the action is none of a station's, or its payload cannot be understood.
        """
        self._happenings.heard(station, payload)
        handler = self._handlers.get(action)
        if handler is None:
            known = action in CSMS_ACTIONS
            code = "NotSupported" if known else "NotImplemented"
            raise CallRefusedError(
                code, f"{action[:50]} is not for a charge point to send" if known else "unknown action"
            )
        return handler(station, payload)

    def _now(self) -> str:
        return format_instant(self._clock.now().replace(microsecond=0))

    def _boot(self, station: Station, payload: Payload) -> Payload:
        self._happenings.boot(
            station,
            vendor=optional_text(payload, "chargePointVendor"),
            model=optional_text(payload, "chargePointModel"),
            firmware=optional_text(payload, "firmwareVersion"),
        )
        return {"status": "Accepted", "currentTime": self._now(), "interval": self._heartbeat_interval_s}

    def _authorize(self, _: Station, payload: Payload) -> Payload:
        return {"idTagInfo": self._tag_info(need_text(payload, "idTag"))}

    def _start(self, station: Station, payload: Payload) -> Payload:
        id_tag = need_text(payload, "idTag")
        start = Start(id_tag, self._happenings.instant(payload.get("timestamp")), number(payload.get("meterStart")))
        transaction = self._happenings.begin(station, need_whole(payload, "connectorId"), start)
        assert transaction is not None, "a start without an id of its own is always booked"
        return {"transactionId": int(transaction.external_id), "idTagInfo": self._tag_info(id_tag)}

    def _stop(self, station: Station, payload: Payload) -> Payload:
        transaction_id = need_whole(payload, "transactionId")
        id_tag = optional_text(payload, "idTag")
        stop = Stop(
            self._happenings.instant(payload.get("timestamp")),
            number(payload.get("meterStop")),
            optional_text(payload, "reason") or "Local",
        )
        self._happenings.end(station, str(transaction_id), stop, token=id_tag)
        return {} if id_tag is None else {"idTagInfo": self._tag_info(id_tag)}

    def _status(self, station: Station, payload: Payload) -> Payload:
        connector_id = need_whole(payload, "connectorId")
        status = need_text(payload, "status")
        self._happenings.status(station, connector_id, status, optional_text(payload, "errorCode"))
        return {}

    def _meter_values(self, station: Station, payload: Payload) -> Payload:
        connector_id = need_whole(payload, "connectorId")
        transaction_id = whole(payload.get("transactionId"))
        for stamp, sample in read_samples(payload.get("meterValue")):
            at = self._happenings.instant(stamp)
            external_id = None if transaction_id is None else str(transaction_id)
            self._happenings.meter(station, connector_id, external_id, at, sample)
        return {}

    def _tag_info(self, id_tag: str) -> Payload:
        return {"status": "Accepted" if self._happenings.may_charge(id_tag) else "Invalid"}
