"""What stations tell us, in no particular OCPP version: statuses, transactions, meter values.

The handlers of each version translate into these calls; here they become state, booked transactions, events, and news
for the conductor. Nothing is sent from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from core.clock import Clock
from core.time_grid import format_instant, parse_instant
from ocpp_bridge.clocks import newest_stamp
from ocpp_bridge.conductor import Conductor
from ocpp_bridge.config import AccessConfig
from ocpp_bridge.events import EventLog
from ocpp_bridge.evidence import ExpectedPhases, Finding, Watch
from ocpp_bridge.holdings import ConnectorKey
from ocpp_bridge.metering import Sample, mean_power_kw
from ocpp_bridge.outbox import Evidence
from ocpp_bridge.profiles import Slot
from ocpp_bridge.redaction import Hasher
from ocpp_bridge.stations import IDLE_STATUSES, Connector, Depot, RegisterReading, Station
from ocpp_bridge.transactions import Stop, Transaction, Transactions

OCCUPIED: Final = frozenset({"Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing", "Occupied"})
IN_TRANSACTION: Final = frozenset({"Charging", "SuspendedEV", "SuspendedEVSE"})
MEAN_OVER_S: Final = 60.0  # a register of whole Wh tells a power within 0.06 kW then
MEAN_OVER_MOST_S: Final = 1800.0
LATEST_ID: Final = 2**31 - 1
AT_ONCE: Final = frozenset({"transaction_started", "transaction_ended"})
"""Stored before the station is answered: an answered message is not told again, so a killed bridge would lose it."""


@dataclass(frozen=True, slots=True)
class Start:
    """A transaction's beginning, as told."""

    token: str | None
    started_at: datetime
    meter_wh: float | None
    external_id: str | None = None


