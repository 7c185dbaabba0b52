"""From what is known of each vehicle to the request that a plan answers: when it comes, with what, when it leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from ingestion.registry.models import Site, Vehicle
from ml.fleet import FleetFacts
from ml.way_home import WayHome, least_arrivals, ways_home
from orchestration.steps.fleet_state import VehicleState
from orchestration.steps.return_forecasts import ReturnForecast, at_least, narrowed, with_fleet_caution
from orchestration.steps.soc_evidence import ARRIVAL_REPORT
from orchestration.steps.transactions import OpenTransaction
from planning.fallback import FORECAST_RUNG, SocEstimate, estimate_soc
from planning.requirements import (
    CLASS_KWH_PER_KM,
    UNKNOWN_MARGIN,
    Requirement,
    consumption_p90,
    margin_pp,
    required_soc,
)
from planning.site_state import ArrivalEstimate, Expected, VehicleRequest, VehicleSpec

FRESH_WITHIN = timedelta(minutes=60)
CONSUMPTION_HISTORY = timedelta(days=28)
PLUG_IN_DELAY = timedelta(minutes=10)
STILL_UNPLUGGED = timedelta(minutes=30)
"""A vehicle at its depot that is not plugged in is taken to be plugged in this long from now: somebody is alerted."""
DOUBTED_AFTER, FORGOTTEN_AFTER = timedelta(minutes=30), timedelta(hours=3)
"""Who has stood unplugged for so long drives no peak up any more, and later holds no room either. Most plug in within
minutes; one evening in fifty nobody does, and a plan that waits for it all night pays for power that nobody takes."""
UNPLUGGED_BEFORE = timedelta(minutes=10)
"""Drivers unplug minutes before they leave, and some leave a little early; a vehicle is planned to be ready by then."""

OVERDUE_DEPARTURE = timedelta(minutes=30)
RETURN_MARGIN = timedelta(hours=2)
LEAST_STAY = timedelta(hours=1)
IDLE_SOC_PCT = 80.0
"""What a vehicle without a duty ahead is charged to: ready for most things, easy on the battery."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Habits:
    """What a fleet was seen to use.

    ``kwh_per_km`` of each vehicle on all but one day in ten; of each class of vehicles, what ``way_home`` takes, and
    the SoC ``least_pct`` that any came back with.
    """

    kwh_per_km: Mapping[str, float] = field(default_factory=dict)
    way_home: Mapping[str, WayHome] = field(default_factory=dict)
    least_pct: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: FleetFacts, vehicles: Sequence[Vehicle]) -> "Habits":
        """Return the habits of the last four weeks."""
        return cls(
            daily_consumption(facts, vehicles),
            ways_home(facts, since=CONSUMPTION_HISTORY),
            least_arrivals(facts, since=CONSUMPTION_HISTORY),
        )


def daily_consumption(facts: FleetFacts, vehicles: Sequence[Vehicle]) -> dict[str, float]:
    """Return the consumption (kWh/km) that each vehicle exceeds on one day in ten; without history it is absent.

    Four weeks of the facts count. A day's energy is what the vehicle counted, else what its SoC fell by.
    """
    recent = facts.cycles.filter(pl.col("departed_at") >= facts.as_of - CONSUMPTION_HISTORY)
    batteries = pl.DataFrame(
        [(vehicle.vehicle_id, vehicle_spec(vehicle).battery_kwh) for vehicle in vehicles],
        schema={"vehicle_id": pl.String, "battery_kwh": pl.Float64},
        orient="row",
    ).cast({"vehicle_id": facts.cycles.schema["vehicle_id"]}, strict=False)
    by_soc = pl.col("drop_pp") / 100 * pl.col("battery_kwh")
    days = recent.join(batteries, on="vehicle_id", how="inner").with_columns(
        energy_kwh=pl.coalesce("energy_kwh", by_soc)
    )
    return dict(consumption_p90(days).iter_rows())


