"""The fleet that a seed makes: sites, connectors, vehicles, drivers and the blocks of duties they work.

Everything here stays the same over the whole history; what happens on a day is in ``world.people``.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

from simulator.scenario import Difficulty, Scenario
from simulator.world.battery import DC_CABINET, ON_BOARD_CHARGER, Battery
from simulator.world.chance import share, stream
from simulator.world.fleet_catalogue import (
    BRANDS,
    DC_RATINGS_KW,
    SITES,
    Model,
    SitePlace,
    models_of,
    winter_factor,
)

WEEK = frozenset(range(5))
FIRST_PLACE = {"van": 0, "truck": 1, "bus": 0}  # where an odd one goes, so that both depots have something heavy
AC_MIN_KW, AC_FALLBACK_KW = 4.14, 4.2
DC_MIN_KW = 6.0
SMALL_FLEET, SMALL_FLEET_SHARE = 8, 0.6  # below it, the limit lets one strong connector work at this share
P90_Z = 1.2816


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector of a charging station; ``index`` counts over the whole fleet."""

    index: int
    station_id: str
    connector_id: int
    site_id: str
    group_id: str | None
    current_type: str
    max_kw: float

    @property
    def phases(self) -> int:
        """Phases of its supply."""
        return 3

    @property
    def nominal_voltage_v(self) -> float:
        """Phase voltage (AC) or nominal output voltage (DC)."""
        return 230.0 if self.current_type == "ac" else 400.0

    @property
    def min_kw(self) -> float:
        """Least power above zero: 6 A on three phases, or what the cabinet's power stage needs."""
        return AC_MIN_KW if self.current_type == "ac" else DC_MIN_KW

    @property
    def fallback_kw(self) -> float:
        """Power that it may hold when nobody tells it anything.

        Only the first connector of every AC post has one: all fallbacks together must stay below the limit for
        vehicles at any hour, and a bus gains nothing from a cabinet's few kW.
        """
        return AC_FALLBACK_KW if self.current_type == "ac" and self.connector_id == 1 else 0.0


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver: habits that can be learnt."""

    driver_id: str
    lateness_min: float
    energy_factor: float


@dataclass(frozen=True, slots=True)
class Block:
    """A block of duties that one vehicle works on its weekdays, local minutes of the day."""

    block_id: str
    route_id: str
    weekdays: frozenset[int]
    departure_minute: int
    return_minute: int
    distance_km: float
    load_share: float
    legs: int
    bearing_deg: float
    lateness_min: float
    drivers: tuple[Driver, Driver]
    relief_weekday: int
    saturday_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A vehicle as it really is, beside its nominal model; ``index`` counts over the whole fleet."""

    index: int
    vehicle_id: str
    vin: str
    device_id: str
    site_id: str
    model: Model
    token: str
    home: int
    soh: float
    battery: Battery
    energy_factor: float
    odometer_km: float
    block: Block

    @property
    def current_type(self) -> str:
        """How it charges at the depot."""
        return "ac" if self.model.vehicle_class == "van" else "dc"

    @property
    def phases(self) -> int:
        """Phases its on-board charger uses; three for DC, where the cabinet loads all."""
        return self.model.phases if self.current_type == "ac" else 3

    @property
    def max_kw(self) -> float:
        """Grid-side power that the vehicle can take on its current type."""
        return self.model.ac_max_kw if self.current_type == "ac" else DC_CABINET.to_grid_kw(self.model.dc_max_kw)


@dataclass(frozen=True, slots=True)
class Site:
    """A depot with its grid connection; ``import_limit`` is (local minute from which it holds, kW)."""

    place: SitePlace
    import_limit: tuple[tuple[int, float], ...]
    groups: tuple[tuple[str, float], ...]
    base_load_kw: float
    pv_kwp: float

    @property
    def site_id(self) -> str:
        """Name of the site."""
        return self.place.site_id

    def import_limit_kw(self, local_minute: int) -> float:
        """Return the import limit that holds at a local minute of the day."""
        return [limit_kw for minute, limit_kw in self.import_limit if minute <= local_minute][-1]


