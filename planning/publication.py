"""From a plan to the ``publication/1`` that the bridge receives: rounded down, merged, and under every limit.

One entry per connector on which a transaction runs; connectors left out fall back. At every instant the entries and the
fallbacks of the connectors left out stay under the limit for vehicles and under each group's: what does not fit is
taken from those that leave last. Nothing is sent from here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor
from typing import Literal

import numpy as np

from core.publication import ConnectorPlan, GroupLimit, LimitPeriod, Publication
from core.time_grid import slot_starts
from planning.model import SHORT_KWH, BoolArray, FloatArray, IntArray, Plan, Problem
from planning.site_state import POWER_STEP_KW, ConnectorState, SiteState

ROUNDING_KW = 1e-6


@dataclass(frozen=True, slots=True)
class _Entry:
    """A connector's powers [T] before limits, for one transaction; guests have no vehicle."""

    connector: ConnectorState
    wanted_kw: FloatArray
    departure_slot: int
    vehicle_id: str | None
    least_kw: float
    required_soc_pct: float | None = None
    predicted_soc_pct: float | None = None


def to_publication(
    plan: Plan,
    problem: Problem,
    site: SiteState,
    *,
    plan_id: str,
    as_of: datetime,
    vehicle_phases: Mapping[str, Literal[1, 3] | None] | None = None,
    dry_run: bool = False,
) -> Publication:
    """Return the publication of a plan of the problem that was assembled from the site's state.

    A transaction that belongs to no planned vehicle is a guest's and gets the site's default. It is valid until the
    end of the plan's horizon.

    Args:
        plan: The plan.
        problem: The problem it answers.
        site: The state that the problem was assembled from.
        plan_id: Name of the plan.
        as_of: Instant of what was known.
        vehicle_phases: Phases of the vehicles' chargers, where known.
        dry_run: Ask the bridge not to send anything.
    """
    phases = vehicle_phases or {}
    entries = _entries(plan, problem, site)
    powers = _within_limits(site, entries)
    starts = slot_starts(site.start_at, site.slots, slot_minutes=site.slot_minutes)
    return Publication(
        schema="depotwise.publication/1",
        plan_id=plan_id,
        site_id=site.site_id,
        as_of=as_of,
        valid_until=starts[-1] + timedelta(minutes=site.slot_minutes),
        dry_run=dry_run,
        ev_limit_kw=_periods(starts, _floor(site.ev_limit_kw)),
        groups=[
            GroupLimit(group_id=group.group_id, limit_kw=_periods(starts, _floor(group.limit_kw)))
            for group in site.groups
        ],
        connectors=[
            _connector_plan(entry, starts, power, phases.get(entry.vehicle_id or ""))
            for entry, power in zip(entries, powers, strict=True)
        ],
    )


def _entries(plan: Plan, problem: Problem, site: SiteState) -> list[_Entry]:
    """Return what each connector with a running transaction should get, in the site's order."""
    fleet = problem.fleet
    rows = {
        int(place): row
        for row, place in enumerate(fleet.plugged_connector)
        if place >= 0 and fleet.transaction_ids[row] is not None
    }
    entries = []
    for place, connector in enumerate(site.connectors):
        if connector.transaction_id is None:
            continue
        row = rows.get(place)
        if row is None or fleet.transaction_ids[row] != connector.transaction_id:
            default = np.full(site.slots, connector.guest_kw)
            entries.append(_Entry(connector, default, site.slots + 1, None, connector.min_kw))
            continue
        departure = int(fleet.departure_slot[row])
        wanted = plan.power_kw[row].copy()
        if plan.shortfall_kwh[row] > SHORT_KWH:
            # Whoever is not ready and stays longer than planned goes on at the fallback.
            wanted[departure:] = connector.fallback_kw
        required, predicted = float(fleet.required_soc_pct[row]), float(plan.end_soc_pct[row])
        least = min(connector.min_kw, float(fleet.min_power_kw[row]))
        entries.append(_Entry(connector, wanted, departure, fleet.vehicle_ids[row], least, required, predicted))
    return entries


