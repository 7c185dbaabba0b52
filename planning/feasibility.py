"""The oracle: judges any plan by the powers alone, whoever made it.

Every hard rule and every figure is recomputed here; nothing of the optimiser or the rules is imported. Tolerances are
those of the public checker, so that a plan that is valid here is valid there.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from planning.model import (
    NO_CONNECTOR,
    SHORT_KWH,
    Assignment,
    Battery,
    BoolArray,
    Connector,
    Cost,
    FloatArray,
    Plan,
    Problem,
)

POWER_TOLERANCE_KW = 1e-3
TAPER_TOLERANCE_KW = 1e-2
LIMIT_TOLERANCE_KW = 1e-2
RELATIVE_TOLERANCE = 1e-4
REASON_CODES = frozenset(
    {
        "site_limit",
        "group_limit",
        "vehicle_limit",
        "connector_limit",
        "no_connector",
        "short_stay",
        "taper",
        "minimum_power",
        "priority",
        "demand_charge",
        "unknown_soc",
        "not_dispatchable",
    }
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What the powers give: cost, peak of the import, SoC at departure and shortfall [N], import [T]."""

    cost: Cost
    peak_kw: float
    end_soc_pct: FloatArray
    shortfall_kwh: FloatArray
    import_kw: FloatArray

    @property
    def ready_pct(self) -> float:
        """Share of vehicles that reach their required SoC."""
        return 100 * float((self.shortfall_kwh <= SHORT_KWH).mean()) if len(self.shortfall_kwh) else 100.0


def measure(problem: Problem, power_kw: FloatArray, battery_kw: FloatArray | None) -> Figures:
    """Return the figures of powers [N, T] and of the stationary battery [T]."""
    fleet = problem.fleet
    net = problem.other_load_kw + power_kw.sum(axis=0)
    if battery_kw is not None and problem.battery is not None:
        net = net + battery_kw
    imported, exported = np.maximum(net, 0.0), np.maximum(-net, 0.0)
    end_soc = _soc(problem, power_kw)[:, -1]
    missing = np.maximum(fleet.required_soc_pct / 100 - end_soc, 0.0)
    short_kwh = missing * fleet.battery_kwh / fleet.efficiency
    energy = float((imported * problem.price_per_kwh - exported * problem.feed_in_per_kwh).sum() * problem.slot_hours)
    shortfall = float((short_kwh * fleet.priority).sum() * problem.shortfall_price_per_kwh)
    return Figures(
        cost=Cost(
            energy=energy,
            demand=_demand_cost(problem, imported),
            shortfall=shortfall,
            carbon=_carbon_cost(problem, imported),
            tiers=_tier_cost(problem, imported),
            overrun=_overrun_cost(problem, imported),
        ),
        peak_kw=float(imported.max()),
        end_soc_pct=100 * end_soc,
        shortfall_kwh=short_kwh,
        import_kw=imported,
    )


def _soc(problem: Problem, power_kw: FloatArray) -> FloatArray:
    """Return the SoC as a fraction at the end of every slot, [N, T]."""
    fleet = problem.fleet
    into_kw = fleet.efficiency[:, None] * _charging_kw(problem, power_kw)
    if problem.discharge is not None:
        into_kw = np.where(power_kw < 0, power_kw / problem.discharge.efficiency[:, None], into_kw)
    gained = into_kw * problem.slot_hours / fleet.battery_kwh[:, None]
    soc: FloatArray = fleet.start_soc_pct[:, None] / 100 + np.cumsum(gained, axis=1)
    return soc


def _charging_kw(problem: Problem, power_kw: FloatArray) -> FloatArray:
    """Return what is left of powers [N, T] for batteries: heat comes first, and charging has its standby."""
    left_kw, fleet = power_kw, problem.fleet
    if fleet.preconditioning is not None:
        left_kw = np.maximum(left_kw - _heat_kw(problem), 0.0)
    return left_kw if fleet.standby_kw is None else np.maximum(left_kw - fleet.standby_kw[:, None], 0.0)


def _heat_kw(problem: Problem) -> FloatArray:
    """Return what vehicles must be given to precondition, [N, T]: a slot's mean, and at least an enforced minimum."""
    fleet, asked = problem.fleet, problem.fleet.preconditioning
    if asked is None:
        return np.zeros((fleet.size, problem.slots))
    slot_end = (np.arange(problem.slots) + 1) * problem.slot_minutes
    begin = fleet.departure_slot * problem.slot_minutes - asked.minutes
    heated_min = np.clip(slot_end - begin[:, None], 0, problem.slot_minutes)
    heat = np.where(problem.present(), asked.power_kw[:, None] * heated_min / problem.slot_minutes, 0.0)
    least = fleet.min_power_kw[:, None] * problem.enforce_min_power
    heat = np.where(heat > 0, np.maximum(heat, least), 0.0)
    return np.minimum(heat, fleet.max_power_kw[:, None])


