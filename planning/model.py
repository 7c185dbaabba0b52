"""The planning problem and the plan as frozen data, columnar over vehicles, units in every name.

Only shapes and what follows from them at once live here: no JSON, no judgement of a plan, no optimisation.
N is the number of vehicles, T the number of slots; power is grid-side and constant within a slot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

NO_CONNECTOR = -1
SHORT_KWH = 0.05  # a shortfall below this is rounding, above it a vehicle is short and is owed a reason


@dataclass(frozen=True, slots=True)
class DemandCharge:
    """A price on the import peak over some slots (None: all), above the peak that is already paid for."""

    name: str
    price_per_kw: float
    so_far_kw: float
    slots: IntArray | None


@dataclass(frozen=True, slots=True)
class SoftLimit:
    """A limit [T] on the import, by time of day, that readiness may override: a kWh above it has a price."""

    name: str
    limit_kw: FloatArray
    price_per_kwh: float


@dataclass(frozen=True, slots=True)
class PriceTier:
    """A surcharge on every kWh of import beyond an amount, of which some has been used before the first slot."""

    name: str
    above_kwh: float
    so_far_kwh: float
    surcharge_per_kwh: float


@dataclass(frozen=True, slots=True)
class Discharge:
    """What vehicles can give back, [N] each: grid-side power, efficiency (battery → grid), and the SoC that they keep.

    A vehicle that comes with less than it keeps gives nothing.
    """

    max_kw: FloatArray
    efficiency: FloatArray
    min_soc_pct: FloatArray

    def take(self, rows: IntArray) -> "Discharge":
        """Return the vehicles at these rows."""
        return Discharge(self.max_kw[rows], self.efficiency[rows], self.min_soc_pct[rows])


@dataclass(frozen=True, slots=True)
class Preconditioning:
    """Heat for cabin and battery before vehicles leave, [N] each: grid-side power, and for how many minutes."""

    power_kw: FloatArray
    minutes: FloatArray

    def take(self, rows: IntArray) -> "Preconditioning":
        """Return the vehicles at these rows."""
        return Preconditioning(self.power_kw[rows], self.minutes[rows])


@dataclass(frozen=True, slots=True)
class Battery:
    """A stationary battery; it must end with at least the energy it started with."""

    capacity_kwh: float
    max_power_kw: float
    charge_efficiency: float
    discharge_efficiency: float
    start_kwh: float


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector that vehicles of its current type can be plugged into."""

    index: int
    station_id: str
    connector_id: int
    is_dc: bool
    max_kw: float
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class Connectors:
    """The site's connectors, and the slots [T] in which somebody is there to re-plug."""

    items: tuple[Connector, ...]
    attended: BoolArray


@dataclass(frozen=True, slots=True)
class Group:
    """A feeder or a shared power module: a limit [T] over the connectors of the group."""

    group_id: str
    limit_kw: FloatArray


@dataclass(frozen=True, slots=True)
class Fleet:
    """Vehicles as columns of length N.

    ``departure_slot`` is the first slot in which the vehicle is gone. ``plugged_connector`` is where it is plugged in
    when it arrives, ``bay_connector`` the only one it may use, both by index or ``NO_CONNECTOR``. A vehicle that is not
    dispatchable (red battery tell-tale) is planned, but last. ``standby_kw`` is what charging loses while it is on,
    whatever the power: the battery gets ``efficiency`` times the rest.
    """

    vehicle_ids: tuple[str, ...]
    arrival_slot: IntArray
    departure_slot: IntArray
    battery_kwh: FloatArray
    start_soc_pct: FloatArray
    required_soc_pct: FloatArray
    is_dc: BoolArray
    max_power_kw: FloatArray
    min_power_kw: FloatArray
    taper_power_kw: FloatArray
    taper_knee_soc_pct: FloatArray
    taper_end_fraction: FloatArray
    efficiency: FloatArray
    priority: FloatArray
    plugged_connector: IntArray
    bay_connector: IntArray
    transaction_ids: tuple[str | int | None, ...]
    is_dispatchable: BoolArray
    discharge: Discharge | None = None
    standby_kw: FloatArray | None = None
    preconditioning: Preconditioning | None = None

    @property
    def size(self) -> int:
        """N."""
        return len(self.vehicle_ids)

    @property
    def need_kwh(self) -> FloatArray:
        """Grid-side energy from start to required SoC, without standby, [N]."""
        missing_pct = np.maximum(self.required_soc_pct - self.start_soc_pct, 0.0)
        return missing_pct / 100 * self.battery_kwh / self.efficiency

    @property
    def room_kwh(self) -> FloatArray:
        """Grid-side energy from start SoC to a full battery, [N]."""
        return np.maximum(100 - self.start_soc_pct, 0.0) / 100 * self.battery_kwh / self.efficiency

    def take(self, rows: IntArray | Sequence[int]) -> "Fleet":
        """Return the vehicles at these rows, in their order."""
        chosen = np.asarray(rows, dtype=np.int64)
        columns: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name, column in columns.items():
            if isinstance(column, np.ndarray):
                columns[name] = column[chosen]
            elif isinstance(column, tuple):
                columns[name] = tuple(column[row] for row in chosen)
            elif column is not None:
                columns[name] = column.take(chosen)
        return Fleet(**columns)


