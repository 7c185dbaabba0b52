"""Connectors that give nothing, by decision or by a fault: nobody is planned there, who stands there must move.

A plan that went on counting on such a vehicle would drive the peak up for it all night, later and later, and higher.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from planning.site_state import ArrivalEstimate, ConnectorKey, ConnectorState, Expected, VehicleRequest

Closures = Mapping[ConnectorKey, datetime]
"""Connectors that are out of service, and since when."""

MOVED_IN = timedelta(minutes=30)
"""A vehicle at a connector that is out of service is taken to be at another one this long from now, at the soonest."""

GIVEN_UP_AFTER = timedelta(minutes=30)
"""For so long limits keep room for whom nobody moves; kept until it leaves, that room makes the others hurry."""


def closed(connectors: Sequence[ConnectorState], closures: Closures) -> tuple[ConnectorState, ...]:
    """Return the connectors; those that are out of service take nobody, and may still let anybody draw a fallback."""
    return tuple(replace(item, is_out_of_service=True) if item.key in closures else item for item in connectors)


def elsewhere(request: VehicleRequest, closures: Closures, *, as_of: datetime) -> VehicleRequest:
    """Return the request of a vehicle that must be plugged in somewhere else; the same for all others."""
    bay = None if request.bay in closures else request.bay
    if request.plugged_at is None or request.plugged_at not in closures:
        return replace(request, bay=bay)
    stuck_for = as_of - closures[request.plugged_at]
    return replace(
        request,
        plugged_at=None,
        transaction_id=None,
        bay=bay,
        arrival=None
        if stuck_for > GIVEN_UP_AFTER
        else ArrivalEstimate(as_of + MOVED_IN, "must be plugged in elsewhere", 1, as_of),
        # No peak is driven up for it before it is there: one that turns out too low can be raised then.
        expected=Expected(None, 0.0),
        notes=(*request.notes, f"{request.plugged_at[0]}/{request.plugged_at[1]} is out of service"),
    )
