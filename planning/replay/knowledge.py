"""Forecasters that need no history: one that knows everything, one that knows only who is here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from planning.fallback import SocEstimate, SocEvidence, estimate_soc
from planning.replay.observation import Forecaster, Observation, PluggedIn
from planning.replay.world import TrueStay, World
from planning.requirements import Requirement
from planning.site_state import ArrivalEstimate, VehicleRequest, VehicleSpec

FRESH_WITHIN = timedelta(minutes=60)
MIDDLE, PROBE_H = 0.5, 1 / 60
"""A battery is tried for a minute at half its charge."""

TO_THE_MINUTE = timedelta(minutes=1)
"""Who is unplugged within the last minute of a slot may be charged in it: next to nothing of it is lost."""

NOTHING_MORE = Requirement(0.0, "about to leave", None)

ON_THE_WAY_PRIORITY = 0.01
"""A stay that ends without a departure is charged as if it did, but last."""


@dataclass(frozen=True, slots=True)
class PerfectForesight:
    """Knows every arrival, SoC, departure and battery of a world, as they will really be."""

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
        leaves_at = stay.unplugged_at + TO_THE_MINUTE
        if leaves_at < at + timedelta(minutes=self.world.settled.slot_minutes):
            # It has what it needs but for what readiness tolerates: no peak is driven up for that at the last minute.
            required = NOTHING_MORE
        start_pct = 50.0 if stay.start_soc_pct is None else stay.start_soc_pct
        return VehicleRequest(
            spec=true_spec(stay),
            requested_departure_at=leaves_at,
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


def true_spec(stay: TrueStay) -> VehicleSpec:
    """Return what a stay's battery really holds, and stores of what it draws in the middle of its charge."""
    top_kw = max(stay.spec.ac_max_kw or 0.0, stay.spec.dc_max_kw or 0.0)
    drawn_kw, reached = stay.battery.charge(MIDDLE, top_kw, PROBE_H)
    stored_kwh = (reached - MIDDLE) * stay.battery.capacity_kwh
    efficiency = min(1.0, stored_kwh / (drawn_kw * PROBE_H)) if drawn_kw > 0 else stay.spec.efficiency
    return replace(stay.spec, usable_kwh=stay.battery.capacity_kwh, soh_pct=None, efficiency=efficiency)


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
