"""From what is known of a site and its vehicles to a planning problem, with every input's source, age and rung.

What the fallback ladder and the requirements concluded is recorded here; nothing is fetched. Two things are on the
safe side by construction. A vehicle still out is taken to come late and low. And every connector that no planned
vehicle is expected to hold counts with its fallback, because that is what its station may let anybody draw: the room
for the planned ones shrinks by this idle reserve, slot by slot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import numpy as np

from core.time_grid import format_instant
from planning.model import NO_CONNECTOR, Connector, Connectors, FloatArray, Group, Problem
from planning.site_state import ArrivalEstimate, ConnectorKey, CurrentType, SiteState, VehicleRequest
from planning.uncertainty import Buffer, hold
from planning.vehicles import DEFAULT_EFFICIENCY, Row, fleet_of

INPUTS_SCHEMA = "depotwise.plan_inputs/1"
UNDISPATCHABLE_PRIORITY = 0.01
GUEST_STAYS = timedelta(hours=2)
"""How long a guest is expected to go on charging; the limit keeps room for it as long as the plan lasts."""

KNOWN_RUNG = 1
FORGOTTEN = "stands where nothing charges it, or comes to a bay that does not; it is planned for when it is plugged in"


Taken = dict[ConnectorKey, datetime | None]
Hold = tuple[ConnectorKey, int, int]


@dataclass(frozen=True, slots=True)
class Assembled:
    """A problem, and the document that says where each vehicle's inputs came from."""

    problem: Problem
    inputs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Planned:
    """A request that can be planned, the row that the problem will hold of it, and whether pessimism was cut back."""

    request: VehicleRequest
    row: Row
    is_clipped: bool


def assemble(site: SiteState, requests: Sequence[VehicleRequest], *, as_of: datetime) -> Assembled:
    """Return the problem of a site as of an instant, and its ``plan_inputs/1`` document.

    A vehicle that leaves before the first slot ends, comes after the last, or fits no connector cannot be planned; it
    is left out of the problem and recorded with the reason.
    """
    ordered = [_held(site, request) for request in sorted(requests, key=lambda request: request.spec.vehicle_id)]
    taken = _taken(site, ordered)
    results = [(request, _plan_for(site, request, taken)) for request in ordered]
    planned = [result for _, result in results if isinstance(result, _Planned)]
    inputs = {
        "schema": INPUTS_SCHEMA,
        "site_id": site.site_id,
        "as_of": format_instant(as_of),
        "vehicles": [_inputs(site, one, as_of) for one in planned],
        "excluded": [
            {"vehicle_id": request.spec.vehicle_id, "reason": result}
            for request, result in results
            if isinstance(result, str)
        ],
    }
    return Assembled(_problem(site, planned), inputs)


def idle_reserve_kw(site: SiteState, held: Sequence[Hold]) -> FloatArray:
    """Return what connectors without a planned vehicle may draw, [connectors, T].

    A connector counts with its fallback in every slot in which no planned vehicle holds it, and with what a guest is
    given while a transaction runs on it that belongs to no planned vehicle.

    Args:
        site: The site.
        held: Connector, first slot and end slot of every planned hold. A plugged vehicle without a transaction holds
            nothing yet: its station has nobody to give a profile to, and stays at its fallback.
    """
    idle = np.array([np.full(site.slots, item.fallback_kw) for item in site.connectors]).reshape(-1, site.slots)
    places = {item.key: place for place, item in enumerate(site.connectors)}
    known = {key for key, begin, _ in held if begin <= 0}
    for place, item in enumerate(site.connectors):
        if item.transaction_id is not None and item.key not in known:
            idle[place] = item.guest_kw
    for key, begin, end in held:
        idle[places[key], max(0, begin) : max(0, end)] = 0.0
    return idle


def _held(site: SiteState, request: VehicleRequest) -> VehicleRequest:
    """Return the request of a vehicle that is out with the arrival and the SoC that its outlook is held to."""
    buffer = _buffer(site, request)
    if buffer is None or request.arrival is None:
        return request
    at = site.start_at + timedelta(hours=buffer.arrival_h)
    soc = replace(request.soc, soc_pct=buffer.soc_pct)
    return replace(request, arrival=replace(request.arrival, at=at), soc=soc)


