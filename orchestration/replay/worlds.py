"""What really happened at a site over a span, from landing (all that is known now) or from a simulated depot's truth.

A span's vehicles are those that dispatch had planned to leave within it, as known at its start. Each starts from the
SoC that it really came with; what a replayed night would have changed for the day after is left aside.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from core.time_grid import SLOT
from ingestion.registry.models import Connector, Vehicle
from ml.forecasting import recent_facts
from orchestration.replay.truth import Plug, Truth
from orchestration.steps.fleet_state import FleetState
from orchestration.steps.night import measured_site, soc_at
from orchestration.steps.plan import site_state
from orchestration.steps.requests import Habits, RequestBook, vehicle_spec
from orchestration.steps.site_inputs import read_site_inputs
from orchestration.steps.workplace import Workplace
from planning.replay.batteries import SheetBattery, TrueBattery
from planning.replay.world import GuestStay, Span, TrueStay, remaining
from planning.requirements import Requirement
from planning.site_state import SiteState

LONGEST_STAY = timedelta(days=5)
PULL_OUT = timedelta(minutes=45)
"""A vehicle that is unplugged at most this long before it leaves was plugged in for its departure."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Night:
    """A span to replay: its world, the vehicles that were to leave, and departures that nobody plugged in for."""

    site_id: str
    start_at: datetime
    end_at: datetime
    world: Span
    vehicle_ids: frozenset[str]
    not_plugged: int
    foreseen: "Foreseen"

    def under(self, *, peak_so_far: str, limit_factor: float) -> "Night":
        """Return the night at other limits, and with another peak paid for; what was known of it is shared.

        Args:
            peak_so_far: ``recorded``; ``none``: the demand charge begins anew; ``paid``: the peak is at the limit
                already.
            limit_factor: By how much the site's and the groups' limits are larger.
        """
        settled = _with_peak(_with_limits(self.world.settled, limit_factor), peak_so_far)
        foreseen = self.foreseen.of(settled)
        return replace(self, world=replace(self.world, settled=settled, foreseen=foreseen), foreseen=foreseen)


def recorded_night(
    workplace: Workplace,
    *,
    site_id: str,
    start_at: datetime,
    end_at: datetime,
    truth: Truth | None = None,
) -> Night:
    """Return a night between two instants, with its own limits and the peaks that were paid for by then.

    Args:
        workplace: Where everything is.
        site_id: Site.
        start_at: Begin; a slot's start.
        end_at: End; a slot's start.
        truth: Of a simulated depot.
    """
    site, _ = measured_site(workplace, site_id, start_at, end_at)
    settled = replace(site, base_load_high_kw=None, pv_low_kw=None)
    duties = _duties(workplace, site_id, start_at, end_at)
    plugs = _plugs(workplace, site_id, start_at, end_at, truth)
    book = RequestBook(
        workplace.registry.site(site_id),
        start_at,
        end_at,
        {},
        Habits.of(
            recent_facts(workplace.landing, site_id=site_id, as_of=start_at, models_dir=workplace.settings.models_dir),
            workplace.registry.vehicles_of(site_id),
        ),
    )
    stays: list[TrueStay] = []
    missed = 0
    for vehicle_id, duty in duties.items():
        vehicle = workplace.registry.vehicle(vehicle_id)
        left_at = _left_at(workplace, duty, truth)
        own = [plug for plug in plugs if plug.vehicle_id == vehicle_id and plug.plugged_at < left_at]
        required = book.requirement(vehicle, duty)
        found = _stays(workplace, vehicle, own, truth, start_at=start_at, left_at=left_at, required=required)
        missed += not any(stay.required for stay in found)
        stays += found
    foreseen = Foreseen(workplace, site_id, settled, {})
    world = Span(
        settled=settled,
        stays=tuple(stays),
        foreseen=foreseen,
        guests=tuple(
            GuestStay(plug.connector, plug.plugged_at, plug.unplugged_at) for plug in plugs if plug.vehicle_id is None
        ),
    )
    return Night(site_id, start_at, end_at, world, frozenset(duties), missed, foreseen)


def _with_peak(site: SiteState, peak_so_far: str) -> SiteState:
    if peak_so_far == "recorded":
        return site
    so_far_kw = 0.0 if peak_so_far == "none" else float(site.grid_limit_kw.max())
    charges = tuple(replace(charge, so_far_kw=so_far_kw) for charge in site.demand_charges)
    return replace(site, demand_charges=charges)


