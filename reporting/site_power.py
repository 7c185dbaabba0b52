"""The site's power over a night: what was planned, what was metered, under which limit and at which price.

Plans are re-made through the night; every slot is shown under the plan that was in force in it.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from core.landing import Landing
from core.schema import INSTANT
from core.time_grid import SLOT, floor_to_slot, parse_instant, slot_starts
from reporting.records import Records, power_by_slot, read_current
from reporting.view import PowerInterval, Span

SIGNALS = pl.Schema(
    {
        "start_at": INSTANT,
        "limit_kw": pl.Float64(),
        "other_kw": pl.Float64(),
        "planned_kw": pl.Float64(),
        "planned_price_per_kwh": pl.Float64(),
    }
)


def plan_signals(problem: Mapping[str, Any], plan: Mapping[str, Any]) -> pl.DataFrame:
    """Return a plan's power per slot (``SIGNALS``) from ``planning_problem/1`` and ``plan/1``.

    ``other_kw`` is all but vehicles: other load, less solar output, plus what the stationary battery takes.
    """
    slots = int(problem["slots"])
    battery_kw = plan.get("battery_kw") or [0.0] * slots
    load = zip(problem["base_load_kw"], problem["pv_kw"], battery_kw, strict=True)
    vehicles_kw = [vehicle["power_kw"] for vehicle in plan["vehicles"]] or [[0.0] * slots]
    return pl.DataFrame(
        {
            "start_at": slot_starts(
                parse_instant(problem["start_at"]), slots, slot_minutes=int(problem["slot_minutes"])
            ),
            "limit_kw": problem["grid_limit_kw"],
            "other_kw": [base - pv + battery for base, pv, battery in load],
            "planned_kw": [sum(in_slot) for in_slot in zip(*vehicles_kw, strict=True)],
            "planned_price_per_kwh": problem["price_per_kwh"],
        },
        schema=SIGNALS,
    )


def plans_in_force(records: Records) -> pl.DataFrame:
    """Return the plans of a night with ``from_at`` and ``until_at``, during which each was the newest."""
    return (
        records.plans.with_columns(
            from_at=pl.max_horizontal("start_at", pl.lit(records.span.start_at)),
            until_at=pl.col("start_at").shift(-1, fill_value=records.span.end_at).clip(None, records.span.end_at),
        )
        .filter(pl.col("from_at") < pl.col("until_at"))
        .select("plan_id", "from_at", "until_at", "problem_json", "plan_json")
    )


def intervals_in_force(records: Records) -> pl.DataFrame:
    """Return planned power per vehicle and slot, each slot from the plan in force in it."""
    in_force = plans_in_force(records).select("plan_id", "from_at", "until_at")
    return (
        records.plan_intervals.join(in_force, on="plan_id", how="inner", maintain_order="left")
        .filter(pl.col("start_at").is_between("from_at", "until_at", closed="left"))
        .select("vehicle_id", "start_at", "end_at", "power_kw")
        .sort("vehicle_id", "start_at")
    )


def site_power(landing: Landing, records: Records, *, site: Mapping[str, Any]) -> tuple[PowerInterval, ...]:
    """Return every slot of the night with what is known of it; a slot before the first plan has no planned power."""
    slots = pl.DataFrame({"start_at": _slots(records.span)}, schema={"start_at": INSTANT})
    metered = power_by_slot(records.charged).rename({"power_kw": "metered_kw"})
    frame = (
        slots.join(_signals_in_force(records), on="start_at", how="left", maintain_order="left")
        .join(_other_load(landing, records), on="start_at", how="left", maintain_order="left")
        .join(metered, on="start_at", how="left", maintain_order="left")
        .join_asof(_prices(landing, site["price_zone"], as_of=records.as_of), on="start_at")
    )
    day_ahead = pl.when(pl.col("start_at") < pl.col("priced_until_at")).then("price_per_kwh")
    is_past = pl.col("start_at") < pl.lit(records.as_of)
    intervals = frame.select(
        "start_at",
        "planned_kw",
        end_at=pl.col("start_at") + SLOT,
        limit_kw=pl.coalesce("limit_kw", pl.lit(site["import_limit_kw"], pl.Float64)),
        # What was metered replaces what was expected.
        other_kw=pl.coalesce(pl.when(is_past).then("measured_kw"), "other_kw"),
        metered_kw=pl.when(is_past).then("metered_kw"),
        price_per_kwh=pl.coalesce(day_ahead, "planned_price_per_kwh"),
    )
    return tuple(PowerInterval(**row) for row in intervals.iter_rows(named=True))


def _slots(span: Span) -> list[datetime]:
    first = floor_to_slot(span.start_at)
    return slot_starts(first, -((first - span.end_at) // SLOT))


def _signals_in_force(records: Records) -> pl.DataFrame:
    parts = [SIGNALS.to_frame()]
    for plan in plans_in_force(records).iter_rows(named=True):
        signals = plan_signals(json.loads(plan["problem_json"]), json.loads(plan["plan_json"]))
        parts.append(signals.filter(pl.col("start_at").is_between(plan["from_at"], plan["until_at"], closed="left")))
    return pl.concat(parts)


def _other_load(landing: Landing, records: Records) -> pl.DataFrame:
    """Return the metered load of the rest of the site, less its solar output, as the mean per slot."""
    rows = read_current(landing, "site_load", as_of=records.as_of, since=records.span.start_at)
    return (
        rows.filter(pl.col("site_id") == records.site_id)
        .with_columns(measured_kw=pl.col("base_load_kw") - pl.col("pv_kw").fill_null(0.0))
        .group_by(pl.col("start_at").dt.truncate("15m"), maintain_order=True)
        .agg(pl.col("measured_kw").mean())
        .sort("start_at")
    )


def _prices(landing: Landing, series_id: str | None, *, as_of: datetime) -> pl.DataFrame:
    rows = read_current(landing, "price", as_of=as_of).filter(pl.col("series_id") == pl.lit(series_id, pl.String))
    return rows.select("start_at", "price_per_kwh", priced_until_at="end_at").sort("start_at")
