"""What the dispatcher needs of the way to a station, whether a socket of its own or a back end's interface."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from ocpp_bridge.protocol import OcppProtocol, Request
from ocpp_bridge.wire import Answer

OnLate = Callable[[Answer], None]


class Channel(Protocol):
    """A way to one station."""

    station_id: str
    connection_id: str
    protocol: OcppProtocol
    booted: asyncio.Event
    last_seen_at: datetime

    async def call(self, request: Request, *, on_late: OnLate | None = None) -> Answer:
        """Send a request and wait for its answer; raise ``CallTimeoutError`` or ``ConnectionLostError``."""

    def hurry(self) -> None:
        """Something newer is to be sent."""

    async def close(self, code: int, reason: str) -> None:
        """End it."""

    def abort(self) -> None:
        """End it without waiting."""
