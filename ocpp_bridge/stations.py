"""The live state of stations and connectors: what they last said, and which transaction runs where.

Plain data that handlers write and that dispatch and HTTP read. What stations may hold is in ``holdings``; what must
survive a restart is in the stores.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ocpp_bridge.clocks import ClockWatch
from ocpp_bridge.config import BridgeConfig, ConnectorConfig, StationConfig
from ocpp_bridge.holdings import ConnectorKey
from ocpp_bridge.profiles import Capabilities

IDLE_STATUSES = frozenset({"Available", "Unavailable", "Reserved"})


@dataclass(frozen=True, slots=True)
class RegisterReading:
    """An energy register at an instant, from which a mean power can be told later."""

    at: datetime
    energy_kwh: float


@dataclass(slots=True)
class Connector:
    """One connector, as it last reported."""

    station_id: str
    config: ConnectorConfig
    status: str | None = None
    transaction_id: str | None = None
    power_kw: float | None = None
    offered_kw: float | None = None
    metered_at: datetime | None = None
    energy_register_kwh: float | None = None
    soc_pct: float | None = None
    current_a: Mapping[str, float] = field(default_factory=dict)
    register: RegisterReading | None = None

    @property
    def key(self) -> ConnectorKey:
        """Station and number."""
        return self.station_id, self.config.connector_id

    @property
    def is_idle(self) -> bool:
        """Say whether it told us that no vehicle is there."""
        return self.status in IDLE_STATUSES


@dataclass(slots=True)
class Station:
    """One charging station, as it last reported."""

    config: StationConfig
    connectors: dict[int, Connector]
    connected: bool = False
    version: str | None = None
    connection_id: str | None = None
    since: datetime | None = None
    last_seen_at: datetime | None = None
    capabilities: Capabilities = field(default_factory=Capabilities)
    vendor: str | None = None
    model: str | None = None
    firmware: str | None = None
    cut_until_s: float = 0.0
    clock: ClockWatch = field(default_factory=ClockWatch)

    @property
    def station_id(self) -> str:
        """Its OCPP identity."""
        return self.config.station_id


class Depot:
    """All configured stations by id."""

    def __init__(self, config: BridgeConfig) -> None:
        self.stations = {
            station.station_id: Station(
                station,
                {one.connector_id: Connector(station.station_id, one) for one in station.connectors},
            )
            for station in config.stations
        }

    def connector(self, key: ConnectorKey) -> Connector | None:
        """Return a connector, or None where none is configured."""
        station = self.stations.get(key[0])
        return None if station is None else station.connectors.get(key[1])

    def connectors(self) -> Iterator[Connector]:
        """Yield every connector in order of station and number."""
        for station_id in sorted(self.stations):
            connectors = self.stations[station_id].connectors
            yield from (connectors[number] for number in sorted(connectors))