class Happenings:
    """Takes note of what stations say."""

    def __init__(
        self,
        *,
        depot: Depot,
        transactions: Transactions,
        events: EventLog,
        conductor: Conductor,
        clock: Clock,
        hash_token: Hasher,
        access: AccessConfig,
    ) -> None:
        self._depot = depot
        self._transactions = transactions
        self._events = events
        self._conductor = conductor
        self._clock = clock
        self._hash_token = hash_token
        self._access = access
        self._watches: dict[ConnectorKey, Watch] = {}

    def restore(self) -> None:
        """Take up the transactions that ran when the bridge stopped; whether they still do will show."""
        for transaction in self._transactions.all_running():
            connector = self._depot.connector(transaction.key)
            if connector is not None:
                connector.transaction_id = transaction.external_id
                self._conductor.transaction(transaction.key, transaction.external_id, seen=False)

    def instant(self, stamp: object) -> datetime:
        """Read a station's time stamp; the present where it has none, or one before its clock was set."""
        now = self._clock.now()
        if not isinstance(stamp, str):
            return now
        try:
            return parse_instant(stamp)
        except (ValueError, OverflowError):
            try:
                return parse_instant(f"{stamp}Z")
            except (ValueError, OverflowError):
                return now

    def heard(self, station: Station, payload: Mapping[str, object]) -> None:
        """A station sent a message: its time stamp, if it has one, tells of the station's clock."""
        stamp = newest_stamp(payload)
        if stamp is not None:
            station.clock.note(stamp, self._clock.now())
            self._conductor.clock_known(station.station_id, station.clock.bounds)

    def may_charge(self, id_tag: object) -> bool:
        """Say whether a token may charge here."""
        if self._access.policy == "open":
            return True
        return isinstance(id_tag, str) and self._hash_token(id_tag) in self._access.tokens

    def boot(self, station: Station, *, vendor: str | None, model: str | None, firmware: str | None) -> None:
        """A station started."""
        station.vendor, station.model, station.firmware = vendor, model, firmware
        station.clock.forget()
        self._conductor.clock_known(station.station_id, station.clock.bounds)
        self._conductor.station_booted(station.station_id)

    def status(self, station: Station, number: int, status: str, error_code: str | None) -> None:
        """A connector (0: the whole station) reports its status."""
        data = {"status": status, "error_code": None if error_code in (None, "NoError") else error_code}
        self._event("status", station, number, **data)
        connector = station.connectors.get(number)
        if connector is None:
            return
        before, connector.status = connector.status, status
        if status in OCCUPIED and before not in OCCUPIED:
            self._event("plugged", station, number)
        if status == "Available" and before in OCCUPIED:
            self._event("unplugged", station, number)
        self._conductor.idle(connector.key, is_idle=status in IDLE_STATUSES)
        if status == "Available" and connector.transaction_id is not None:
            # The vehicle is gone, whether or not a StopTransaction is still to come.
            self._forget(connector)
        elif status in IN_TRANSACTION and connector.transaction_id is not None:
            self._conductor.transaction(connector.key, connector.transaction_id)

    def connector_of(self, station: Station, external_id: str) -> int | None:
        """Return the connector on which a transaction runs; later events of 2.x need not name it."""
        running = (number for number, one in station.connectors.items() if one.transaction_id == external_id)
        return next(running, None)

    def begin(self, station: Station, number: int, start: Start) -> Transaction | None:
        """A transaction starts; return it as booked, or None if we know already that it is over."""
        if start.external_id is not None and self._transactions.has_ended(station.station_id, start.external_id):
            return None
        token = None if start.token is None else self._hash_token(start.token)
        transaction, is_new = self._transactions.begin(
            (station.station_id, number),
            token=token,
            started_at=start.started_at,
            meter_start_wh=start.meter_wh,
            external_id=start.external_id,
        )
        connector = station.connectors.get(number)
        if connector is not None:
            if connector.transaction_id != transaction.external_id:
                self._watches.pop(connector.key, None)
            connector.transaction_id = transaction.external_id
            if connector.status in IDLE_STATUSES:
                connector.status = None
            self._conductor.idle(connector.key, is_idle=False)
            self._conductor.transaction(connector.key, transaction.external_id)
        if is_new:
            self._event(
                "transaction_started",
                station,
                number,
                transaction_id=public_id(station.version, transaction.external_id),
                token=token,
                started_at=format_instant(start.started_at),
                meter_start_kwh=None if start.meter_wh is None else start.meter_wh / 1000,
            )
        return transaction

    def end(self, station: Station, external_id: str, stop: Stop, *, token: str | None = None) -> None:
        """A transaction ended."""
        hashed = None if token is None else self._hash_token(token)
        key = self._transactions.end(station.station_id, external_id, stop, token=hashed)
        if key is None:
            return
        connector = self._depot.connector(key)
        if connector is not None and connector.transaction_id is not None:
            running = self._transactions.running(key)
            if running is None or running.external_id != connector.transaction_id:
                self._forget(connector)
        self._event(
            "transaction_ended",
            station,
            key[1],
            transaction_id=public_id(station.version, external_id),
            ended_at=format_instant(stop.ended_at),
            meter_stop_kwh=None if stop.meter_stop_wh is None else stop.meter_stop_wh / 1000,
            reason=stop.reason,
        )

    def meter(self, station: Station, number: int, external_id: str | None, at: datetime, sample: Sample) -> None:
        """A meter was read."""
        connector = station.connectors.get(number)
        self._event(
            "meter",
            station,
            number,
            transaction_id=None if external_id is None else public_id(station.version, external_id),
            measured_at=format_instant(at),
            power_kw=sample.power_kw,
            offered_kw=_offered_kw(connector, sample),
            energy_register_kwh=sample.energy_register_kwh,
            soc_pct=sample.soc_pct,
        )
        if connector is None:
            return
        sample = _with_power(connector, sample, at)
        connector.power_kw = sample.power_kw if sample.power_kw is not None else connector.power_kw
        connector.offered_kw = _offered_kw(connector, sample)
        connector.metered_at, connector.current_a = at, sample.current_a
        if sample.energy_register_kwh is not None:
            connector.energy_register_kwh = sample.energy_register_kwh
        connector.soc_pct = sample.soc_pct if sample.soc_pct is not None else connector.soc_pct
        if external_id is not None:
            self._see(station, connector, external_id, at)
        self._judge(connector, sample)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _see(self, station: Station, connector: Connector, external_id: str, at: datetime) -> None:
        """A meter value names its transaction: it runs; take it over if we never heard of its start."""
        if connector.transaction_id == external_id:
            self._conductor.transaction(connector.key, external_id)
        elif connector.transaction_id is None and not connector.is_idle and _credible(station.version, external_id):
            self.begin(station, connector.config.connector_id, Start(None, at, None, external_id))

    def _forget(self, connector: Connector) -> None:
        connector.transaction_id = connector.soc_pct = None
        self._watches.pop(connector.key, None)
        self._conductor.transaction(connector.key, None)

    def _judge(self, connector: Connector, sample: Sample) -> None:
        """Compare the meter with what the connector accepted."""
        watch = self._watches.setdefault(connector.key, Watch())
        now_s = self._clock.now().timestamp()
        slot = Slot.TRANSACTION if connector.transaction_id is not None else Slot.DEFAULT
        held = self._conductor.holdings.newest(connector.key, slot)
        held = held or self._conductor.holdings.newest(connector.key, Slot.DEFAULT)
        limit = held.reserved_kw.at(now_s) if held is not None and held.accepted and held.expires_s > now_s else None
        self._prove_phases(connector, watch, sample, limit)
        finding = watch.judge(sample, limit, offered_kw=_offered_kw(connector, sample), now_s=now_s)
        if finding is not None and held is not None:
            self._report(connector.key, finding)

    def _prove_phases(self, connector: Connector, watch: Watch, sample: Sample, reserved_kw: float | None) -> None:
        """A vehicle that is seen to use fewer phases need not be counted for all of them."""
        line = self._conductor.lines[connector.key]
        lines = connector.config.wiring.lines
        said = line.entry.vehicle_phases if line.entry is not None and line.wish is not None else None
        expected = None
        if said is not None and said < lines and reserved_kw is not None:
            expected = ExpectedPhases(said, lines, reserved_kw * said / lines)
        used = watch.phases_used(sample, expected=expected)
        if used is None or connector.transaction_id is None or connector.config.current_type != "ac":
            return
        share = min(1.0, used / lines)
        if share != line.proven_share:
            self._conductor.phases_proven(connector.key, share)

    def _report(self, key: ConnectorKey, finding: Finding) -> None:
        line = self._conductor.lines[key]
        if not finding.agrees:
            if line.last_contradiction != finding.detail:
                line.last_contradiction = finding.detail
                self._conductor.proven(key, Evidence.ACCEPTED, finding.detail, verified=False)
        elif finding.evidence.rung > line.evidence.rung:
            line.last_contradiction = None
            self._conductor.proven(key, finding.evidence, None, verified=True)

    def _event(self, event_type: str, station: Station, number: int, **data: str | float | None) -> None:
        self._events.add(event_type, at=self._clock.now(), station_id=station.station_id, connector_id=number, **data)
        if event_type in AT_ONCE:
            self._events.flush()


