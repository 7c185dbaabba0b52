"""What is known when a site is planned, as plain data: the site, its connectors, and one request per vehicle.

Whoever gathers it (orchestration) fills these in; nothing here reads landing, forecasts or configuration.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Literal

import numpy as np

from planning.fallback import SocEstimate
from planning.model import Battery, BoolArray, DemandCharge, FloatArray, Group, PriceTier, SoftLimit
from planning.requirements import Requirement
from planning.uncertainty import CONFIDENCE, Outlook

ConnectorKey = tuple[str, int]
CurrentType = Literal["ac", "dc"]
POWER_STEP_KW = 0.1  # the resolution of published powers


def phase_share(vehicle_phases: int | None, connector_phases: int) -> float:
    """Return the share of an AC connector's power that a vehicle on fewer phases can draw; all where nobody knows."""
    return 1.0 if vehicle_phases is None else min(vehicle_phases, connector_phases) / connector_phases


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """A connector as configured, and the transaction that runs on it now (None: nobody's).

    ``is_out_of_service``: nobody is planned to stand there; what its station may give anybody still counts.
    """

    station_id: str
    connector_id: int
    current_type: CurrentType
    max_kw: float
    min_kw: float
    fallback_kw: float
    phases: Literal[1, 3] = 3
    nominal_voltage_v: float = 230.0
    group_id: str | None = None
    transaction_id: str | int | None = None
    is_out_of_service: bool = False

    @property
    def key(self) -> ConnectorKey:
        """Station and connector."""
        return self.station_id, self.connector_id

    @property
    def published_min_kw(self) -> float:
        """The least power above zero that can be published: the minimum rounded up, as powers are rounded down."""
        return _step_up(self.min_kw)

    def range_kw(self, vehicle_phases: int | None) -> tuple[float, float]:
        """Return the least and the most that a vehicle on so many phases can be given: current is what is limited."""
        share = phase_share(vehicle_phases, self.phases) if self.current_type == "ac" else 1.0
        return _step_up(self.min_kw * share), self.max_kw * share

    @property
    def guest_kw(self) -> float:
        """What a transaction without a known vehicle is given: the site's default, and never nothing."""
        return max(self.fallback_kw, self.published_min_kw)


def _step_up(power_kw: float) -> float:
    return round(ceil(round(power_kw / POWER_STEP_KW, 6)) * POWER_STEP_KW, 1)


@dataclass(frozen=True, slots=True)
class SiteState:
    """A site over the slots from ``start_at``: limits, prices and forecasts as arrays [T].

    ``base_load_kw`` and ``pv_kw`` are what is expected; ``base_load_high_kw`` and ``pv_low_kw`` are what must still
    fit under the limit (a high and a low quantile), expected values where they are None. ``attended``: when somebody
    is there to re-plug, never where None.
    """

    site_id: str
    currency: str
    start_at: datetime
    grid_limit_kw: FloatArray
    base_load_kw: FloatArray
    pv_kw: FloatArray
    price_per_kwh: FloatArray
    connectors: tuple[ConnectorState, ...]
    base_load_high_kw: FloatArray | None = None
    pv_low_kw: FloatArray | None = None
    feed_in_per_kwh: float = 0.0
    demand_charges: tuple[DemandCharge, ...] = ()
    price_tiers: tuple[PriceTier, ...] = ()
    soft_limits: tuple[SoftLimit, ...] = ()
    carbon_kg_per_kwh: FloatArray | None = None
    carbon_price_per_kg: float = 0.0
    battery: Battery | None = None
    groups: tuple[Group, ...] = ()
    attended: BoolArray | None = None
    slot_minutes: int = 15
    safety_margin_kw: float = 0.0
    shortfall_price_per_kwh: float = 100.0
    confidence: float = CONFIDENCE

    @property
    def slots(self) -> int:
        """T."""
        return len(self.grid_limit_kw)

    @property
    def ev_limit_kw(self) -> FloatArray:
        """What all connectors together may draw, [T]: the limit less high other load, plus low PV, less the margin."""
        high = self.base_load_kw if self.base_load_high_kw is None else self.base_load_high_kw
        low = self.pv_kw if self.pv_low_kw is None else self.pv_low_kw
        limit: FloatArray = np.maximum(self.grid_limit_kw - high + low - self.safety_margin_kw, 0.0)
        return limit


@dataclass(frozen=True, slots=True)
class ArrivalEstimate:
    """When a vehicle that is still out comes back: a pessimistic quantile, with where it came from and its rung."""

    at: datetime
    source: str
    rung: int
    observed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VehicleSpec:
    """What a vehicle takes. NULLs of the registry are None; all powers are grid-side.

    ``standby_kw`` is what charging loses while it is on; ``precondition_kw`` is drawn for ``precondition_min`` before
    it leaves.
    """

    vehicle_id: str
    usable_kwh: float
    soh_pct: float | None = None
    ac_max_kw: float | None = None
    dc_max_kw: float | None = None
    phases: Literal[1, 3] | None = None
    taper_power_kw: float | None = None
    taper_knee_soc_pct: float | None = None
    taper_end_fraction: float | None = None
    efficiency: float | None = None
    standby_kw: float | None = None
    precondition_kw: float | None = None
    precondition_min: float | None = None

    @property
    def battery_kwh(self) -> float:
        """Usable energy that is left of the battery."""
        return self.usable_kwh * (100.0 if self.soh_pct is None else self.soh_pct) / 100


@dataclass(frozen=True, slots=True)
class Expected:
    """When a vehicle of which more will be known comes and with which SoC, as likely earlier as later, more as less.

    ``arrival_at`` None: it is plugged in, or it may come, but as a rule it does not any more.
    """

    arrival_at: datetime | None
    soc_pct: float


@dataclass(frozen=True, slots=True)
class VehicleRequest:
    """What one vehicle needs: where it is or when it comes, its SoC, when it leaves and with how much.

    ``plugged_at`` is the connector it is plugged into now; without it, ``arrival`` says when it comes. ``soc`` is the
    estimate for now (plugged in) or a low quantile at arrival (out). ``bay`` is the only connector it may use.
    ``unplugged_before`` is how long before it leaves a vehicle may be unplugged; it is planned to be ready by then.
    ``expected`` is what ``arrival`` and ``soc`` of a vehicle that is to come are the careful side of, if it is known.
    Where ``outlook`` (hours from the start of the plan) is given for a vehicle that is out, it decides on arrival and
    SoC, at the site's ``confidence``.
    ``least_soc_pct`` is what a vehicle has at least whose ``soc`` leaves more to chance than others': what it would
    then lack is charged where that drives no peak up.
    """

    spec: VehicleSpec
    requested_departure_at: datetime
    soc: SocEstimate
    requirement: Requirement
    plugged_at: ConnectorKey | None = None
    transaction_id: str | int | None = None
    arrival: ArrivalEstimate | None = None
    bay: ConnectorKey | None = None
    priority: float = 1.0
    has_red_telltale: bool = False
    departure_source: str = "dispatch"
    notes: tuple[str, ...] = ()
    unplugged_before: timedelta = timedelta(0)
    outlook: Outlook | None = None
    expected: Expected | None = None
    least_soc_pct: float | None = None

    @property
    def spare_pp(self) -> float:
        """By how much more than required it is to be charged where that drives no peak up, in points."""
        return 0.0 if self.least_soc_pct is None else max(0.0, self.soc.soc_pct - self.least_soc_pct)
