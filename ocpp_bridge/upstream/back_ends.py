"""All other back ends as operators see them."""

from collections.abc import Iterator
from dataclasses import dataclass

from ocpp_bridge.metrics import Sample
from ocpp_bridge.upstream.publishers import Publishers
from ocpp_bridge.upstream.relays import Relays


@dataclass(frozen=True, slots=True)
class BackEnds:
    """Proxied stations' back ends, and those reached through their own interfaces."""

    relays: Relays
    publishers: Publishers

    def reasons(self) -> Iterator[str]:
        """Yield what is not as it should be."""
        yield from self.relays.reasons()
        yield from self.publishers.reasons()

    def metrics(self) -> Iterator[Sample]:
        """Yield gauges."""
        yield from self.relays.metrics()
