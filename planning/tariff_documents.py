"""Demand charges, price tiers and soft limits of ``planning_problem/1``, from JSON and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from planning.findings import Findings
from planning.model import DemandCharge, PriceTier, Problem, SoftLimit


def parse_demand_charges(raw: Mapping[str, Any], slots: int, findings: Findings) -> tuple[DemandCharge, ...]:
    """Read ``demand_charges``, noting what is wrong as ``demand_charges[k].field``."""
    charges = []
    for k, record in enumerate(findings.records(raw, "demand_charges")):
        path = f"demand_charges[{k}]."
        price = findings.number(record, "price_per_kw", path, minimum=0)
        so_far = findings.number(record, "so_far_kw", path, minimum=0)
        chosen = record.get("slots")
        if chosen is not None and not _are_slots(chosen, slots):
            findings.error(path + "slots", f"give null, or a list of slots from 0 to {slots - 1}")
            chosen = None
        indices = None if chosen is None else np.array(sorted(set(chosen)), dtype=np.int64)
        charges.append(DemandCharge(findings.text(record, "name", path), price, so_far, indices))
    return tuple(charges)


def _are_slots(values: object, slots: int) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < slots for value in values)


def parse_soft_limits(raw: Mapping[str, Any], slots: int, findings: Findings) -> tuple[SoftLimit, ...]:
    """Read ``soft_limits``, noting what is wrong as ``soft_limits[k].field``."""
    return tuple(
        SoftLimit(
            findings.text(record, "name", path),
            findings.series(record, "limit_kw", slots, path, minimum=0),
            findings.number(record, "price_per_kwh", path, minimum=0),
        )
        for path, record in _named(raw, "soft_limits", findings)
    )


def parse_price_tiers(raw: Mapping[str, Any], findings: Findings) -> tuple[PriceTier, ...]:
    """Read ``price_tiers``, noting what is wrong as ``price_tiers[k].field``."""
    return tuple(
        PriceTier(
            findings.text(record, "name", path),
            findings.number(record, "above_kwh", path, minimum=0),
            findings.number(record, "so_far_kwh", path, minimum=0),
            findings.number(record, "surcharge_per_kwh", path, minimum=0),
        )
        for path, record in _named(raw, "price_tiers", findings)
    )


def _named(raw: Mapping[str, Any], key: str, findings: Findings) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"{key}[{k}].", record) for k, record in enumerate(findings.records(raw, key))]


def tariff_record(problem: Problem) -> dict[str, Any]:
    """Return the fields as ``planning_problem/1`` writes them; those that are optional only where there are any."""
    record: dict[str, Any] = {"demand_charges": [_charge_record(charge) for charge in problem.demand_charges]}
    if problem.soft_limits:
        record["soft_limits"] = [
            {"name": soft.name, "limit_kw": soft.limit_kw.tolist(), "price_per_kwh": soft.price_per_kwh}
            for soft in problem.soft_limits
        ]
    if problem.price_tiers:
        record["price_tiers"] = [
            {name: getattr(tier, name) for name in tier.__dataclass_fields__} for tier in problem.price_tiers
        ]
    return record


def _charge_record(charge: DemandCharge) -> dict[str, Any]:
    slots = None if charge.slots is None else charge.slots.tolist()
    return {"name": charge.name, "price_per_kw": charge.price_per_kw, "so_far_kw": charge.so_far_kw, "slots": slots}
