"""Forecasters that need no history: one that knows everything, one that knows only who is here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from planning.fallback import SocEstimate, SocEvidence, estimate_soc
from planning.replay.observation import Forecaster, Observation, PluggedIn
from planning.replay.world import TrueStay, World
from planning.requirements import Requirement
from planning.site_state import ArrivalEstimate, VehicleRequest, VehicleSpec

FRESH_WITHIN = timedelta(minutes=60)
ON_THE_WAY_PRIORITY = 0.01
"""A stay that ends without a departure is charged as if it did, but last."""


@dataclass(frozen=True, slots=True)
class PerfectForesight:
    """Knows every arrival, SoC and departure of a world, as they will really be."""

    world: World

    def requests(self, seen: Observation) -> Sequence[VehicleRequest]:
        """Return the true request of every vehicle that is here or will come."""
        here = seen.of_vehicles()
        ahead: dict[str, TrueStay] = {}
        for stay in sorted(self.world.stays, key=lambda stay: stay.plugged_at):
            if stay.unplugged_at > seen.at and stay.vehicle_id not in seen.gone:
                ahead.setdefault(stay.vehicle_id, stay)
        found = (self._request(stay, here.get(stay.vehicle_id), seen.at) for stay in ahead.values())
        return [request for request in found if request is not None]

    def _request(self, stay: TrueStay, plugged: PluggedIn | None, at: datetime) -> VehicleRequest | None:
        required = stay.required or self._next_requirement(stay)
        if required is None:
            return None
        start_pct = 50.0 if stay.start_soc_pct is None else stay.start_soc_pct
        return VehicleRequest(
            spec=stay.spec,
            requested_departure_at=stay.unplugged_at,
            soc=measured_soc(plugged, stay.spec, at) if plugged else SocEstimate(start_pct, 1, "foresight", at),
            requirement=required,
            plugged_at=plugged.connector if plugged else None,
            transaction_id=plugged.transaction_id if plugged else None,
            arrival=None if plugged else ArrivalEstimate(stay.plugged_at, "foresight", 1, at),
            bay=stay.connector,
            priority=1.0 if stay.required is not None else ON_THE_WAY_PRIORITY,
            departure_source="foresight",
        )

    def _next_requirement(self, stay: TrueStay) -> Requirement | None:
        later = (
            other
            for other in self.world.stays
            if other.vehicle_id == stay.vehicle_id and other.plugged_at > stay.plugged_at and other.required
        )
        following = min(later, key=lambda other: other.plugged_at, default=None)
        return None if following is None else following.required


@dataclass(frozen=True, slots=True)
class PresentOnly:
    """Another forecaster's requests of the vehicles that are plugged in now; nothing of those still out."""

    inner: Forecaster

    def requests(self, seen: Observation) -> Sequence[VehicleRequest]:
        """Return the requests of plugged vehicles."""
        return [request for request in self.inner.requests(seen) if request.plugged_at is not None]


def measured_soc(plugged: PluggedIn, spec: VehicleSpec, at: datetime) -> SocEstimate:
    """Return the SoC of a plugged vehicle by its latest reading and the energy counted since."""
    evidence = SocEvidence(reading=plugged.reading, charged_kwh=plugged.charged_kwh)
    return estimate_soc(
        evidence,
        as_of=at,
        fresh_within=FRESH_WITHIN,
        usable_kwh=spec.battery_kwh,
        efficiency=spec.efficiency or 0.9,
    )
