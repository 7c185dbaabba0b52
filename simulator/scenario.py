"""Which depot is simulated, and how hard it is: the one place where difficulty is set.

``Difficulty`` holds every number that makes the platform's work harder or easier. The figures follow from what depots
look like and from the floors that ``python -m simulator difficulty`` measures; they are never tuned to make a plan or
a forecast look good. ``Faults`` holds how often providers and chargers misbehave.
"""

import json
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from core.files import write_text_atomic
from core.time_grid import format_instant, local_instant

TIMEZONE = "Europe/Berlin"
LIVE_DATE = date(2026, 2, 9)  # a Monday in winter, with a working day before and after the night
SCENARIO_FILE = "scenario.json"
SCENARIO_SCHEMA = "depotwise.simulator/1"


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How hard the depot is to predict and to charge. Shares are 0 to 1, times in minutes, SoC in points.

    Floors (asserted by tests for several seeds): residual lateness sd ≥ 35 min, residual arrival SoC sd ≥ 6 points,
    2 % of plugs forgotten, uncontrolled peak ≥ 1.5 times the limit, first-come-first-served at the limit leaves ≥ 5 %
    not ready on the live night and on the typical night, and perfect foresight leaves nearly nobody behind.

    Attributes:
        block_lateness_sd_min: Lateness that belongs to a block of duties (learnable).
        weekday_lateness_sd_min: Lateness that belongs to a weekday (learnable).
        driver_lateness_sd_min: Lateness that belongs to a driver (learnable).
        residual_scale_min: Scale of the residual's Student t with 4 degrees of freedom (nobody can learn it).
        disruption_share: Days with a disruption (breakdown, jam) on top of the residual.
        disruption_mean_min: Mean of a disruption's exponential delay.
        early_return_share: Days on which the vehicle comes back long before its plan.
        early_return_min: Shortest and longest such earliness.
        distance_cv: Spread of the driven distance around the plan.
        consumption_cv: Spread of energy per km that distance, temperature, load and driver do not explain.
        driver_energy_cv: Spread between drivers' styles (learnable).
        vehicle_energy_cv: Spread between vehicles of one model (learnable).
        forgotten_plug_share: Evenings on which nobody plugs the vehicle in.
        wrong_bay_share: Plug-ins at another connector than the vehicle's bay, by choice.
        guest_share: Evenings on which a site has a guest with an unknown token.
        leave_share: Vehicle-weeks without work (driver's holiday, workshop).
        duty_share_of_battery: Mean energy of a duty as a share of the usable battery in winter, least and most.
        late_tour_share: Vans that come back in the evening, leave early and use much: little slack at the charger.
        late_tour_share_of_battery: The same share as above for those.
        hours_at_limit: Hours that the energy of a working night takes at the limit for vehicles. More is harder: the
            evening-to-morning window has about 14.
        evening_limit_share: Import limit from 17:00 to 21:00 as a share of the rest of the day's.
        feeder_share: Limit of the AC feeder as a share of its connectors' sum.
        reserve_soc_pct: SoC that a vehicle keeps on top of its duty's P90 energy.
    """

    block_lateness_sd_min: float = 12.0
    weekday_lateness_sd_min: float = 6.0
    driver_lateness_sd_min: float = 8.0
    residual_scale_min: float = 19.0
    disruption_share: float = 0.08
    disruption_mean_min: float = 70.0
    early_return_share: float = 0.05
    early_return_min: tuple[float, float] = (45.0, 150.0)
    distance_cv: float = 0.10
    consumption_cv: float = 0.10
    driver_energy_cv: float = 0.05
    vehicle_energy_cv: float = 0.03
    forgotten_plug_share: float = 0.02
    wrong_bay_share: float = 0.03
    guest_share: float = 0.15
    leave_share: float = 0.03
    duty_share_of_battery: tuple[float, float] = (0.45, 0.62)
    late_tour_share: float = 0.33
    late_tour_share_of_battery: tuple[float, float] = (0.62, 0.70)
    hours_at_limit: float = 13.7
    evening_limit_share: float = 0.7
    feeder_share: float = 0.65
    reserve_soc_pct: float = 10.0


@dataclass(frozen=True, slots=True)
class Faults:
    """How often the outside world misbehaves. Shares are 0 to 1 of requests, records or vehicle-days.

    Attributes:
        http_429_share: Requests answered with 429 (or Geotab's OverLimitException) and Retry-After.
        http_500_share: Requests answered with 500.
        geotab_calls_per_session: Calls after which a Geotab session expires.
        buffered_day_share: Vehicle-days whose data arrive hours late.
        sentinel_share: rFMS statuses with 65535 for the ambient temperature.
        string_heading_share: rFMS records whose heading is a string.
        nan_speed_share: Geotab log records with speed NaN.
        missing_soc_share: rFMS statuses without a state of charge.
        epoch_share: Records stamped 1970 by a clock that was not set.
        impossible_soc_share: Records with a SoC of 140 %.
        recalculated_trip_share: Geotab trips that are recalculated, with a new id.
        merged_trip_share: Geotab trips that recalculation merges into the one before (the second is deleted).
        reconnects_per_day: Chance per station and day that it drops its connection and dials again.
        red_telltale_share: Vehicle-days on which an rFMS vehicle shows a red battery tell-tale for two hours at noon;
            never on the live date, because a vehicle in that state would be taken off the road.
        lost_stop_share: Transactions without StopTransaction (power loss).
    """

    http_429_share: float = 0.02
    http_500_share: float = 0.01
    geotab_calls_per_session: int = 60
    buffered_day_share: float = 0.02
    sentinel_share: float = 0.01
    string_heading_share: float = 0.02
    nan_speed_share: float = 0.005
    missing_soc_share: float = 0.01
    epoch_share: float = 0.0003
    impossible_soc_share: float = 0.0003
    recalculated_trip_share: float = 0.05
    merged_trip_share: float = 0.01
    reconnects_per_day: float = 0.1
    red_telltale_share: float = 0.003
    lost_stop_share: float = 0.003


NO_FAULTS = Faults(
    http_429_share=0,
    http_500_share=0,
    geotab_calls_per_session=1_000_000,
    buffered_day_share=0,
    sentinel_share=0,
    string_heading_share=0,
    nan_speed_share=0,
    missing_soc_share=0,
    epoch_share=0,
    impossible_soc_share=0,
    recalculated_trip_share=0,
    merged_trip_share=0,
    reconnects_per_day=0,
    red_telltale_share=0,
    lost_stop_share=0,
)


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on loopback, all counted from one base."""

    base: int = 9400

    @property
    def rfms(self) -> int:
        """The truck and bus manufacturer's API."""
        return self.base

    @property
    def geotab(self) -> int:
        """The vans' telematics API."""
        return self.base + 1

    def bridge_ws(self, site_index: int) -> int:
        """Where the bridge of a site takes charge points."""
        return self.base + 10 * (site_index + 1)

    def bridge_http(self, site_index: int) -> int:
        """Where the bridge of a site takes publications."""
        return self.base + 10 * (site_index + 1) + 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fleet, its history and its live night; everything else follows from it and the seed.

    The live night starts at 12:30 local time. Stations must be connected before the nightly job at 14:00, and by then
    the yard routine (``world.people``) has unplugged what stood at the depot, so that no transaction runs across the
    boundary between history and live night: an OCPP 1.6 back end that never saw a transaction start could not know
    its id.
    """

    seed: int = 1
    vehicles: int = 40
    days: int = 28
    ports: Ports = field(default_factory=Ports)
    difficulty: Difficulty = field(default_factory=Difficulty)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        if self.vehicles < 2 or self.days < 1:
            raise ValueError("a scenario needs at least 2 vehicles and 1 day of history")

    @property
    def first_date(self) -> date:
        """First operating date of the history."""
        return LIVE_DATE - timedelta(days=self.days)

    @property
    def dates(self) -> list[date]:
        """Operating dates that are driven: the history, the live date and the day after it."""
        return [self.first_date + timedelta(days=k) for k in range(self.days + 2)]

    @property
    def history_start_at(self) -> datetime:
        """Midnight (local) before the first operating date."""
        return _midnight(self.first_date)

    @property
    def live_start_at(self) -> datetime:
        """When history ends and charge points go live."""
        return local_instant(LIVE_DATE, time(12, 30), TIMEZONE)

    @property
    def live_end_at(self) -> datetime:
        """When the last vehicle has left on the morning after."""
        return local_instant(LIVE_DATE + timedelta(days=1), time(9, 30), TIMEZONE)

    @property
    def signals_end_at(self) -> datetime:
        """End of what markets and weather services have published: midnight (local) after the live night."""
        return local_instant(LIVE_DATE + timedelta(days=2), time(0), TIMEZONE)

    def write(self, folder: Path) -> None:
        """Write ``scenario.json``: what ``serve`` needs to build the same world again, and what a driver asks."""
        text = {
            "schema": SCENARIO_SCHEMA,
            "seed": self.seed,
            "vehicles": self.vehicles,
            "days": self.days,
            "timezone": TIMEZONE,
            "history_start_at": format_instant(self.history_start_at),
            "start_at": format_instant(self.live_start_at),
            "end_at": format_instant(self.live_end_at),
            "ports": {"base": self.ports.base, "rfms": self.ports.rfms, "geotab": self.ports.geotab},
            "difficulty": asdict(self.difficulty),
            "faults": asdict(self.faults),
        }
        write_text_atomic(folder / SCENARIO_FILE, json.dumps(text, indent=2) + "\n")


@cache
def _midnight(day: date) -> datetime:
    return local_instant(day, time(0), TIMEZONE)


def read_scenario(folder: Path) -> Scenario:
    """Read what ``Scenario.write`` wrote.

    Raises:
        ValueError: the file is none of ours.
    """
    raw = json.loads((folder / SCENARIO_FILE).read_text(encoding="utf-8"))
    if raw.get("schema") != SCENARIO_SCHEMA:
        raise ValueError(f"{folder / SCENARIO_FILE} is no {SCENARIO_SCHEMA}; run `python -m simulator prepare` again")
    hardness: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in raw["difficulty"].items()
    }
    return Scenario(
        seed=raw["seed"],
        vehicles=raw["vehicles"],
        days=raw["days"],
        ports=Ports(raw["ports"]["base"]),
        difficulty=Difficulty(**hardness),
        faults=Faults(**raw["faults"]),
    )