def _demand_cost(problem: Problem, imported: FloatArray) -> float:
    cost = 0.0
    for charge in problem.demand_charges:
        over = imported if charge.slots is None else imported[charge.slots]
        cost += charge.price_per_kw * max(0.0, float(over.max(initial=0.0)) - charge.so_far_kw)
    return cost


def _carbon_cost(problem: Problem, imported: FloatArray) -> float:
    """Return the price of what the import emits; export is credited nothing."""
    if problem.carbon_kg_per_kwh is None:
        return 0.0
    emitted_kg = float((imported * problem.carbon_kg_per_kwh).sum()) * problem.slot_hours
    return emitted_kg * problem.carbon_price_per_kg


def _tier_cost(problem: Problem, imported: FloatArray) -> float:
    """Return the surcharge on what these slots' import adds beyond each tier's amount."""
    import_kwh, cost = float(imported.sum()) * problem.slot_hours, 0.0
    for tier in problem.price_tiers:
        used_before = max(0.0, tier.so_far_kwh - tier.above_kwh)
        cost += tier.surcharge_per_kwh * (max(0.0, tier.so_far_kwh + import_kwh - tier.above_kwh) - used_before)
    return cost


def _overrun_cost(problem: Problem, imported: FloatArray) -> float:
    """Return the price of the import above soft limits."""
    over = [np.maximum(imported - soft.limit_kw, 0.0).sum() * soft.price_per_kwh for soft in problem.soft_limits]
    return float(sum(over)) * problem.slot_hours


def violations(problem: Problem, plan: Plan) -> list[str]:
    """Return every broken rule and every untrue figure, one sentence each; none means the plan is valid."""
    if plan.vehicle_ids != problem.fleet.vehicle_ids or plan.power_kw.shape != (problem.fleet.size, problem.slots):
        return [f"the plan is not for these {problem.fleet.size} vehicles and {problem.slots} slots"]
    if not np.isfinite(plan.power_kw).all():
        return ["a power is not finite"]
    found = [
        *_vehicle_violations(problem, plan.power_kw),
        *_battery_violations(problem, plan.battery_kw),
        *_figure_violations(problem, plan),
    ]
    if problem.connectors is not None:
        found += _connector_violations(problem, plan)
    figures = measure(problem, plan.power_kw, plan.battery_kw)
    over = figures.import_kw - problem.grid_limit_kw
    if (over > LIMIT_TOLERANCE_KW).any():
        found.append(
            f"site limit exceeded in {int((over > LIMIT_TOLERANCE_KW).sum())} slots, by up to {over.max():.3f} kW"
        )
    return found


def _vehicle_violations(problem: Problem, power: FloatArray) -> list[str]:
    fleet = problem.fleet
    drawing = power > POWER_TOLERANCE_KW
    soc = _soc(problem, power)
    knee = fleet.taper_knee_soc_pct[:, None] / 100
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = (soc - knee) / (1 - knee) * (1 - fleet.taper_end_fraction[:, None])
    tapered = fleet.taper_power_kw[:, None] * np.minimum(1, 1 - np.where(knee < 1, fall, 0.0))
    broken = {
        **_discharge_violations(problem, power, soc),
        "power above the vehicle's maximum": power > fleet.max_power_kw[:, None] + POWER_TOLERANCE_KW,
        "power while not plugged in": ~problem.present() & (np.abs(power) > POWER_TOLERANCE_KW),
        "SoC above 100 %": (soc > 1 + 1e-6) & drawing.any(axis=1, keepdims=True),
        "power above the taper": drawing & (_into_battery_kw(problem, power) > tapered + TAPER_TOLERANCE_KW),
        "not preconditioned though there is room": _is_cold(problem, power),
    }
    if problem.enforce_min_power:
        least = fleet.min_power_kw[:, None] - POWER_TOLERANCE_KW
        broken["power between zero and the minimum"] = drawing & (power < least)
    return [sentence for what, mask in broken.items() if (sentence := _named(problem, mask, what))]


def _into_battery_kw(problem: Problem, power: FloatArray) -> FloatArray:
    return power if problem.fleet.preconditioning is None else np.maximum(power - _heat_kw(problem), 0.0)


def _is_cold(problem: Problem, power: FloatArray) -> BoolArray:
    """Say where a vehicle is given less than its heat though the site, whatever its battery does, has room, [N, T].

    Where connectors are handed out, their side is judged with the connectors.
    """
    if problem.fleet.preconditioning is None or problem.connectors is not None:
        return np.zeros(power.shape, dtype=np.bool_)
    missing = _heat_kw(problem) - power
    room = problem.grid_limit_kw - problem.other_load_kw - power.sum(axis=0)
    cold: BoolArray = (missing > POWER_TOLERANCE_KW) & (missing < room - LIMIT_TOLERANCE_KW)
    return cold


