"""Stations that do not dial the bridge: their channels, and what their back ends tell us. Asyncio wiring."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.settings import secret
from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.dispatch import Dispatcher
from ocpp_bridge.happenings import Happenings, Start
from ocpp_bridge.holdings import ConnectorKey
from ocpp_bridge.protocol import OcppProtocol
from ocpp_bridge.recording import Recording
from ocpp_bridge.security import same_token
from ocpp_bridge.station import CallTimeoutError, ConnectionLostError
from ocpp_bridge.stations import Depot, Station
from ocpp_bridge.transactions import Stop
from ocpp_bridge.upstream import citrineos, ocpi
from ocpp_bridge.upstream.callbacks import Callbacks
from ocpp_bridge.upstream.rest import Means, RestChannel
from ocpp_bridge.upstream.settings import CitrineOsConfig, OcpiConfig

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
OVER: Final = frozenset({"COMPLETED", "INVALID"})


class SessionRefusedError(ValueError):
    """A session that a CPO tells us of cannot be taken."""


@dataclass(frozen=True, slots=True)
class PublishersDesk:
    """What all publishers share."""

    depot: Depot
    dispatcher: Dispatcher
    happenings: Happenings
    recording: Recording
    protocols: Mapping[str, OcppProtocol]


class Publishers:
    """All channels to stations behind other back ends' interfaces."""

    def __init__(self, config: BridgeConfig, desk: PublishersDesk) -> None:
        self._desk = desk
        self.callbacks = Callbacks(config.http.callback_url or "")
        self._configs = {one.name: one for one in config.publishers}
        self._clients = {one.name: _client(one) for one in config.publishers}
        self._channels: dict[str, RestChannel] = {}
        self._evses: dict[str, ConnectorKey] = {}
        self._sessions: dict[str, ConnectorKey] = {}
        for station in config.stations:
            if station.publisher is None:
                continue
            self._channels[station.station_id] = self._channel(station.station_id, self._configs[station.publisher])
            for connector in station.connectors:
                if connector.evse_uid is not None:
                    self._evses[connector.evse_uid.casefold()] = (station.station_id, connector.connector_id)

    async def run(self) -> None:
        """Keep all channels until cancelled."""
        if not self._channels:
            await asyncio.Event().wait()
        try:
            await asyncio.gather(*(self._keep(channel) for channel in self._channels.values()))
        finally:
            for client in self._clients.values():
                await client.aclose()

    def reasons(self) -> Iterator[str]:
        """Yield what is not as it should be."""
        for station_id, channel in sorted(self._channels.items()):
            if channel.problem is not None:
                yield f"{station_id}: {channel.problem}"

    # --- channels ----------------------------------------------------------------------------------------------------

    def _channel(self, station_id: str, config: OcpiConfig | CitrineOsConfig) -> RestChannel:
        means = Means(self._clients[config.name], self.callbacks, self._desk.recording.clock)
        if isinstance(config, OcpiConfig):
            return ocpi.OcpiChannel(station_id, config, means)
        protocol = self._desk.protocols[f"ocpp{config.version}"]
        return citrineos.CitrineOsChannel(station_id, protocol, config, means)

    async def _keep(self, channel: RestChannel) -> None:
        """Connect a channel whenever its back end says that the station is there."""
        station = self._desk.depot.stations[channel.station_id]
        config = self._configs[station.config.publisher or ""]
        retry_s = config.retry_s if isinstance(config, CitrineOsConfig) else LOOK_S
        while True:
            if await self._is_there(channel):
                self._up(station, channel)
                await channel.lost.wait()
                self._down(station, channel)
            await asyncio.sleep(retry_s)

    async def _is_there(self, channel: RestChannel) -> bool:
        channel.lost.clear()
        try:
            for request in channel.protocol.probe()[:1]:
                await channel.call(request)
        except CallTimeoutError as error:
            log.debug("%s", error)
            return False
        except ConnectionLostError as error:
            channel.problem = str(error)
            return False
        return True

    def _up(self, station: Station, channel: RestChannel) -> None:
        now = self._desk.recording.clock.now()
        station.connected, station.version, station.since = True, channel.protocol.version, now
        station.connection_id = channel.connection_id
        self._desk.dispatcher.connected(channel)
        self._desk.recording.events.add(
            "station_up", at=now, station_id=station.station_id, version=channel.protocol.version
        )

    def _down(self, station: Station, channel: RestChannel) -> None:
        station.last_seen_at = channel.last_seen_at
        if self._desk.dispatcher.disconnected(channel):
            station.connected = False
            now = self._desk.recording.clock.now()
            self._desk.recording.events.add("station_down", at=now, station_id=station.station_id)

    # --- what a CPO tells us -----------------------------------------------------------------------------------------

    def knows_peer(self, authorization: str) -> bool:
        """Say whether a request shows the token of one of our CPOs."""
        tokens = [secret(one.peer_token_env) for one in self._configs.values() if isinstance(one, OcpiConfig)]
        forms = ocpi.token_forms(authorization)
        return any(same_token(form, token) for token in tokens for form in forms)

    def session(self, session_id: str, told: Mapping[str, Any]) -> None:
        """Take a session, whole (PUT) or what changed of it (PATCH).

        Raises:
            SessionRefusedError: it is on no EVSE of ours, or was never told whole.
        """
        evse_uid = told.get("evse_uid")
        key = self._evses.get(evse_uid.casefold()) if isinstance(evse_uid, str) else self._sessions.get(session_id)
        if key is None:
            where = f"the EVSE {evse_uid}" if evse_uid is not None else "a session that was never told whole"
            raise SessionRefusedError(f"{where} is not known here")
        station = self._desk.depot.stations[key[0]]
        at = self._desk.happenings.instant(told.get("start_date_time"))
        status = told.get("status")
        if status == "ACTIVE":
            self._sessions[session_id] = key
            self._desk.happenings.begin(station, key[1], Start(None, at, None, session_id))
        elif status in OVER:
            self._sessions.pop(session_id, None)
            ended_at = self._desk.happenings.instant(told.get("end_date_time"))
            self._desk.happenings.end(station, session_id, Stop(ended_at, None, str(status)))
        self._desk.dispatcher.wake()


def _client(config: OcpiConfig | CitrineOsConfig) -> Any:  # noqa: ANN401  httpx's own type
    return ocpi.client(config) if isinstance(config, OcpiConfig) else citrineos.client(config)
