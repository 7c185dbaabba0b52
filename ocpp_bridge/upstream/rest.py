"""What all ways through another back end's HTTP interface have in common: ask, be told "queued", await the result."""

import asyncio
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import httpx

from core.clock import Clock
from ocpp_bridge.channel import OnLate
from ocpp_bridge.protocol import OcppProtocol, Request
from ocpp_bridge.station import CallTimeoutError, ConnectionLostError
from ocpp_bridge.upstream.callbacks import Callbacks
from ocpp_bridge.wire import Answer


@dataclass(frozen=True, slots=True)
class Queued:
    """The back end took the request; the result comes within so many seconds."""

    within_s: float


@dataclass(frozen=True, slots=True)
class Means:
    """What a channel works with."""

    client: httpx.AsyncClient
    callbacks: Callbacks
    clock: Clock


class RestChannel(ABC):
    """A way to one station through its back end. One request is open at a time."""

    def __init__(self, station_id: str, protocol: OcppProtocol, means: Means) -> None:
        self.station_id = station_id
        self.protocol = protocol
        self.connection_id = uuid.uuid4().hex[:12]
        self.booted = asyncio.Event()
        self.booted.set()
        self.last_seen_at = means.clock.now()
        self.problem: str | None = None
        self.lost = asyncio.Event()
        self._client = means.client
        self._callbacks = means.callbacks
        self._clock = means.clock
        self._turn = asyncio.Lock()

    async def call(self, request: Request, *, on_late: OnLate | None = None) -> Answer:
        """Send a request and wait for the station's answer, as the back end tells it.

        Raises:
            CallTimeoutError: the back end cannot be reached, or no result came in time; the station may have got it.
            ConnectionLostError: the back end says that the station is not there.
        """
        async with self._turn:
            waiting = self._callbacks.open()
            try:
                outcome = await self._ask(request, waiting.url)
            except ConnectionLostError as error:
                self.problem = str(error)
                self.lost.set()
                raise
            except (httpx.HTTPError, ValueError) as error:  # not there, or no JSON
                self.problem = f"its back end cannot be reached, or makes no sense: {type(error).__name__}"
                raise CallTimeoutError(f"{self.station_id}: {self.problem}") from error
            self.problem = None
            if isinstance(outcome, Answer):
                return outcome
            try:
                body = await waiting.result(outcome.within_s)
            except TimeoutError as error:
                if on_late is not None:
                    waiting.on_late = lambda late: on_late(self._answer(request, late))
                raise CallTimeoutError(f"{self.station_id}: no result of {request[0]} came") from error
            self.last_seen_at = self._clock.now()
            return self._answer(request, body)

    def hurry(self) -> None:  # noqa: B027  nothing to do is what all of them do
        """Nothing can be hurried: what was queued elsewhere cannot be taken back."""

    async def close(self, code: int, reason: str) -> None:  # noqa: B027
        """There is no connection to end."""

    def abort(self) -> None:  # noqa: B027
        """There is no connection to end."""

    @abstractmethod
    async def _ask(self, request: Request, callback_url: str) -> Answer | Queued:
        """Send a request to the back end; return the answer if it can be told at once."""

    @abstractmethod
    def _answer(self, request: Request, body: dict[str, Any]) -> Answer:
        """Read a result."""