def _buffer(site: SiteState, request: VehicleRequest) -> Buffer | None:
    if request.outlook is None or request.arrival is None or request.plugged_at is not None:
        return None
    return hold(
        request.outlook,
        departure_h=(request.requested_departure_at - site.start_at) / timedelta(hours=1),
        target_pct=request.requirement.target_pct,
        battery_kwh=request.spec.battery_kwh,
        confidence=site.confidence,
    )


def _taken(site: SiteState, requests: Sequence[VehicleRequest]) -> Taken:
    """Return until when each connector is taken now; None is without end (a guest, of whom nobody knows anything)."""
    taken: Taken = {item.key: None for item in site.connectors if item.transaction_id is not None}
    for request in requests:
        if request.plugged_at is not None:
            taken[request.plugged_at] = request.requested_departure_at
    return taken


def _plan_for(site: SiteState, request: VehicleRequest, taken: Taken) -> _Planned | str:
    """Return the vehicle's row, or why it cannot be planned."""
    places = {item.key: place for place, item in enumerate(site.connectors)}
    departure = _departure_slot(site, request)
    if request.plugged_at is not None and request.plugged_at not in places:
        return f"is plugged into {request.plugged_at[0]}/{request.plugged_at[1]}, which is no connector of the site"
    if request.plugged_at is None and request.arrival is None:
        return FORGOTTEN if request.expected else "is not here, and nobody knows when it comes"
    if departure <= 0:
        return "was to leave before the first slot ends"
    bay = _usable_bay(request, taken, places)
    kind = _current_type(site, request, bay)
    if kind is None:
        return "fits no connector of the site"
    max_kw, min_kw = _power(site, request, kind)
    arrival, is_clipped = _arrival_slot(site, request, departure, max_kw)
    if arrival >= site.slots:
        return "comes after the horizon"
    row = Row(
        spec=request.spec,
        current_type=kind,
        arrival_slot=arrival,
        departure_slot=departure,
        start_soc_pct=request.soc.soc_pct,
        required_soc_pct=request.requirement.target_pct,
        max_kw=max_kw,
        min_kw=min_kw,
        priority=UNDISPATCHABLE_PRIORITY if request.has_red_telltale else request.priority,
        plugged=NO_CONNECTOR if request.plugged_at is None else places[request.plugged_at],
        bay=NO_CONNECTOR if bay is None else places[bay],
        transaction_id=request.transaction_id,
        is_dispatchable=not request.has_red_telltale,
    )
    return _Planned(request, row, is_clipped)


