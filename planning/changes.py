"""What a plan changed against the one before it, and why: recorded with every plan.

Pure: two plans' documents in, one document out. A reason is a fact that differs between what the two plans knew; where
none does, the quarter of an hour that passed is the reason.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from core.publication import ConnectorPlan, Publication
from core.time_grid import parse_instant, slot_starts
from planning.model import FloatArray, Problem

CHANGES_SCHEMA = "depotwise.plan_changes/1"
DEVIATION_PP = 3.0
"""A SoC this far from what the plan before expected by now is a deviation."""

ARRIVAL_SHIFT = timedelta(minutes=15)
PRICE_STEP, LIMIT_STEP_KW = 1e-4, 0.5
Entries = Mapping[tuple[str, int], ConnectorPlan]


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What is compared of a plan: its inputs document, problem, publication, and the SoC [N, T] that it expects.

    ``expected_soc_pct`` is at the end of each slot.
    """

    plan_id: str
    as_of: datetime
    inputs: Mapping[str, Any]
    problem: Problem
    publication: Publication
    expected_soc_pct: Mapping[str, Sequence[float]]


def changes(before: PlanFacts | None, now: PlanFacts, *, trigger: str) -> dict[str, Any]:
    """Return the ``plan_changes/1`` document of a plan against the one before it (None: there was none)."""
    if before is None:
        reasons = [{"code": "first_plan", "text": "there is no plan before this one"}]
        return _document(None, trigger, reasons, {}, now.publication, now.as_of)
    found = [*_vehicle_reasons(before, now), *_site_reasons(before, now), *_override_reasons(before, now)]
    reasons = found or [{"code": "quarter_hour", "text": "nothing new is known; time has passed"}]
    held = {(entry.station_id, entry.connector_id): entry for entry in before.publication.connectors}
    return _document(before, trigger, reasons, held, now.publication, now.as_of)


def expected_soc(problem: Problem, power_kw: FloatArray) -> dict[str, Sequence[float]]:
    """Return the SoC (percent) that powers [N, T] give each vehicle at the end of every slot."""
    fleet = problem.fleet
    gained = 100 * fleet.efficiency[:, None] * power_kw * problem.slot_hours / fleet.battery_kwh[:, None]
    soc = fleet.start_soc_pct[:, None] + np.cumsum(gained, axis=1)
    return dict(zip(fleet.vehicle_ids, soc.tolist(), strict=True))


def goes_on(held: ConnectorPlan | None, entry: ConnectorPlan, at: datetime) -> bool:
    """Say whether an entry is, from an instant on, what its connector was given before."""
    if held is None or held.transaction_id != entry.transaction_id:
        return False
    past = [period.limit_kw for period in held.periods if period.start_at <= at]
    ahead = [(period.start_at, period.limit_kw) for period in held.periods if period.start_at > at]
    wanted = [(max(period.start_at, at), period.limit_kw) for period in entry.periods]
    return bool(past) and wanted == [(at, past[-1]), *ahead]


def _document(
    before: PlanFacts | None,
    trigger: str,
    reasons: Sequence[Mapping[str, Any]],
    held: Entries,
    publication: Publication,
    as_of: datetime,
) -> dict[str, Any]:
    same = {
        (entry.station_id, entry.connector_id): goes_on(
            held.get((entry.station_id, entry.connector_id)), entry, max(as_of, publication.as_of)
        )
        for entry in publication.connectors
    }
    return {
        "schema": CHANGES_SCHEMA,
        "previous_plan_id": None if before is None else before.plan_id,
        "trigger": trigger,
        "reasons": list(reasons),
        "connectors_changed": [f"{station}/{number}" for (station, number), is_same in same.items() if not is_same],
        "connectors_unchanged": [f"{station}/{number}" for (station, number), is_same in same.items() if is_same],
        "connectors_released": sorted(f"{station}/{number}" for station, number in held.keys() - same.keys()),
    }


def _vehicle_reasons(before: PlanFacts, now: PlanFacts) -> list[dict[str, Any]]:
    earlier = {one["vehicle_id"]: one for one in before.inputs["vehicles"]}
    later = {one["vehicle_id"]: one for one in now.inputs["vehicles"]}
    found = [_reason("joined", name, "is planned for now") for name in later.keys() - earlier.keys()]
    found += [_reason("left", name, "is planned for no more") for name in earlier.keys() - later.keys()]
    for name in earlier.keys() & later.keys():
        found += _differences(name, earlier[name], later[name], _expected(before, name, now.as_of))
    return sorted(found, key=lambda reason: (reason["vehicle_id"], reason["code"]))


