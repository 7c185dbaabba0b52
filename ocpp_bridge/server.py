"""The websocket server that charging stations connect to: who is let in, and what becomes of a connection.

Asyncio wiring only. Unknown stations and wrong passwords are turned away before the upgrade; the newest connection of
a station wins over an older one, which may be dead without knowing it.
"""

import asyncio
import logging
import ssl
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ocpp_bridge.channel import Channel
from ocpp_bridge.config import BridgeConfig, ListenerConfig
from ocpp_bridge.dispatch import Dispatcher
from ocpp_bridge.protocol import OcppProtocol
from ocpp_bridge.recording import Recording
from ocpp_bridge.security import PasswordGate, parse_basic
from ocpp_bridge.station import StationConnection
from ocpp_bridge.stations import Depot, Station
from ocpp_bridge.upstream.relays import Relays
from ocpp_bridge.wire import Call, Payload

log = logging.getLogger(__name__)

PATH: Final = "/ocpp/"
PASSWORD_CHECKS_AT_ONCE: Final = 2
CLOSE_WAIT_S: Final = 2.0
CHALLENGE: Final = 'Basic realm="charging stations", charset="UTF-8"'


class CallHandlers(Protocol):
    """Answers a station's calls in one OCPP version."""

    def handle(self, station: Station, action: str, payload: Payload) -> Payload:
        """Return the answer to a call, or raise a refusal."""