def _departure_slot(site: SiteState, request: VehicleRequest) -> int:
    """Return the first slot in which the vehicle may be unplugged; one that is about to leave stays to the end.

    Who is plugged in is planned for in the slot that begins: taken for a guest, it would be given power for hours.
    """
    planned = int((request.requested_departure_at - site.start_at) // _slot(site))
    early = int((request.requested_departure_at - request.unplugged_before - site.start_at) // _slot(site))
    if early > 0:
        return early
    is_still_here = request.plugged_at is not None and request.requested_departure_at > site.start_at
    return 1 if is_still_here else min(planned, 1)


def _slot(site: SiteState) -> timedelta:
    return timedelta(minutes=site.slot_minutes)


def _usable_bay(request: VehicleRequest, taken: Taken, places: dict[ConnectorKey, int]) -> ConnectorKey | None:
    """Return the vehicle's bay, unless somebody else will still stand in it when it comes."""
    bay, arrival = request.bay, request.arrival
    if bay is None or bay not in places or request.plugged_at is not None or arrival is None:
        return None
    if bay not in taken:
        return bay
    leaves_at = taken[bay]
    return bay if leaves_at is not None and leaves_at <= arrival.at else None


def _current_type(site: SiteState, request: VehicleRequest, bay: ConnectorKey | None) -> CurrentType | None:
    """Return the current of the vehicle's connector, or the weakest that serves it in time."""
    given = request.plugged_at or bay
    if given is not None:
        return next(item.current_type for item in site.connectors if item.key == given)
    spec = request.spec
    offered = {item.current_type for item in site.connectors if not item.is_out_of_service}
    has_ac = spec.ac_max_kw is not None and "ac" in offered
    has_dc = spec.dc_max_kw is not None and "dc" in offered
    if not (has_ac and has_dc):
        return "ac" if has_ac else "dc" if has_dc else None
    begin = site.start_at if request.arrival is None else request.arrival.at
    hours = (request.requested_departure_at - begin).total_seconds() / 3600
    return "ac" if hours * (spec.ac_max_kw or 0.0) >= _missing_kwh(request) else "dc"


def _missing_kwh(request: VehicleRequest) -> float:
    """Return the grid-side energy that the vehicle needs, at the losses of AC."""
    missing_pct = max(0.0, request.requirement.target_pct - request.soc.soc_pct)
    return missing_pct / 100 * request.spec.battery_kwh / DEFAULT_EFFICIENCY["ac"]


def _power(site: SiteState, request: VehicleRequest, kind: CurrentType) -> tuple[float, float]:
    """Return the vehicle's largest and smallest power on its connector, or on those it may find."""
    items = [item for item in site.connectors if item.current_type == kind and not item.is_out_of_service]
    if request.plugged_at is not None:
        items = [item for item in items if item.key == request.plugged_at]
    own = request.spec.ac_max_kw if kind == "ac" else request.spec.dc_max_kw
    ranges = [item.range_kw(request.spec.phases) for item in items]
    least, top = max(least for least, _ in ranges), max(top for _, top in ranges)
    return top if own is None else min(own, top), least


def _arrival_slot(site: SiteState, request: VehicleRequest, departure: int, max_kw: float) -> tuple[int, bool]:
    """Return the first slot in which the vehicle can charge, and whether pessimism was cut back.

    A late arrival that would leave no time to charge says that we know little, not that charging is hopeless: then the
    latest arrival that still lets it charge is taken. One that is known (rung 1) is as it is.
    """
    if request.plugged_at is not None or request.arrival is None:
        return 0, False
    late = max(1, ceil((request.arrival.at - site.start_at) / _slot(site)))
    needed = ceil(_missing_kwh(request) / max(max_kw, 1e-6) / (site.slot_minutes / 60)) + 1
    latest = max(1, departure - (1 if request.arrival.rung == KNOWN_RUNG else needed))
    return (late, False) if late <= latest else (latest, True)


def _problem(site: SiteState, planned: Sequence[_Planned]) -> Problem:
    reserve = idle_reserve_kw(site, _expected_holds(site, planned))
    guests = _guests(site, planned)
    base_kw = site.base_load_kw + _guests_load_kw(site, guests)
    # Other load and PV of the plan are what is expected; the limit leaves room for what could come instead.
    limit = np.minimum(site.grid_limit_kw, base_kw - site.pv_kw + site.ev_limit_kw - reserve.sum(axis=0))
    items = tuple(
        Connector(place, item.station_id, item.connector_id, item.current_type == "dc", item.max_kw, item.group_id)
        for place, item in enumerate(site.connectors)
        if item.key not in guests and not item.is_out_of_service
    )
    offered = {item.index for item in items}
    rows = [one.row if one.row.bay in offered else replace(one.row, bay=NO_CONNECTOR) for one in planned]
    attended = np.zeros(site.slots, dtype=np.bool_) if site.attended is None else site.attended
    return Problem(
        site_id=site.site_id,
        currency=site.currency,
        start_at=site.start_at,
        slot_minutes=site.slot_minutes,
        grid_limit_kw=np.maximum(limit, 0.0),
        base_load_kw=base_kw,
        pv_kw=site.pv_kw,
        price_per_kwh=site.price_per_kwh,
        feed_in_per_kwh=site.feed_in_per_kwh,
        demand_charges=site.demand_charges,
        price_tiers=site.price_tiers,
        soft_limits=site.soft_limits,
        carbon_kg_per_kwh=site.carbon_kg_per_kwh,
        carbon_price_per_kg=site.carbon_price_per_kg,
        shortfall_price_per_kwh=site.shortfall_price_per_kwh,
        battery=site.battery,
        connectors=Connectors(items, attended),
        groups=tuple(_group(site, group, reserve) for group in site.groups),
        enforce_min_power=True,
        fleet=fleet_of(rows),
    )


def _guests(site: SiteState, planned: Sequence[_Planned]) -> set[ConnectorKey]:
    """Return the connectors on which a transaction runs that belongs to no planned vehicle."""
    known = {one.request.plugged_at for one in planned}
    return {item.key for item in site.connectors if item.transaction_id is not None and item.key not in known}


def _guests_load_kw(site: SiteState, guests: set[ConnectorKey]) -> FloatArray:
    """Return what guests are expected to draw, [T]: like anybody's it drives a peak up, while they stay.

    At a connector that is out of service nobody draws anything, as far as is known.
    """
    drawn_kw = sum(item.guest_kw for item in site.connectors if item.key in guests and not item.is_out_of_service)
    load: FloatArray = np.where(np.arange(site.slots) < GUEST_STAYS / _slot(site), drawn_kw, 0.0)
    return load


def _expected_holds(site: SiteState, planned: Sequence[_Planned]) -> list[Hold]:
    """Return which connector each vehicle is expected to hold and when; those that are out take any that is free."""
    held: list[Hold] = [
        (one.request.plugged_at, 0, one.row.departure_slot)
        for one in planned
        if one.request.plugged_at is not None and one.request.transaction_id is not None
    ]
    free_from = dict.fromkeys((item.key for item in site.connectors), 0)
    free_from |= dict.fromkeys(_guests(site, planned), site.slots)
    free_from |= {item.key: site.slots for item in site.connectors if item.is_out_of_service}
    free_from |= {one.request.plugged_at: one.row.departure_slot for one in planned if one.request.plugged_at}
    out = [one.row for one in planned if one.request.plugged_at is None]
    # Bays first: nobody else may be counted on to stand there.
    for row in sorted(out, key=lambda row: (row.bay == NO_CONNECTOR, row.arrival_slot, row.spec.vehicle_id)):
        own = site.connectors if row.bay == NO_CONNECTOR else (site.connectors[row.bay],)
        able = (item.key for item in own if item.current_type == row.current_type)
        key = next((key for key in able if free_from[key] <= row.arrival_slot), None)
        if key is not None:
            held.append((key, row.arrival_slot, row.departure_slot))
            free_from[key] = row.departure_slot
    return held


def _group(site: SiteState, group: Group, reserve: FloatArray) -> Group:
    members = [item.group_id == group.group_id for item in site.connectors]
    return Group(group.group_id, np.maximum(group.limit_kw - reserve[members].sum(axis=0), 0.0))


def _inputs(site: SiteState, one: _Planned, as_of: datetime) -> dict[str, Any]:
    request = one.request
    return {
        "vehicle_id": request.spec.vehicle_id,
        "soc": {
            "value_pct": request.soc.soc_pct,
            "source": request.soc.source,
            "rung": request.soc.rung,
            "age_min": _age_min(request.soc.observed_at, as_of),
        },
        "arrival": None if request.arrival is None else _arrival_inputs(one, request.arrival, as_of),
        "departure": {"at": format_instant(request.requested_departure_at), "source": request.departure_source},
        "required": {
            "soc_pct": request.requirement.soc_pct,
            "margin_pp": request.requirement.margin_pp,
            "owner": request.requirement.owner,
            "energy_need_kwh": request.requirement.energy_need_kwh,
        },
        "is_dispatchable": not request.has_red_telltale,
        "notes": list(request.notes),
        **_buffer_inputs(_buffer(site, request)),
    }


def _buffer_inputs(buffer: Buffer | None) -> dict[str, Any]:
    """Return the margin that is held against what is not known; nothing where quantiles came chosen already."""
    if buffer is None:
        return {}
    margin = {
        "confidence": round(buffer.confidence, 6),
        "arrival_margin_min": round(60 * buffer.arrival_margin_h, 1),
        "soc_margin_pp": round(buffer.soc_margin_pp, 2),
        "arrival_risk": round(buffer.arrival_risk, 6),
        "soc_risk": round(buffer.soc_risk, 6),
    }
    return {"buffer": margin}


def _arrival_inputs(one: _Planned, arrival: ArrivalEstimate, as_of: datetime) -> dict[str, Any]:
    return {
        "at": format_instant(arrival.at),
        "source": arrival.source,
        "rung": arrival.rung,
        "age_min": _age_min(arrival.observed_at, as_of),
        "slot": one.row.arrival_slot,
        "is_clipped": one.is_clipped,
    }


def _age_min(observed_at: datetime | None, as_of: datetime) -> float | None:
    return None if observed_at is None else (as_of - observed_at).total_seconds() / 60