def _floor(power_kw: FloatArray) -> FloatArray:
    # The small addend keeps 11.1, which is 11.099999999999999, from becoming 11.0.
    tenths = np.floor(power_kw / POWER_STEP_KW + ROUNDING_KW)
    floored: FloatArray = np.maximum(np.round(tenths * POWER_STEP_KW, 1), 0.0)
    return floored


def _within_limits(site: SiteState, entries: Sequence[_Entry]) -> list[FloatArray]:
    """Return the powers in steps of 0.1 kW that fit under the limits, serving first whoever leaves first.

    What a vehicle loses by rounding down, its own or where room was left for less, is handed to its next slot that
    charges: rounded down alone, a night of constant power would miss its target by up to a kWh.
    """
    published = {entry.connector.key for entry in entries}
    idle = [item for item in site.connectors if item.key not in published]
    room = _floor(site.ev_limit_kw) - sum(item.fallback_kw for item in idle)
    group_room = {
        group.group_id: _floor(group.limit_kw)
        - sum(item.fallback_kw for item in idle if item.group_id == group.group_id)
        for group in site.groups
    }
    order = sorted(range(len(entries)), key=lambda place: (entries[place].departure_slot, place))
    powers = [np.zeros(site.slots) for _ in entries]
    carried = [0.0] * len(entries)
    for slot in range(site.slots):
        for place in order:
            entry = entries[place]
            asked = float(entry.wanted_kw[slot])
            if asked <= 0:
                continue
            rooms = (
                [room] if entry.connector.group_id not in group_room else [room, group_room[entry.connector.group_id]]
            )
            most = min(entry.connector.max_kw, *(float(one[slot]) for one in rooms))
            given = _step_down(min(asked + carried[place], most), entry.least_kw)
            powers[place][slot] = given
            for one in rooms:
                one[slot] -= given
            if entry.vehicle_id is not None:
                # A slot that had to be dropped is not made up for: the limit is not ours to raise.
                carried[place] = min(max(0.0, asked + carried[place] - given), POWER_STEP_KW)
    return powers


def _step_down(power_kw: float, least_kw: float) -> float:
    """Return the power rounded down to a step, and nothing where that is less than the minimum."""
    stepped = round(max(0.0, floor(power_kw / POWER_STEP_KW + ROUNDING_KW) * POWER_STEP_KW), 1)
    return stepped if stepped >= least_kw - ROUNDING_KW else 0.0


def _periods(starts: Sequence[datetime], values: FloatArray) -> list[LimitPeriod]:
    """Return the values as periods, equal neighbours merged."""
    is_new: BoolArray = np.diff(values, prepend=np.nan) != 0
    changes: IntArray = np.flatnonzero(is_new)
    return [LimitPeriod(start_at=starts[slot], limit_kw=float(values[slot])) for slot in changes]


def _connector_plan(
    entry: _Entry, starts: Sequence[datetime], power_kw: FloatArray, phases: Literal[1, 3] | None
) -> ConnectorPlan:
    connector = entry.connector
    leaves = entry.vehicle_id is not None and entry.departure_slot < len(starts)
    return ConnectorPlan(
        station_id=connector.station_id,
        connector_id=connector.connector_id,
        group_id=connector.group_id,
        current_type=connector.current_type,
        nominal_voltage_v=connector.nominal_voltage_v,
        connector_phases=connector.phases,
        vehicle_phases=phases,
        max_kw=connector.max_kw,
        min_kw=entry.least_kw,
        fallback_kw=connector.fallback_kw,
        transaction_id=connector.transaction_id,
        vehicle_id=entry.vehicle_id,
        requested_departure_at=starts[entry.departure_slot] if leaves else None,
        min_target_soc_pct=_percent(entry.required_soc_pct),
        predicted_departure_soc_pct=_percent(entry.predicted_soc_pct),
        periods=_periods(starts, power_kw),
    )


def _percent(value: float | None) -> float | None:
    return None if value is None else round(min(100.0, max(0.0, value)), 1)
