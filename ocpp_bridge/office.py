"""What the HTTP side can ask of the bridge, without HTTP: publish, limit, revoke, and look.

Joins the stores, the dispatcher and the live state; every change is written to the audit trail.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from core.publication import Publication
from core.time_grid import format_instant, to_utc
from ocpp_bridge import admission, desires
from ocpp_bridge import metrics as prometheus
from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.curves import TOLERANCE_KW
from ocpp_bridge.desires import Override
from ocpp_bridge.dispatch import Dispatcher
from ocpp_bridge.happenings import public_id
from ocpp_bridge.holdings import ConnectorKey
from ocpp_bridge.lines import render
from ocpp_bridge.memory import Memory
from ocpp_bridge.outbox import Delivery, Evidence, Outbox, State, Verdict
from ocpp_bridge.profiles import Place, Slot
from ocpp_bridge.protocol import OcppProtocol
from ocpp_bridge.recording import Recording
from ocpp_bridge.stations import Connector, Depot, Station
from ocpp_bridge.upstream.back_ends import BackEnds

REVOKE_WAIT_S: Final = 10.0
REVOKE_LOOK_S: Final = 0.05


class UnknownPlanError(LookupError):
    """No publication of that id was stored."""


class UnknownStationError(LookupError):
    """No station of that id is configured."""


class Office:
    """The bridge, as its users see it."""

    def __init__(
        self,
        config: BridgeConfig,
        *,
        depot: Depot,
        outbox: Outbox,
        memory: Memory,
        dispatcher: Dispatcher,
        protocols: Mapping[str, OcppProtocol],
        recording: Recording,
        back_ends: BackEnds,
    ) -> None:
        self._config = config
        self._depot = depot
        self._outbox = outbox
        self._memory = memory
        self._dispatcher = dispatcher
        self._conductor = dispatcher.conductor
        self._protocols = protocols
        self._recording = recording
        self._back_ends = back_ends

    # --- publications ----------------------------------------------------------------------------------------------

    def publish(self, plan_id: str, body: bytes) -> Verdict:
        """Take a publication: check it, store it, and have it delivered.

        Raises:
            ocpp_bridge.admission.PublicationRefusedError: it makes no sense here.
        """
        now = self._recording.clock.now()
        publication = admission.read_publication(body)
        if publication.plan_id != plan_id:
            problem = admission.Problem("plan_id", f"is {publication.plan_id}, but was put under {plan_id}")
            raise admission.PublicationRefusedError([problem])
        if self._outbox.received_at(plan_id) is None:
            admission.check_publication(publication, self._config, as_of=now)
        verdict = self._outbox.accept(publication, received_at=now)
        self._recording.meters.count(f"publication_{verdict}")
        if verdict is Verdict.STORED:
            self._memory.audit("publication", f"{plan_id}{' (dry run)' if publication.dry_run else ''}", at=now)
            if publication.dry_run:
                self._rehearse(publication, now)
            else:
                self._dispatcher.publish(publication)
        return verdict

    def publication(self, plan_id: str) -> dict[str, Any]:
        """Return what became of a publication.

        Raises:
            UnknownPlanError: it was never stored.
        """
        times = self._outbox.received_at(plan_id)
        if times is None:
            raise UnknownPlanError(f"no publication {plan_id} was stored here")
        connectors = [
            {
                "station_id": one.station_id,
                "connector_id": one.connector_id,
                "state": one.state,
                "evidence": one.evidence,
                "updated_at": format_instant(one.updated_at),
                "detail": one.detail,
            }
            for one in self._outbox.deliveries(plan_id)
        ]
        as_of, received_at = (format_instant(instant) for instant in times)
        return {"plan_id": plan_id, "as_of": as_of, "received_at": received_at, "connectors": connectors}

    def _rehearse(self, publication: Publication, now: datetime) -> None:
        """Write down, for each entry of a dry run, what would be sent."""
        deliveries = []
        for entry in publication.connectors:
            key = (entry.station_id, entry.connector_id)
            line, link = self._conductor.lines[key], self._conductor.links[entry.station_id]
            wish = desires.wish_of(publication, entry, line.config)
            slot, level = desires.ladder(wish, link.capabilities)[0]
            held = render(line, wish, Place(key[1], slot, level, wish.transaction_id), link.capabilities, as_of=now)
            request = None if held is None else self._protocol(entry.station_id).install(held.profile)
            detail = f"dry run: would send {json.dumps(request)}"
            deliveries.append(Delivery(*key, State.PENDING, Evidence.NONE, now, detail))
        self._outbox.update(publication.plan_id, deliveries)

    def _protocol(self, station_id: str) -> OcppProtocol:
        connection = self._dispatcher.connections.get(station_id)
        return self._protocols["ocpp1.6"] if connection is None else connection.protocol

    # --- other changes ---------------------------------------------------------------------------------------------

    def limit(self, ev_limit_kw: float, valid_until: datetime, reason: str) -> float:
        """Limit all connectors together until an instant; return the limit in force now.

        Raises:
            ValueError: the instant is past.
        """
        now = self._recording.clock.now()
        if valid_until <= now:
            raise ValueError(f"is past; it is {format_instant(now)} here")
        override = Override(ev_limit_kw, to_utc(valid_until), reason)
        self._memory.set_override(override)
        self._memory.audit("limit", f"{ev_limit_kw:g} kW until {format_instant(valid_until)}: {reason}", at=now)
        self._conductor.limit(override)
        self._dispatcher.wake()
        for connection in self._dispatcher.connections.values():
            connection.hurry()
        return self._conductor.limits_at(now)[None]

    async def revoke(self, station_id: str | None) -> tuple[list[str], list[str]]:
        """Take everything of ours off one station, or all; return who is clear and who is not yet.

        Raises:
            UnknownStationError: there is no such station.
        """
        if station_id is not None and station_id not in self._depot.stations:
            raise UnknownStationError(f"{station_id} is no station of this bridge")
        names = sorted(self._depot.stations) if station_id is None else [station_id]
        self._memory.audit("revoke", ", ".join(names), at=self._recording.clock.now())
        for name in names:
            self._memory.set_revoked(name, revoked=True)
            self._conductor.revoke(name)
        self._dispatcher.wake()
        for _ in range(int(REVOKE_WAIT_S / REVOKE_LOOK_S)):
            if not any(self._is_clearing(name) for name in names):
                break
            await asyncio.sleep(REVOKE_LOOK_S)
        cleared = [name for name in names if not self._conductor.links[name].revoking]
        return cleared, [name for name in names if name not in cleared]

    def _is_clearing(self, name: str) -> bool:
        return bool(self._conductor.links[name].revoking) and name in self._dispatcher.connections

    # --- looking ---------------------------------------------------------------------------------------------------

    async def events(self, after: int, wait_s: float) -> list[dict[str, Any]]:
        """Return events behind a cursor, waiting for the first one."""
        return await self._recording.events.wait(after, wait_s)

    def frames(self, after: str | None, limit: int) -> tuple[list[bytes], str]:
        """Return lines of the frame log behind a cursor, and the next cursor."""
        return self._recording.frames.read(after, limit)

    def stations(self) -> list[dict[str, Any]]:
        """Return every station with its connectors, as they are now."""
        now = self._recording.clock.now()
        return [self._station(self._depot.stations[name], now) for name in sorted(self._depot.stations)]

    def _station(self, station: Station, now: datetime) -> dict[str, Any]:
        connection = self._dispatcher.connections.get(station.station_id)
        seen = station.last_seen_at if connection is None else connection.last_seen_at
        connectors = [self._connector(one, station, now) for _, one in sorted(station.connectors.items())]
        return {
            "station_id": station.station_id,
            "connected": station.connected,
            "version": station.version,
            "since": _text(station.since),
            "last_seen_at": _text(seen),
            "publisher": station.config.publisher,
            "upstream": self._back_ends.relays.describe(station.station_id),
            "revoked": self._conductor.links[station.station_id].is_revoked,
            "connectors": connectors,
        }

    def _connector(self, connector: Connector, station: Station, now: datetime) -> dict[str, Any]:
        transaction_id = connector.transaction_id
        line = self._conductor.lines[connector.key]
        return {
            "connector_id": connector.config.connector_id,
            "status": connector.status,
            "transaction_id": None if transaction_id is None else public_id(station.version or "1.6", transaction_id),
            "limit_kw": self._accepted_kw(connector.key, now),
            "power_kw": connector.power_kw,
            "offered_kw": connector.offered_kw,
            "may_hold_kw": round(self._conductor.holdings.bound(connector.key).at(now.timestamp()), 3),
            "evidence": line.evidence,
        }

    def _accepted_kw(self, key: ConnectorKey, now: datetime) -> float | None:
        """Return the limit that the station acknowledged and that applies now; None if it never did."""
        now_s = now.timestamp()
        for slot in (Slot.TRANSACTION, Slot.DEFAULT, Slot.BASE):
            held = self._conductor.holdings.newest_accepted(key, slot)
            if held is not None and held.expires_s > now_s:
                return round(held.reserved_kw.at(now_s), 3)
        return None

    def reasons(self) -> list[str]:
        """Return what is not as it should be."""
        return list(self._reasons())

    def _reasons(self) -> Iterator[str]:
        problems = (self._recording.frames.problem, self._recording.events.problem, self._dispatcher.problem)
        yield from (problem for problem in problems if problem is not None)
        for name in sorted(self._depot.stations):
            if not self._depot.stations[name].connected:
                yield f"{name} is not connected"
        for key, line in sorted(self._conductor.lines.items()):
            where = f"{key[0]} connector {key[1]}"
            if line.base_is_refused:
                yield f"{where} refused its fallback: {line.last_base_refusal}"
            if line.last_contradiction is not None:
                yield f"{where}: {line.last_contradiction}"
        yield from self._back_ends.reasons()
        yield from self._excesses()

    def _excesses(self) -> Iterator[str]:
        now = self._recording.clock.now()
        for scope, limit_kw in self._conductor.limits_at(now).items():
            together = self._conductor.holdings.total_at(scope, now.timestamp())
            if together > limit_kw + TOLERANCE_KW:
                whose = "all connectors" if scope is None else f"the connectors of {scope}"
                yield f"{whose} may draw {together:.1f} kW together, above the limit of {limit_kw:g} kW"

    def metrics(self) -> str:
        """Return counters and gauges for Prometheus."""
        return prometheus.render(self._metrics())

    def _metrics(self) -> Iterator[prometheus.Sample]:
        meters, now = self._recording.meters, self._recording.clock.now()
        for direction, count in sorted(meters.frames.items()):
            yield "depotwise_bridge_frames_total", {"direction": direction}, count
        for what, count in sorted(meters.events.items()):
            yield "depotwise_bridge_events_total", {"event": what}, count
        for state, count in sorted(self._outbox.counts().items()):
            yield "depotwise_bridge_deliveries", {"state": state}, count
        yield "depotwise_bridge_frames_lost_total", {}, self._recording.frames.lost
        yield "depotwise_bridge_stations", {}, len(self._depot.stations)
        yield "depotwise_bridge_stations_connected", {}, len(self._dispatcher.connections)
        for scope, limit_kw in self._conductor.limits_at(now).items():
            labels = {"group": scope or ""}
            yield "depotwise_bridge_limit_kw", labels, limit_kw
            yield "depotwise_bridge_may_hold_kw", labels, self._conductor.holdings.total_at(scope, now.timestamp())
        yield from self._back_ends.metrics()
        for connector in self._depot.connectors():
            labels = {"station": connector.station_id, "connector": str(connector.config.connector_id)}
            if connector.power_kw is not None:
                yield "depotwise_bridge_power_kw", labels, connector.power_kw


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)