@dataclass(frozen=True, slots=True)
class RequestBook:
    """What turns a vehicle's state into its request: the site, the instant, the horizon, forecasts and habits.

    ``arrivals`` holds, of vehicles that are back, the last forecast that was made before they came.
    """

    site: Site
    as_of: datetime
    horizon_end: datetime
    returns: Mapping[str, ReturnForecast]
    habits: Habits
    arrivals: Mapping[str, ReturnForecast] = field(default_factory=dict)

    def requests(self, states: Sequence[VehicleState]) -> list[VehicleRequest]:
        """Return one request for each vehicle that can be planned."""
        least_pct = {
            state.vehicle.vehicle_id: self.habits.least_pct.get(state.vehicle.vehicle_class, 0.0) for state in states
        }
        returns, arrivals = (
            {name: at_least(forecast, least_pct.get(name, 0.0)) for name, forecast in forecasts.items()}
            for forecasts in (self.returns, self.arrivals)
        )
        out = {state.vehicle.vehicle_id for state in states if state.presence == "out"}
        batteries = {state.vehicle.vehicle_id: vehicle_spec(state.vehicle).battery_kwh for state in states}
        book = replace(self, returns=with_fleet_caution(returns, out=out, battery_kwh=batteries), arrivals=arrivals)
        return [book.request(state) for state in states]

    def request(self, state: VehicleState) -> VehicleRequest:
        """Return the request of one vehicle, as careful as its own forecast says."""
        vehicle, spec = state.vehicle, vehicle_spec(state.vehicle)
        arrival, ready_from = self._arrival(state)
        duty = next((duty for duty in state.upcoming if duty["planned_departure_at"] > ready_from), None)
        departure_at, source = self._departure(duty)
        transaction, soc = state.transaction, self._soc(state, spec)
        least = self._least_soc(state, spec) if soc.rung >= FORECAST_RUNG else None
        required = self.requirement(vehicle, duty)
        return VehicleRequest(
            spec=spec,
            requested_departure_at=departure_at,
            soc=soc,
            requirement=required if duty is None else _with_margin(required, soc),
            plugged_at=None if transaction is None else (transaction.station_id, transaction.connector_id),
            transaction_id=None if transaction is None else transaction.transaction_id,
            arrival=arrival,
            bay=_bay(vehicle),
            has_red_telltale=state.has_red_telltale,
            departure_source=source,
            unplugged_before=UNPLUGGED_BEFORE if source == "dispatch" else timedelta(0),
            expected=self._expected(state, soc),
            least_soc_pct=None if least is None else least.soc_pct,
            notes=_notes(transaction, least),
        )

    def _arrival(self, state: VehicleState) -> tuple[ArrivalEstimate | None, datetime]:
        """Return when it can be plugged in (careful side), and the instant after which its next departure counts."""
        if state.presence == "plugged":
            return None, self.as_of - timedelta(days=1)
        if state.presence == "at_depot":
            if self._stood(state) > FORGOTTEN_AFTER:
                return None, self.as_of
            at = self.as_of + STILL_UNPLUGGED
            return ArrivalEstimate(at, "at the depot, not plugged in", 1, self.as_of), self.as_of
        forecast = self.returns.get(state.vehicle.vehicle_id)
        if forecast is not None:
            at = max(forecast.planned_at, self.as_of) + PLUG_IN_DELAY
            source = f"forecast return ({forecast.name}), median and {forecast.caution:.0%} of the way to 90 %"
            back_at = max(forecast.median_at, self.as_of)
            return ArrivalEstimate(at, source, max(4, forecast.rung), forecast.newest_input_at), back_at + LEAST_STAY
        return self._return_without_forecast(state)

    def _expected(self, state: VehicleState, soc: SocEstimate) -> Expected | None:
        """Return what is likely of a vehicle of which more will be known; None where only the careful side counts."""
        if state.presence == "plugged":
            likely = self._likely_soc(state) if self._is_to_be_told(state, soc) else None
            return None if likely is None else Expected(None, likely.soc_pct)
        if self._stood(state) > DOUBTED_AFTER:
            return Expected(None, 0.0)
        forecast = self.returns.get(state.vehicle.vehicle_id)
        if state.presence != "out" or forecast is None or forecast.median_soc_pct is None:
            return None
        return Expected(max(forecast.median_at, self.as_of) + PLUG_IN_DELAY, forecast.median_soc_pct)

    def _is_to_be_told(self, state: VehicleState, soc: SocEstimate) -> bool:
        """Say whether late telematics is still to tell with what a plugged vehicle came."""
        transaction, lag = state.transaction, state.tells_after
        if transaction is None or lag is None or soc.rung < FORECAST_RUNG:
            return False
        return self.as_of < transaction.started_at + lag + ARRIVAL_REPORT

    def _stood(self, state: VehicleState) -> timedelta:
        """Return for how long a vehicle has stood at the depot unplugged; nothing where nobody knows since when."""
        return self.as_of - state.back_at if state.presence == "at_depot" and state.back_at else timedelta(0)

    def _return_without_forecast(self, state: VehicleState) -> tuple[ArrivalEstimate, datetime]:
        first = state.upcoming[0] if state.upcoming else None
        if first is None or first["planned_return_at"] is None:
            at = self.as_of + RETURN_MARGIN
            return ArrivalEstimate(at, "nothing known of its return", 6), self.as_of
        at = max(self.as_of, first["planned_return_at"]) + RETURN_MARGIN
        return ArrivalEstimate(at, "planned return and a margin", 5, first["available_at"]), at

    def _departure(self, duty: Row | None) -> tuple[datetime, str]:
        if duty is None or duty["planned_departure_at"] >= self.horizon_end:
            return self.horizon_end, "no duty within the horizon"
        planned: datetime = duty["planned_departure_at"]
        if planned <= self.as_of:
            return self.as_of + OVERDUE_DEPARTURE, "dispatch, overdue"
        return planned, "dispatch"

    def _soc(self, state: VehicleState, spec: VehicleSpec) -> SocEstimate:
        """Return the SoC on the careful side."""
        forecast = self._forecast(state)
        low_pct = None if forecast is None else forecast.planned_soc_pct
        if forecast is not None and state.presence == "plugged" and forecast.silent_soc_pct is not None:
            # It is here and nothing tells of its battery: there will be no later forecast to mend this one.
            low_pct = forecast.silent_soc_pct
        return _estimated(state, spec, forecast, low_pct, self.as_of)

    def _least_soc(self, state: VehicleState, spec: VehicleSpec) -> SocEstimate | None:
        """Return the least SoC that a plugged vehicle of which nothing tells may have; None where nobody knows."""
        forecast = self._forecast(state)
        if state.presence != "plugged" or forecast is None or forecast.lowest_soc_pct is None:
            return None
        return _estimated(state, spec, forecast, forecast.lowest_soc_pct, self.as_of)

    def _likely_soc(self, state: VehicleState) -> SocEstimate | None:
        """Return the SoC that is likely where nothing tells it; None without a forecast."""
        forecast = self._forecast(state)
        if forecast is None or forecast.median_soc_pct is None:
            return None
        return _estimated(state, vehicle_spec(state.vehicle), forecast, forecast.median_soc_pct, self.as_of)

    def _forecast(self, state: VehicleState) -> ReturnForecast | None:
        """Return what is forecast of a vehicle's arrival; once it is there, what the way home can have taken counts."""
        vehicle, heard = state.vehicle, state.last_heard
        forecast = self.returns.get(vehicle.vehicle_id) or self.arrivals.get(vehicle.vehicle_id)
        way = self.habits.way_home.get(vehicle.vehicle_class)
        if forecast is None or heard is None or way is None:
            return forecast
        battery_kwh = vehicle_spec(vehicle).battery_kwh
        hours = max(0.0, heard.drove_on_h - PLUG_IN_DELAY / timedelta(hours=1))
        if hours > way.until_h:
            return forecast
        return narrowed(forecast, heard.reading, lambda level: 100 * way.used_kwh(hours, level) / battery_kwh)

    def requirement(self, vehicle: Vehicle, duty: Row | None) -> Requirement:
        """Return the SoC that a vehicle must leave with for a duty, and who asked for it."""
        spec = vehicle_spec(vehicle)
        if duty is None:
            return Requirement(max(IDLE_SOC_PCT, self.site.reserve_soc_pct), "no duty ahead", None)
        reference = vehicle.reference_kwh_per_km or CLASS_KWH_PER_KM[vehicle.vehicle_class]
        return required_soc(
            dispatch_soc_pct=duty["min_target_soc_pct"],
            distance_km=duty["distance_km"],
            kwh_per_km=self.habits.kwh_per_km.get(vehicle.vehicle_id, reference * UNKNOWN_MARGIN),
            usable_kwh=spec.battery_kwh,
            reserve_soc_pct=self.site.reserve_soc_pct,
        )


