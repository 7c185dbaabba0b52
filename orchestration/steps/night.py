"""A site's night, expected or in hindsight: what it costs, and what simple rules would have made of the same facts."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from core.time_grid import SLOT, floor_to_slot
from orchestration.steps.fleet_state import FleetState
from orchestration.steps.plan import site_state
from orchestration.steps.requests import vehicle_spec
from orchestration.steps.site_inputs import SiteInputs, read_site_inputs
from orchestration.steps.workplace import Workplace
from planning.counterfactual import FORESIGHT, Hindsight, Stay, hindsight, judged
from planning.documents import problem_from_record
from planning.feasibility import measure
from planning.model import FloatArray, Problem
from planning.site_signals import site_import
from planning.site_state import SiteState, phase_share
from reporting.loading import load_view
from reporting.readiness import State
from reporting.summary import DepartureKey
from reporting.view import DepartureLine, OperationsView, Span

ARRIVAL_READING = timedelta(minutes=20)
"""A vehicle reports as it parks; the reading may come this much after the plug-in."""

LONGEST_REST = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class NightResult:
    """One site's night: its page's view, what it costs and peaks at, and the rules' scores on the same facts.

    ``infeasible`` are departures that perfect foresight could not make ready either.
    """

    site_id: str
    view: OperationsView
    cost: float
    peak_kw: float
    limit_kw: float
    scores: Hindsight
    infeasible: frozenset[DepartureKey]


def night_result(workplace: Workplace, *, site_id: str, begin: datetime, end: datetime) -> NightResult:
    """Return a site's night between two instants, with all that is known at its end."""
    view = load_view(workplace.landing, site_id=site_id, as_of=end, span=Span(begin, end))
    state, ev_kw = measured_site(workplace, site_id, begin, end)
    lines = {(line.departure.vehicle_id, line.departure.departure_at): line for line in view.departures}
    stays = _stays(workplace, lines.values(), end)
    scores = hindsight(state, stays)
    actual = measure(_without_vehicles(scores.problem, ev_kw), np.zeros((0, scores.problem.slots)), None)
    return NightResult(
        site_id=site_id,
        view=view,
        cost=actual.cost.energy + actual.cost.demand,
        peak_kw=actual.peak_kw,
        limit_kw=float(state.grid_limit_kw.max()),
        scores=scores,
        infeasible=frozenset(key for key, line in lines.items() if _is_hopeless(line, scores)),
    )


def expected_result(workplace: Workplace, *, site_id: str, as_of: datetime) -> NightResult | None:
    """Return the night that a site's plan of ``as_of`` expects; None when there is no such plan."""
    plans = workplace.landing.read("plan", as_of=as_of, since=as_of - timedelta(days=1))
    made = plans.filter(pl.col("site_id") == site_id, pl.col("as_of") == as_of)
    if made.is_empty():
        return None
    plan = made.row(-1, named=True)
    problem = problem_from_record(json.loads(plan["problem_json"]))
    scores = judged(problem)
    span = Span(as_of, problem.start_at + problem.slots * SLOT)
    view = load_view(workplace.landing, site_id=site_id, as_of=as_of, span=span)
    cost = json.loads(plan["plan_json"])["cost"]
    return NightResult(
        site_id=site_id,
        view=view,
        cost=cost["energy"] + cost["demand"],
        peak_kw=plan["peak_kw"],
        limit_kw=float(np.max(workplace.registry.import_limit_kw(site_id, [problem.start_at]))),
        scores=scores,
        infeasible=frozenset(
            (line.departure.vehicle_id, line.departure.departure_at)
            for line in view.departures
            if line.departure.vehicle_id in scores.infeasible
        ),
    )


def measured_site(workplace: Workplace, site_id: str, begin: datetime, end: datetime) -> tuple[SiteState, FloatArray]:
    """Return the site with its measured other load, and what its connectors really drew, both per slot."""
    registry, landing = workplace.registry, workplace.landing
    start_at = floor_to_slot(begin)
    slots = int((end - start_at) / SLOT)

    def inputs(as_of: datetime) -> SiteInputs:
        return read_site_inputs(landing, registry, site_id=site_id, as_of=as_of, start_at=start_at, slots=slots)

    connectors = registry.connectors_of(site_id)
    known = replace(inputs(end), peak_charges=inputs(begin).peak_charges)
    state = site_state(registry.site(site_id), connectors, known, FleetState((), ()))
    stations = [connector.station_id for connector in connectors]
    meters = landing.read("meter_value", as_of=end, since=start_at).filter(pl.col("station_id").is_in(stations))
    load = landing.read("site_load", as_of=end, since=start_at).filter(pl.col("site_id") == site_id)
    starts = pl.Series("start_at", [start_at + k * SLOT for k in range(slots)], pl.Datetime("us", "UTC"))
    metered = (
        starts.to_frame()
        .join(site_import(meters, load), on="start_at", how="left", maintain_order="left")
        .join(load.select("start_at", "pv_kw"), on="start_at", how="left", maintain_order="left")
    )
    measured = replace(
        state,
        base_load_kw=_or_expected(metered["base_load_kw"], state.base_load_kw),
        pv_kw=_or_expected(metered["pv_kw"], state.pv_kw),
    )
    return measured, metered["ev_kw"].fill_null(0.0).to_numpy().astype(float)