def _with_limits(site: SiteState, factor: float) -> SiteState:
    groups = tuple(replace(group, limit_kw=group.limit_kw * factor) for group in site.groups)
    return replace(site, grid_limit_kw=site.grid_limit_kw * factor, groups=groups)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What was known of a site at an instant of the span; limits and peaks so far are the replay's, not the record's.

    ``known`` keeps what was read of each instant.
    """

    workplace: Workplace
    site_id: str
    settled: SiteState
    known: dict[datetime, SiteState]

    def __call__(self, at: datetime) -> SiteState:
        """Return the site from an instant on, as known then."""
        if at not in self.known:
            self.known[at] = self._read(at)
        rest = remaining(self.settled, int((at - self.settled.start_at) / SLOT))
        return replace(
            self.known[at], grid_limit_kw=rest.grid_limit_kw, groups=rest.groups, demand_charges=rest.demand_charges
        )

    def of(self, settled: SiteState) -> "Foreseen":
        """Return the same knowledge of a site with other limits and peaks."""
        return replace(self, settled=settled)

    def _read(self, at: datetime) -> SiteState:
        registry = self.workplace.registry
        inputs = read_site_inputs(
            self.workplace.landing,
            registry,
            site_id=self.site_id,
            as_of=at,
            start_at=at,
            slots=self.settled.slots - int((at - self.settled.start_at) / SLOT),
            with_peaks=False,
        )
        return site_state(registry.site(self.site_id), registry.connectors_of(self.site_id), inputs, FleetState((), ()))


def _duties(workplace: Workplace, site_id: str, start_at: datetime, end_at: datetime) -> dict[str, Row]:
    """Return each vehicle's first duty that was planned, at the start, to leave within the span."""
    known = workplace.landing.read("duty", as_of=start_at).filter(
        pl.col("planned_departure_at").is_between(start_at, end_at, closed="left"),
        ~pl.col("is_deleted").fill_null(value=False),
    )
    home = {vehicle.vehicle_id for vehicle in workplace.registry.vehicles_of(site_id)}
    found: dict[str, Row] = {}
    for row in known.sort("planned_departure_at", "vehicle_id", "block_id").iter_rows(named=True):
        if row["vehicle_id"] in home:
            found.setdefault(row["vehicle_id"], row)
    return found


def _left_at(workplace: Workplace, duty: Row, truth: Truth | None) -> datetime:
    """Return when a vehicle really left for a duty; as planned where nobody knows."""
    planned: datetime = duty["planned_departure_at"]
    if truth is not None:
        return truth.departures.get((duty["vehicle_id"], planned), planned)
    trips = workplace.landing.read("trip", since=planned - timedelta(hours=2)).filter(
        pl.col("vehicle_id") == duty["vehicle_id"],
        pl.col("started_at").is_between(planned - timedelta(hours=1), planned + timedelta(hours=3)),
        ~pl.col("is_deleted").fill_null(value=False),
    )
    first = trips["started_at"].min()
    return first if isinstance(first, datetime) else planned


def _plugs(workplace: Workplace, site_id: str, start_at: datetime, end_at: datetime, truth: Truth | None) -> list[Plug]:
    """Return the plug-ins that overlap the span, by time."""
    every = _landed_plugs(workplace, site_id, start_at) if truth is None else list(truth.plugs)
    here = [
        plug for plug in every if plug.site_id == site_id and plug.unplugged_at > start_at and plug.plugged_at < end_at
    ]
    return sorted(here, key=lambda plug: (plug.plugged_at, plug.connector))


def _landed_plugs(workplace: Workplace, site_id: str, start_at: datetime) -> list[Plug]:
    key = ["station_id", "connector_id", "transaction_id", "started_at"]
    since = start_at - LONGEST_STAY
    stations = [connector.station_id for connector in workplace.registry.connectors_of(site_id)]
    matches = workplace.landing.read("session_match", since=since)
    ended = (
        workplace.landing.read("charging_transaction", since=since)
        .filter(pl.col("station_id").is_in(stations), pl.col("ended_at").is_not_null())
        .join(matches.select(*key, pl.col("vehicle_id").alias("matched_id")), on=key, how="left")
        .with_columns(vehicle_id=pl.coalesce("matched_id", "vehicle_id"))
    )
    return [
        Plug(
            site_id,
            row["vehicle_id"],
            (row["station_id"], row["connector_id"]),
            row["started_at"],
            row["ended_at"],
            (),
        )
        for row in ended.iter_rows(named=True)
    ]


def _stays(
    workplace: Workplace,
    vehicle: Vehicle,
    plugs: Sequence[Plug],
    truth: Truth | None,
    *,
    start_at: datetime,
    left_at: datetime,
    required: Requirement,
) -> list[TrueStay]:
    """Return a vehicle's stays before it left; the first starts from the SoC that it came with, the others carry on."""
    stays: list[TrueStay] = []
    for plug in plugs:
        connector = workplace.registry.connector(*plug.connector)
        if connector is None:
            continue
        is_last = plug is plugs[-1] and left_at - plug.unplugged_at <= PULL_OUT
        soc_pct = None if stays else _soc_at_start(workplace, plug, start_at)
        if not stays and soc_pct is None:
            continue
        stays.append(
            TrueStay(
                spec=vehicle_spec(vehicle),
                battery=_battery(vehicle, connector, truth),
                connector=plug.connector,
                plugged_at=plug.plugged_at,
                unplugged_at=min(plug.unplugged_at, left_at),
                start_soc_pct=soc_pct,
                required=required if is_last else None,
            )
        )
    return stays


def _soc_at_start(workplace: Workplace, plug: Plug, start_at: datetime) -> float | None:
    known = plug.soc_from(start_at)
    if known is not None or plug.vehicle_id is None:
        return known
    at = max(plug.plugged_at, start_at)
    readings = workplace.landing.read("vehicle_snapshot", since=at - timedelta(days=1))
    return soc_at(readings.filter(pl.col("soc_pct").is_not_null()).sort("observed_at"), plug.vehicle_id, at)


def _battery(vehicle: Vehicle, connector: Connector, truth: Truth | None) -> TrueBattery:
    if truth is not None and vehicle.vehicle_id in truth.batteries:
        return truth.batteries[vehicle.vehicle_id]
    own = vehicle.ac_max_kw if connector.current_type == "ac" else vehicle.dc_max_kw
    top = connector.max_kw if own is None else float(np.minimum(own, connector.max_kw))
    return SheetBattery(vehicle_spec(vehicle), connector.current_type, top)