def _estimated(
    state: VehicleState, spec: VehicleSpec, forecast: ReturnForecast | None, soc_pct: float | None, as_of: datetime
) -> SocEstimate:
    """Return the SoC that the ladder finds with a value of the forecast at arrival."""
    evidence = state.evidence
    if state.presence == "out":
        # A vehicle on the road arrives with less than it shows now: only the forecast speaks of arrival.
        evidence = replace(evidence, moved_since=True)
    if forecast is not None and soc_pct is not None:
        evidence = replace(
            evidence,
            forecast_soc_pct=soc_pct,
            forecast_rung=forecast.rung,
            forecast_at=forecast.newest_input_at,
            forecast_high_soc_pct=forecast.high_soc_pct,
        )
    return estimate_soc(
        evidence,
        as_of=as_of,
        fresh_within=FRESH_WITHIN,
        usable_kwh=spec.battery_kwh,
        efficiency=spec.efficiency or 0.9,
    )


def _notes(transaction: OpenTransaction | None, least: SocEstimate | None) -> tuple[str, ...]:
    notes = []
    if transaction is not None and transaction.is_presumed:
        place = f"{transaction.station_id}/{transaction.connector_id}"
        notes.append(f"nobody was recognised at {place}; presumed there by when it came, its bay and its battery")
    if least is not None:
        notes.append(f"may have as little as {least.soc_pct:.0f} %; what it then lacks is charged under the peak")
    return tuple(notes)


