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
    """Return the request of a vehicle that stands at, or comes home to, a connector that is out of service.

    Limits keep room for it, but no peak is driven up for it before it is plugged in elsewhere: nobody knows whether
    anyone sees to that, and a peak that turns out too low can be raised then. All other requests stay as they are.
    """
    place = request.plugged_at or request.bay
    if place is None or place not in closures:
        return replace(request, bay=None) if request.bay in closures else request
    moving = replace(
        request,
        bay=None if request.bay in closures else request.bay,
        expected=Expected(None, 0.0),
        notes=(*request.notes, f"{place[0]}/{place[1]} is out of service"),
    )
    if request.plugged_at is None:
        return moving
    is_given_up = as_of - closures[place] > GIVEN_UP_AFTER
    moved = ArrivalEstimate(as_of + MOVED_IN, "must be plugged in elsewhere", 1, as_of)
    return replace(moving, plugged_at=None, transaction_id=None, arrival=None if is_given_up else moved)
