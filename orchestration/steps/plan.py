"""Plans a site as of an instant, lands the plan with all it rests on, and hands it to the bridge."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self

import numpy as np
import polars as pl

from core.entities import ENTITIES
from core.landing import Landing
from core.publication import Publication
from core.time_grid import SLOT, floor_to_slot, format_instant, slot_starts
from ingestion.registry.models import Connector, Site
from ml.fleet import FleetFacts
from ml.forecasting import recent_facts
from orchestration.steps.fleet_state import FleetState, read_fleet_state
from orchestration.steps.forecast import forecast
from orchestration.steps.overrides import overrides_in_force
from orchestration.steps.publish import PATIENCE_S, PublishReport, publish
from orchestration.steps.requests import Habits, RequestBook
from orchestration.steps.return_forecasts import ReturnForecast, return_forecasts
from orchestration.steps.site_inputs import PowerSource, SiteInputs, read_site_inputs
from orchestration.steps.transactions import OpenTransaction, faulted_connectors
from orchestration.steps.workplace import Workplace
from planning.assembly import Assembled
from planning.changes import PlanFacts, changes, expected_soc
from planning.closures import closed, elsewhere
from planning.documents import plan_record, problem_from_record, problem_record
from planning.findings import ProblemError
from planning.hedging import hedge
from planning.model import Battery, DemandCharge, Group, Plan, Problem
from planning.overrides import Override, overridden_connectors, overridden_requests
from planning.publication import to_publication
from planning.remedies import in_words
from planning.site_state import ConnectorState, SiteState
from planning.solve import solve

LOGGER = logging.getLogger(__name__)
HORIZON_SLOTS = 120
"""30 hours: tonight's departures and tomorrow's early returns, from any hour of the day."""

WITH_REMEDIES = ("nightly",)
"""Triggers after which changes are looked for that would mend a night: that takes dozens of plans, so once a night."""


@dataclass(frozen=True, slots=True)
class SitePlan:
    """A plan with the problem it answers, where its inputs came from, and what goes to the bridge."""

    plan_id: str
    as_of: datetime
    problem: Problem
    plan: Plan
    inputs: dict[str, Any]
    publication: Publication


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """A site's plan and what became of its publication."""

    planned: SitePlan
    published: PublishReport


@dataclass(frozen=True, slots=True)
class KnownFleet:
    """What is known of a site's fleet at an instant, and what has been forecast then (rows of ``forecast``)."""

    facts: FleetFacts
    forecasts: pl.DataFrame

    @classmethod
    def read(cls, workplace: Workplace, *, site_id: str, as_of: datetime) -> Self:
        """Read both from landing."""
        facts = recent_facts(workplace.landing, site_id=site_id, as_of=as_of, models_dir=workplace.settings.models_dir)
        return cls(facts, _forecasts_of(workplace, site_id, as_of))


def plan_and_publish(
    workplace: Workplace, *, site_id: str, as_of: datetime, trigger: str, patience_s: float = PATIENCE_S
) -> PlanOutcome:
    """Forecast, plan, land and publish: what a re-plan does, and what the assets do one by one."""
    facts = recent_facts(workplace.landing, site_id=site_id, as_of=as_of, models_dir=workplace.settings.models_dir)
    forecasts = forecast(workplace, facts)
    known = KnownFleet(facts, forecasts)
    planned = plan_site(workplace, site_id=site_id, as_of=as_of, trigger=trigger, known=known)
    return PlanOutcome(planned, publish(workplace, planned.publication, as_of=as_of, patience_s=patience_s))