def _differences(
    name: str, earlier: Mapping[str, Any], later: Mapping[str, Any], expected_pct: float | None
) -> list[dict[str, Any]]:
    found = []
    was_out, is_out = earlier["arrival"] is not None, later["arrival"] is not None
    if was_out and not is_out:
        found.append(_reason("plugged_in", name, f"is plugged in, with {later['soc']['value_pct']:.0f} %"))
    elif is_out and not was_out:
        found.append(_reason("unplugged", name, "is not plugged in any more"))
    elif is_out:
        shift = parse_instant(later["arrival"]["at"]) - parse_instant(earlier["arrival"]["at"])
        if abs(shift) >= ARRIVAL_SHIFT:
            minutes = round(shift.total_seconds() / 60)
            way = "later" if minutes > 0 else "earlier"
            found.append(_reason("forecast", name, f"is expected {abs(minutes)} min {way}"))
    elif expected_pct is not None and abs(later["soc"]["value_pct"] - expected_pct) >= DEVIATION_PP:
        text = f"has {later['soc']['value_pct']:.0f} % where {expected_pct:.0f} % were expected by now"
        found.append(_reason("deviation", name, text))
    if later["departure"]["at"] != earlier["departure"]["at"]:
        found.append(_reason("departure", name, f"leaves at {later['departure']['at']}"))
    if abs(later["required"]["soc_pct"] - earlier["required"]["soc_pct"]) >= 0.5:
        found.append(_reason("target", name, f"must leave with {later['required']['soc_pct']:.0f} %"))
    return found


def _expected(before: PlanFacts, name: str, at: datetime) -> float | None:
    """Return the SoC that the plan before expects a vehicle to have at an instant."""
    soc = before.expected_soc_pct.get(name)
    slot = timedelta(minutes=before.problem.slot_minutes)
    passed = (at - before.problem.start_at) / slot
    if soc is None or passed <= 0 or passed > len(soc):
        return None
    return float(np.interp(passed, np.arange(1, len(soc) + 1), soc))


def _site_reasons(before: PlanFacts, now: PlanFacts) -> list[dict[str, Any]]:
    shift = round((now.problem.start_at - before.problem.start_at).total_seconds() / 60 / now.problem.slot_minutes)
    common = min(before.problem.slots - shift, now.problem.slots)
    if shift < 0 or common <= 0:
        return []
    old, new = slice(shift, shift + common), slice(0, common)
    found = []
    price = np.abs(before.problem.price_per_kwh[old] - now.problem.price_per_kwh[new])
    if price.max() > PRICE_STEP:
        slots = int((price > PRICE_STEP).sum())
        found.append({"code": "price", "text": f"the price of {slots} slots ahead is another"})
    starts = slot_starts(now.problem.start_at, common, slot_minutes=now.problem.slot_minutes)
    limit = np.abs(_limits_kw(before.publication, starts) - _limits_kw(now.publication, starts))
    if limit.max() > LIMIT_STEP_KW:
        found.append({"code": "limit", "text": f"the room for vehicles differs by up to {limit.max():.1f} kW"})
    return found


def _limits_kw(publication: Publication, starts: Sequence[datetime]) -> FloatArray:
    """Return what all vehicles together may draw at each instant, by a publication."""
    begins = [period.start_at for period in publication.ev_limit_kw]
    limits = [period.limit_kw for period in publication.ev_limit_kw]
    return np.array([limits[max(0, bisect_right(begins, at) - 1)] for at in starts])


def _override_reasons(before: PlanFacts, now: PlanFacts) -> list[dict[str, Any]]:
    earlier, later = set(before.inputs.get("overrides", ())), set(now.inputs.get("overrides", ()))
    return [
        *({"code": "override", "text": note} for note in sorted(later - earlier)),
        *({"code": "override_over", "text": f"{note}: over"} for note in sorted(earlier - later)),
    ]


def _reason(code: str, vehicle_id: str, text: str) -> dict[str, Any]:
    return {"code": code, "vehicle_id": vehicle_id, "text": f"{vehicle_id} {text}"}