def _discharge_violations(problem: Problem, power: FloatArray, soc: FloatArray) -> dict[str, BoolArray]:
    """Say where power is negative though nothing may be given back, or more is given than there is, [N, T]."""
    gives: BoolArray = power < -POWER_TOLERANCE_KW
    able = problem.discharge
    if able is None:
        return {"negative power": gives}
    keeps = able.min_soc_pct / 100
    may_give = problem.fleet.start_soc_pct / 100 >= keeps
    most = np.where(may_give, able.max_kw, 0.0)
    return {
        "more discharge than the vehicle gives": power < -most[:, None] - POWER_TOLERANCE_KW,
        "discharge below the SoC that the vehicle keeps": gives & (soc < keeps[:, None] - 1e-6),
    }


def _named(problem: Problem, mask: BoolArray, what: str) -> str | None:
    rows = np.flatnonzero(mask.any(axis=1))
    return f"{what}: {len(rows)} vehicles, e.g. {problem.fleet.vehicle_ids[rows[0]]}" if len(rows) else None


def _battery_violations(problem: Problem, power: FloatArray | None) -> list[str]:
    spec = problem.battery
    if spec is None:
        drawn = power is not None and bool((np.abs(power) > POWER_TOLERANCE_KW).any())
        return ["battery power without a battery"] if drawn else []
    if power is None or power.shape != (problem.slots,) or not np.isfinite(power).all():
        return ["battery_kw has the wrong length"]
    found = []
    if (np.abs(power) > spec.max_power_kw + POWER_TOLERANCE_KW).any():
        found.append("battery power above its maximum")
    stored = stored_kwh(spec, power, problem.slot_hours)
    slack = 1e-3 * spec.capacity_kwh + 1e-6
    if (stored < -slack).any() or (stored > spec.capacity_kwh + slack).any() or stored[-1] < spec.start_kwh - slack:
        found.append("battery energy out of bounds, or below its start at the end")
    return found


def stored_kwh(battery: Battery, power_kw: FloatArray, slot_hours: float) -> FloatArray:
    """Return the energy in the stationary battery at the end of every slot, [T]."""
    into = np.where(power_kw > 0, power_kw * battery.charge_efficiency, power_kw / battery.discharge_efficiency)
    stored: FloatArray = battery.start_kwh + np.cumsum(slot_hours * into)
    return stored


def _connector_violations(problem: Problem, plan: Plan) -> list[str]:
    """One vehicle a connector at a time; plugged and unplugged by its driver, or while somebody is there."""
    assert problem.connectors is not None
    items = {item.index: item for item in problem.connectors.items}
    held = plan.assignment
    found: list[str] = []
    drawing = np.flatnonzero((np.abs(plan.power_kw) > POWER_TOLERANCE_KW).any(axis=1))
    for row in drawing:
        item = items.get(int(held.connector[row]))
        name = problem.fleet.vehicle_ids[row]
        if item is None:
            found.append(f"{name} charges without a valid connector")
            continue
        found += [f"{name} {what}" for what in _hold_violations(problem, plan, int(row), item)]
    found += _overlaps(held, drawing[held.connector[drawing] != NO_CONNECTOR], problem)
    found += _cold_on_connectors(problem, plan, items)
    return found + _group_violations(problem, plan, items)


def _hold_violations(problem: Problem, plan: Plan, row: int, item: Connector) -> list[str]:
    """Judge one vehicle's hold of a connector."""
    assert problem.connectors is not None
    fleet, attended = problem.fleet, problem.connectors.attended
    plug, unplug = int(plan.assignment.plug_slot[row]), int(plan.assignment.unplug_slot[row])
    arrival, departure = int(fleet.arrival_slot[row]), int(fleet.departure_slot[row])
    if not arrival <= plug < unplug <= departure:
        return [f"is plugged in over [{plug}, {unplug}), outside its stay"]
    found = []
    here = int(fleet.plugged_connector[row])
    if here != NO_CONNECTOR and plug == arrival and item.index != here:
        found.append(f"is plugged into connector {here}, not {item.index}")
    power = np.abs(plan.power_kw[row])
    if item.is_dc != bool(fleet.is_dc[row]) or power.max() > item.max_kw + POWER_TOLERANCE_KW:
        found.append(f"does not fit connector {item.index}")
    slots = np.flatnonzero(power > POWER_TOLERANCE_KW)
    if slots[0] < plug or slots[-1] >= unplug:
        found.append(f"charges outside its plugged interval [{plug}, {unplug})")
    plugged_by_hand = plug == arrival or attended[plug]
    unplugged_by_hand = unplug == departure or attended[min(unplug, len(attended) - 1)]
    if not (plugged_by_hand and unplugged_by_hand):
        found.append(f"is plugged or unplugged when nobody is there: [{plug}, {unplug})")
    return found


