"""What operators decided against the platform: charge now, out of service, another departure, another target.

Pure: which overrides hold at an instant, and what they make of requests and connectors. Each leaves a note in the
plan's inputs, so that a plan says whose word it follows and until when.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from core.time_grid import SLOT, SLOT_HOURS, floor_to_slot, format_instant
from planning.closures import Closures, closed, elsewhere
from planning.requirements import Requirement
from planning.site_state import ConnectorKey, ConnectorState, VehicleRequest
from planning.vehicles import DEFAULT_EFFICIENCY

OverrideKind = Literal["charge_now", "out_of_service", "departure", "target"]
CHARGE_NOW_PRIORITY = 10.0
SPARE_SLOTS = 0.05
"""Charging now asks for what full power gives less this much of a slot, so that rounding is no shortfall."""


@dataclass(frozen=True, slots=True)
class Override:
    """One decision about a vehicle or a connector; exactly one of the two is named."""

    override_id: str
    kind: OverrideKind
    valid_from_at: datetime
    valid_until_at: datetime
    vehicle_id: str | None = None
    connector: ConnectorKey | None = None
    departure_at: datetime | None = None
    target_soc_pct: float | None = None
    reason: str | None = None

    def holds(self, at: datetime) -> bool:
        """Say whether it holds at an instant."""
        return self.valid_from_at <= at < self.valid_until_at

    @property
    def note(self) -> str:
        """What it says, for people and for the plan's inputs."""
        what = {
            "charge_now": "charge now",
            "out_of_service": "out of service",
            "departure": f"departure {format_instant(self.departure_at)}" if self.departure_at else "departure",
            "target": f"target {self.target_soc_pct:g} %" if self.target_soc_pct is not None else "target",
        }[self.kind]
        why = f": {self.reason}" if self.reason else ""
        return f"override {self.override_id}, {what}, until {format_instant(self.valid_until_at)}{why}"


def overridden_requests(
    requests: Sequence[VehicleRequest],
    connectors: Sequence[ConnectorState],
    overrides: Sequence[Override],
    *,
    as_of: datetime,
) -> list[VehicleRequest]:
    """Return the requests as the overrides that hold now want them; the latest of one kind counts."""
    holding = [one for one in sorted(overrides, key=lambda one: one.valid_from_at) if one.holds(as_of)]
    closures = _closures(holding)
    tops = {item.key: item.max_kw for item in connectors}
    found = []
    for request in requests:
        changed = request
        for one in holding:
            is_its_connector = one.connector is not None and one.connector == request.plugged_at
            if one.vehicle_id == request.spec.vehicle_id or (is_its_connector and one.kind != "out_of_service"):
                changed = _applied(changed, one, tops, as_of)
        found.append(elsewhere(changed, closures, as_of=as_of))
    return found


def overridden_connectors(
    connectors: Sequence[ConnectorState], overrides: Sequence[Override], *, as_of: datetime
) -> tuple[ConnectorState, ...]:
    """Return the connectors; those that are out of service take nobody, and may still let anybody draw a fallback."""
    return closed(connectors, _closures([one for one in overrides if one.holds(as_of)]))


def _closures(holding: Sequence[Override]) -> Closures:
    """Return the connectors that somebody took out of service."""
    return {
        one.connector: one.valid_from_at
        for one in holding
        if one.kind == "out_of_service" and one.connector is not None
    }


def _applied(
    request: VehicleRequest, one: Override, tops: dict[ConnectorKey, float], as_of: datetime
) -> VehicleRequest:
    noted = replace(request, notes=(*request.notes, one.note))
    match one.kind:
        case "departure":
            departure = one.departure_at or request.requested_departure_at
            return replace(noted, requested_departure_at=departure, departure_source="override")
        case "target":
            target = Requirement(one.target_soc_pct or 0.0, "override", None)
            return replace(noted, requirement=target)
        case "out_of_service":
            return replace(noted, requirement=Requirement(0.0, "override: out of service", None))
        case "charge_now":
            return _charged_now(noted, tops, as_of)


def _charged_now(request: VehicleRequest, tops: dict[ConnectorKey, float], as_of: datetime) -> VehicleRequest:
    """Return a request that only full power from now on can meet, before everybody else's.

    It asks for what full power reaches in the whole slots that the target takes; the plans after it ask for the rest.
    """
    urgent = replace(request, priority=CHARGE_NOW_PRIORITY, unplugged_before=timedelta(0))
    missing_pct = max(0.0, request.requirement.target_pct - request.soc.soc_pct)
    if request.plugged_at is None or missing_pct == 0:
        return urgent
    top_kw = tops.get(request.plugged_at, 0.0)
    own_kw = max((kw for kw in (request.spec.ac_max_kw, request.spec.dc_max_kw) if kw is not None), default=top_kw)
    efficiency = request.spec.efficiency or DEFAULT_EFFICIENCY["ac"]
    gain_pct = 100 * max(min(top_kw, own_kw), 1.0) * SLOT_HOURS * efficiency / request.spec.battery_kwh
    slots = max(1, int(missing_pct / gain_pct))
    reached_pct = request.soc.soc_pct + min(missing_pct, (slots - SPARE_SLOTS) * gain_pct)
    by_then = replace(request.requirement, soc_pct=reached_pct, margin_pp=0.0, owner="override: charge now")
    departure = min(request.requested_departure_at, floor_to_slot(as_of) + slots * SLOT)
    return replace(urgent, requested_departure_at=departure, requirement=by_then)
