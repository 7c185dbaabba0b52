"""The bridge's side of commissioning: a limit for one connector alone, a link that is cut for a while.

A trial takes the place of the connector's plan until an instant; the site's limits hold for it as for any plan. A cut
ends the connection and turns the station away until it is over: that is how a fallback is proven.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel, Field

from core.time_grid import format_instant
from ocpp_bridge.audit import Audit
from ocpp_bridge.desires import Trial
from ocpp_bridge.dispatch import Dispatcher
from ocpp_bridge.recording import Recording
from ocpp_bridge.stations import Connector, Depot, Station

LONGEST_TRIAL_S: Final = 3600.0
LONGEST_CUT_S: Final = 900.0
HTTP: Final = "http"


class NotThereError(LookupError):
    """No such station or connector, or it is not connected."""


class TrialRequest(BaseModel):
    """The body of ``POST /stations/{station_id}/trial``; 0 seconds end it."""

    connector_id: int = Field(ge=1)
    limit_kw: float = Field(ge=0, allow_inf_nan=False)
    seconds: float = Field(ge=0, le=LONGEST_TRIAL_S)


class CutRequest(BaseModel):
    """The body of ``POST /stations/{station_id}/cut``."""

    seconds: float = Field(ge=0, le=LONGEST_CUT_S)


@dataclass(frozen=True, slots=True)
class Trials:
    """What commissioning asks of the bridge."""

    depot: Depot
    dispatcher: Dispatcher
    recording: Recording
    audit: Audit

    def begin(self, station_id: str, wanted: TrialRequest) -> dict[str, Any]:
        """Give a connector a limit in place of its plan, or end that; return until when.

        Raises:
            NotThereError: there is no such connector, or its station is not connected.
            ValueError: the limit is above what the connector can do.
        """
        connector = self._connector(station_id, wanted.connector_id)
        if wanted.seconds and not self.depot.stations[station_id].connected:
            raise NotThereError(f"{station_id} is not connected")
        if wanted.limit_kw > connector.config.max_kw:
            raise ValueError(f"is above max_kw, {connector.config.max_kw:g} kW")
        now = self.recording.clock.now()
        until = now + timedelta(seconds=wanted.seconds)
        trial = Trial(wanted.limit_kw, until.timestamp()) if wanted.seconds else None
        self.audit.write("trial", at=now, by=HTTP, station_id=station_id, **wanted.model_dump())
        self.dispatcher.conductor.try_out(connector.key, trial)
        self.dispatcher.wake()
        return {"station_id": station_id, **wanted.model_dump(), "until": format_instant(until)}

    async def cut(self, station_id: str, wanted: CutRequest) -> dict[str, Any]:
        """End a station's connection and turn it away for so many seconds of wall time.

        Raises:
            NotThereError: there is no such station.
        """
        station = self._station(station_id)
        station.cut_until_s = time.monotonic() + wanted.seconds
        self.audit.write("cut", at=self.recording.clock.now(), by=HTTP, station_id=station_id, seconds=wanted.seconds)
        connection = self.dispatcher.connections.get(station_id)
        if connection is not None:
            connection.abort()
        return {"station_id": station_id, "seconds": wanted.seconds}

    def _station(self, station_id: str) -> Station:
        station = self.depot.stations.get(station_id)
        if station is None:
            raise NotThereError(f"{station_id} is no station of this bridge")
        return station

    def _connector(self, station_id: str, connector_id: int) -> Connector:
        station = self._station(station_id)
        if connector_id not in station.connectors:
            raise NotThereError(f"{station_id} has no connector {connector_id}")
        return station.connectors[connector_id]


def meter_of(connector: Connector) -> Mapping[str, Any]:
    """Return what commissioning must know of a connector beyond what operators see."""
    config = connector.config
    return {
        "current_type": config.current_type,
        "phases": config.phases,
        "voltage_v": config.wiring.voltage_v,
        "max_kw": config.max_kw,
        "min_kw": config.min_kw,
        "fallback_kw": config.fallback_kw,
        "energy_register_kwh": connector.energy_register_kwh,
        "current_a": dict(connector.current_a),
    }
