"""The bridge's configuration, ``bridge.yaml``: read once, validated whole, refused with all mistakes at once.

Secrets are not in it: the HTTP token comes from the environment, passwords are hashes. Nothing here opens a socket.
"""

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from core.clock import Clock, SimulatedClock, WallClock
from core.time_grid import to_utc
from ocpp_bridge.holdings import ConnectorKey
from ocpp_bridge.profiles import Wiring
from ocpp_bridge.rotation import Share, Window, windows
from ocpp_bridge.sections import Section, TlsConfig, is_loopback
from ocpp_bridge.upstream.settings import Publisher, Upstream, Vdv463Config, url_problems

log = logging.getLogger(__name__)

Instant = Annotated[datetime, AfterValidator(to_utc)]
Kilowatts = Annotated[float, Field(ge=0, allow_inf_nan=False)]
DC_NOMINAL_VOLTAGE_V = 400.0


class ConfigError(ValueError):
    """The configuration cannot be used; the message lists every mistake."""


class ListenerConfig(Section):
    """A port for charging stations, with one security profile."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    security_profile: Literal[0, 1, 2, 3] = 1
    tls: TlsConfig | None = None

    @model_validator(mode="after")
    def _profile_fits(self) -> "ListenerConfig":
        if self.security_profile == 0 and not is_loopback(self.host):
            raise ValueError("security_profile 0 lets anyone in, so it is only allowed on a loopback address")
        if self.security_profile >= 2 and self.tls is None:
            raise ValueError(f"security_profile {self.security_profile} needs tls: {{cert, key}}")
        if self.security_profile == 3 and (self.tls is None or self.tls.client_ca is None):
            raise ValueError("security_profile 3 needs tls.client_ca, the authority of the stations' certificates")
        return self


class HttpConfig(Section):
    """Where publications are put and events are read."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    token_env: str = "DEPOTWISE_BRIDGE_TOKEN"  # noqa: S105  the variable's name, not a token
    max_body_bytes: int = Field(8 * 1024 * 1024, gt=0)
    callback_url: str | None = None  # under which other back ends reach this


class SiteConfig(Section):
    """The site, and what all its connectors together may draw whatever a publication says."""

    site_id: str
    ev_limit_kw: Kilowatts


class GroupConfig(Section):
    """A feeder or shared power module with a limit of its own."""

    group_id: str
    limit_kw: Kilowatts


class ConnectorConfig(Section):
    """A connector (1.6) or EVSE (2.x)."""

    connector_id: int = Field(ge=1)
    current_type: Literal["ac", "dc"]
    phases: Literal[1, 3] = 3
    max_kw: float = Field(gt=0, allow_inf_nan=False)
    min_kw: Kilowatts
    fallback_kw: Kilowatts
    nominal_voltage_v: float | None = Field(None, gt=0)
    group_id: str | None = None
    evse_uid: str | None = None  # what OCPI calls it
    charging_point_id: str | None = None  # what VDV 463 calls it

    @model_validator(mode="after")
    def _fallback_works(self) -> "ConnectorConfig":
        if self.min_kw > self.max_kw:
            raise ValueError(f"min_kw {self.min_kw} is above max_kw {self.max_kw}")
        if 0 < self.fallback_kw < self.min_kw:
            raise ValueError(f"fallback_kw {self.fallback_kw} is neither 0 nor at least min_kw {self.min_kw}")
        if self.fallback_kw > self.max_kw:
            raise ValueError(f"fallback_kw {self.fallback_kw} is above max_kw {self.max_kw}")
        return self

    @property
    def wiring(self) -> Wiring:
        """How power becomes current here."""
        default_v = 230.0 if self.current_type == "ac" else DC_NOMINAL_VOLTAGE_V
        voltage_v = self.nominal_voltage_v or default_v
        return Wiring(self.current_type, self.phases, voltage_v, self.max_kw, self.min_kw)