@dataclass(frozen=True)
class Fleet:
    """All that is fixed: sites, connectors and vehicles, each in index order."""

    sites: tuple[Site, ...]
    connectors: tuple[Connector, ...]
    vehicles: tuple[Vehicle, ...]

    def vehicles_of(self, site_id: str) -> list[Vehicle]:
        """Return the vehicles of a site."""
        return [vehicle for vehicle in self.vehicles if vehicle.site_id == site_id]

    def connectors_of(self, site_id: str) -> list[Connector]:
        """Return the connectors of a site."""
        return [connector for connector in self.connectors if connector.site_id == site_id]

    @cached_property
    def drivers(self) -> list[Driver]:
        """All drivers, by id."""
        found = {driver.driver_id: driver for vehicle in self.vehicles for driver in vehicle.block.drivers}
        return [found[driver_id] for driver_id in sorted(found)]


def build_fleet(scenario: Scenario) -> Fleet:
    """Build the fleet of a scenario: about 70 % vans, 15 % trucks, 15 % buses, spread over the sites."""
    places = SITES if scenario.vehicles >= 8 else SITES[:1]
    numbers = _class_numbers(scenario.vehicles)
    vehicles: list[Vehicle] = []
    connectors: list[Connector] = []
    for place_index, place in enumerate(places):
        mine = [
            vehicle_class
            for vehicle_class in FIRST_PLACE
            for k in range(numbers[vehicle_class])
            if (k + FIRST_PLACE[vehicle_class]) % len(places) == place_index
        ]
        bays = _connectors(place, mine, first_index=len(connectors))
        vehicles += _vehicles(scenario, place, mine, bays, first_index=len(vehicles))
        connectors += bays
    sites = tuple(
        _site(
            place,
            [vehicle for vehicle in vehicles if vehicle.site_id == place.site_id],
            [connector for connector in connectors if connector.site_id == place.site_id],
            scenario.difficulty,
        )
        for place in places
    )
    return Fleet(sites, tuple(connectors), tuple(vehicles))


def _class_numbers(vehicles: int) -> dict[str, int]:
    trucks = max(1, round(0.15 * vehicles))
    buses = round(0.15 * vehicles) if vehicles > 2 else 0
    return {"van": vehicles - trucks - buses, "truck": trucks, "bus": buses}