def plan_site(
    workplace: Workplace, *, site_id: str, as_of: datetime, trigger: str, known: KnownFleet | None = None
) -> SitePlan:
    """Plan a site with what was known at ``as_of``, and land the plan.

    Args:
        workplace: Where everything is.
        site_id: Site.
        as_of: Nothing newer is used.
        trigger: Why it is planned.
        known: The fleet's facts and forecasts of ``as_of``, where they are at hand; else they are read from landing.
    """
    known = known or KnownFleet.read(workplace, site_id=site_id, as_of=as_of)
    site = workplace.registry.site(site_id)
    fleet = read_fleet_state(workplace.landing, workplace.registry, site_id=site_id, as_of=as_of)
    start_at = floor_to_slot(as_of)
    inputs = read_site_inputs(
        workplace.landing,
        workplace.registry,
        site_id=site_id,
        as_of=as_of,
        start_at=start_at,
        slots=HORIZON_SLOTS,
        models_dir=workplace.settings.models_dir,
    )
    book = RequestBook(
        site,
        as_of,
        start_at + HORIZON_SLOTS * SLOT,
        return_forecasts(known.forecasts),
        Habits.of(known.facts, workplace.registry.vehicles_of(site_id)),
        _arrival_forecasts(workplace, fleet, as_of),
    )
    overrides = overrides_in_force(workplace, site_id=site_id, as_of=as_of)
    state = site_state(site, workplace.registry.connectors_of(site_id), inputs, fleet)
    faults = faulted_connectors(workplace.landing, state.connectors, as_of=as_of)
    state = replace(state, connectors=overridden_connectors(closed(state.connectors, faults), overrides, as_of=as_of))
    known_requests = [elsewhere(request, faults, as_of=as_of) for request in book.requests(fleet.vehicles)]
    requests = overridden_requests(known_requests, state.connectors, overrides, as_of=as_of)
    planner = partial(solve, as_of=as_of, with_remedies=trigger in WITH_REMEDIES)
    hedged = hedge(state, requests, as_of=as_of, planner=planner)
    assembled, plan = with_overrides(hedged.assembled, overrides), hedged.plan
    document = json.dumps(problem_record(assembled.problem), sort_keys=True)
    digest = hashlib.sha256(f"{site_id}|{format_instant(as_of)}|{document}".encode()).hexdigest()
    plan_id = f"{site_id}-{as_of:%Y%m%dT%H%M%SZ}-{digest[:12]}"
    phases = {vehicle.vehicle_id: vehicle.phases for vehicle in workplace.registry.vehicles}
    publication = to_publication(plan, assembled.problem, state, plan_id=plan_id, as_of=as_of, vehicle_phases=phases)
    inputs_of_plan = {
        **assembled.inputs,
        "leaning": hedged.leaning,
        "prices": _price_inputs(inputs),
        "power": _power_inputs(inputs),
    }
    planned = SitePlan(plan_id, as_of, assembled.problem, plan, inputs_of_plan, publication)
    before = facts_of_latest(workplace.landing, site_id=site_id, before=as_of)
    changed = changes(before, _facts(planned), trigger=trigger)
    planned = replace(planned, inputs={**planned.inputs, "changes": changed})
    _land(workplace, planned, site, trigger=trigger, problem_json=document)
    return planned


def _price_inputs(inputs: SiteInputs) -> dict[str, Any]:
    """Return how many slots of the prices rest on the rule, and the rule; all where no price is known."""
    assumed = inputs.slots if inputs.price is None else inputs.price.assumed_slots
    rule = "no price is known" if inputs.price is None else "the same quarter-hour of the latest day known"
    carbon = {} if inputs.carbon is None else {"carbon_assumed_slots": inputs.carbon.assumed_slots}
    return {"assumed_slots": assumed, "rule": rule if assumed else None, **carbon}


def _power_inputs(inputs: SiteInputs) -> dict[str, Any]:
    """Return what forecast other load and solar output, and what it knew; None where nobody metered them."""

    def said(source: PowerSource | None) -> dict[str, Any] | None:
        if source is None:
            return None
        newest = source.newest_input_at
        at = None if newest is None else format_instant(newest)
        return {"name": source.name, "version": source.version, "newest_input_at": at}

    return {name: said(source) for name, source in inputs.load_sources.items()}


def with_overrides(assembled: Assembled, overrides: Sequence[Override]) -> Assembled:
    """Return an assembled problem whose inputs name the overrides that it follows."""
    return replace(assembled, inputs={**assembled.inputs, "overrides": [one.note for one in overrides]})


def _facts(planned: SitePlan) -> PlanFacts:
    return PlanFacts(
        planned.plan_id,
        planned.as_of,
        planned.inputs,
        planned.problem,
        planned.publication,
        expected_soc(planned.problem, planned.plan.power_kw),
    )


def facts_of_latest(landing: Landing, *, site_id: str, before: datetime) -> PlanFacts | None:
    """Return what is compared of a site's latest plan before an instant; None where there is none within a day."""
    plans = landing.read("plan", as_of=before, since=before - timedelta(days=1))
    made = plans.filter(pl.col("site_id") == site_id, pl.col("as_of") < before).sort("as_of", "plan_id")
    if made.is_empty():
        return None
    row = made.row(-1, named=True)
    try:
        problem = problem_from_record(json.loads(row["problem_json"]))
    except ProblemError as error:  # a plan is made whatever the one before looks like
        LOGGER.warning("%s cannot be compared with: %s", row["plan_id"], error)
        return None
    powers = np.array([one["power_kw"] for one in json.loads(row["plan_json"])["vehicles"]])
    return PlanFacts(
        row["plan_id"],
        row["as_of"],
        json.loads(row["inputs_json"]),
        problem,
        Publication.model_validate_json(row["publication_json"]),
        expected_soc(problem, powers.reshape(problem.fleet.size, problem.slots)),
    )