@dataclass(frozen=True, slots=True)
class Problem:
    """One site over T slots from ``start_at``: limits and forecasts [T], prices, and the vehicles to charge.

    ``reserved_kw`` [N, T] is what each vehicle's connector gives beside charging, and is load of the site already.
    """

    site_id: str
    currency: str
    start_at: datetime
    slot_minutes: int
    grid_limit_kw: FloatArray
    base_load_kw: FloatArray
    pv_kw: FloatArray
    price_per_kwh: FloatArray
    feed_in_per_kwh: float
    demand_charges: tuple[DemandCharge, ...]
    shortfall_price_per_kwh: float
    battery: Battery | None
    connectors: Connectors | None
    groups: tuple[Group, ...]
    enforce_min_power: bool
    fleet: Fleet
    warnings: tuple[str, ...] = ()
    carbon_kg_per_kwh: FloatArray | None = None
    carbon_price_per_kg: float = 0.0
    soft_limits: tuple[SoftLimit, ...] = ()
    price_tiers: tuple[PriceTier, ...] = ()
    allow_discharge: bool = False
    reserved_kw: FloatArray | None = None

    @property
    def least_kw(self) -> FloatArray:
        """The least power that does a vehicle any good, [N]: the minimum where it is enforced, and its standby."""
        least = self.fleet.min_power_kw if self.enforce_min_power else np.zeros(self.fleet.size)
        return least if self.fleet.standby_kw is None else np.maximum(least, self.fleet.standby_kw)

    @property
    def is_switched(self) -> bool:
        """Whether it matters in which slots a vehicle charges at all, however little."""
        return self.enforce_min_power or self.fleet.standby_kw is not None

    @property
    def discharge(self) -> Discharge | None:
        """What vehicles may give back; None where that is switched off, or none can."""
        return self.fleet.discharge if self.allow_discharge else None

    @property
    def import_price_per_kwh(self) -> FloatArray:
        """What a kWh of import costs with its carbon, [T]."""
        if self.carbon_kg_per_kwh is None:
            return self.price_per_kwh
        return self.price_per_kwh + self.carbon_price_per_kg * self.carbon_kg_per_kwh

    @property
    def slots(self) -> int:
        """T."""
        return len(self.grid_limit_kw)

    @property
    def slot_hours(self) -> float:
        """Length of a slot in hours."""
        return self.slot_minutes / 60

    @property
    def other_load_kw(self) -> FloatArray:
        """What the site draws without vehicles and stationary battery, [T]; negative where PV exceeds the load."""
        return self.base_load_kw - self.pv_kw

    def present(self) -> BoolArray:
        """Say in which slots each vehicle is there, [N, T]."""
        slot = np.arange(self.slots)
        return (slot >= self.fleet.arrival_slot[:, None]) & (slot < self.fleet.departure_slot[:, None])

    def with_fleet(self, rows: IntArray | Sequence[int]) -> "Problem":
        """Return the same site with only some of the vehicles."""
        reserved_kw = None if self.reserved_kw is None else self.reserved_kw[np.asarray(rows, dtype=np.int64)]
        return replace(self, fleet=self.fleet.take(rows), reserved_kw=reserved_kw)


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which connector each vehicle holds and over which slots: [N] each, ``NO_CONNECTOR`` where it holds none."""

    connector: IntArray
    plug_slot: IntArray
    unplug_slot: IntArray


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a vehicle is short: relaxing what ``code`` names by ``value`` removes or shrinks the shortfall."""

    code: str
    value: float
    unit: str
    slots: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """Something that people can decide: ``leave_later`` (min), ``more_power`` (kW in ``slots``), ``swap_duties``.

    In a swap each vehicle takes over the other's departure and the energy that its duty must begin with.
    """

    kind: str
    vehicle_id: str | None
    with_vehicle_id: str | None
    value: float
    unit: str
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Remedy:
    """Changes that together leave only so much short; ``points`` is the trouble that they are, the less the better."""

    changes: tuple[Change, ...]
    shortfall_kwh: float
    points: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a plan in the problem's currency; the whole site's, vehicles or not.

    ``tiers`` is what price tiers add, ``overrun`` what import above soft limits costs.
    """

    energy: float
    demand: float
    shortfall: float
    carbon: float = 0.0
    tiers: float = 0.0
    overrun: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.energy + self.demand + self.shortfall + self.carbon + self.tiers + self.overrun


@dataclass(frozen=True, slots=True)
class SolverReport:
    """How a plan was made. ``lower_bound`` never exceeds the optimum of the linear relaxation; None: not known."""

    name: str
    seconds: float
    lower_bound: float | None
    status: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Powers [N, T] with what follows from them; ``battery_kw`` [T] is positive when charging.

    ``slot_price`` [T] is what one more kWh of load would cost in a slot, limits and demand charges included.
    """

    site_id: str
    as_of: datetime
    vehicle_ids: tuple[str, ...]
    power_kw: FloatArray
    assignment: Assignment
    battery_kw: FloatArray | None
    end_soc_pct: FloatArray
    shortfall_kwh: FloatArray
    cost: Cost
    peak_kw: float
    solver: SolverReport
    reasons: tuple[Reason | None, ...] = ()
    warnings: tuple[str, ...] = field(default=())
    remedies: tuple[Remedy, ...] = ()
    slot_price: FloatArray | None = None

    @property
    def is_ready(self) -> BoolArray:
        """Which vehicles reach their required SoC, [N]."""
        return self.shortfall_kwh <= SHORT_KWH


def unassigned(size: int) -> Assignment:
    """Return an assignment in which nobody holds a connector."""
    nobody = np.full(size, NO_CONNECTOR, dtype=np.int64)
    return Assignment(nobody, nobody.copy(), nobody.copy())
