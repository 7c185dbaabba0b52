"""What the platform knew at an instant of the past, and simpler ways of knowing: class medians, nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Literal

import polars as pl

from core.landing import Landing
from core.schema import INSTANT
from core.time_grid import SLOT, local_date, local_instant
from ingestion.matching import NO_OVERRIDES, Evidence, match_evidence
from ingestion.registry.models import Site, Vehicle
from ml.cycles import clock_h
from ml.dataset import KnownFacts
from ml.fleet import fleet_facts
from ml.forecasting import forecast_instants, recent_facts
from orchestration.steps.fleet_state import VehicleState, read_fleet_state, standing
from orchestration.steps.requests import Habits, RequestBook
from orchestration.steps.return_forecasts import ReturnForecast, return_forecasts
from orchestration.steps.soc_evidence import LastHeard
from orchestration.steps.transactions import OpenTransaction
from orchestration.steps.workplace import Workplace
from planning.fallback import SocEvidence
from planning.presumption import Unrecognised, counted_by, presumed
from planning.replay.observation import Observation, PluggedIn
from planning.site_state import ConnectorKey, VehicleRequest

HISTORY = timedelta(days=60)
BEFORE_PLUG_IN = timedelta(hours=1)
AT_ONCE = 16
"""Forecasts of so many slots are made together; each knows what its own instant knew."""

Returns = Mapping[str, ReturnForecast]
ReturnsAt = Callable[[datetime], Returns]
Run = tuple[str, int, str, datetime, str | None, datetime | None]
MatchesAt = Callable[[datetime, tuple[Run, ...]], Mapping[str, str]]


RUN = {
    "station_id": pl.String(),
    "connector_id": pl.Int64(),
    "transaction_id": pl.String(),
    "started_at": INSTANT,
    "vehicle_id": pl.String(),
    "ended_at": INSTANT,
}


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What can be asked of the past of a site: states of its vehicles, forecasts of returns, habits at the start.

    ``matches_at`` says which vehicle each of the night's transactions (``RUN``) belongs to that name none.

    Whoever asks twice is answered from memory, so that contenders and faults of one night share the work.
    """

    states_at: Callable[[datetime], Mapping[str, VehicleState]]
    returns_at: ReturnsAt
    habits: Habits
    matches_at: MatchesAt

    @classmethod
    def of(
        cls, workplace: Workplace, *, site_id: str, start_at: datetime, vehicle_ids: frozenset[str], models_dir: Path
    ) -> "Knowledge":
        """Return what the platform knew of a site from an instant on, with models that were no newer.

        Only ``vehicle_ids`` come into question for transactions that name none: where the others stand is not replayed.
        """
        landing, registry = workplace.landing, workplace.registry

        @cache
        def states_at(at: datetime) -> Mapping[str, VehicleState]:
            fleet = read_fleet_state(landing, registry, site_id=site_id, as_of=at)
            return {state.vehicle.vehicle_id: state for state in fleet.vehicles}

        @cache
        def block_from(begin: datetime) -> dict[datetime, Returns]:
            instants = [begin + k * SLOT for k in range(AT_ONCE)]
            rows = forecast_instants(landing, site_id=site_id, instants=instants, models_dir=models_dir)
            return {instant: return_forecasts(forecast) for instant, forecast in rows.items()}

        def returns_at(at: datetime) -> Returns:
            return block_from(start_at + (at - start_at) // (AT_ONCE * SLOT) * (AT_ONCE * SLOT))[at]

        vehicles = registry.vehicles_of(site_id)
        habits = Habits.of(recent_facts(landing, site_id=site_id, as_of=start_at, models_dir=models_dir), vehicles)
        return cls(
            states_at,
            returns_at,
            habits,
            _matcher(landing, [one for one in vehicles if one.vehicle_id in vehicle_ids], site_id),
        )


@dataclass
class PlatformForecaster:
    """The platform's own state, forecasts and requirements as of each instant, for the vehicles of a span.

    Where vehicles are plugged and what chargers count is what the replay shows; all else is read from landing as of
    then. ``current_types`` are those of the site's connectors. ``end_at`` ends the span: departures beyond it are not
    planned. Forecasts are made anew ``forecast_every``.
    """

    site: Site
    start_at: datetime
    end_at: datetime
    vehicle_ids: frozenset[str]
    knowledge: Knowledge
    current_types: Mapping[ConnectorKey, Literal["ac", "dc"]]
    forecast_every: timedelta = SLOT
    _forecasts: dict[str, list[tuple[datetime, ReturnForecast]]] = field(default_factory=dict)
    _runs: dict[str, Run] = field(default_factory=dict)
    _counted: dict[str, list[tuple[datetime, float]]] = field(default_factory=dict)
    _told_until: dict[str, datetime] = field(default_factory=dict)

    def requests(self, seen: Observation) -> Sequence[VehicleRequest]:
        """Return the requests of the span's vehicles, as the platform would make them at that instant."""
        seen = self._recognised(seen)
        plugged = seen.of_vehicles()
        awaited = self.vehicle_ids - seen.gone - plugged.keys()
        returns = {vehicle_id: self._return(vehicle_id, seen) for vehicle_id in sorted(awaited)}
        known = {vehicle_id: forecast for vehicle_id, forecast in returns.items() if forecast is not None}
        for vehicle_id, forecast in known.items():
            self._forecasts.setdefault(vehicle_id, []).append((seen.at, forecast))
        book = self.book(seen.at, known, self._before_they_came(plugged))
        states = [self._state(vehicle_id, seen, plugged) for vehicle_id in sorted(self.vehicle_ids - seen.gone)]
        requests = book.requests([state for state in states if state is not None])
        return [request for request in requests if request.requested_departure_at <= self.end_at]

    def _before_they_came(self, plugged: Mapping[str, PluggedIn]) -> dict[str, ReturnForecast]:
        """Return each plugged vehicle's last forecast of before it came; before any plan was made, that of an hour ago.

        Whoever is recognised late was waited for until then, with forecasts of a return that was over.
        """
        found: dict[str, ReturnForecast] = {}
        for vehicle_id, one in plugged.items():
            made = [forecast for at, forecast in self._forecasts.get(vehicle_id, ()) if at <= one.plugged_at]
            at = self.start_at + (one.plugged_at - BEFORE_PLUG_IN - self.start_at) // SLOT * SLOT
            forecast = (
                made[-1] if made else self.knowledge.returns_at(at).get(vehicle_id) if at >= self.start_at else None
            )
            if forecast is not None:
                found[vehicle_id] = forecast
        return found

    def _recognised(self, seen: Observation) -> Observation:
        """Return what is seen with the vehicles that the platform's own matching finds behind unknown transactions."""
        running = {one.transaction_id: one for one in seen.plugged}
        for name, run in self._runs.items():
            if name not in running and run[-1] is None:
                self._runs[name] = (*run[:-1], seen.at)
        for name, one in running.items():
            self._counted.setdefault(name, []).append((seen.at, one.counted_kwh))
            self._runs.setdefault(name, (*one.connector, name, one.plugged_at, one.vehicle_id, None))
        if all(one.vehicle_id for one in seen.plugged):
            return seen
        found = dict(self.knowledge.matches_at(seen.at, tuple(self._runs.values())))
        placed = {one.vehicle_id for one in seen.plugged if one.vehicle_id} | set(found.values())
        found |= self._presumed(seen, found, self.vehicle_ids - seen.gone - placed)
        return replace(seen, plugged=tuple(self._named(one, found, seen) for one in seen.plugged))

    def _presumed(self, seen: Observation, found: Mapping[str, str], unplaced: frozenset[str]) -> dict[str, str]:
        """Return the vehicle presumed behind each transaction that nobody recognised."""
        unknown = [one for one in seen.plugged if one.vehicle_id is None and one.transaction_id not in found]
        vehicles = []
        for vehicle_id in sorted(unplaced) if unknown else ():
            state = self.knowledge.states_at(seen.seen_until.get(vehicle_id, seen.at)).get(vehicle_id)
            if state is not None and state.presence != "out":
                told = seen.unplaced.get(vehicle_id, ())
                vehicles.append(standing(state, tuple((reading.observed_at, reading.soc_pct) for reading, _ in told)))
        places = presumed([self._unrecognised(one) for one in unknown], vehicles)
        return {one.transaction_id: places[one.connector] for one in unknown if one.connector in places}

    def _unrecognised(self, one: PluggedIn) -> Unrecognised:
        return Unrecognised(
            connector=one.connector,
            current_type=self.current_types[one.connector],
            plugged_at=one.plugged_at,
            counted=tuple(self._counted[one.transaction_id]),
        )

    def _named(self, one: PluggedIn, found: Mapping[str, str], seen: Observation) -> PluggedIn:
        """Return a transaction under its vehicle's name, with the readings that the vehicle sent meanwhile."""
        vehicle_id = found.get(one.transaction_id)
        if one.vehicle_id is not None or vehicle_id is None:
            return one
        course = self._counted[one.transaction_id]
        told = [reading for reading, _ in seen.unplaced.get(vehicle_id, ()) if reading.observed_at >= one.plugged_at]
        readings = tuple((reading, counted_by(course, reading.observed_at)) for reading in told)
        return replace(one, vehicle_id=vehicle_id, readings=readings)

    def book(self, at: datetime, returns: Returns, arrivals: Returns) -> RequestBook:
        """Return the request book of an instant, with forecasts of who is out and of who has come, before they came."""
        horizon_end = self.end_at + timedelta(days=1)
        return RequestBook(self.site, at, horizon_end, returns, self.knowledge.habits, arrivals)

    def _return(self, vehicle_id: str, seen: Observation) -> ReturnForecast | None:
        """Return the forecast of a vehicle that is out, made with what its telematics had told by then."""
        until = seen.seen_until.get(vehicle_id, seen.at)
        at = self.start_at + (until - self.start_at) // self.forecast_every * self.forecast_every
        return self.knowledge.returns_at(at).get(vehicle_id)

    def _state(self, vehicle_id: str, seen: Observation, plugged: Mapping[str, PluggedIn]) -> VehicleState | None:
        state = self.knowledge.states_at(seen.seen_until.get(vehicle_id, seen.at)).get(vehicle_id)
        if state is None:
            return None
        if vehicle_id in plugged:
            one = plugged[vehicle_id]
            return replace(
                self._plugged(state, one),
                tells_after=self._tells_after(vehicle_id, seen),
                last_heard=self._last_heard(vehicle_id, one, seen),
            )
        if state.presence != "plugged":
            return state
        # The record has it plugged in, and counts what it was given there; the replay has not, or nobody knows where.
        told = seen.unplaced.get(vehicle_id)
        evidence = SocEvidence(reading=told[-1][0]) if told else state.evidence
        return replace(state, presence="at_depot", transaction=None, evidence=evidence)

    def _tells_after(self, vehicle_id: str, seen: Observation) -> timedelta | None:
        """Return how late telematics tells of a vehicle; None where it has told nothing new since the last look."""
        until, before = seen.seen_until.get(vehicle_id, seen.at), self._told_until.get(vehicle_id)
        self._told_until[vehicle_id] = until
        return seen.at - until if before is None or until > before else None

    def _last_heard(self, vehicle_id: str, one: PluggedIn, seen: Observation) -> LastHeard | None:
        """Return what a vehicle told last before it came, by the record, which runs with the replay until then."""
        came_at = self.start_at - (self.start_at - one.plugged_at) // SLOT * SLOT
        until = seen.seen_until.get(vehicle_id, seen.at)
        state = self.knowledge.states_at(min(until, came_at)).get(vehicle_id)
        reading = None if state is None else state.evidence.reading
        if state is None or reading is None or state.presence == "plugged":
            return None if state is None else state.last_heard
        return LastHeard.of(reading, one.plugged_at, was_back=state.presence == "at_depot")

    def _plugged(self, state: VehicleState, one: PluggedIn) -> VehicleState:
        station_id, connector_id = one.connector
        arrival = one.readings[0][0].soc_pct if one.readings else None
        return replace(
            state,
            presence="plugged",
            transaction=OpenTransaction(
                station_id, connector_id, one.transaction_id, one.plugged_at, state.vehicle.vehicle_id, 1.0
            ),
            evidence=SocEvidence(
                reading=one.reading,
                charged_kwh=one.charged_kwh,
                arrival_soc_pct=arrival,
                counted_kwh=one.counted_kwh,
                earlier=tuple((told.soc_pct, one.counted_kwh - by_then) for told, by_then in one.told[:-1]),
            ),
        )


def _matcher(landing: Landing, vehicles: Sequence[Vehicle], site_id: str) -> MatchesAt:
    """Return what tells of transactions which vehicle telematics and bays say each belongs to."""
    homes = pl.DataFrame(
        [(one.vehicle_id, one.site_id, one.home_station_id, one.home_connector_id) for one in vehicles],
        schema={
            "vehicle_id": pl.String,
            "site_id": pl.String,
            "home_station_id": pl.String,
            "home_connector_id": pl.Int64,
        },
        orient="row",
    )

    @cache
    def matches_at(at: datetime, runs: tuple[Run, ...]) -> Mapping[str, str]:
        transactions = pl.DataFrame(runs, schema=RUN, orient="row").with_columns(
            site_id=pl.lit(site_id), token=pl.lit(None, pl.String), available_at="started_at"
        )
        since = min(run[3] for run in runs) - timedelta(days=1)
        evidence = Evidence(
            transactions,
            landing.read("assignment", as_of=at),
            landing.read("vehicle_snapshot", as_of=at, since=since),
            landing.read("trip", as_of=at, since=since),
            homes,
            NO_OVERRIDES,
        )
        rows = match_evidence(evidence, as_of=at).filter(pl.col("vehicle_id").is_not_null())
        return dict(rows.select("transaction_id", "vehicle_id").iter_rows())

    return matches_at


def class_median_returns(workplace: Workplace, *, site_id: str, start_at: datetime) -> ReturnsAt:
    """Return a function that knows of every vehicle what is usual for its class, by what was known at the start."""
    facts = fleet_facts(KnownFacts(workplace.landing, as_of=start_at, since=start_at - HISTORY), site_id=site_id)
    vehicles = facts.vehicles.select("vehicle_id", "vehicle_class")
    usual = (
        facts.cycles.filter(pl.col("returned_at").is_not_null())
        .join(vehicles, on="vehicle_id")
        .with_columns(return_h=clock_h(pl.col("returned_at"), facts.timezone))
        .group_by("vehicle_class")
        .agg(pl.col("return_h").median(), pl.col("soc_arrival_pct").median())
    )
    by_class = {row[0]: (row[1], row[2]) for row in usual.iter_rows()}
    today = local_date(start_at, facts.timezone)
    found = {
        vehicle_id: _usual_return(today, facts.timezone, *by_class[vehicle_class])
        for vehicle_id, vehicle_class in vehicles.iter_rows()
        if vehicle_class in by_class
    }
    return lambda at: found  # noqa: ARG005 - a median does not change with the hour


def _usual_return(today: date, timezone: str, hours: float, soc_pct: float | None) -> ReturnForecast:
    at = local_instant(today, time(0), timezone) + timedelta(hours=hours)
    return ReturnForecast(at, at, soc_pct, soc_pct, 5, None, "class median")