def publication_of(workplace: Workplace, *, site_id: str, as_of: datetime) -> Publication:
    """Return the publication of the plan that was made for a site at an instant.

    Raises:
        LookupError: there is no such plan.
    """
    plans = workplace.landing.read("plan", as_of=as_of, since=as_of - timedelta(days=1))
    made = plans.filter(pl.col("site_id") == site_id, pl.col("as_of") == as_of)
    if made.is_empty():
        raise LookupError(f"no plan was made for {site_id} as of {format_instant(as_of)}; plan it first")
    return Publication.model_validate_json(made["publication_json"][-1])


def _forecasts_of(workplace: Workplace, site_id: str, as_of: datetime) -> pl.DataFrame:
    rows = workplace.landing.read("forecast", as_of=as_of, since=as_of - timedelta(days=1))
    return rows.filter(pl.col("site_id") == site_id, pl.col("predicted_at") == as_of)


def _arrival_forecasts(workplace: Workplace, fleet: FleetState, as_of: datetime) -> dict[str, ReturnForecast]:
    """Return, for every plugged vehicle, the last forecast that was made before it was plugged in."""
    plugged = {state.vehicle.vehicle_id: state.transaction for state in fleet.vehicles if state.transaction}
    if not plugged:
        return {}
    first = min(transaction.started_at for transaction in plugged.values())
    made = workplace.landing.read("forecast", as_of=as_of, since=first - timedelta(days=1))
    found: dict[str, ReturnForecast] = {}
    for vehicle_id, transaction in plugged.items():
        known = made.filter(
            pl.col("vehicle_id") == vehicle_id,
            pl.col("predicted_at").is_between(transaction.started_at - timedelta(days=1), transaction.started_at),
        )
        found |= return_forecasts(known.filter(pl.col("predicted_at") == pl.col("predicted_at").max()))
    return found


def site_state(site: Site, connectors: tuple[Connector, ...], inputs: SiteInputs, fleet: FleetState) -> SiteState:
    """Return the site as the planner sees it."""
    price = inputs.price.values if inputs.price else np.full(inputs.slots, site.tariff.markup_per_kwh)
    running = {(entry.station_id, entry.connector_id): entry for entry in fleet.transactions}
    return SiteState(
        site_id=site.site_id,
        currency=site.currency,
        start_at=inputs.start_at,
        grid_limit_kw=inputs.import_limit_kw,
        base_load_kw=inputs.load.base_load_kw,
        base_load_high_kw=inputs.load.base_load_high_kw,
        pv_kw=inputs.load.pv_kw,
        pv_low_kw=inputs.load.pv_low_kw,
        price_per_kwh=price,
        feed_in_per_kwh=site.tariff.feed_in_per_kwh,
        demand_charges=tuple(
            DemandCharge(charge.name, charge.price_per_kw, charge.so_far_kw, charge.slots)
            for charge in inputs.peak_charges
        ),
        price_tiers=inputs.price_tiers,
        soft_limits=inputs.soft_limits,
        carbon_kg_per_kwh=None if inputs.carbon is None else inputs.carbon.values,
        carbon_price_per_kg=0.0 if site.tariff.carbon is None else site.tariff.carbon.price_per_t / 1000,
        battery=_battery(site),
        groups=tuple(Group(group.group_id, np.full(inputs.slots, group.limit_kw)) for group in site.groups),
        connectors=tuple(
            _connector(entry, running.get((entry.station_id, entry.connector_id))) for entry in connectors
        ),
        safety_margin_kw=site.safety_margin_kw,
    )


def _battery(site: Site) -> Battery | None:
    spec = site.battery
    if spec is None:
        return None
    half = spec.capacity_kwh / 2  # no source reports its charge yet; half is what a plan can count on giving back
    return Battery(spec.capacity_kwh, spec.max_power_kw, spec.charge_efficiency, spec.discharge_efficiency, half)


def _connector(entry: Connector, transaction: OpenTransaction | None) -> ConnectorState:
    return ConnectorState(
        station_id=entry.station_id,
        connector_id=entry.connector_id,
        current_type=entry.current_type,
        max_kw=entry.max_kw,
        min_kw=entry.min_kw,
        fallback_kw=entry.fallback_kw,
        phases=entry.phases,
        nominal_voltage_v=entry.nominal_voltage_v,
        group_id=entry.group_id,
        transaction_id=None if transaction is None else transaction.transaction_id,
    )