def _connectors(place: SitePlace, classes: list[str], *, first_index: int) -> list[Connector]:
    """Return the site's connectors: AC posts with two each and at least one spare, DC cabinets with one each.

    Every fifth AC post gives 22 kW.
    """
    vans = classes.count("van")
    heavy = [vehicle_class for vehicle_class in classes if vehicle_class != "van"]
    made: list[Connector] = []
    for post in range((vans + 2) // 2):
        for number in (1, 2):
            station_id = f"{place.prefix}-AC-{post + 1:02d}"
            max_kw = 22.08 if post % 5 == 4 else 11.04
            made.append(
                Connector(
                    first_index + len(made), station_id, number, place.site_id, f"{place.site_id}-ac", "ac", max_kw
                )
            )
    ratings = [DC_RATINGS_KW[vehicle_class][k % 3] for k, vehicle_class in enumerate(heavy)]
    for cabinet, max_kw in enumerate(ratings + ([90.0] if len(heavy) > 2 else [])):
        station_id = f"{place.prefix}-DC-{cabinet + 1:02d}"
        made.append(Connector(first_index + len(made), station_id, 1, place.site_id, None, "dc", max_kw))
    return made


def _vehicles(
    scenario: Scenario, place: SitePlace, classes: list[str], bays: list[Connector], *, first_index: int
) -> list[Vehicle]:
    free = {"ac": [bay for bay in bays if bay.current_type == "ac"], "dc": [b for b in bays if b.current_type == "dc"]}
    reliefs = _relief_drivers(scenario, place, count=max(1, len(classes) // 5))
    made = []
    for k, vehicle_class in enumerate(classes):
        number = classes[: k + 1].count(vehicle_class)
        home = free["ac" if vehicle_class == "van" else "dc"].pop(0)
        name = f"{place.prefix}-{vehicle_class.upper()}-{number:02d}"
        model = _model(vehicle_class, home, number)
        relief = reliefs[k % len(reliefs)]
        block = _block(scenario, place, name, model, relief)
        made.append(
            _vehicle(scenario, name, model, site_id=place.site_id, home=home.index, block=block, index=first_index + k)
        )
    return made


def _model(vehicle_class: str, home: Connector, number: int) -> Model:
    """Return a model that fits the bay: 22 kW posts serve 22 kW vans and single-phase vans of 7.4 kW."""
    models = models_of(vehicle_class)
    if vehicle_class != "van":
        return models[number % len(models)]
    strong = [model for model in models if model.ac_max_kw > 11.5 or model.phases == 1]
    usual = [model for model in models if model not in strong]
    choice = strong if home.max_kw > 11.5 else usual
    return choice[number % len(choice)]


def _vehicle(
    scenario: Scenario, name: str, model: Model, *, site_id: str, home: int, block: Block, index: int
) -> Vehicle:
    chance = stream(scenario.seed, "vehicle", name)
    soh = float(chance.uniform(0.90, 0.995))
    capacity = model.usable_kwh * soh * float(chance.normal(1.0, 0.008))
    if model.vehicle_class == "van":
        battery = Battery(capacity, ON_BOARD_CHARGER.to_terminal_kw(model.ac_max_kw), ON_BOARD_CHARGER)
    else:
        battery = Battery(capacity, model.dc_max_kw, DC_CABINET)
    return Vehicle(
        index=index,
        vehicle_id=name,
        vin=_vin(scenario.seed, name, model),
        device_id=f"b{index + 1:X}",
        site_id=site_id,
        model=model,
        token=f"04{int(share(scenario.seed, 'token', name) * 16**12):012X}",
        home=home,
        soh=soh,
        battery=battery,
        energy_factor=float(chance.normal(1.0, scenario.difficulty.vehicle_energy_cv)),
        odometer_km=float(chance.uniform(8_000, 140_000)),
        block=block,
    )


def _vin(seed: int, name: str, model: Model) -> str:
    letters = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
    number = int(share(seed, "vin", name) * len(letters) ** 8)
    tail = "".join(letters[number // len(letters) ** k % len(letters)] for k in range(8))
    return f"{BRANDS[model.brand]}{model.code}{tail}"


def _relief_drivers(scenario: Scenario, place: SitePlace, *, count: int) -> list[Driver]:
    return [_driver(scenario, f"{place.prefix}-R{k + 1:02d}") for k in range(count)]


def _driver(scenario: Scenario, driver_id: str) -> Driver:
    chance = stream(scenario.seed, "driver", driver_id)
    hardness = scenario.difficulty
    return Driver(
        driver_id,
        float(chance.normal(0, hardness.driver_lateness_sd_min)),
        float(chance.normal(1.0, hardness.driver_energy_cv)),
    )


def is_late_tour(name: str, hardness: Difficulty) -> bool:
    """Say whether a van works a late tour: every fourth one, if their share is a quarter."""
    number = int(name.rsplit("-", 1)[1])
    return "-VAN-" in name and number % max(1, round(1 / hardness.late_tour_share)) == 0


def _block(scenario: Scenario, place: SitePlace, name: str, model: Model, relief: Driver) -> Block:
    hardness = scenario.difficulty
    chance = stream(scenario.seed, "block", name)
    late = is_late_tour(name, hardness)
    departure, back = _shift(model.vehicle_class, chance.uniform(size=2).tolist(), late=late)
    low, high = hardness.late_tour_share_of_battery if late else hardness.duty_share_of_battery
    share_of_battery = float(chance.uniform(low, high))
    kwh_per_km = model.kwh_per_km * winter_factor(model.vehicle_class)
    return Block(
        block_id=f"BLK-{name}",
        route_id=f"{place.prefix}{int(chance.integers(100, 999))}",
        weekdays=_weekdays(model.vehicle_class, chance.uniform()),
        departure_minute=departure,
        return_minute=back,
        distance_km=round(share_of_battery * model.usable_kwh * 0.95 / kwh_per_km, 1),
        load_share=float(chance.uniform(0.35, 0.75)),
        legs={"van": 6, "truck": 4, "bus": 3}[model.vehicle_class],
        bearing_deg=float(chance.uniform(0, 360)),
        lateness_min=float(chance.normal(0, hardness.block_lateness_sd_min)),
        drivers=(_driver(scenario, f"{place.prefix}-D-{name[-6:]}"), relief),
        relief_weekday=int(chance.integers(0, 5)),
    )


def _shift(vehicle_class: str, places: list[float], *, late: bool) -> tuple[int, int]:
    """Return departure and return as local minutes, on a grid of five minutes."""
    spans = {
        "van": ((6 * 60 + 15, 8 * 60), (16 * 60, 17 * 60 + 45)),
        "truck": ((6 * 60, 8 * 60), (15 * 60 + 15, 17 * 60 + 15)),
        "bus": ((4 * 60 + 40, 5 * 60 + 20), (20 * 60 + 45, 22 * 60 + 15)),
        "late": ((5 * 60, 5 * 60 + 40), (21 * 60 + 15, 22 * 60 + 5)),
    }
    chosen = spans["late" if late else vehicle_class]
    departure, back = (
        int(low + (high - low) * place) // 5 * 5 for (low, high), place in zip(chosen, places, strict=True)
    )
    return departure, back


def _weekdays(vehicle_class: str, chance: float) -> frozenset[int]:
    if vehicle_class == "bus":
        return WEEK | {5} | ({6} if chance < 0.6 else set())
    return WEEK | ({5} if chance < 0.3 else set())


def mean_energy_kwh(vehicle: Vehicle) -> float:
    """Return the mean stored energy of the vehicle's duty in winter, by what dispatch knows."""
    return vehicle.block.distance_km * vehicle.model.kwh_per_km * winter_factor(vehicle.model.vehicle_class)


def required_share(energy_kwh: float, capacity_kwh: float, hardness: Difficulty) -> float:
    """Return the SoC (0 to 1) that a duty demands: its P90 energy and the reserve, at most 97 %."""
    spread = P90_Z * math.hypot(hardness.distance_cv, hardness.consumption_cv)
    return min(0.97, energy_kwh * math.exp(spread) / capacity_kwh + hardness.reserve_soc_pct / 100)


def _site(place: SitePlace, vehicles: list[Vehicle], connectors: list[Connector], hardness: Difficulty) -> Site:
    """Return the site with a grid connection sized by its fleet's nightly energy (see ``Difficulty``)."""
    night_kwh = sum(mean_energy_kwh(vehicle) / vehicle.model.efficiency for vehicle in vehicles)
    vehicles_kw = night_kwh / hardness.hours_at_limit
    if len(vehicles) < SMALL_FLEET:
        vehicles_kw = max(vehicles_kw, SMALL_FLEET_SHARE * max(connector.max_kw for connector in connectors))
    base_kw = round(max(4.0, 0.10 * vehicles_kw), 0)
    limit_kw = math.ceil(vehicles_kw + base_kw + 2.0)
    evening_kw = math.ceil(hardness.evening_limit_share * limit_kw)
    ac_kw = sum(connector.max_kw for connector in connectors if connector.current_type == "ac")
    groups = ((f"{place.site_id}-ac", float(math.ceil(hardness.feeder_share * ac_kw))),)
    limit = ((0, float(limit_kw)), (17 * 60, float(evening_kw)), (21 * 60, float(limit_kw)))
    return Site(replace(place), limit, groups, base_kw, place.pv_kwp)
