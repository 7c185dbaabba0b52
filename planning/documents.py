"""``planning_problem/1`` and ``plan/1`` as JSON, to and from the model (docs/schemas).

A problem that contradicts itself is refused with the path of every field at fault; where a plan can still be made,
the problem carries a warning instead. Fields that we do not know are ignored. No judgement of plans lives here.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from core.time_grid import format_instant, parse_instant
from planning.findings import Findings, ProblemError
from planning.fleet_documents import CURRENT_TYPES, fleet_records, parse_fleet
from planning.model import (
    NO_CONNECTOR,
    Battery,
    Connector,
    Connectors,
    Fleet,
    FloatArray,
    Group,
    Plan,
    Problem,
    Reason,
    Remedy,
)
from planning.tariff_documents import parse_demand_charges, parse_price_tiers, parse_soft_limits, tariff_record

PROBLEM_SCHEMA = "depotwise.planning_problem/1"
PLAN_SCHEMA = "depotwise.plan/1"
MAX_SLOTS = 10_000


def parse_problem(data: bytes) -> Problem:
    """Read a ``planning_problem/1``.

    Raises:
        ProblemError: it is no JSON, or contradicts itself; the error names every field.
    """
    try:
        raw = json.loads(data)
    except ValueError as error:
        raise ProblemError([("$", f"is no JSON: {error}")]) from error
    if not isinstance(raw, dict):
        raise ProblemError([("$", "give a JSON object")])
    return problem_from_record(raw)


def problem_from_record(raw: Mapping[str, Any]) -> Problem:
    """Read a ``planning_problem/1`` that is already a JSON object.

    Raises:
        ProblemError: it contradicts itself; the error names every field.
    """
    findings = Findings()
    if raw.get("schema") != PROBLEM_SCHEMA:
        findings.error("schema", f"is {raw.get('schema')!r}; this planner reads {PROBLEM_SCHEMA!r}")
    slots = findings.integer(raw, "slots", minimum=1)
    if slots > MAX_SLOTS:
        findings.error("slots", f"is {slots}; at most {MAX_SLOTS}")
    # Series of a wrong length would only repeat what is wrong with the number of slots.
    findings.raise_if_any()
    problem = Problem(
        site_id=findings.text(raw, "site_id"),
        currency=findings.text(raw, "currency"),
        start_at=_instant(raw, "start_at", findings),
        slot_minutes=findings.integer(raw, "slot_minutes", minimum=1),
        grid_limit_kw=findings.series(raw, "grid_limit_kw", slots, minimum=0),
        base_load_kw=findings.series(raw, "base_load_kw", slots),
        pv_kw=findings.series(raw, "pv_kw", slots, minimum=0),
        price_per_kwh=findings.series(raw, "price_per_kwh", slots),
        feed_in_per_kwh=findings.number(raw, "feed_in_per_kwh"),
        demand_charges=parse_demand_charges(raw, slots, findings),
        shortfall_price_per_kwh=findings.number(raw, "shortfall_price_per_kwh", minimum=0),
        battery=_battery(raw, findings),
        connectors=_connectors(raw, slots, findings),
        groups=_groups(raw, slots, findings),
        enforce_min_power=findings.flag(raw, "enforce_min_power"),
        fleet=parse_fleet(findings.records(raw, "vehicles"), findings),
        carbon_kg_per_kwh=_optional_series(raw, "carbon_kg_per_kwh", slots, findings),
        carbon_price_per_kg=0.0
        if raw.get("carbon_price_per_kg") is None
        else findings.number(raw, "carbon_price_per_kg", minimum=0),
        soft_limits=parse_soft_limits(raw, slots, findings),
        price_tiers=parse_price_tiers(raw, findings),
        allow_discharge=raw.get("allow_discharge") is not None and findings.flag(raw, "allow_discharge"),
    )
    _check_whole(problem, findings)
    findings.raise_if_any()
    return Problem(**{name: getattr(problem, name) for name in _FIELDS}, warnings=tuple(findings.warnings))


_FIELDS = [name for name in Problem.__dataclass_fields__ if name != "warnings"]


def _instant(raw: Mapping[str, Any], key: str, findings: Findings) -> datetime:
    try:
        return parse_instant(findings.text(raw, key) or "1970-01-01T00:00:00Z")
    except ValueError as error:
        findings.error(key, f"is {raw[key]!r}: {error}")
        return datetime(1970, 1, 1, tzinfo=UTC)


def _optional_series(raw: Mapping[str, Any], key: str, slots: int, findings: Findings) -> FloatArray | None:
    return None if raw.get(key) is None else findings.series(raw, key, slots, minimum=0)


def _battery(raw: Mapping[str, Any], findings: Findings) -> Battery | None:
    record = raw.get("battery")
    if record is None:
        return None
    if not isinstance(record, dict):
        findings.error("battery", "give an object or null")
        return None
    path = "battery."
    battery = Battery(
        capacity_kwh=findings.number(record, "capacity_kwh", path, minimum=0),
        max_power_kw=findings.number(record, "max_power_kw", path, minimum=0),
        charge_efficiency=findings.number(record, "charge_efficiency", path, minimum=0.01, maximum=1),
        discharge_efficiency=findings.number(record, "discharge_efficiency", path, minimum=0.01, maximum=1),
        start_kwh=findings.number(record, "start_kwh", path, minimum=0),
    )
    if battery.start_kwh > battery.capacity_kwh:
        findings.error("battery.start_kwh", f"is {battery.start_kwh:g}, above capacity_kwh {battery.capacity_kwh:g}")
    return battery


def _connectors(raw: Mapping[str, Any], slots: int, findings: Findings) -> Connectors | None:
    record = raw.get("connectors")
    if record is None:
        return None
    if not isinstance(record, dict):
        findings.error("connectors", "give an object or null")
        return None
    items: list[Connector] = []
    for k, item in enumerate(findings.records(record, "items", "connectors.")):
        path = f"connectors.items[{k}]."
        if item.get("current_type") not in CURRENT_TYPES:
            findings.error(path + "current_type", f"is {item.get('current_type')!r}; give 'ac' or 'dc'")
        items.append(
            Connector(
                index=findings.integer(item, "index", path),
                station_id=findings.text(item, "station_id", path),
                connector_id=findings.integer(item, "connector_id", path),
                is_dc=item.get("current_type") == "dc",
                max_kw=findings.number(item, "max_kw", path, minimum=0),
                group_id=None if item.get("group_id") is None else findings.text(item, "group_id", path),
            )
        )
    return Connectors(tuple(items), findings.flags(record, "attended", slots, "connectors."))


def _groups(raw: Mapping[str, Any], slots: int, findings: Findings) -> tuple[Group, ...]:
    groups = []
    for k, record in enumerate(findings.records(raw, "groups")):
        path = f"groups[{k}]."
        limit = findings.series(record, "limit_kw", slots, path, minimum=0)
        groups.append(Group(findings.text(record, "group_id", path), limit))
    return tuple(groups)


def _check_whole(problem: Problem, findings: Findings) -> None:
    """Judge what single fields cannot tell: whether they agree with one another."""
    if not problem.fleet.size:
        findings.warn("vehicles", "are missing or none; nothing is charged")
    _check_connectors(problem, findings)
    _check_discharge(problem, findings)
    over = problem.other_load_kw > problem.grid_limit_kw + 1e-9
    if over.any():
        at = f"base_load_kw[{int(np.argmax(over))}]"
        findings.warn(at, f"exceeds grid_limit_kw in {int(over.sum())} slots before any vehicle charges")
    late = problem.fleet.arrival_slot >= problem.slots
    for row in np.flatnonzero(late):
        findings.warn(f"vehicles[{row}].arrival_slot", "lies beyond the horizon; the vehicle cannot be charged in it")


def _check_discharge(problem: Problem, findings: Findings) -> None:
    fleet = problem.fleet
    if problem.discharge is None:
        return
    if fleet.standby_kw is not None:
        findings.error("allow_discharge", "cannot be combined with standby_kw of vehicles; leave one of them out")
    if fleet.preconditioning is not None:
        findings.error("allow_discharge", "cannot be combined with precondition_kw of vehicles; leave one of them out")


def _check_connectors(problem: Problem, findings: Findings) -> None:
    if problem.connectors is None:
        if problem.groups:
            findings.warn("groups", "have no effect without connectors")
        for row in np.flatnonzero(problem.fleet.plugged_connector != NO_CONNECTOR):
            findings.warn(f"vehicles[{row}].plugged_connector", "has no effect without connectors")
        return
    items = problem.connectors.items
    names = [group.group_id for group in problem.groups]
    if len(set(names)) < len(names):
        findings.error("groups", f"a group is given twice among {names}")
    if len({item.index for item in items}) < len(items):
        findings.error("connectors.items", "two connectors have the same index")
    for k, item in enumerate(items):
        if item.group_id is not None and item.group_id not in names:
            findings.error(f"connectors.items[{k}].group_id", f"{item.group_id!r} is not among groups")
    _check_plugged(problem.fleet, {item.index: item for item in items}, findings)


def _check_plugged(fleet: Fleet, items: Mapping[int, Connector], findings: Findings) -> None:
    for row in np.flatnonzero(fleet.bay_connector != NO_CONNECTOR):
        bay = items.get(int(fleet.bay_connector[row]))
        if bay is None or bay.is_dc != fleet.is_dc[row]:
            wanted = f"{fleet.bay_connector[row]} is not a connector of the vehicle's current type"
            findings.error(f"vehicles[{row}].bay_connector", wanted)
    holder: dict[int, int] = {}
    for row in np.flatnonzero(fleet.plugged_connector != NO_CONNECTOR):
        index, path = int(fleet.plugged_connector[row]), f"vehicles[{row}].plugged_connector"
        if index not in items:
            findings.error(path, f"{index} is not among connectors.items")
        elif items[index].is_dc != fleet.is_dc[row]:
            findings.error(path, f"connector {index} does not give the current that the vehicle takes")
        elif index in holder:
            findings.error(path, f"connector {index} already holds vehicles[{holder[index]}]")
        holder.setdefault(index, int(row))


def problem_record(problem: Problem) -> dict[str, Any]:
    """Return the problem as ``planning_problem/1`` writes it."""
    return {
        "schema": PROBLEM_SCHEMA,
        "site_id": problem.site_id,
        "currency": problem.currency,
        "start_at": format_instant(problem.start_at),
        "slot_minutes": problem.slot_minutes,
        "slots": problem.slots,
        "grid_limit_kw": problem.grid_limit_kw.tolist(),
        "base_load_kw": problem.base_load_kw.tolist(),
        "pv_kw": problem.pv_kw.tolist(),
        "price_per_kwh": problem.price_per_kwh.tolist(),
        "feed_in_per_kwh": problem.feed_in_per_kwh,
        **tariff_record(problem),
        "shortfall_price_per_kwh": problem.shortfall_price_per_kwh,
        "battery": None if problem.battery is None else _battery_record(problem.battery),
        "connectors": None if problem.connectors is None else _connectors_record(problem.connectors),
        "groups": [{"group_id": group.group_id, "limit_kw": group.limit_kw.tolist()} for group in problem.groups],
        "enforce_min_power": problem.enforce_min_power,
        "vehicles": fleet_records(problem.fleet),
        **({"allow_discharge": True} if problem.allow_discharge else {}),
        **_carbon_record(problem),
    }


def _carbon_record(problem: Problem) -> dict[str, Any]:
    """Return the optional fields of carbon, none where no intensity is known."""
    if problem.carbon_kg_per_kwh is None:
        return {}
    return {
        "carbon_kg_per_kwh": problem.carbon_kg_per_kwh.tolist(),
        "carbon_price_per_kg": problem.carbon_price_per_kg,
    }


def _battery_record(battery: Battery) -> dict[str, Any]:
    return {name: getattr(battery, name) for name in battery.__dataclass_fields__}


def _connectors_record(connectors: Connectors) -> dict[str, Any]:
    items = [
        {
            "index": item.index,
            "station_id": item.station_id,
            "connector_id": item.connector_id,
            "current_type": CURRENT_TYPES[int(item.is_dc)],
            "max_kw": item.max_kw,
            "group_id": item.group_id,
        }
        for item in connectors.items
    ]
    return {"items": items, "attended": connectors.attended.tolist()}


def plan_record(plan: Plan, problem_sha256: str) -> dict[str, Any]:
    """Return the plan as ``plan/1`` writes it; ``problem_sha256`` is the hash of the problem's bytes."""
    cost = plan.cost
    return {
        "schema": PLAN_SCHEMA,
        "site_id": plan.site_id,
        "problem_sha256": problem_sha256,
        "as_of": format_instant(plan.as_of),
        "vehicles": _vehicle_plans(plan),
        "battery_kw": None if plan.battery_kw is None else plan.battery_kw.tolist(),
        "cost": {
            "energy": cost.energy,
            "demand": cost.demand,
            "shortfall": cost.shortfall,
            "carbon": cost.carbon,
            "tiers": cost.tiers,
            "overrun": cost.overrun,
            "total": cost.total,
        },
        "peak_kw": plan.peak_kw,
        "solver": {
            "name": plan.solver.name,
            "seconds": plan.solver.seconds,
            "lower_bound": plan.solver.lower_bound,
            "status": plan.solver.status,
        },
        "warnings": list(plan.warnings),
        "remedies": [_remedy_record(remedy) for remedy in plan.remedies],
    }


