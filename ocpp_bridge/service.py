"""The bridge as a running service: puts the parts together, starts them, and stops them in order."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import uvicorn

from core.clock import Clock
from core.files import write_text_atomic
from core.locks import LockTimeoutError, file_lock
from core.pseudonyms import KEY_VARIABLE, keyed_hash
from core.settings import secret
from ocpp_bridge.audit import Audit
from ocpp_bridge.conductor import Conductor
from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.credentials import Credentials
from ocpp_bridge.dispatch import Dispatcher
from ocpp_bridge.events import EventLog
from ocpp_bridge.frame_log import FrameLog
from ocpp_bridge.handlers_v2 import Handlers2
from ocpp_bridge.handlers_v16 import Handlers16
from ocpp_bridge.happenings import Happenings
from ocpp_bridge.held_store import HeldStore
from ocpp_bridge.http import BridgeApi
from ocpp_bridge.memory import Memory
from ocpp_bridge.metrics import Meters
from ocpp_bridge.office import Office
from ocpp_bridge.outbox import Outbox
from ocpp_bridge.protocol import OcppProtocol
from ocpp_bridge.protocol_v2 import Ocpp2
from ocpp_bridge.protocol_v16 import Ocpp16
from ocpp_bridge.recording import Recording
from ocpp_bridge.redaction import Hasher
from ocpp_bridge.server import CallHandlers, StationServer
from ocpp_bridge.stations import Depot
from ocpp_bridge.store import Store
from ocpp_bridge.transactions import Transactions
from ocpp_bridge.trials import Trials
from ocpp_bridge.upstream.back_ends import BackEnds
from ocpp_bridge.upstream.book import UpstreamBook
from ocpp_bridge.upstream.charging_requests import ChargingRequests
from ocpp_bridge.upstream.publishers import Publishers, PublishersDesk
from ocpp_bridge.upstream.queue import UpstreamQueue
from ocpp_bridge.upstream.relay import RelayDesk
from ocpp_bridge.upstream.relays import Relays
from ocpp_bridge.upstream.vdv463_server import Vdv463Server
from ocpp_bridge.upstream.web import routes
from ocpp_bridge.view import View

log = logging.getLogger(__name__)

LOCK_WAIT_S: Final = 2.0
HOUSEKEEPING_S: Final = 600.0


class AlreadyRunningError(RuntimeError):
    """Another bridge uses the same state_dir."""


class _HttpServer(uvicorn.Server):
    """Uvicorn inside our loop: signals are ours to handle, and we want to know when it listens."""

    def __init__(self, config: uvicorn.Config, ready: asyncio.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


class Bridge:
    """All parts of one bridge."""

    def __init__(self, config: BridgeConfig) -> None:
        state_dir = config.state_dir
        self._config = config
        self._store = Store(state_dir / "outbox.sqlite")
        hash_token = token_hasher(config)
        clock = config.make_clock()
        self._recording = Recording(
            clock, FrameLog(state_dir / "frames", hash_token), EventLog(state_dir / "events.sqlite"), Meters()
        )
        depot, memory, audit = Depot(config), Memory(self._store), Audit(state_dir)
        for change in Credentials(self._store).changes(config):
            audit.write("credentials", at=clock.now(), by="the configuration", change=change)
        self._outbox = outbox = Outbox(self._store)
        held_store = HeldStore(self._store)
        conductor = Conductor(config, last_sequence=held_store.last_sequence())
        transactions = Transactions(self._store)
        happenings = self._happenings(depot, transactions, conductor, hash_token)
        self._dispatcher = self._restored_dispatcher(conductor, depot, held_store, memory)
        protocols = _protocols()
        handlers = _handlers(happenings, clock, heartbeat_interval_s=config.link.heartbeat_interval_s)
        relays = Relays(config, desk=self._relay_desk(happenings, audit, hash_token), handlers=handlers)
        publishing = PublishersDesk(depot, self._dispatcher, happenings, self._recording, protocols)
        self._publishers = Publishers(config, publishing)
        self._stations = StationServer(
            config,
            depot=depot,
            dispatcher=self._dispatcher,
            handlers=handlers,
            protocols=protocols,
            recording=self._recording,
            relays=relays,
        )
        self._office = Office(
            config,
            depot=depot,
            outbox=outbox,
            memory=memory,
            dispatcher=self._dispatcher,
            protocols=protocols,
            recording=self._recording,
            audit=audit,
        )
        back_ends = BackEnds(relays, self._publishers)
        self._view = View(config, depot, self._dispatcher, outbox, self._recording, back_ends, audit)
        requests = ChargingRequests(self._store)
        self._api = BridgeApi(
            self._office,
            self._view,
            requests,
            Trials(depot, self._dispatcher, self._recording, audit),
            token=secret(config.http.token_env),
            max_body_bytes=config.http.max_body_bytes,
        )
        self.vdv463 = self._vdv463_server(requests, transactions)
        if self.vdv463 is not None:
            back_ends.others.append(self.vdv463)
        self.http_port = 0

    def _happenings(
        self, depot: Depot, transactions: Transactions, conductor: Conductor, hash_token: Hasher
    ) -> Happenings:
        happenings = Happenings(
            depot=depot,
            transactions=transactions,
            events=self._recording.events,
            conductor=conductor,
            clock=self._recording.clock,
            hash_token=hash_token,
            access=self._config.access,
        )
        happenings.restore()
        return happenings

    def _restored_dispatcher(
        self, conductor: Conductor, depot: Depot, held_store: HeldStore, memory: Memory
    ) -> Dispatcher:
        dispatcher = Dispatcher(
            conductor,
            depot=depot,
            outbox=self._outbox,
            held_store=held_store,
            memory=memory,
            recording=self._recording,
            boot_grace_s=self._config.link.boot_grace_s,
        )
        dispatcher.restore()
        return dispatcher

    def _relay_desk(self, happenings: Happenings, audit: Audit, hash_token: Hasher) -> RelayDesk:
        return RelayDesk(
            queue=UpstreamQueue(self._store),
            book=UpstreamBook(self._store),
            happenings=happenings,
            audit=audit,
            recording=self._recording,
            hash_token=hash_token,
            link=self._config.link,
        )

    def _vdv463_server(self, requests: ChargingRequests, book: Transactions) -> Vdv463Server | None:
        if self._config.vdv463 is None:
            return None
        return Vdv463Server(self._config, self._config.vdv463, view=self._view, requests=requests, book=book)

    @property
    def station_ports(self) -> list[int]:
        """The ports for stations that are open, in the order of the configuration."""
        return self._stations.ports

    @property
    def is_quiet(self) -> bool:
        """Say whether no delivery is under way."""
        return self._dispatcher.is_quiet

    async def run(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """Serve until ``stop`` is set; set ``ready`` once everything listens.

        Raises:
            OSError: a port cannot be opened.
        """
        with contextlib.closing(_listen(self._config.http.host, self._config.http.port)) as listening:
            self.http_port = listening.getsockname()[1]
            server = _HttpServer(self._uvicorn_config(), ready)
            await self._stations.start()
            if self.vdv463 is not None:
                await self.vdv463.start()
            tasks = [
                asyncio.create_task(self._recording.events.run()),
                asyncio.create_task(self._dispatcher.run()),
                asyncio.create_task(self._housekeeping()),
                asyncio.create_task(self._publishers.run()),
                *([] if self.vdv463 is None else [asyncio.create_task(self.vdv463.run())]),
                asyncio.create_task(server.serve(sockets=[listening])),
            ]
            stopping = asyncio.create_task(stop.wait())
            try:
                done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
                for task in done - {stopping}:
                    task.result()  # a part that ended by itself ends the service, with its error
            finally:
                await self._wind_down(server, tasks)
                stopping.cancel()

    async def _wind_down(self, server: uvicorn.Server, tasks: list[asyncio.Task[None]]) -> None:
        server.should_exit = True
        server.force_exit = True  # a long poll must not hold the service up
        with contextlib.suppress(TimeoutError):
            await self._stations.stop()
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._recording.events.close()
        self._recording.frames.close()
        self._store.close()

    async def _housekeeping(self) -> None:
        while True:
            now = self._recording.clock.now()
            self._recording.frames.remove_old(now, days=self._config.frame_retention_days)
            with contextlib.suppress(sqlite3.OperationalError):  # a full disk; health tells
                self._outbox.remove_before(now - timedelta(days=self._config.publication_retention_days))
            await asyncio.sleep(HOUSEKEEPING_S)

    def _uvicorn_config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._api.app(routes(self._publishers)),
            log_config=None,  # its few lines go where ours go
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=30,
            limit_concurrency=200,
        )


def _protocols() -> dict[str, OcppProtocol]:
    """Return what is spoken by subprotocol, in the order in which we prefer them where a station offers several."""
    return {"ocpp2.1": Ocpp2("2.1"), "ocpp2.0.1": Ocpp2("2.0.1"), "ocpp1.6": Ocpp16()}


def _handlers(happenings: Happenings, clock: Clock, *, heartbeat_interval_s: int) -> dict[str, CallHandlers]:
    return {
        "1.6": Handlers16(happenings, clock, heartbeat_interval_s=heartbeat_interval_s),
        "2.0.1": Handlers2(happenings, clock, version="2.0.1", heartbeat_interval_s=heartbeat_interval_s),
        "2.1": Handlers2(happenings, clock, version="2.1", heartbeat_interval_s=heartbeat_interval_s),
    }


@contextmanager
def exclusive(state_dir: Path) -> Iterator[None]:
    """Hold the state folder: two bridges on one state would each think they alone command the chargers.

    Raises:
        AlreadyRunningError: another bridge holds it.
    """
    try:
        with file_lock(state_dir / "bridge.lock", timeout_s=LOCK_WAIT_S):
            yield
    except LockTimeoutError as error:
        raise AlreadyRunningError(f"another bridge is running on {state_dir}; stop it first") from error


def token_hasher(config: BridgeConfig) -> Hasher:
    """Return how tokens are made unreadable: with the platform's key, or with one of this bridge alone."""
    if config.plain_id_tags:
        return str
    if os.environ.get(KEY_VARIABLE):
        return keyed_hash
    file = config.state_dir / "hash.key"
    if not file.exists():
        write_text_atomic(file, secrets.token_hex(32))
        file.chmod(0o600)
    log.warning("%s is not set: tokens are hashed with this bridge's own key and match no others", KEY_VARIABLE)
    return partial(keyed_hash, key=file.read_text(encoding="utf-8"))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening
