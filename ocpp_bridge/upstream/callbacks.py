"""Results that other back ends send later, each to an address of its own that nobody can guess. No HTTP in here."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

PATH: Final = "/callbacks/"
KEPT: Final = 10_000
OnLateResult = Callable[[dict[str, Any]], None]


class Waiting:
    """One result that is awaited."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.on_late: OnLateResult | None = None
        self._future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def result(self, seconds: float) -> dict[str, Any]:
        """Wait for the result.

        Raises:
            TimeoutError: it did not come in time.
        """
        return await asyncio.wait_for(asyncio.shield(self._future), seconds)

    def deliver(self, body: dict[str, Any]) -> None:
        """Take the result, also a late one; only the first counts."""
        if self._future.done():
            return
        self._future.set_result(body)
        if self.on_late is not None:
            self.on_late(body)


class Callbacks:
    """All results that are awaited, by the secret in their address."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._waiting: OrderedDict[str, Waiting] = OrderedDict()

    def open(self) -> Waiting:
        """Return a new address to wait at."""
        key = secrets.token_urlsafe(24)
        self._waiting[key] = waiting = Waiting(f"{self._base_url}{PATH}{key}")
        while len(self._waiting) > KEPT:
            self._waiting.popitem(last=False)
        return waiting

    def deliver(self, key: str, body: dict[str, Any]) -> bool:
        """Hand a result over; return whether anybody waits there. An address is good for one result."""
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            return False
        waiting.deliver(body)
        return True
