"""A charging station: what it does when a vehicle comes and goes, when time passes and when the back end calls.

No socket here: requests go into a queue that ``link`` empties, answers come back through callbacks. All times are the
simulated world's.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.time_grid import format_instant
from simulator.charge_point.connector import Outlet, Plugged, Running
from simulator.charge_point.limits import offered_kw, share_station, total_kw
from simulator.charge_point.measurands import sampled_values
from simulator.charge_point.profiles import ProfileStore
from simulator.charge_point.settings import Settings
from simulator.world.fleet import Connector

log = logging.getLogger(__name__)

Json = dict[str, Any]
IDLE_SAMPLES = 3  # while nothing flows, every third sample is sent
MOST_QUEUED = 5000


@dataclass(slots=True)
class Request:
    """A call to be sent. The payload is made when it is sent; ``is_kept`` ones survive a lost connection."""

    action: str
    payload: Callable[[], Json]
    on_answer: Callable[[Json | None], None] | None = None
    is_kept: bool = False


class Station:
    """One charge point with its connectors, profiles, settings and queue of requests."""

    def __init__(self, station_id: str, connectors: list[Connector], registers_kwh: Mapping[int, float]) -> None:
        self.station_id = station_id
        self.outlets = {
            connector.connector_id: Outlet(connector, registers_kwh[connector.index]) for connector in connectors
        }
        self.profiles = ProfileStore()
        self.settings = Settings(connectors)
        self.queue: deque[Request] = deque()
        self.is_online = False
        self.now: datetime | None = None
        self.wants_restart = False
        self.wake: Callable[[], None] = lambda: None

    def boot_info(self) -> Json:
        """Return the payload of BootNotification."""
        first = next(iter(self.outlets.values())).connector
        return {
            "chargePointVendor": "Ampere Works" if first.current_type == "ac" else "Gleichstrom",
            "chargePointModel": f"{first.current_type.upper()}{first.max_kw:.0f}",
            "chargePointSerialNumber": f"SN{first.index:06d}",
            "firmwareVersion": "1.8.2",
        }

    def restart(self) -> None:
        """Ask the link to drop the connection and boot again; profiles survive, as the standard wants."""
        self.wants_restart = True
        self.wake()

    def come_online(self, at: datetime) -> None:
        """Go on after (re)connecting: transactions' requests survived, statuses and waiting tokens are sent anew."""
        self.is_online = True
        kept = [request for request in self.queue if request.is_kept]
        self.queue.clear()
        self.queue.extend(kept)
        self.report_statuses(at)
        for outlet in self.outlets.values():
            if outlet.plugged is not None and outlet.plugged.is_waiting:
                self._authorize(outlet, outlet.plugged)

    def report(self, action: str) -> None:
        """Queue a BootNotification or Heartbeat that the back end asked for."""
        self._send(action, self.boot_info if action == "BootNotification" else dict)

    def plug_in(self, connector_id: int, vehicle: Plugged) -> None:
        """Take a vehicle's plug and present its token; charging starts when the back end accepts it."""
        outlet = self.outlets[connector_id]
        if outlet.plugged is not None:
            raise ValueError(f"{self.station_id}: connector {connector_id} is taken")
        outlet.plugged, outlet.charged_kwh = vehicle, 0.0
        self._show(outlet, "Preparing", vehicle.plugged_at)
        if self.is_online:
            self._authorize(outlet, vehicle)
        else:
            self._start(outlet, vehicle, vehicle.plugged_at)  # LocalAuthorizeOffline

    def unplug(self, connector_id: int, at: datetime) -> Plugged:
        """Give the vehicle back and end its transaction."""
        outlet = self.outlets[connector_id]
        vehicle = outlet.plugged
        if vehicle is None:
            raise ValueError(f"{self.station_id}: nothing is plugged in at connector {connector_id}")
        had_transaction = outlet.running is not None
        self.stop(connector_id, at, reason="EVDisconnected")
        outlet.plugged = None
        outlet.rest()
        if had_transaction:
            self._show(outlet, "Finishing", at)
        self._show(outlet, "Available", at)
        return vehicle

    def stop(self, connector_id: int, at: datetime, *, reason: str) -> None:
        """End the running transaction, if any."""
        outlet = self.outlets[connector_id]
        running, outlet.running = outlet.running, None
        self.profiles.end_transaction(connector_id)
        if running is None:
            return
        meter_stop = round(1000 * outlet.register_kwh)

        def payload() -> Json:
            # A start that the back end never confirmed is ended under id -1, as stations do.
            transaction_id = running.transaction_id if running.transaction_id is not None else -1
            return {
                "transactionId": transaction_id,
                "idTag": running.token,
                "meterStop": meter_stop,
                "timestamp": _stamp(at),
                "reason": reason,
            }

        self._send("StopTransaction", payload, is_kept=True)

    def tick(self, at: datetime, duration: timedelta) -> None:
        """Let a step of time end at an instant: charge, update statuses, send meter values that are due."""
        self.now = at
        begin_at = at - duration
        for connector_id, power_kw in self._offers(begin_at).items():
            self.outlets[connector_id].charge(power_kw, duration)
        for outlet in self.outlets.values():
            if not outlet.is_live:
                outlet.rest()
            self._show(outlet, outlet.status_now(), at)
            self._sample(outlet, at)

    def statuses(self) -> list[tuple[int, str]]:
        """Return (connector, status) as the station reports them after connecting; 0 is the station."""
        return [(0, "Available"), *((number, outlet.status) for number, outlet in sorted(self.outlets.items()))]

    def report_statuses(self, at: datetime, *, connector_id: int | None = None) -> None:
        """Queue the present statuses, or one of them."""
        for number, status in self.statuses():
            if connector_id in (None, number):
                self._notify(number, status, at)

    def report_meter(self, connector_id: int, at: datetime) -> None:
        """Queue a meter sample."""
        outlet = self.outlets[connector_id]
        running = outlet.running
        sampled = sampled_values(
            outlet.connector,
            register_kwh=outlet.register_kwh,
            power_kw=outlet.power_kw,
            phases=outlet.plugged.phases if outlet.plugged else 3,
            soc=outlet.plugged.soc if outlet.plugged else None,
            offered_kw=outlet.offered_kw,
        )
        wanted = set(self.settings.text("MeterValuesSampledData").split(","))
        values = [{"timestamp": _stamp(at), "sampledValue": [one for one in sampled if one["measurand"] in wanted]}]

        def payload() -> Json:
            known = running is not None and running.transaction_id is not None
            transaction = {"transactionId": running.transaction_id} if running is not None and known else {}
            return {"connectorId": connector_id, **transaction, "meterValue": values}

        self._send("MeterValues", payload, is_kept=running is not None)

    def power_kw(self) -> float:
        """Return what all connectors draw."""
        return sum(outlet.power_kw for outlet in self.outlets.values())

    def _offers(self, at: datetime) -> dict[int, float]:
        """Return what each connector with a running transaction offers, within the station's own maximum."""
        offers, least = {}, {}
        for connector_id, outlet in self.outlets.items():
            if not outlet.is_live or outlet.plugged is None:
                continue
            limit = self.profiles.connector_limit(connector_id, at, outlet.transaction)
            offers[connector_id] = offered_kw(outlet.connector, limit, outlet.plugged.phases)
            is_ac = outlet.connector.current_type == "ac"
            least[connector_id] = outlet.connector.min_kw * (outlet.plugged.phases / 3 if is_ac else 1.0)
        maximum = self.profiles.station_limit(at)
        return share_station(offers, least, None if maximum is None else total_kw(maximum))

    def _authorize(self, outlet: Outlet, vehicle: Plugged) -> None:
        """Ask whether the token may charge; a back end that answers with an error counts as one that does not know."""

        def authorized(answer: Json | None) -> None:
            is_first, vehicle.is_waiting = vehicle.is_waiting, False
            accepted = answer is None or _id_tag_status(answer) == "Accepted"
            if accepted and is_first and outlet.plugged is vehicle:
                self._start(outlet, vehicle, self._instant(vehicle.plugged_at))

        self._send("Authorize", lambda: {"idTag": vehicle.token}, authorized)

    def _start(self, outlet: Outlet, vehicle: Plugged, at: datetime) -> None:
        """Start a transaction and tell the back end, whose answer brings the id."""
        vehicle.is_waiting = False
        running = Running(vehicle.token, at, outlet.register_kwh)
        outlet.running = running
        outlet.next_sample_at = None
        connector_id, meter_start = outlet.connector.connector_id, round(1000 * outlet.register_kwh)
        request = {
            "connectorId": connector_id,
            "idTag": vehicle.token,
            "meterStart": meter_start,
            "timestamp": _stamp(at),
        }

        def started(answer: Json | None) -> None:
            if answer is None:
                return
            running.transaction_id = int(answer["transactionId"])
            if _id_tag_status(answer) != "Accepted" and outlet.running is running:
                self.stop(connector_id, self._instant(at), reason="DeAuthorized")

        self._send("StartTransaction", lambda: request, started, is_kept=True)

    def _sample(self, outlet: Outlet, at: datetime) -> None:
        """Queue meter values at multiples of the interval while a transaction runs; fewer while nothing flows."""
        if not outlet.is_live:
            return
        interval = timedelta(seconds=max(60, self.settings.number("MeterValueSampleInterval")))
        if outlet.next_sample_at is None:
            outlet.next_sample_at = _next_multiple(at, interval)
        if at >= outlet.next_sample_at:
            self.report_meter(outlet.connector.connector_id, at)
            outlet.next_sample_at = _next_multiple(at, interval * (1 if outlet.power_kw > 0 else IDLE_SAMPLES))

    def _show(self, outlet: Outlet, status: str, at: datetime) -> None:
        if status == outlet.status:
            return
        outlet.status = status
        self._notify(outlet.connector.connector_id, status, at)

    def _notify(self, connector_id: int, status: str, at: datetime) -> None:
        if not self.is_online:
            return  # statuses are reported anew after connecting
        request = {"connectorId": connector_id, "errorCode": "NoError", "status": status, "timestamp": _stamp(at)}
        self._send("StatusNotification", lambda: request)

    def _send(
        self,
        action: str,
        payload: Callable[[], Json],
        on_answer: Callable[[Json | None], None] | None = None,
        *,
        is_kept: bool = False,
    ) -> None:
        if len(self.queue) >= MOST_QUEUED:
            log.warning("%s: the queue is full; %s is dropped", self.station_id, action)
            return
        self.queue.append(Request(action, payload, on_answer, is_kept))
        self.wake()

    def _instant(self, otherwise: datetime) -> datetime:
        return max(self.now or otherwise, otherwise)


def _id_tag_status(answer: Json) -> str:
    info = answer.get("idTagInfo")
    return str(info.get("status")) if isinstance(info, dict) else "Invalid"


def _next_multiple(at: datetime, interval: timedelta) -> datetime:
    seconds = interval.total_seconds()
    return at + timedelta(seconds=seconds - at.timestamp() % seconds)


def _stamp(instant: datetime) -> str:
    return format_instant(instant.replace(microsecond=0))