class StationConfig(Section):
    """A charging station that may connect."""

    station_id: str = Field(min_length=1, max_length=48, pattern=r"^[A-Za-z0-9*_\-=:+|@.]+$")
    password_hash: str | None = None
    upstream: Upstream | None = None
    publisher: str | None = None
    connectors: list[ConnectorConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _connectors_differ(self) -> "StationConfig":
        ids = [connector.connector_id for connector in self.connectors]
        if len(set(ids)) < len(ids):
            raise ValueError(f"connector_id given twice: {sorted({i for i in ids if ids.count(i) > 1})}")
        if self.upstream is not None and self.publisher is not None:
            raise ValueError("give upstream (the station dials us) or publisher (it does not), not both")
        return self


class ClockConfig(Section):
    """A simulated clock; with ``file``, the one that whoever writes the file drives."""

    start_at: Instant
    rate: float = Field(1.0, ge=0, allow_inf_nan=False)
    file: Path | None = None


class AccessConfig(Section):
    """Who may charge: anyone, or only the tokens listed (as keyed hashes)."""

    policy: Literal["open", "listed"] = "open"
    tokens: frozenset[str] = frozenset()


class LinkConfig(Section):
    """Limits and timeouts of a station's connection, in seconds of wall time."""

    call_timeout_s: float = Field(10.0, gt=0)
    superseded_timeout_s: float = Field(2.0, gt=0)
    boot_grace_s: float = Field(0.3, ge=0)
    heartbeat_interval_s: int = Field(300, ge=1)
    ping_interval_s: float = Field(30.0, gt=0)
    ping_timeout_s: float = Field(20.0, gt=0)
    open_timeout_s: float = Field(10.0, gt=0)
    max_frame_bytes: int = Field(256 * 1024, ge=1024)
    messages_per_s: float = Field(100.0, gt=0)
    message_burst: int = Field(500, ge=1)
    max_connections: int | None = Field(None, ge=1)


class BridgeConfig(Section):
    """All of ``bridge.yaml``."""

    listeners: list[ListenerConfig] = Field(min_length=1)
    http: HttpConfig
    state_dir: Path
    site: SiteConfig
    groups: list[GroupConfig] = Field(default_factory=list)
    publishers: list[Publisher] = Field(default_factory=list)
    vdv463: Vdv463Config | None = None
    stations: list[StationConfig]
    fallback: Literal["constant", "rotate"] = "constant"
    clock: ClockConfig | None = None
    access: AccessConfig = AccessConfig()
    link: LinkConfig = LinkConfig()
    plain_id_tags: bool = False
    frame_retention_days: int = Field(400, ge=1)
    publication_retention_days: int = Field(60, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> "BridgeConfig":
        problems = [*self._duplicates(), *self._unprotected(), *self._unpublished(), *self._too_much_fallback()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _duplicates(self) -> Iterator[str]:
        for what, ids in (
            ("station_id", [station.station_id for station in self.stations]),
            ("group_id", [group.group_id for group in self.groups]),
            ("publisher name", [publisher.name for publisher in self.publishers]),
        ):
            twice = sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
            if twice:
                yield f"{what} given twice: {twice}"
        known = {group.group_id for group in self.groups}
        for station_id, connector in self.connectors():
            if connector.group_id is not None and connector.group_id not in known:
                yield f"{station_id}: connector {connector.connector_id} names the unknown group {connector.group_id}"

    def _unpublished(self) -> Iterator[str]:
        known = {publisher.name: publisher.kind for publisher in self.publishers}
        for station in self.stations:
            if station.publisher is not None and station.publisher not in known:
                yield f"{station.station_id} names the unknown publisher {station.publisher}"
            for connector in station.connectors if known.get(station.publisher or "") == "ocpi" else ():
                if connector.evse_uid is None:
                    yield f"{station.station_id}: connector {connector.connector_id} needs its evse_uid for OCPI"
        if self.publishers and self.http.callback_url is None:
            yield "publishers need http.callback_url, under which their back ends reach this bridge"
        if self.http.callback_url is not None:
            problems = url_problems(self.http.callback_url, schemes=("http", "https"))
            yield from (f"http.callback_{problem}" for problem in problems)

    def _unprotected(self) -> Iterator[str]:
        if any(listener.security_profile in (1, 2) for listener in self.listeners):
            for station in self.stations:
                if (
                    station.publisher is None
                    and station.password_hash is None
                    and all(one.security_profile in (1, 2) for one in self.listeners)
                ):
                    yield f"{station.station_id} has no password_hash (make one with: depotwise bridge hash-password)"

    def _too_much_fallback(self) -> Iterator[str]:
        if self.fallback == "rotate":
            try:
                self.fallback_windows()
            except ValueError as error:
                yield str(error)
            return
        for scope, limit_kw in self.limits_kw.items():
            together = sum(
                connector.fallback_kw
                for _, connector in self.connectors()
                if scope is None or connector.group_id == scope
            )
            if together > limit_kw + 1e-9:
                where = "the site" if scope is None else f"group {scope}"
                yield (
                    f"the fallbacks of {where} are together {together:g} kW, {together - limit_kw:g} kW above its "
                    f"limit of {limit_kw:g} kW; lower them, or set fallback: rotate"
                )

    def fallback_windows(self) -> dict[ConnectorKey, Window | None]:
        """Return the daily window of each connector's fallback; None where it always holds.

        Raises:
            ValueError: rotating does not help.
        """
        connectors = self.connector_map
        if self.fallback == "constant":
            return dict.fromkeys(connectors)
        shares = [
            Share(one.fallback_kw, (None,) if one.group_id is None else (None, one.group_id))
            for one in connectors.values()
        ]
        return dict(zip(connectors, windows(shares, self.limits_kw), strict=True))

    def connectors(self) -> Iterator[tuple[str, ConnectorConfig]]:
        """Yield every connector with its station's id."""
        for station in self.stations:
            for connector in station.connectors:
                yield station.station_id, connector

    @property
    def connector_map(self) -> dict[ConnectorKey, ConnectorConfig]:
        """Every connector by station and number."""
        return {(station_id, connector.connector_id): connector for station_id, connector in self.connectors()}

    @property
    def limits_kw(self) -> dict[str | None, float]:
        """The configured limit of the site (None) and of each group."""
        return {None: self.site.ev_limit_kw, **{group.group_id: group.limit_kw for group in self.groups}}

    def missing(self) -> Iterator[str]:
        """Yield what this machine lacks to run as configured: variables of the environment, files."""
        for station in self.stations:
            if station.upstream is not None:
                yield from (f"{station.station_id}: upstream: {problem}" for problem in station.upstream.missing())
        for publisher in self.publishers:
            yield from (f"publisher {publisher.name}: {problem}" for problem in publisher.missing())

    def make_clock(self) -> Clock:
        """Return the clock that schedules, expiry and the frame log follow."""
        if self.clock is None:
            return WallClock()
        return SimulatedClock(self.clock.start_at, self.clock.rate, file=self.clock.file)


def load_config(path: Path) -> BridgeConfig:
    """Read and validate ``bridge.yaml``.

    Raises:
        ConfigError: it cannot be read or used; the message says where and what to do, one mistake per line.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        config = BridgeConfig.model_validate(raw)
    except ValidationError as error:
        lines = [f"{path}: {_place(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from error
    for place in _unknown(config):
        log.warning("%s: %s is not a known setting and has no effect", path, place)
    return config


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "the file"


def _unknown(section: BaseModel, prefix: str = "") -> Iterator[str]:
    yield from (f"{prefix}{name}" for name in section.model_extra or {})
    for name in type(section).model_fields:
        value = getattr(section, name)
        for k, one in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(one, BaseModel):
                place = f"{prefix}{name}[{k}]." if isinstance(value, list) else f"{prefix}{name}."
                yield from _unknown(one, place)