def _with_power(connector: Connector, sample: Sample, at: datetime) -> Sample:
    """Return a sample with the mean power since an earlier one, where the station tells its energy register alone."""
    energy_kwh, last = sample.energy_register_kwh, connector.register
    if sample.power_kw is not None or energy_kwh is None:
        return sample
    seconds = MEAN_OVER_S if last is None else (at - last.at).total_seconds()
    if seconds < MEAN_OVER_S:
        return sample
    connector.register = RegisterReading(at, energy_kwh)
    if last is None or seconds > MEAN_OVER_MOST_S:
        return sample
    return replace(sample, power_kw=mean_power_kw(last.energy_kwh, energy_kwh, seconds))


def public_id(version: str | None, external_id: str) -> str | int:
    """Return a transaction id in the type that the station's OCPP version has for it."""
    return int(external_id) if version == "1.6" and external_id.lstrip("-").isdigit() else external_id


def _credible(version: str | None, external_id: str) -> bool:
    """Say whether an id can be that of a real transaction: some idle stations report -1, 0 or 2^63."""
    if version != "1.6":
        return bool(external_id)
    return external_id.isdigit() and 0 < int(external_id) < LATEST_ID


def _offered_kw(connector: Connector | None, sample: Sample) -> float | None:
    if sample.offered_kw is not None or sample.offered_a is None or connector is None:
        return sample.offered_kw
    wiring = connector.config.wiring
    return sample.offered_a * wiring.voltage_v * wiring.lines / 1000