def _or_expected(measured: pl.Series, expected: FloatArray) -> FloatArray:
    values = measured.to_numpy().astype(float)
    return np.where(np.isnan(values), expected, values)


def _stays(workplace: Workplace, lines: Iterable[DepartureLine], as_of: datetime) -> list[Stay]:
    """Return the departures of vehicles that were plugged in, with the SoC each came with, where that is known."""
    readings = workplace.landing.read("vehicle_snapshot", as_of=as_of, since=as_of - timedelta(days=3))
    known = readings.filter(pl.col("soc_pct").is_not_null()).sort("observed_at")
    stays = (_stay(workplace, line, known) for line in lines)
    return [stay for stay in stays if stay is not None]


def _stay(workplace: Workplace, line: DepartureLine, readings: pl.DataFrame) -> Stay | None:
    departure = line.departure
    if departure.plugged_at is None or departure.required_soc_pct is None or departure.station_id is None:
        return None
    connector = workplace.registry.connector(departure.station_id, departure.connector_id or 1)
    soc_pct = soc_at(readings, departure.vehicle_id, departure.plugged_at)
    if connector is None or soc_pct is None:
        return None
    spec = vehicle_spec(workplace.registry.vehicle(departure.vehicle_id))
    share = phase_share(spec.phases, connector.phases) if connector.current_type == "ac" else 1.0
    return Stay(
        spec=spec,
        plugged_in_at=departure.plugged_at,
        departed_at=departure.pulled_out_at or departure.departure_at,
        start_soc_pct=soc_pct,
        required_soc_pct=departure.required_soc_pct,
        current_type=connector.current_type,
        connector_max_kw=connector.max_kw * share,
        connector_min_kw=connector.min_kw * share,
        group_id=connector.group_id,
        connector=(connector.station_id, connector.connector_id),
    )


def soc_at(readings: pl.DataFrame, vehicle_id: str, plugged_at: datetime) -> float | None:
    """Return what a vehicle told of its battery last before it was plugged in, or right after it; None: nothing."""
    near = readings.filter(
        pl.col("vehicle_id") == vehicle_id,
        pl.col("observed_at").is_between(plugged_at - LONGEST_REST, plugged_at + ARRIVAL_READING),
    )
    before = near.filter(pl.col("observed_at") <= plugged_at)
    chosen = before.tail(1) if before.height else near.head(1)
    return float(chosen["soc_pct"][0]) if chosen.height else None


def _without_vehicles(problem: Problem, ev_kw: FloatArray) -> Problem:
    """Return the problem with what was really drawn as part of its load, so that the oracle prices it."""
    return replace(problem, base_load_kw=problem.base_load_kw + ev_kw, fleet=problem.fleet.take([]))


def _is_hopeless(line: DepartureLine, scores: Hindsight) -> bool:
    """Say whether perfect foresight could not have made a departure ready either."""
    never_plugged = line.judgement.state is State.NOT_PLUGGED
    return never_plugged or line.departure.vehicle_id in scores.infeasible


@dataclass(frozen=True, slots=True)
class PolicyTotal:
    """A policy over several sites: cost, sum of the sites' peaks, share of departures ready."""

    policy: str
    cost: float
    peak_kw: float
    ready_pct: float


def policy_total(nights: Sequence[NightResult], policy: str) -> PolicyTotal:
    """Sum a policy's scores over sites."""
    scores = [night.scores.scores[policy] for night in nights]
    departures = sum(score.departures for score in scores)
    return PolicyTotal(
        policy=policy,
        cost=sum(score.cost for score in scores),
        peak_kw=sum(score.peak_kw for score in scores),
        ready_pct=100 * sum(score.ready for score in scores) / departures if departures else 100.0,
    )


def best_rule(nights: Sequence[NightResult], *, ready_pct: float) -> PolicyTotal:
    """Return the cheapest simple rule among those as ready as the plan, one rule for all sites.

    Where none is, the readiest counts. ``uncontrolled`` breaks the limit, so it is no rule that one could follow.
    """
    names = [name for name in nights[0].scores.scores if name not in ("uncontrolled", FORESIGHT)]
    rules = [policy_total(nights, name) for name in names]
    as_ready = [rule for rule in rules if rule.ready_pct >= ready_pct - 1e-9]
    if as_ready:
        return min(as_ready, key=lambda rule: (rule.cost, rule.policy))
    return min(rules, key=lambda rule: (-rule.ready_pct, rule.cost, rule.policy))
