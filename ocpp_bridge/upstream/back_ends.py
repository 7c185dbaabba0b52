"""All other back ends as operators see them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ocpp_bridge.metrics import Sample
from ocpp_bridge.upstream.publishers import Publishers
from ocpp_bridge.upstream.relays import Relays


class HasReasons(Protocol):
    """Something that may be not as it should be."""

    def reasons(self) -> Iterator[str]:
        """Yield what is wrong."""


@dataclass(frozen=True, slots=True)
class BackEnds:
    """Proxied stations' back ends, those reached through their own interfaces, and who connects to us."""

    relays: Relays
    publishers: Publishers
    others: list[HasReasons] = field(default_factory=list)

    def reasons(self) -> Iterator[str]:
        """Yield what is not as it should be."""
        yield from self.relays.reasons()
        yield from self.publishers.reasons()
        for other in self.others:
            yield from other.reasons()

    def metrics(self) -> Iterator[Sample]:
        """Yield gauges."""
        yield from self.relays.metrics()