def _with_margin(required: Requirement, soc: SocEstimate) -> Requirement:
    """Return a requirement with its margin; a SoC that is forecast is on the careful side of more than that already."""
    if soc.rung >= FORECAST_RUNG:
        return required
    missing_pp = required.soc_pct - soc.soc_pct
    return replace(required, margin_pp=margin_pp(missing_pp=missing_pp, counted_pp=soc.counted_pp))


def vehicle_spec(vehicle: Vehicle) -> VehicleSpec:
    """Return what a vehicle's battery takes, as configured."""
    return VehicleSpec(
        vehicle_id=vehicle.vehicle_id,
        usable_kwh=vehicle.usable_kwh,
        soh_pct=vehicle.soh_pct,
        ac_max_kw=vehicle.ac_max_kw,
        dc_max_kw=vehicle.dc_max_kw,
        phases=vehicle.phases,
        taper_power_kw=vehicle.taper_power_kw,
        taper_knee_soc_pct=vehicle.taper_knee_soc_pct,
        taper_end_fraction=vehicle.taper_end_fraction,
        efficiency=vehicle.efficiency,
        standby_kw=vehicle.standby_kw,
        precondition_kw=vehicle.precondition_kw,
        precondition_min=vehicle.precondition_min,
    )


def _bay(vehicle: Vehicle) -> tuple[str, int] | None:
    if vehicle.home_station_id is None or vehicle.home_connector_id is None:
        return None
    return vehicle.home_station_id, vehicle.home_connector_id
