"""What the HTTP side can ask of the bridge, without HTTP: publish, limit, revoke, and look.

Joins the stores, the dispatcher and the live state; every change is written to the audit trail.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from core.publication import Publication
from core.time_grid import format_instant, to_utc
from ocpp_bridge import admission, desires
from ocpp_bridge.audit import Audit
from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.desires import Override
from ocpp_bridge.dispatch import Dispatcher
from ocpp_bridge.lines import render
from ocpp_bridge.memory import Memory
from ocpp_bridge.outbox import Delivery, Evidence, Outbox, State, Verdict
from ocpp_bridge.protocol import OcppProtocol
from ocpp_bridge.recording import Recording
from ocpp_bridge.stations import Depot

log = logging.getLogger(__name__)

HTTP: Final = "http"
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
        audit: Audit,
    ) -> None:
        self._config = config
        self._depot = depot
        self._outbox = outbox
        self._memory = memory
        self._dispatcher = dispatcher
        self._conductor = dispatcher.conductor
        self._protocols = protocols
        self._recording = recording
        self._audit = audit

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
            self._tell(publication, now)
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

    def _tell(self, publication: Publication, now: datetime) -> None:
        plan_id = publication.plan_id
        self._audit.write(
            "publication",
            at=now,
            by=HTTP,
            plan_id=plan_id,
            as_of=format_instant(publication.as_of),
            valid_until=format_instant(publication.valid_until),
            connectors=len(publication.connectors),
            dry_run=publication.dry_run,
        )
        log.info("publication %s: %d connectors", plan_id, len(publication.connectors), extra={"plan_id": plan_id})

    def _rehearse(self, publication: Publication, now: datetime) -> None:
        """Write down, for each entry of a dry run, what would be sent."""
        deliveries = []
        for entry in publication.connectors:
            key = (entry.station_id, entry.connector_id)
            line, link = self._conductor.lines[key], self._conductor.links[entry.station_id]
            wish = desires.wish_of(publication, entry, line.config)
            by_maximum = self._conductor.holdings.is_by_maximum(key)
            rungs = desires.ladder(wish, key[1], link.capabilities, by_maximum=by_maximum)
            held = render(line, wish, rungs[0], link.capabilities, as_of=now) if rungs else None
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
        until = format_instant(valid_until)
        self._audit.write("limit", at=now, by=HTTP, ev_limit_kw=ev_limit_kw, valid_until=until, reason=reason)
        log.info("limited to %g kW until %s: %s", ev_limit_kw, until, reason)
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
        self._audit.write("revoke", at=self._recording.clock.now(), by=HTTP, station_ids=[*names])
        log.info("revoked: %s", ", ".join(names))
        for name in names:
            self._memory.set_revoked(name, revoked=True)
            self._conductor.revoke(name)
        self._dispatcher.wake()
        for _ in range(int(REVOKE_WAIT_S / REVOKE_LOOK_S)):
            if not any(self._is_clearing(name) for name in names):
                break
            await asyncio.sleep(REVOKE_LOOK_S)
        links = self._conductor.links
        cleared = [name for name in names if not links[name].revoking and not links[name].stuck]
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
