"""All relays: which connection has one, and how the back ends are doing."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from core.time_grid import format_instant
from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.station import StationConnection
from ocpp_bridge.stations import Station
from ocpp_bridge.upstream.relay import Relay, RelayDesk, StationHandlers, UpstreamState

log = logging.getLogger(__name__)


class Relays:
    """The relays of all stations that have a back end of their own."""

    def __init__(
        self,
        config: BridgeConfig,
        *,
        desk: RelayDesk,
        handlers: Mapping[str, StationHandlers],
    ) -> None:
        self._desk = desk
        self._handlers = handlers
        self._states = {one.station_id: UpstreamState() for one in config.stations if one.upstream is not None}
        self._relays: dict[str, Relay] = {}  # by connection
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by station
        self._of: dict[str, asyncio.Task[None]] = {}  # by connection

    def of(self, connection: StationConnection) -> Relay | None:
        """Return the relay of a connection; None where the bridge itself is the back end."""
        return self._relays.get(connection.connection_id)

    def open(self, connection: StationConnection, station: Station, *, shown: str | None) -> None:
        """A station connected: if it has a back end, connect to that, too."""
        state = self._states.get(station.station_id)
        if state is None:
            return
        handlers = self._handlers[connection.version]
        relay = Relay(connection, station, desk=self._desk, handlers=handlers, state=state, shown=shown)
        task = asyncio.ensure_future(relay.run(self._tasks.get(station.station_id)))
        self._relays[connection.connection_id] = relay
        self._tasks[station.station_id] = self._of[connection.connection_id] = task
        task.add_done_callback(lambda done: _ended(done, connection))

    def close(self, connection: StationConnection) -> None:
        """A connection ended: the back end sees its station leave."""
        self._relays.pop(connection.connection_id, None)
        task = self._of.pop(connection.connection_id, None)
        if task is not None:
            task.cancel()
            if self._tasks.get(connection.station_id) is task:
                state = self._states[connection.station_id]
                state.connected, state.since, state.problem = False, None, None

    def describe(self, station_id: str) -> dict[str, Any] | None:
        """Return how a station's back end is doing; None where it has none."""
        state = self._states.get(station_id)
        if state is None:
            return None
        return {
            "connected": state.connected,
            "since": None if state.since is None else format_instant(state.since),
            "waiting": self._desk.queue.waiting(station_id),
            "set_aside": self._desk.queue.set_aside(station_id),
            "problem": state.problem,
        }

    def reasons(self) -> Iterator[str]:
        """Yield what is not as it should be."""
        for station_id in sorted(self._states):
            found = self.describe(station_id)
            assert found is not None
            if found["problem"] is not None:
                waiting = f"{found['waiting']} messages wait for it"
                yield f"{station_id}: its back end is away ({found['problem']}); {waiting}"
            if found["set_aside"]:
                yield f"{station_id}: its back end refused {found['set_aside']} messages for good"

    def metrics(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Yield gauges."""
        for station_id in sorted(self._states):
            found = self.describe(station_id)
            assert found is not None
            labels = {"station": station_id}
            yield "depotwise_bridge_upstream_connected", labels, found["connected"]
            yield "depotwise_bridge_upstream_waiting", labels, found["waiting"]
            yield "depotwise_bridge_upstream_set_aside", labels, found["set_aside"]


def _ended(task: "asyncio.Task[None]", connection: StationConnection) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s: a relay failed; the station must dial again", connection.station_id, exc_info=error)
        connection.abort()