def _vehicle_plans(plan: Plan) -> list[dict[str, Any]]:
    held = plan.assignment
    reasons = plan.reasons or (None,) * len(plan.vehicle_ids)
    rows = zip(
        plan.vehicle_ids,
        _power_lists(plan.power_kw),
        held.connector.tolist(),
        held.plug_slot.tolist(),
        held.unplug_slot.tolist(),
        np.round(plan.end_soc_pct, 6).tolist(),
        np.round(plan.shortfall_kwh, 6).tolist(),
        reasons,
        strict=True,
    )
    return [
        {
            "vehicle_id": vehicle_id,
            "power_kw": power,
            "connector": None if connector == NO_CONNECTOR else connector,
            "plug_slot": None if connector == NO_CONNECTOR else plug,
            "unplug_slot": None if connector == NO_CONNECTOR else unplug,
            "end_soc_pct": end_soc,
            "shortfall_kwh": short,
            "reason": None if reason is None else _reason_record(reason),
        }
        for vehicle_id, power, connector, plug, unplug, end_soc, short, reason in rows
    ]


def _power_lists(power_kw: FloatArray) -> list[list[float]]:
    # Adding 0.0 turns -0.0 into 0.0, which reads better.
    lists: list[list[float]] = (power_kw + 0.0).tolist()
    return lists


def _reason_record(reason: Reason) -> dict[str, Any]:
    return {
        "code": reason.code,
        "value": reason.value,
        "unit": reason.unit,
        "slots": list(reason.slots),
        "text": reason.text,
    }


def _remedy_record(remedy: Remedy) -> dict[str, Any]:
    changes = [
        {
            "kind": change.kind,
            "vehicle_id": change.vehicle_id,
            "with_vehicle_id": change.with_vehicle_id,
            "value": change.value,
            "unit": change.unit,
            "slots": list(change.slots),
        }
        for change in remedy.changes
    ]
    return {"changes": changes, "shortfall_kwh": remedy.shortfall_kwh, "points": remedy.points}