class StationServer:
    """All listeners for charging stations."""

    def __init__(
        self,
        config: BridgeConfig,
        *,
        depot: Depot,
        dispatcher: Dispatcher,
        handlers: Mapping[str, CallHandlers],
        protocols: Mapping[str, OcppProtocol],
        recording: Recording,
        relays: Relays,
    ) -> None:
        self._config = config
        self._relays = relays
        self._depot = depot
        self._dispatcher = dispatcher
        self._handlers = handlers
        self._protocols = protocols
        self._recording = recording
        self._meters = recording.meters
        self._gate = PasswordGate()
        self._checking = asyncio.Semaphore(PASSWORD_CHECKS_AT_ONCE)
        self._servers: list[Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = 0
        self._most = config.link.max_connections or 2 * len(config.stations) + 50

    @property
    def ports(self) -> list[int]:
        """The ports that are listened on, in the order of the configuration."""
        return [server.sockets[0].getsockname()[1] for server in self._servers]

    async def start(self) -> None:
        """Open all listeners."""
        for listener in self._config.listeners:
            self._servers.append(await self._listen(listener))

    async def stop(self) -> None:
        """Close all listeners and connections."""
        for server in self._servers:
            server.close(close_connections=True)
        async with asyncio.timeout(5):
            await asyncio.gather(*(server.wait_closed() for server in self._servers))

    async def _listen(self, listener: ListenerConfig) -> Server:
        link = self._config.link

        async def admit(connection: ServerConnection, request: Request) -> Response | None:
            return await self._admit(listener, connection, request)

        return await serve(
            self._serve,
            listener.host,
            listener.port,
            process_request=admit,
            select_subprotocol=self._select,
            ssl=_tls(listener),
            compression=None,
            open_timeout=link.open_timeout_s,
            ping_interval=link.ping_interval_s,
            ping_timeout=link.ping_timeout_s,
            close_timeout=CLOSE_WAIT_S,
            max_size=link.max_frame_bytes,
            max_queue=16,
            server_header=None,
            logger=logging.getLogger("ocpp_bridge.websockets"),
        )

    # --- letting in ------------------------------------------------------------------------------------------------

    async def _admit(self, listener: ListenerConfig, connection: ServerConnection, request: Request) -> Response | None:
        """Return None to let a station in, or the answer that turns it away."""
        station = self._depot.stations.get(station_name(request.path) or "")
        if station is None or station.config.publisher is not None:
            self._meters.count("refused_unknown")
            return connection.respond(HTTPStatus.NOT_FOUND, "unknown charging station\n")
        if time.monotonic() < station.cut_until_s:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "cut off for commissioning; come back later\n")
        if self._open >= self._most:
            self._meters.count("refused_full")
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections\n")
        if listener.security_profile in (1, 2) and not await self._has_password(station, request):
            self._meters.count("refused_password")
            log.warning("%s: wrong or missing password", station.station_id)
            response = connection.respond(HTTPStatus.UNAUTHORIZED, "wrong or missing password\n")
            response.headers["WWW-Authenticate"] = CHALLENGE
            return response
        if listener.security_profile == 3 and common_name(connection) != station.station_id:
            self._meters.count("refused_certificate")
            return connection.respond(HTTPStatus.UNAUTHORIZED, "the certificate is not this station's\n")
        return None

    async def _has_password(self, station: Station, request: Request) -> bool:
        given = parse_basic(request.headers.get("Authorization"))
        expected = station.config.password_hash
        if given is None or expected is None or given[0] != station.station_id:
            return False
        if self._gate.remembers(station.station_id, given[1], expected):
            return True
        async with self._checking:
            return await asyncio.to_thread(self._gate.check, station.station_id, given[1], expected)

    def _select(self, connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        assert connection.request is not None
        spoken = self._spoken(station_name(connection.request.path))
        return next((Subprotocol(name) for name in spoken if name in offered), None)

    def _spoken(self, station_id: str | None) -> list[str]:
        """Return the subprotocols for a station, best first: where it has a back end, what that speaks, too."""
        station = self._depot.stations.get(station_id or "")
        upstream = None if station is None else station.config.upstream
        allowed = None if upstream is None else upstream.subprotocols
        return [name for name in self._protocols if allowed is None or name in allowed]

    # --- serving ---------------------------------------------------------------------------------------------------

    async def _serve(self, websocket: ServerConnection) -> None:
        assert websocket.request is not None
        station = self._depot.stations[station_name(websocket.request.path) or ""]
        if websocket.subprotocol is None:
            offer = ", ".join(self._spoken(station.station_id))
            await websocket.close(1002, f"offer Sec-WebSocket-Protocol: {offer}")
            return
        connection = StationConnection(
            websocket,
            station.station_id,
            self._protocols[websocket.subprotocol],
            settings=self._config.link,
            recording=self._recording,
        )
        self._open += 1
        self._replace(station, connection)
        self._relays.open(connection, station, shown=websocket.request.headers.get("Authorization"))
        try:
            await connection.run(self._on_call)
        finally:
            self._open -= 1
            self._relays.close(connection)
            station.last_seen_at = connection.last_seen_at
            if self._dispatcher.disconnected(connection):
                station.connected = False
                extra = {"station_id": station.station_id, "connection_id": connection.connection_id}
                log.info("%s: disconnected", station.station_id, extra=extra)
                self._recording.events.add(
                    "station_down", at=self._recording.clock.now(), station_id=station.station_id
                )

    def _replace(self, station: Station, connection: StationConnection) -> None:
        """Make this the station's connection; let go of an older one."""
        older = self._dispatcher.connections.get(station.station_id)
        now = self._recording.clock.now()
        station.connected, station.version, station.since = True, connection.version, now
        station.connection_id = connection.connection_id
        self._dispatcher.connected(connection)
        self._recording.events.add("station_up", at=now, station_id=station.station_id, version=connection.version)
        extra = {"station_id": station.station_id, "connection_id": connection.connection_id}
        log.info("%s: connected, OCPP %s", station.station_id, connection.version, extra=extra)
        if older is not None:
            log.info("%s: a newer connection replaces an older one", station.station_id, extra=extra)
            task = asyncio.ensure_future(_let_go(older))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _on_call(self, connection: StationConnection, call: Call) -> Payload | None:
        station = self._depot.stations[connection.station_id]
        station.last_seen_at = connection.last_seen_at
        if (relay := self._relays.of(connection)) is not None:
            relay.take(call)
            return None
        answer = self._handlers[connection.version].handle(station, call.action, call.payload)
        if call.action == "BootNotification":
            connection.booted.set()
        self._dispatcher.wake()
        return answer


async def _let_go(connection: Channel) -> None:
    try:
        async with asyncio.timeout(CLOSE_WAIT_S):
            await connection.close(1001, "replaced by a newer connection")
    except TimeoutError:
        connection.abort()


def station_name(path: str) -> str | None:
    """Return the station's id from ``/ocpp/<station_id>``, or None for any other path."""
    bare = urllib.parse.urlsplit(path).path.rstrip("/")
    name = urllib.parse.unquote(bare.removeprefix(PATH)) if bare.startswith(PATH) else ""
    return name or None


def common_name(connection: ServerConnection) -> str | None:
    """Return the common name of the client's certificate, which TLS has verified."""
    tls: Any = connection.transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert() if tls is not None else None
    for relative_name in (certificate or {}).get("subject", ()):
        for name, value in relative_name:
            if name == "commonName":
                return str(value)
    return None


def _tls(listener: ListenerConfig) -> ssl.SSLContext | None:
    if listener.tls is None or listener.security_profile < 2:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(listener.tls.cert, listener.tls.key)
    if listener.security_profile == 3:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(listener.tls.client_ca)
    return context
