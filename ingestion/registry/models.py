"""What the configuration may say: one pydantic model per kind of entry, with units and bounds.

Bounds of a single entry live here; what needs two entries (references, overlaps, sums) lives in ``checks``.
"""

from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from core.time_grid import to_utc

SourceKind = Literal["rfms_v4", "geotab", "ocpp_bridge", "ocpp_files", "vdv463", "day_ahead", "weather", "site_load"]
HTTP_KINDS = frozenset({"rfms_v4", "geotab", "ocpp_bridge", "vdv463"})
FILE_KINDS = frozenset({"ocpp_files"})


def _clock_time(value: object) -> object:
    """Read ``HH:MM`` strictly, so that YAML's base-60 numbers (17:00 without quotes) are refused with a hint."""
    if isinstance(value, str):
        return time.fromisoformat(value)
    raise ValueError('this is no time of day; write local time in quotes, like "17:00"')


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no IANA time zone; write one like Europe/Berlin") from error
    return name


def _whole(value: object) -> object:
    """Read the digits of a CSV cell, which ``Literal`` would compare as text."""
    return int(value) if isinstance(value, str) and value.isdigit() else value


Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]
ClockTime = Annotated[time, BeforeValidator(_clock_time)]
Zone = Annotated[str, AfterValidator(_known_zone)]
UtcInstant = Annotated[datetime, AfterValidator(to_utc)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Phases = Annotated[Literal[1, 3], BeforeValidator(_whole)]


class Entry(BaseModel):
    """An entry of the configuration: frozen, and without fields that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, populate_by_name=True)


class Position(Entry):
    """Where a depot is."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class LimitFrom(Entry):
    """An import limit that holds from a local time of day until the next one."""

    from_time: ClockTime = Field(alias="from")
    limit_kw: NotNegative


class Group(Entry):
    """A feeder or a shared power module."""

    group_id: Identifier
    limit_kw: Positive


class Window(Entry):
    """A local window of the day, which may pass midnight; always where it is not given."""

    from_time: ClockTime | None = Field(None, alias="from")
    to_time: ClockTime | None = Field(None, alias="to")

    @model_validator(mode="after")
    def _both_or_none(self) -> "Window":
        if (self.from_time is None) != (self.to_time is None):
            raise ValueError("from and to belong together; give both, or none for the whole day")
        return self


class DemandCharge(Window):
    """A price per kW of the highest load of a month, within a local window of the day or always."""

    name: str
    price_per_kw: NotNegative


class SoftLimit(Window):
    """An import limit that readiness may override: a kWh above it has a price."""

    name: str
    limit_kw: NotNegative
    price_per_kwh: NotNegative


class PriceTier(Entry):
    """A surcharge on every kWh of import beyond so many in a month."""

    name: str
    above_kwh: NotNegative
    surcharge_per_kwh: NotNegative


class Carbon(Entry):
    """What a tonne of CO2e counts for in plans, and the grid region whose intensity has landed."""

    region: str
    price_per_t: NotNegative


class Tariff(Entry):
    """What energy and power cost."""

    price_zone: str
    markup_per_kwh: float = 0.0
    feed_in_per_kwh: float = 0.0
    demand_charges: tuple[DemandCharge, ...] = ()
    price_tiers: tuple[PriceTier, ...] = ()
    carbon: Carbon | None = None


class Battery(Entry):
    """A stationary battery."""

    capacity_kwh: Positive
    max_power_kw: Positive
    charge_efficiency: float = Field(gt=0.5, le=1)
    discharge_efficiency: float = Field(gt=0.5, le=1)


class Bridge(Entry):
    """Where a site's OCPP bridge listens; the token is in the environment."""

    url: str = Field(pattern=r"^https?://")
    token_env: Variable


class Site(Entry):
    """A depot: one grid connection, one time zone."""

    site_id: Identifier
    name: str
    timezone: Zone
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    position: Position
    geofence_radius_m: Positive
    import_limit: tuple[LimitFrom, ...] = Field(min_length=1)
    soft_limits: tuple[SoftLimit, ...] = ()
    groups: tuple[Group, ...] = ()
    tariff: Tariff
    base_load_kw: NotNegative = 0.0
    pv_kwp: NotNegative = 0.0
    battery: Battery | None = None
    reserve_soc_pct: Percent = 10.0
    safety_margin_kw: NotNegative = 2.0
    nightly_at: ClockTime = time(14)
    bridge: Bridge | None = None

    @field_validator("import_limit")
    @classmethod
    def _covers_the_day(cls, limits: tuple[LimitFrom, ...]) -> tuple[LimitFrom, ...]:
        starts = [limit.from_time for limit in limits]
        if starts[0] != time(0):
            raise ValueError('the day begins without a limit; start the first one at "00:00"')
        if starts != sorted(set(starts)):
            raise ValueError("limits are not in order of the day; let each start later than the one before")
        return limits

    @property
    def lowest_import_limit_kw(self) -> float:
        """The lowest import limit of the day."""
        return min(limit.limit_kw for limit in self.import_limit)


class Credentials(Entry):
    """Names of environment variables that hold secrets; a secret itself never stands in a file."""

    token_env: Variable | None = None
    database: str | None = None
    user_env: Variable | None = None
    password_env: Variable | None = None


class Source(Entry):
    """A source and its contract: where it is, who answers for it, what it promises."""

    source_id: Identifier
    kind: SourceKind
    url: str | None = Field(None, pattern=r"^https?://")
    path: Path | None = None
    credentials: Credentials = Credentials()
    site_id: str | None = None
    start_at: UtcInstant | None = None
    owner: str
    contact: str
    freshness_min: Positive
    latency_min: NotNegative
    on_failure: str

    @model_validator(mode="after")
    def _one_place(self) -> "Source":
        if (self.url is None) == (self.path is None):
            raise ValueError("url and path are both given or both missing; give url for an HTTP source, path for files")
        if self.kind in HTTP_KINDS and self.url is None:
            raise ValueError(f"a source of kind {self.kind} has no url; give its base URL")
        if self.kind == "vdv463" and self.site_id is None:
            raise ValueError("a source of kind vdv463 has no site_id; name the depot that its requests are for")
        if self.kind in FILE_KINDS and self.path is None:
            raise ValueError(
                f"a source of kind {self.kind} has no path; give a file or folder, relative to the configuration"
            )
        return self

    @model_validator(mode="after")
    def _credentials_fit(self) -> "Source":
        given = self.credentials
        if self.kind in ("rfms_v4", "ocpp_bridge", "vdv463") and given.token_env is None:
            raise ValueError(
                f"a source of kind {self.kind} has no token; give credentials: {{token_env: NAME_OF_A_VARIABLE}}"
            )
        if self.kind == "geotab" and None in (given.database, given.user_env, given.password_env):
            raise ValueError(
                "a source of kind geotab cannot log in; give credentials: {database, user_env, password_env}"
            )
        return self

    @property
    def location(self) -> str:
        """The URL or path, for messages."""
        return self.url if self.url is not None else str(self.path)


class Connector(Entry):
    """A connector of a charging station."""

    station_id: Identifier
    connector_id: int = Field(ge=1)
    evse_id: str | None = None
    site_id: str
    group_id: str | None = None
    current_type: Literal["ac", "dc"]
    phases: Phases
    nominal_voltage_v: Positive
    max_kw: Positive
    min_kw: NotNegative
    fallback_kw: NotNegative

    @model_validator(mode="after")
    def _powers_fit(self) -> "Connector":
        if self.min_kw > self.max_kw:
            raise ValueError(f"min_kw {self.min_kw:g} is above max_kw {self.max_kw:g}; lower min_kw")
        if self.fallback_kw and not self.min_kw <= self.fallback_kw <= self.max_kw:
            raise ValueError(
                f"fallback_kw {self.fallback_kw:g} cannot be held; "
                f"use 0, or {self.min_kw:g} to {self.max_kw:g} (min_kw to max_kw)"
            )
        return self


class Vehicle(Entry):
    """A vehicle and what its battery can take."""

    vehicle_id: Identifier
    vin: str | None = Field(None, pattern=r"^[A-HJ-NPR-Z0-9]{17}$")
    source_id: str | None = None
    source_ref: str | None = None
    site_id: str
    model: str | None = None
    vehicle_class: Literal["car", "van", "truck", "bus", "unknown"] = "unknown"
    usable_kwh: float = Field(gt=0, le=1500)
    soh_pct: float | None = Field(None, gt=0, le=110)
    ac_max_kw: Positive | None = None
    dc_max_kw: Positive | None = None
    phases: Phases | None = None
    taper_power_kw: Positive | None = None
    taper_knee_soc_pct: Percent | None = None
    taper_end_fraction: Share | None = None
    efficiency: float | None = Field(None, ge=0.5, le=1)
    standby_kw: float | None = Field(None, ge=0, le=5)
    precondition_kw: Positive | None = None
    precondition_min: float | None = Field(None, gt=0, le=240)
    reference_kwh_per_km: float | None = Field(None, gt=0, le=10)
    home_station_id: str | None = None
    home_connector_id: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _complete(self) -> "Vehicle":
        if self.ac_max_kw is None and self.dc_max_kw is None:
            raise ValueError("the vehicle cannot charge; give ac_max_kw, dc_max_kw or both")
        if self.ac_max_kw is not None and self.phases is None:
            raise ValueError("ac_max_kw is given without phases; give those of its on-board charger, 1 or 3")
        if (self.precondition_kw is None) != (self.precondition_min is None):
            raise ValueError("one of precondition_kw and precondition_min is missing; give both or neither")
        if (self.source_id is None) != (self.source_ref is None):
            raise ValueError("one of source_id and source_ref is missing; give both or neither")
        if (self.home_station_id is None) != (self.home_connector_id is None):
            raise ValueError("one of home_station_id and home_connector_id is missing; give both or neither")
        return self


class Token(Entry):
    """An idTag and the vehicle it stands for; validity in UTC, end exclusive, None is open."""

    token: str = Field(min_length=1, repr=False)
    vehicle_id: str
    valid_from: UtcInstant
    valid_to: UtcInstant | None = None


class Assignment(Entry):
    """Who drives a vehicle, on which block; validity in UTC, end exclusive, None is open."""

    vehicle_id: str
    driver_id: str | None = None
    block_id: str | None = None
    valid_from: UtcInstant
    valid_to: UtcInstant | None = None


class Duty(Entry):
    """A vehicle's planned work of one operating date; departure and return in UTC."""

    block_id: str
    operating_date: date
    site_id: str
    vehicle_id: str
    planned_departure: UtcInstant
    planned_return: UtcInstant | None = None
    distance_km: float | None = Field(None, ge=0, le=2000)
    route_id: str | None = None
    min_target_soc_pct: Percent | None = None

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> "Duty":
        if self.planned_return is not None and self.planned_return <= self.planned_departure:
            raise ValueError(
                "the duty ends before it starts; give a planned_return after planned_departure (with its date)"
            )
        return self
