"""Records in the order in which a provider receives them; a reader sees only those received by now."""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class EventLog(Generic[T]):
    """An append-only log, sorted by ``received_at``, that is fed ahead of time.

    Invariants: what a reader has seen keeps its place; ``add`` after ``release(until)`` must not receive before
    ``until`` (a record that would is received then).
    """

    def __init__(self) -> None:
        self._received: list[datetime] = []
        self._items: list[T] = []
        self._pending: list[tuple[datetime, int, T]] = []
        self._number = count()

    def add(self, received_at: datetime, item: T) -> None:
        """Schedule a record."""
        heapq.heappush(self._pending, (received_at, next(self._number), item))

    def extend(self, records: Iterable[tuple[datetime, T]]) -> None:
        """Schedule many records."""
        for received_at, item in records:
            self.add(received_at, item)

    def release(self, until: datetime) -> None:
        """Move what has been received by an instant into its final place."""
        while self._pending and self._pending[0][0] <= until:
            received_at, _, item = heapq.heappop(self._pending)
            latest = self._received[-1] if self._received else received_at
            self._received.append(max(received_at, latest))
            self._items.append(item)

    def known(self, at: datetime) -> int:
        """Return how many records were received by an instant."""
        return bisect_right(self._received, at)

    def position(self, at: datetime) -> int:
        """Return the number of records received before an instant."""
        return bisect_left(self._received, at)

    def items(self, begin: int, end: int) -> Iterator[tuple[datetime, T]]:
        """Yield records by place, with their time of receipt."""
        for place in range(begin, min(end, len(self._items))):
            yield self._received[place], self._items[place]
