"""The charging side of VDV 463: presystems connect, ask for charging, and are told how it goes. Asyncio wiring.

Requests are on the disk before they are confirmed. What they mean for a plan is not decided here: ingestion reads them
behind a cursor, planning plans, and the publication comes back like any other.
"""

import asyncio
import logging
import sqlite3
import ssl
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.security import PasswordGate, parse_basic
from ocpp_bridge.transactions import Transaction, Transactions
from ocpp_bridge.upstream import vdv463
from ocpp_bridge.upstream.charging_information import Point, charging_information
from ocpp_bridge.upstream.charging_requests import ChargingRequests
from ocpp_bridge.upstream.settings import Vdv463Config
from ocpp_bridge.upstream.vdv463 import Message, VdvError
from ocpp_bridge.view import View

log = logging.getLogger(__name__)

SOURCE: Final = "LMS"
ANSWER_WAIT_S: Final = 30.0
FRAME_BYTES_MAX: Final = 4 << 20
CHALLENGE: Final = 'Basic realm="presystems", charset="UTF-8"'


class Vdv463Server:
    """Serves presystems; the newest connection of one wins."""

    def __init__(
        self,
        config: BridgeConfig,
        settings: Vdv463Config,
        *,
        view: View,
        requests: ChargingRequests,
        book: Transactions,
    ) -> None:
        self._settings = settings
        self._config = config
        self._view = view
        self._requests = requests
        self._book = book
        self._hashes = {one.presystem_id: one.password_hash for one in settings.presystems}
        self._gate = PasswordGate()
        self._sockets: dict[str, ServerConnection] = {}
        self._awaited: dict[str, asyncio.Event] = {}
        self._server: Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Open the port.

        Raises:
            OSError: it cannot be opened.
        """
        self._server = await self._listen()
        self.port = self._server.sockets[0].getsockname()[1]

    async def run(self) -> None:
        """Serve until cancelled."""
        assert self._server is not None
        try:
            await asyncio.Event().wait()
        finally:
            self._server.close(close_connections=True)

    def reasons(self) -> Iterator[str]:
        """Yield what is not as it should be."""
        for presystem_id in sorted(self._hashes.keys() - self._sockets.keys()):
            yield f"the presystem {presystem_id} is not connected"

    async def _listen(self) -> Server:
        return await serve(
            self._serve,
            self._settings.host,
            self._settings.port,
            subprotocols=[Subprotocol(vdv463.SUBPROTOCOL)],
            process_request=self._admit,
            ssl=self._tls(),
            max_size=FRAME_BYTES_MAX,
            server_header=None,
            logger=logging.getLogger("ocpp_bridge.websockets"),
        )

    def _tls(self) -> ssl.SSLContext | None:
        tls = self._settings.tls
        if tls is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(tls.cert, tls.key)
        return context

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        given = parse_basic(request.headers.get("Authorization"))
        expected = None if given is None else self._hashes.get(given[0])
        if given is None or expected is None or not await self._is_good(given[0], given[1], expected):
            self._view.recording.meters.count("refused_presystem")
            response = connection.respond(HTTPStatus.UNAUTHORIZED, "unknown presystem or wrong password\n")
            response.headers["WWW-Authenticate"] = CHALLENGE
            return response
        connection.username = given[0]
        return None

    async def _is_good(self, presystem_id: str, password: bytes, expected: str) -> bool:
        if self._gate.remembers(presystem_id, password, expected):
            return True
        return await asyncio.to_thread(self._gate.check, presystem_id, password, expected)

    # --- one presystem -----------------------------------------------------------------------------------------------

    async def _serve(self, socket: ServerConnection) -> None:
        presystem_id = socket.username
        older = self._sockets.get(presystem_id)
        self._sockets[presystem_id] = socket
        if older is not None:
            await older.close(1001, "replaced by a newer connection")
        telling: asyncio.Task[None] | None = None
        try:
            async for text in socket:
                message = await self._take(socket, presystem_id, text)
                if message is not None and message.action == vdv463.BOOT and telling is None:
                    telling = asyncio.ensure_future(self._tell(socket, presystem_id))
        except ConnectionClosed:
            pass
        finally:
            if telling is not None:
                telling.cancel()
            if self._sockets.get(presystem_id) is socket:
                del self._sockets[presystem_id]

    async def _take(self, socket: ServerConnection, presystem_id: str, text: str | bytes) -> Message | None:
        """Answer a message; return it if it was a request that made sense."""
        try:
            message = vdv463.parse(text)
        except VdvError as error:
            log.warning("the presystem %s sent what is no message: %s", presystem_id, error)
            return None
        if message.kind != vdv463.REQUEST:
            if (awaited := self._awaited.get(message.message_id)) is not None:
                awaited.set()
            if message.kind == vdv463.ERROR:
                log.warning("the presystem %s reports an error: %s", presystem_id, message.payload.get("errorMessage"))
            return None
        try:
            answer = message.answered(vdv463.RESPONSE, self._answer(message, presystem_id), source=SOURCE)
        except VdvError as error:
            answer = message.answered(vdv463.ERROR, {"errorMessage": str(error)}, source=SOURCE)
        except sqlite3.Error as error:
            log.exception("charging requests cannot be stored")
            text_ = f"not stored, try again later: {error}"
            answer = message.answered(vdv463.ERROR, {"errorMessage": text_}, source=SOURCE)
        await socket.send(vdv463.dump(answer, at=self._view.recording.clock.now()))
        return message if answer.kind == vdv463.RESPONSE else None

    def _answer(self, message: Message, presystem_id: str) -> dict[str, str]:
        if message.presystem_id != presystem_id:
            raise VdvError(f"the message names the presystem {message.presystem_id}, but {presystem_id} is logged in")
        if message.action == vdv463.BOOT:
            return {"status": "Accepted"}
        if message.action != vdv463.REQUESTS:
            raise VdvError(f"{message.action} is for the charging side to send")
        requests = vdv463.read_requests(message.payload)
        changed = self._requests.replace(presystem_id, requests, received_at=self._view.recording.clock.now())
        self._view.recording.meters.count("charging_requests")
        log.info("the presystem %s asks for %d charges, %d of them changed", presystem_id, len(requests), changed)
        return {}

    async def _tell(self, socket: ServerConnection, presystem_id: str) -> None:
        """Tell a presystem how charging goes, at once and then cyclically, each time waiting for its confirmation."""
        while True:
            message = vdv463.information(self._information(presystem_id), presystem_id=presystem_id, source=SOURCE)
            self._awaited[message.message_id] = confirmed = asyncio.Event()
            try:
                await socket.send(vdv463.dump(message, at=self._view.recording.clock.now()))
                async with asyncio.timeout(ANSWER_WAIT_S):
                    await confirmed.wait()
            except TimeoutError:
                log.warning("the presystem %s did not confirm what it was told", presystem_id)
            except ConnectionClosed:
                return
            finally:
                del self._awaited[message.message_id]
            await asyncio.sleep(self._settings.interval_s)

    def _information(self, presystem_id: str) -> dict[str, Any]:
        return charging_information(
            list(self._points()),
            self._requests.present(presystem_id),
            depot_id=self._settings.depot_id or self._config.site.site_id,
            presystem_id=presystem_id,
        )

    def _points(self) -> Iterator[Point]:
        conductor, now = self._view.dispatcher.conductor, self._view.recording.clock.now()
        running = {one.key: one for one in self._book.all_running()}
        for connector in self._view.depot.connectors():
            station = self._view.depot.stations[connector.station_id]
            transaction: Transaction | None = running.get(connector.key)
            meter_start_wh = None if transaction is None else transaction.meter_start_wh
            line = conductor.lines[connector.key]
            yield Point(
                station_id=connector.station_id,
                point_id=connector.config.charging_point_id
                or f"{connector.station_id}-{connector.config.connector_id}",
                connected=station.connected,
                status=connector.status,
                limit_kw=self._view.accepted_kw(connector.key, now),
                power_kw=connector.power_kw,
                energy_register_kwh=connector.energy_register_kwh,
                soc_pct=connector.soc_pct,
                transaction_id=connector.transaction_id,
                started_at=None if transaction is None else transaction.started_at,
                meter_start_kwh=None if meter_start_wh is None else meter_start_wh / 1000,
                plan=line.entry,
            )
