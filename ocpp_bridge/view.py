"""The bridge as operators and monitoring see it: stations, the site, what is wrong, metrics. Reads, changes nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.time_grid import format_instant
from ocpp_bridge import metrics as prometheus
from ocpp_bridge.audit import Audit
from ocpp_bridge.clocks import WORTH_TELLING_S
from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.curves import TOLERANCE_KW
from ocpp_bridge.dispatch import Dispatcher
from ocpp_bridge.evidence import METER_SLACK_KW, METER_TOLERANCE
from ocpp_bridge.happenings import public_id
from ocpp_bridge.holdings import ConnectorKey
from ocpp_bridge.outbox import Delivery, Outbox
from ocpp_bridge.profiles import Slot
from ocpp_bridge.recording import Recording
from ocpp_bridge.stations import Connector, Depot, Station
from ocpp_bridge.trials import meter_of
from ocpp_bridge.upstream.back_ends import BackEnds

Deliveries = Mapping[ConnectorKey, Delivery]


@dataclass(frozen=True, slots=True)
class View:
    """Everything there is to see."""

    config: BridgeConfig
    depot: Depot
    dispatcher: Dispatcher
    outbox: Outbox
    recording: Recording
    back_ends: BackEnds
    audit: Audit

    # --- stations and the site ---------------------------------------------------------------------------------------

    def site(self) -> dict[str, Any]:
        """Return the plan in force, and the site's power against its limit."""
        conductor, now = self.dispatcher.conductor, self.recording.clock.now()
        publication, override = conductor.publication, conductor.override
        powers = [one.power_kw for one in self.depot.connectors() if one.power_kw is not None]
        return {
            "site_id": self.config.site.site_id,
            "at": format_instant(now),
            "plan_id": None if publication is None else publication.plan_id,
            "as_of": None if publication is None else format_instant(publication.as_of),
            "valid_until": None if publication is None else format_instant(publication.valid_until),
            "limit_kw": conductor.limits_at(now)[None],
            "may_hold_kw": round(conductor.holdings.total_at(None, now.timestamp()), 3),
            "power_kw": round(sum(powers), 3) if powers else None,
            "override": None
            if override is None
            else {
                "ev_limit_kw": override.ev_limit_kw,
                "valid_until": format_instant(override.valid_until),
                "reason": override.reason,
            },
        }

    def stations(self) -> list[dict[str, Any]]:
        """Return every station with its connectors, as they are now."""
        now = self.recording.clock.now()
        publication = self.dispatcher.conductor.publication
        found = [] if publication is None else self.outbox.deliveries(publication.plan_id)
        deliveries = {one.key: one for one in found}
        return [self._station(self.depot.stations[name], deliveries, now) for name in sorted(self.depot.stations)]

    def _station(self, station: Station, deliveries: Deliveries, now: datetime) -> dict[str, Any]:
        capabilities = station.capabilities
        connectors = [self._connector(one, station, deliveries, now) for _, one in sorted(station.connectors.items())]
        return {
            "station_id": station.station_id,
            "connected": station.connected,
            "version": station.version,
            "since": _text(station.since),
            "last_seen_at": _text(self._seen_at(station)),
            "vendor": station.vendor,
            "model": station.model,
            "firmware": station.firmware,
            "clock_ahead_s": None if station.clock.ahead_s is None else round(station.clock.ahead_s, 1),
            "units": sorted(capabilities.units),
            "max_periods": capabilities.max_periods,
            "publisher": station.config.publisher,
            "upstream": self.back_ends.relays.describe(station.station_id),
            "revoked": self.dispatcher.conductor.links[station.station_id].is_revoked,
            "connectors": connectors,
        }

    def _connector(
        self, connector: Connector, station: Station, deliveries: Deliveries, now: datetime
    ) -> dict[str, Any]:
        transaction_id = connector.transaction_id
        conductor = self.dispatcher.conductor
        delivery, limit_kw = deliveries.get(connector.key), self.accepted_kw(connector.key, now)
        return {
            "connector_id": connector.config.connector_id,
            "status": connector.status,
            "transaction_id": None if transaction_id is None else public_id(station.version or "1.6", transaction_id),
            "limit_kw": limit_kw,
            "power_kw": connector.power_kw,
            "offered_kw": connector.offered_kw,
            "metered_at": _text(connector.metered_at),
            "above_limit": _is_above(connector.power_kw, limit_kw),
            "may_hold_kw": round(conductor.holdings.bound(connector.key).at(now.timestamp()), 3),
            "plan_state": None if delivery is None else delivery.state,
            "evidence": conductor.lines[connector.key].evidence,
            "detail": None if delivery is None else delivery.detail,
            **meter_of(connector),
        }

    def _seen_at(self, station: Station) -> datetime | None:
        connection = self.dispatcher.connections.get(station.station_id)
        return station.last_seen_at if connection is None else connection.last_seen_at

    def accepted_kw(self, key: ConnectorKey, now: datetime) -> float | None:
        """Return the limit that the station acknowledged and that applies now; None if it never did."""
        now_s = now.timestamp()
        for slot in (Slot.TRANSACTION, Slot.DEFAULT, Slot.BASE):
            held = self.dispatcher.conductor.holdings.newest_accepted(key, slot)
            if held is not None and held.expires_s > now_s:
                return round(held.reserved_kw.at(now_s), 3)
        return None

    # --- what is wrong -----------------------------------------------------------------------------------------------

    def reasons(self) -> Iterator[str]:
        """Yield what is not as it should be."""
        recording = self.recording
        for problem in (
            recording.frames.problem,
            recording.events.problem,
            self.dispatcher.problem,
            self.audit.problem,
        ):
            if problem is not None:
                yield problem
        for name in sorted(self.depot.stations):
            if not self.depot.stations[name].connected:
                yield f"{name} is not connected"
        yield from self._wrong_clocks()
        for key, line in sorted(self.dispatcher.conductor.lines.items()):
            where = f"{key[0]} connector {key[1]}"
            if line.base_is_refused:
                yield f"{where} refused its fallback: {line.last_base_refusal}"
            if line.last_contradiction is not None:
                yield f"{where}: {line.last_contradiction}"
        for name, link in sorted(self.dispatcher.conductor.links.items()):
            for number, slot in link.stuck:
                yield f"{name} connector {number} does not clear its {slot} profile, which it accepted: clear it there"
        yield from self.back_ends.reasons()
        yield from self._excesses()

    def _wrong_clocks(self) -> Iterator[str]:
        for name, station in sorted(self.depot.stations.items()):
            ahead_s = station.clock.ahead_s
            if ahead_s is not None and abs(ahead_s) > WORTH_TELLING_S:
                yield f"{name}: its clock is {abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'}"

    def _excesses(self) -> Iterator[str]:
        conductor, now = self.dispatcher.conductor, self.recording.clock.now()
        for scope, limit_kw in conductor.limits_at(now).items():
            together = conductor.holdings.total_at(scope, now.timestamp())
            if together > limit_kw + TOLERANCE_KW:
                whose = "all connectors" if scope is None else f"the connectors of {scope}"
                yield f"{whose} may draw {together:.1f} kW together, above the limit of {limit_kw:g} kW"

    # --- metrics -----------------------------------------------------------------------------------------------------

    def metrics(self) -> str:
        """Return counters and gauges for Prometheus."""
        return prometheus.render([*self._counts(), *self._site_gauges(), *self._station_gauges()])

    def _counts(self) -> Iterator[prometheus.Sample]:
        meters = self.recording.meters
        for direction, count in sorted(meters.frames.items()):
            yield "depotwise_bridge_frames_total", {"direction": direction}, count
        for what, count in sorted(meters.events.items()):
            yield "depotwise_bridge_events_total", {"event": what}, count
        for state, count in sorted(self.outbox.counts().items()):
            yield "depotwise_bridge_deliveries", {"state": state}, count
        yield "depotwise_bridge_frames_lost_total", {}, self.recording.frames.lost
        yield "depotwise_bridge_audit_lost_total", {}, self.audit.lost
        yield "depotwise_bridge_problems", {}, len(list(self.reasons()))
        yield "depotwise_bridge_stations", {}, len(self.depot.stations)
        yield "depotwise_bridge_stations_connected", {}, len(self.dispatcher.connections)

    def _site_gauges(self) -> Iterator[prometheus.Sample]:
        conductor, now = self.dispatcher.conductor, self.recording.clock.now()
        for scope, limit_kw in conductor.limits_at(now).items():
            labels = {"group": scope or ""}
            yield "depotwise_bridge_limit_kw", labels, limit_kw
            yield "depotwise_bridge_may_hold_kw", labels, conductor.holdings.total_at(scope, now.timestamp())
        if conductor.publication is not None:
            ends_s = conductor.publication.valid_until.timestamp()
            yield "depotwise_bridge_plan_valid_until_seconds", {}, ends_s
        yield "depotwise_bridge_clock_seconds", {}, now.timestamp()
        yield from self.back_ends.metrics()

    def _station_gauges(self) -> Iterator[prometheus.Sample]:
        conductor, now = self.dispatcher.conductor, self.recording.clock.now()
        for name, station in sorted(self.depot.stations.items()):
            labels = {"station": name, "version": station.version or ""}
            yield "depotwise_bridge_station_connected", labels, station.connected
            if (seen_at := self._seen_at(station)) is not None:
                yield "depotwise_bridge_station_last_seen_seconds", {"station": name}, seen_at.timestamp()
        for connector in self.depot.connectors():
            labels = {"station": connector.station_id, "connector": str(connector.config.connector_id)}
            limit_kw, line = self.accepted_kw(connector.key, now), conductor.lines[connector.key]
            if connector.power_kw is not None:
                yield "depotwise_bridge_power_kw", labels, connector.power_kw
            if limit_kw is not None:
                yield "depotwise_bridge_connector_limit_kw", labels, limit_kw
            bound_kw = conductor.holdings.bound(connector.key).at(now.timestamp())
            yield "depotwise_bridge_connector_may_hold_kw", labels, bound_kw
            yield "depotwise_bridge_connector_evidence_rung", labels, line.evidence.rung
            yield "depotwise_bridge_connector_contradicted", labels, line.last_contradiction is not None


def _is_above(power_kw: float | None, limit_kw: float | None) -> bool | None:
    """Say whether a meter shows more than its limit, by the measure of the evidence; None where one is unknown."""
    if power_kw is None or limit_kw is None:
        return None
    return power_kw > limit_kw * (1 + METER_TOLERANCE) + METER_SLACK_KW


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)