def _overlaps(held: Assignment, rows: np.ndarray, problem: Problem) -> list[str]:
    spans = sorted((int(held.connector[r]), int(held.plug_slot[r]), int(held.unplug_slot[r]), int(r)) for r in rows)
    names = problem.fleet.vehicle_ids
    return [
        f"connector {one[0]} is held by {names[one[3]]} and {names[two[3]]} at once"
        for one, two in pairwise(spans)
        if one[0] == two[0] and two[1] < one[2]
    ]


def _cold_on_connectors(problem: Problem, plan: Plan, items: dict[int, Connector]) -> list[str]:
    """Name who is plugged in and given less heat than its connector, its group and the site have room for."""
    if problem.fleet.preconditioning is None:
        return []
    heat, held, found = _heat_kw(problem), plan.assignment, []
    room = problem.grid_limit_kw - problem.other_load_kw - plan.power_kw.sum(axis=0)
    member = np.array([item.group_id if (item := items.get(int(c))) else None for c in held.connector])
    limits = {group.group_id: group.limit_kw - plan.power_kw[member == group.group_id].sum(axis=0)
              for group in problem.groups}  # fmt: skip
    slot = np.arange(problem.slots)
    for row in np.flatnonzero((heat > 0).any(axis=1)):
        item = items.get(int(held.connector[row]))
        if item is None:
            continue
        plugged = (slot >= held.plug_slot[row]) & (slot < held.unplug_slot[row])
        missing = np.minimum(heat[row], item.max_kw) - plan.power_kw[row]
        free = np.minimum(room, limits[item.group_id]) if item.group_id in limits else room
        if (plugged & (missing > POWER_TOLERANCE_KW) & (missing < free - LIMIT_TOLERANCE_KW)).any():
            found.append(f"{problem.fleet.vehicle_ids[row]} is not preconditioned though there is room")
    return found


def _group_violations(problem: Problem, plan: Plan, items: dict[int, Connector]) -> list[str]:
    member = np.array([item.group_id if (item := items.get(int(c))) else None for c in plan.assignment.connector])
    found = []
    for group in problem.groups:
        over = plan.power_kw[member == group.group_id].sum(axis=0) - group.limit_kw
        if (over > LIMIT_TOLERANCE_KW).any():
            found.append(f"group {group.group_id} exceeds its limit by {over.max():.3f} kW")
    return found


def _figure_violations(problem: Problem, plan: Plan) -> list[str]:
    """Compare what the plan says of itself with what its powers give."""
    figures = measure(problem, plan.power_kw, plan.battery_kw)
    true, said = figures.cost, plan.cost
    scale = max(1.0, abs(true.energy) + true.demand + true.shortfall)
    found = [
        f"reported cost.{name} {getattr(said, name):.4f} is not {getattr(true, name):.4f}"
        for name in ("energy", "demand", "shortfall", "carbon", "tiers", "overrun", "total")
        if not abs(getattr(said, name) - getattr(true, name)) <= RELATIVE_TOLERANCE * scale
    ]
    if not abs(plan.peak_kw - figures.peak_kw) <= 0.05 + RELATIVE_TOLERANCE * figures.peak_kw:
        found.append(f"reported peak_kw {plan.peak_kw:.3f} is not {figures.peak_kw:.3f}")
    if (np.abs(plan.end_soc_pct - figures.end_soc_pct) > 0.05).any():
        found.append("end_soc_pct is not what the powers give")
    if (np.abs(plan.shortfall_kwh - figures.shortfall_kwh) > 0.05).any():
        found.append("shortfall_kwh is not what the powers give")
    bound = plan.solver.lower_bound
    if bound is not None and bound > true.total + RELATIVE_TOLERANCE * max(1.0, abs(true.total)):
        found.append(f"the claimed lower bound {bound:.4f} is above the plan's own cost {true.total:.4f}")
    return found + _reason_violations(plan, figures)


def _reason_violations(plan: Plan, figures: Figures) -> list[str]:
    reasons = plan.reasons or (None,) * len(plan.vehicle_ids)
    unexplained = [
        name
        for name, short, reason in zip(plan.vehicle_ids, figures.shortfall_kwh, reasons, strict=True)
        if short > SHORT_KWH and (reason is None or reason.code not in REASON_CODES or not reason.text)
    ]
    return [f"short of its target without a reason: {len(unexplained)}, e.g. {unexplained[0]}"] if unexplained else []