def _land(workplace: Workplace, planned: SitePlan, site: Site, *, trigger: str, problem_json: str) -> None:
    """Land the plan whole, by vehicle, and by slot; the whole last, so that it vouches for the other two."""
    plan = planned.plan
    times = {"observed_at": planned.as_of, "available_at": planned.as_of, "ingested_at": planned.as_of}
    common = {"plan_id": planned.plan_id, "site_id": site.site_id, **times}
    digest = hashlib.sha256(problem_json.encode()).hexdigest()
    whole = {
        **common,
        "as_of": planned.as_of,
        "start_at": planned.problem.start_at,
        "slots": planned.problem.slots,
        "problem_json": problem_json,
        "plan_json": _stable_json(plan_record(plan, digest)),
        "inputs_json": json.dumps(planned.inputs, sort_keys=True),
        "publication_json": planned.publication.to_json(),
        "cost_total": plan.cost.total,
        "currency": site.currency,
        "peak_kw": plan.peak_kw,
        "ready_vehicles": int(plan.is_ready.sum()),
        "short_vehicles": int((~plan.is_ready).sum()),
        "trigger": trigger,
    }
    for entity, rows in (
        ("plan_interval", _interval_rows(planned, common)),
        ("plan_vehicle", pl.DataFrame(_vehicle_rows(planned, common), schema=_schema("plan_vehicle"))),
        ("plan", pl.DataFrame([whole], schema=_schema("plan"))),
    ):
        workplace.landing.append(entity, rows, source="planner")


def _stable_json(record: dict[str, Any]) -> str:
    """Write a plan without the seconds its solver took, so that the same plan is the same text."""
    return json.dumps({**record, "solver": {**record["solver"], "seconds": None}}, sort_keys=True)


def _schema(entity: str) -> pl.Schema:
    return ENTITIES[entity].schema


def _vehicle_rows(planned: SitePlan, common: dict[str, Any]) -> list[dict[str, Any]]:
    plan, problem = planned.plan, planned.problem
    inputs = {entry["vehicle_id"]: entry for entry in planned.inputs["vehicles"]}
    energy = plan.power_kw.sum(axis=1) * problem.slot_minutes / 60
    items = {item.index: item for item in problem.connectors.items} if problem.connectors else {}
    remedy = f"; what would mend the night: {in_words(plan.remedies[0])}" if plan.remedies else ""
    rows = []
    for k, vehicle_id in enumerate(plan.vehicle_ids):
        entry, reason, fleet = inputs[vehicle_id], plan.reasons[k], problem.fleet
        item = items.get(int(plan.assignment.connector[k]))
        arrival = entry["arrival"]
        rows.append(
            {
                **common,
                "vehicle_id": vehicle_id,
                "station_id": item.station_id if item else None,
                "connector_id": item.connector_id if item else None,
                "transaction_id": fleet.transaction_ids[k],
                "expected_arrival_at": _instant(arrival["at"]) if arrival else problem.start_at,
                "requested_departure_at": _instant(entry["departure"]["at"]),
                "expected_soc_at_arrival_pct": float(fleet.start_soc_pct[k]),
                "min_target_soc_pct": float(entry["required"]["soc_pct"]),
                "predicted_departure_soc_pct": float(plan.end_soc_pct[k]),
                "planned_energy_kwh": float(energy[k]),
                "shortfall_kwh": float(plan.shortfall_kwh[k]),
                "reason_code": reason.code if reason else None,
                "reason_text": reason.text + remedy if reason else None,
                "soc_rung": entry["soc"]["rung"],
                "soc_source": entry["soc"]["source"],
                "soc_age_min": entry["soc"]["age_min"],
            }
        )
    return rows


def _interval_rows(planned: SitePlan, common: dict[str, Any]) -> pl.DataFrame:
    problem, power = planned.problem, planned.plan.power_kw
    vehicle, slot = np.nonzero(power > 0)
    starts = pl.Series(slot_starts(problem.start_at, problem.slots), dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "vehicle_id": np.array(planned.plan.vehicle_ids, dtype=object)[vehicle].tolist(),
            "start_at": starts.gather(slot),
            "power_kw": power[vehicle, slot],
        },
        schema_overrides={"vehicle_id": pl.String},
    ).with_columns(
        (pl.col("start_at") + timedelta(minutes=problem.slot_minutes)).alias("end_at"),
        *(pl.lit(value).alias(name) for name, value in common.items()),
    )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
