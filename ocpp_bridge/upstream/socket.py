"""The connection to a back end, on behalf of one station: dialled with its subprotocol and credentials. Wiring only."""

import asyncio
import base64
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from ocpp_bridge import wire
from ocpp_bridge.config import LinkConfig
from ocpp_bridge.upstream.settings import UpstreamConfig
from ocpp_bridge.wire import Answer, Call, MalformedFrameError

log = logging.getLogger(__name__)

FRAME_BYTES_MIN: Final = 1 << 20  # back ends send whole local lists
CLOSE_WAIT_S: Final = 1.0
OnUpstreamCall = Callable[[Call], Awaitable[None]]


class UpstreamLostError(ConnectionError):
    """The back end cannot be reached, or said nothing in time."""


class UpstreamSocket:
    """A websocket to a back end. One call of ours is in flight at a time, as OCPP-J wants."""

    def __init__(self, websocket: ClientConnection, *, timeout_s: float) -> None:
        self._websocket = websocket
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._open: tuple[str, asyncio.Future[Answer]] | None = None

    async def run(self, on_call: OnUpstreamCall) -> str:
        """Read until the connection ends; return how it ended."""
        try:
            async for text in self._websocket:
                await self._receive(text, on_call)
        except ConnectionClosed:
            pass
        finally:
            self._fail_open_call()
        return self._websocket.close_reason or f"closed with code {self._websocket.close_code}"

    async def call(self, call: Call) -> Answer:
        """Pass a station's call on and return the answer.

        Raises:
            UpstreamLostError: no answer came in time, or the connection ended. The back end may have got the call.
        """
        async with self._turn:
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._open = (call.message_id, future)
            try:
                await self.send(wire.call_frame(call.message_id, call.action, call.payload))
                return await asyncio.wait_for(future, self._timeout_s)
            except TimeoutError as error:
                # A late answer could be taken for that of a later call with the same id: start afresh.
                self.abort()
                raise UpstreamLostError(f"no answer to {call.action} in {self._timeout_s:g} s") from error
            finally:
                self._open = None
                if not future.cancel() and not future.cancelled():
                    future.exception()

    async def send(self, frame: list[Any]) -> None:
        """Send a frame that wants no answer, or is one.

        Raises:
            UpstreamLostError: the connection has ended.
        """
        try:
            await self._websocket.send(wire.dump(frame))
        except ConnectionClosed as error:
            raise UpstreamLostError("the connection ended") from error

    async def close(self, reason: str) -> None:
        """End the connection; one that does not answer is cut."""
        try:
            async with asyncio.timeout(CLOSE_WAIT_S):
                await self._websocket.close(1001, reason)
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """Cut the connection."""
        self._websocket.transport.abort()

    async def _receive(self, text: str | bytes, on_call: OnUpstreamCall) -> None:
        try:
            frame, message = wire.parse(text)
        except MalformedFrameError as error:
            if error.message_id is not None:
                with contextlib.suppress(UpstreamLostError):
                    await self.send(wire.error_frame(error.message_id, "FormationViolation", str(error)))
            return
        if isinstance(message, Call):
            await on_call(message)
        elif isinstance(message, Answer) and self._open is not None and message.message_id == self._open[0]:
            if not self._open[1].done():
                self._open[1].set_result(message)
        elif not isinstance(message, Answer):
            log.debug("a frame of type %s from a back end means nothing here", frame[0])

    def _fail_open_call(self) -> None:
        if self._open is not None and not self._open[1].done():
            self._open[1].set_exception(UpstreamLostError("the connection ended before an answer came"))


async def dial(
    config: UpstreamConfig, station_id: str, subprotocol: str, *, shown: str | None, link: LinkConfig
) -> UpstreamSocket:
    """Connect to a station's back end as that station.

    Args:
        config: Where the back end is.
        station_id: Whose identity to use.
        subprotocol: What the station speaks; the back end must speak it, too.
        shown: The station's own Authorization header, passed on unless the configuration has a password.
        link: Time-outs and sizes.

    Raises:
        UpstreamLostError: it cannot be reached, or does not let the station in; the message holds no secret.
    """
    authorization = _authorization(config, station_id) or shown
    try:
        websocket = await connect(
            config.address(station_id),
            subprotocols=[Subprotocol(subprotocol)],
            additional_headers={} if authorization is None else {"Authorization": authorization},
            ssl=config.tls(),
            proxy=None,
            compression=None,
            open_timeout=config.timeout_s,
            ping_interval=link.ping_interval_s,
            ping_timeout=link.ping_timeout_s,
            close_timeout=CLOSE_WAIT_S,
            max_size=max(link.max_frame_bytes, FRAME_BYTES_MIN),
            user_agent_header=None,
            logger=logging.getLogger("ocpp_bridge.websockets"),
        )
    except InvalidStatus as error:
        raise UpstreamLostError(f"it answered HTTP {error.response.status_code}") from error
    except (InvalidHandshake, InvalidURI, TimeoutError, OSError) as error:
        raise UpstreamLostError(str(error) or type(error).__name__) from error
    if websocket.subprotocol != subprotocol:
        await websocket.close(1002, f"offer {subprotocol}")
        raise UpstreamLostError(f"it does not speak {subprotocol}; restrict the station with upstream.subprotocols")
    return UpstreamSocket(websocket, timeout_s=config.timeout_s)


def _authorization(config: UpstreamConfig, station_id: str) -> str | None:
    password = config.password()
    if password is None:
        return None
    text = f"{config.username or station_id}:{password}"
    return f"Basic {base64.b64encode(text.encode()).decode()}"
